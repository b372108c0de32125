"""`simclr pretrain` with every loss: its first value, ranks, a restart, held-out loss, refusals.

usage: losses_test.py SIMCLR MPIEXEC [unittest arguments]
"""
import itertools
import math
import shutil

import numpy as np

from monitors_test import relabeled
from training_runs import TrainingTest, main

VARIANTS = {
    "nt-xent-one": {"loss": "nt-xent", "negatives": "one"},
    "nt-xent-dot": {"loss": "nt-xent", "normalize": "off", "temperature": 10},
    "dcl": {"loss": "dcl"},
    "nt-logistic": {"loss": "nt-logistic", "negatives": "one"},
    "nt-logistic-sum": {"loss": "nt-logistic", "negative_weight": "sum"},
    "nt-logistic-semi-hard": {"loss": "nt-logistic", "semi_hard": "on"},
    "margin": {"loss": "margin", "margin": 0.4},
    "margin-semi-hard": {"loss": "margin", "semi_hard": "on", "negatives": "one"},
    "supcon": {"loss": "supcon"},
}


class LossesTest(TrainingTest):
    def run_of(self, name, ranks=1, **changed):
        run = self.run_dir.parent / name
        self.pretrain(ranks, run_dir=run, **changed)
        return run

    def test_ranks_and_a_restart_change_nothing(self):
        for name, options in VARIANTS.items():
            with self.subTest(name):
                one = self.run_of(f"{name}-1", max_steps=4, **options)
                two = self.run_of(f"{name}-2", 2, max_steps=2, **options)
                self.pretrain(2, run_dir=two, max_steps=4, **options)
                straight = self.run_of(f"{name}-straight", 2, max_steps=4, **options)
                self.assertEqual(self.losses(two), self.losses(straight))
                self.assertEqual(self.checkpoint(4, two).read_bytes(), self.checkpoint(4, straight).read_bytes())
                for ours, theirs in zip(self.rows(one), self.rows(two), strict=True):
                    for key in ("loss", "entropy", "z_std"):
                        self.assertAlmostEqual(ours[key], theirs[key], delta=1e-2 * max(1, abs(ours[key])), msg=key)
                for row in self.rows(one):
                    self.assertTrue(math.isfinite(row["loss"]))
                    self.assertEqual("semi_hard_share" in row, options.get("semi_hard") == "on")

    def test_defaults_written_out_are_the_same_loss(self):
        plain = self.run_of("plain", max_steps=3)
        given = self.run_of("given", max_steps=3, loss="nt-xent", negatives="both", normalize="on")
        self.assertEqual(self.losses(plain), self.losses(given))

    def test_supcon_learns_from_labels(self):
        unlabeled = relabeled(self.data, "without-labels", lambda labels: None)
        done = self.pretrain(expect=2, data=unlabeled, loss="supcon", dry_run=True)
        self.assertIn("option --loss: supcon needs labels", done.stderr)
        number = itertools.count()
        own = relabeled(self.data, "all-unknown-but-one", lambda labels: np.where(np.arange(len(labels)) == 0, next(number), -1).astype(labels.dtype))
        alone = self.run_of("alone", data=own, loss="supcon", max_steps=1)
        plain = self.run_of("nt-xent", loss="nt-xent", max_steps=1)
        self.assertAlmostEqual(self.losses(alone)[0], self.losses(plain)[0], delta=1e-5)
        labeled = self.run_of("labeled", loss="supcon", max_steps=1)
        self.assertNotAlmostEqual(self.losses(labeled)[0], self.losses(plain)[0], delta=1e-3)

    def test_held_out_loss(self):
        for name in ("supcon", "margin-semi-hard"):
            with self.subTest(name):
                run = self.run_of(f"{name}-held-out", epochs=1, eval_data=self.data, eval_loss_every_epochs=1,
                                  **VARIANTS[name])
                measured = [row["eval_loss"] for row in self.rows(run) if "eval_loss" in row]
                self.assertEqual(len(measured), 1)
                self.assertTrue(math.isfinite(measured[0]))
        unlabeled = relabeled(self.data, "held-out-without-labels", lambda labels: None)
        done = self.pretrain(expect=2, eval_data=unlabeled, eval_loss_every_epochs=1, loss="supcon")
        self.assertIn("option --eval-loss-every-epochs: supcon needs labels", done.stderr)

    def test_supcon_with_a_probe(self):
        run = self.run_of("both", loss="supcon", probe="on", max_steps=2)
        for row in self.rows(run):
            self.assertGreater(row["probe_loss"], 0)
        semi_hard = self.run_of("semi-hard-probe", probe="on", max_steps=2, **VARIANTS["margin-semi-hard"])
        self.assertAlmostEqual(self.rows(semi_hard)[0]["probe_loss"], math.log(10), delta=1e-5)

    def test_refusals(self):
        for message, options in (
                ("option --negatives: supcon has no use for it", {"loss": "supcon", "negatives": "both"}),
                ("option --semi-hard: nt-xent has no use for it", {"semi_hard": "on"}),
                ("option --semi-hard: dcl has no use for it", {"loss": "dcl", "semi_hard": "on"}),
                ("option --margin: nt-logistic has no use for it", {"loss": "nt-logistic", "margin": 0.5}),
                ("option --negative-weight: nt-xent has no use for it", {"negative_weight": "mean"}),
                ("options --margin and --semi-hard: with margin 0", {"loss": "margin", "semi_hard": "on", "margin": 0}),
                ("options --negative-weight and --semi-hard: ",
                 {"loss": "margin", "semi_hard": "on", "negative_weight": "sum"}),
                ("option --margin: '-1' is not accepted", {"loss": "margin", "margin": -1}),
                ("option --loss: 'triplet' is not accepted", {"loss": "triplet"})):
            with self.subTest(message):
                self.assertIn(message, self.pretrain(expect=2, dry_run=True, **options).stderr)
        self.assertFalse(self.run_dir.exists())

    def test_values_that_were_not_given_may_be_named_later(self):
        for loss, named in (({"loss": "nt-xent"}, {"negatives": "both", "semi-hard": "off"}),
                            ({"loss": "margin"}, {"negatives": "both", "margin": 0.8, "negative-weight": "mean"})):
            with self.subTest(**loss):
                shutil.rmtree(self.run_dir, ignore_errors=True)
                self.pretrain(max_steps=1, **loss)
                config = self.run_dir / "config.cfg"
                for name, value in named.items():
                    self.assertIn(f"{name} = {value}\n", config.read_text())
                # A run of an earlier version has stored what was given only.
                kept = [line for line in config.read_text().splitlines(keepends=True) if line.split(" = ")[0] not in named]
                config.write_text("".join(kept))
                self.pretrain(max_steps=2, **loss)
                self.pretrain(max_steps=3, **loss, **{name.replace("-", "_"): value for name, value in named.items()})

    def test_a_loss_may_not_change_in_a_run(self):
        self.pretrain(max_steps=1, loss="margin")
        self.assertIn("--loss", self.pretrain(expect=2, loss="nt-xent").stderr)
        self.assertIn("--margin", self.pretrain(expect=2, loss="margin", margin=0.4).stderr)
        self.assertIn("--normalize", self.pretrain(expect=2, loss="margin", normalize="off").stderr)


if __name__ == "__main__":
    main()
