"""Lists of augmentation operations in runs: runs of earlier versions go on, and new ones keep their order.

usage: augmentation_test.py SIMCLR MPIEXEC [unittest arguments]
"""
import re
import subprocess
import sys
import unittest

from training_runs import SIMCLR, TrainingTest

NEW = ("augment-second", "base-crop", "augment-params", "augment-semantics")


class AugmentationTest(TrainingTest):
    def make_earlier(self, augment):
        """Rewrites config.cfg as earlier versions wrote it; checkpoints keep their list, which is in the earlier order."""
        config = self.run_dir / "config.cfg"
        lines = [line for line in config.read_text().splitlines() if not line.startswith(NEW)]
        config.write_text(re.sub("^augment = .*$", f"augment = {augment}", "\n".join(lines), flags=re.M) + "\n")

    def test_a_run_of_an_earlier_version_goes_on_in_the_order_that_it_had(self):
        self.pretrain(augment="crop,flip,color", max_steps=8)
        whole = self.losses()
        begun = self.run_dir
        self.run_dir = begun.parent / "again"
        self.pretrain(augment="crop,flip,color", max_steps=3)
        self.make_earlier("color,flip,crop")
        subprocess.run([SIMCLR, "pretrain", "--run-dir", self.run_dir, "--max-steps=8"], check=True, capture_output=True)
        self.assertEqual(self.losses(), whole)
        self.assertIn("augment = crop,flip,color\n", (self.run_dir / "config.cfg").read_text())

    def test_the_command_of_a_run_of_an_earlier_version_is_given_again(self):
        self.pretrain(augment="crop,flip,color", max_steps=6)
        whole = self.losses()
        self.run_dir = self.run_dir.parent / "again"
        self.pretrain(augment="crop,flip,color", max_steps=2)
        self.make_earlier("color,flip,crop")
        for steps in (4, 6):  # the second start finds a configuration of this version
            done = self.pretrain(augment="color,flip,crop", max_steps=steps)
            self.assertIn("the run applies crop,flip,color in this order", done.stdout + done.stderr)
        self.assertEqual(self.losses(), whole)

    def test_parameters_of_operations_that_no_list_has(self):
        done = self.pretrain(expect=2, augment="crop,flip", augment_params="cutout.size=0.2", max_steps=1)
        self.assertIn("option --augment-params: cutout.size", done.stderr)
        self.pretrain(augment="flip", augment_second="cutout", base_crop="on", max_steps=1,
                      augment_params="cutout.size=0.2,crop.min-area=0.5")

    def test_the_order_of_a_new_run_counts_and_stays(self):
        self.pretrain(augment="color,flip,crop", max_steps=3)
        done = self.pretrain(expect=2, augment="crop,flip,color", max_steps=4)
        self.assertIn("'color,flip,crop'", done.stderr)
        self.pretrain(augment="color,flip,crop", max_steps=4)
        self.assertIn("augment = color,flip,crop\n", (self.run_dir / "config.cfg").read_text())
        own = self.losses()
        self.run_dir = self.run_dir.parent / "other"
        self.pretrain(augment="crop,flip,color", max_steps=4)
        self.assertNotEqual(self.losses()[0], own[0])

    def test_branches_train_alike_on_one_rank_and_two(self):
        options = dict(augment="crop:0.5,noise,rotate,blur:1,cutout", augment_second="none", base_crop="on",
                       augment_params="noise.max-sigma=0.1", augment_semantics="tf-v1", precision="fp32", max_steps=3)
        self.pretrain(**options)
        alone = self.losses()
        self.run_dir = self.run_dir.parent / "two"
        self.pretrain(ranks=2, **options)
        for one, two in zip(alone, self.losses(), strict=True):
            self.assertAlmostEqual(one, two, delta=1e-3)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
