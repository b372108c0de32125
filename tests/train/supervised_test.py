"""The training engine on a task that is not SimCLR: a classifier of labeled images with cross-entropy.

usage: supervised_test.py SUPERVISED MPIEXEC [unittest arguments]; the environment's SUPERVISED_DEVICE names the device
"""
import math
import os
import subprocess

import h5py

from training_runs import SIMCLR, TrainingTest, main

DEVICE = os.environ.get("SUPERVISED_DEVICE", "cpu")
OPTIONS = {
    "image-size": 16, "width": 0.125, "batch-size": 16, "epochs": 4, "warmup-epochs": 0, "optimizer": "sgd",
    "learning-rate": 0.02, "lr-scaling": "none", "weight-decay": 0, "log-every": 1, "checkpoint-every-epochs": 0,
    "threads": 1, "loader-threads": 1, "device": DEVICE, "plan-cache": "none", "precision": "fp32",
}
if DEVICE == "cuda":  # the emulated device runs every thread of every block one after the other
    OPTIONS.update({"image-size": 8, "batch-size": 8, "width": 0.0625})
METRICS = ["loss", "top1", "top5"]


class SupervisedTest(TrainingTest):
    COMMAND, OPTIONS = "supervised", OPTIONS

    def test_rows_and_progress_hold_the_metrics_of_the_task(self):
        done = self.pretrain(max_steps=4)
        first = self.rows()[0]
        self.assertEqual(list(first)[3:7], [*METRICS, "learning_rate"])
        # The classifier starts from zero, so it guesses among ten classes.
        self.assertAlmostEqual(first["loss"], math.log(10), places=5)
        for row in self.rows():
            for share in (row["top1"], row["top5"]):
                self.assertAlmostEqual(share * OPTIONS["batch-size"], round(share * OPTIONS["batch-size"]), places=6)
            self.assertLessEqual(row["top1"], row["top5"])
        self.assertRegex(done.stdout, r"step 4/4 loss \d\.\d{4} top-1 \d+\.\d % lr ")
        with h5py.File(self.checkpoint(4)) as file:
            names = set(file["parameters"])
        self.assertTrue({"classifier.weight", "classifier.bias", "conv1.weight"} <= names, names)

    def test_it_learns(self):
        self.pretrain(optimizer="adamw", learning_rate=0.01, epochs=8)
        losses = self.losses()
        steps = 96 // OPTIONS["batch-size"]
        first, last = sum(losses[:steps]) / steps, sum(losses[-steps:]) / steps
        self.assertLess(last, 0.9 * first, losses)

    def test_a_restart_changes_no_bit(self):
        for ranks in (1, 2):
            with self.subTest(ranks=ranks):
                self.assert_a_restart_changes_no_bit(ranks, at=4, steps=7, columns=METRICS)

    def test_one_two_and_four_ranks_compute_the_same(self):
        directories = {ranks: self.run_dir.parent / f"ranks{ranks}" for ranks in (1, 2, 4)}
        for ranks, directory in directories.items():
            self.pretrain(ranks, run_dir=directory, max_steps=3)
        one = self.losses(directories[1])
        for ranks in (2, 4):
            self.assert_close(self.losses(directories[ranks]), one, 1e-4)
            self.assertEqual(self.rows(directories[ranks])[0]["top1"], self.rows(directories[1])[0]["top1"])

    def test_a_nan_stops_the_run_and_names_the_first_op(self):
        # Pixels of up to 1 divided by the smallest float are infinite.
        done = self.pretrain(2, expect=1, mean="0,0,0", std="1e-45,1e-45,1e-45", max_steps=3)
        self.assertRegex(done.stderr, "step 1: the loss is not finite; first offending op: 'pack_input'?.*check the pixels")
        self.assert_state(status="failed", cause="not-finite", step=0)

    def test_a_signal_stops_all_ranks_with_a_checkpoint(self):
        step = self.stop_by_signal(ranks=2, epochs=1000)
        self.pretrain(2, epochs=1000, max_steps=step + 1)
        self.assertEqual(self.rows()[-1]["step"], step + 1)

    def test_changed_options_are_refused(self):
        self.pretrain(max_steps=1)
        done = self.pretrain(expect=2, max_steps=2, classes=11)
        self.assertIn("option --classes: this run was started with '10'", done.stderr)
        done = self.pretrain(expect=2, run_dir=self.run_dir.parent / "other", classes=3)
        self.assertIn("option --classes: the data has 10", done.stderr)

    def test_a_dry_run_writes_nothing(self):
        done = subprocess.run([*self.command(1, max_steps=3), "--dry-run"], capture_output=True, text=True, check=True)
        self.assertIn("dry run: would start a new run in", done.stdout)
        self.assertFalse(self.run_dir.exists(), SIMCLR)


if __name__ == "__main__":
    main()
