"""What a run of `pretrain` tells of itself while it trains: the columns and rows beside the loss.

usage: monitors_test.py SIMCLR MPIEXEC [unittest arguments]
"""
import gzip
import json
import math
import re
import shutil
import subprocess

import h5py
import numpy as np

from training_runs import BATCH, IMAGES, LABELS, SAMPLES, SIMCLR, TrainingTest, main

DIMENSIONS = 128
STEPS = SAMPLES // BATCH  # of an epoch
HELD_OUT = 40  # images


def pack_held_out(directory, name):
    """Images of Fashion-MNIST behind those that are trained on."""
    idx = directory / f"{name}-idx"
    idx.mkdir()
    given = []
    for option, source, head_bytes, size in (("--images", IMAGES, 16, 28 * 28), ("--labels", LABELS, 8, 1)):
        with gzip.open(source) as f:
            head = f.read(head_bytes)
            f.seek(head_bytes + SAMPLES * size)
            file = idx / source.stem
            file.write_bytes(head[:4] + HELD_OUT.to_bytes(4, "big") + head[8:] + f.read(HELD_OUT * size))
        given += [option, file]
    subprocess.run([SIMCLR, "pack", "--from", "idx", "--input", idx, *given, "--output", directory / name,
                    "--shards", "1"], check=True, capture_output=True)
    return directory / name


def relabeled(directory, name, change):
    """A copy of a data set with labels of its own, or without any."""
    copy = directory.parent / name
    shutil.copytree(directory, copy)
    for shard in copy.glob("*.h5"):
        with h5py.File(shard, "r+") as f:
            labels = change(f["labels"][:])
            del f["labels"]
            if labels is not None:
                f["labels"] = labels
    return copy


def tensors(file):
    """Everything that a run goes on with: name -> bytes."""
    found = {}
    with h5py.File(file) as f:
        f.visititems(lambda name, item: found.update({name: item[()].tobytes()})
                     if isinstance(item, h5py.Dataset) and item.dtype.kind == "f" else None)
    return found


class MonitorsTest(TrainingTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.held_out = pack_held_out(cls.top, "held-out")
        cls.unlabeled = relabeled(cls.held_out, "unlabeled", lambda labels: None)

    def run_of(self, name, ranks=1, **changed):
        run = self.run_dir.parent / name
        self.pretrain(ranks, run_dir=run, **changed)
        return run

    # ---- z_std ------------------------------------------------------------------------------------

    def deviations(self, run):
        return [row["z_std"] for row in self.rows(run)]

    def test_every_row_has_the_deviation_of_the_embeddings_of_the_global_batch(self):
        runs = {ranks: self.run_of(f"ranks{ranks}", ranks, max_steps=3) for ranks in (1, 2, 4)}
        alone = self.deviations(runs[1])
        self.assertEqual(len(alone), 3)
        for value in alone:
            self.assertTrue(0.3 < value * math.sqrt(DIMENSIONS) <= 1, alone)
        for ranks in (2, 4):
            self.assert_close(self.deviations(runs[ranks])[:1], alone[:1], 1e-4)

    def test_a_run_whose_rows_lack_the_column_goes_on(self):
        run = self.run_of("earlier", max_steps=2)
        rows = self.rows(run)
        for row in rows:
            del row["z_std"]
        (run / "metrics.jsonl").write_text("".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows))
        self.pretrain(run_dir=run, max_steps=4)
        self.assertEqual([("z_std" in row) for row in self.rows(run)], [False, False, True, True])
        done = subprocess.run([SIMCLR, "report", run], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn('"z_std"', (run / "report.html").read_text())

    # ---- probe ------------------------------------------------------------------------------------

    def probed(self, name, ranks=1, **changed):
        return self.run_of(name, ranks, **{"probe": "on", "max_steps": STEPS + 3, "checkpoint_steps": STEPS, **changed})

    def test_a_probe_leaves_every_byte_of_the_model_alone(self):
        wrong = relabeled(self.data, "wrong", lambda labels: (labels + 1) % 10)
        for ranks in (1, 2):
            plain = self.run_of(f"no-probe{ranks}", ranks, max_steps=STEPS + 3, checkpoint_steps=STEPS)
            probed = self.probed(f"probe{ranks}", ranks)
            misled = self.probed(f"misled{ranks}", ranks, data=wrong)
            restarted = self.probed(f"restarted{ranks}", ranks, max_steps=4)
            self.probed(f"restarted{ranks}", ranks)
            self.assertEqual(self.checkpoint(STEPS + 3, restarted).read_bytes(),
                             self.checkpoint(STEPS + 3, probed).read_bytes())
            for step in (STEPS, STEPS + 3):
                expected, found = (tensors(self.checkpoint(step, run)) for run in (plain, probed))
                of_probe = {name for name in found if "probe." in name}
                self.assertEqual(len(of_probe), 4, of_probe)  # weight and bias, and their momentum
                self.assertEqual({name: found[name] for name in expected}, expected)
                self.assertEqual(set(found) - set(expected), of_probe)
                other = tensors(self.checkpoint(step, misled))
                self.assertEqual({name: other[name] for name in expected}, expected)
                self.assertNotEqual(other["parameters/probe.weight"], found["parameters/probe.weight"])
            self.assertEqual(self.losses(probed), self.losses(plain))

    def test_a_probe_learns_and_says_so(self):
        run = self.probed("learns", max_steps=4 * STEPS, probe_every_epochs=2, eval_data=self.held_out, knn_every_epochs=4)
        rows = [row for row in self.rows(run) if "loss" in row]
        self.assertAlmostEqual(rows[0]["probe_loss"], math.log(10), delta=1e-5)  # it begins with zeros
        self.assertLess(rows[-1]["probe_loss"], rows[0]["probe_loss"])
        self.assertTrue(all(0 <= row["probe_top1"] <= 1 for row in rows))
        self.assertEqual(list(self.measured(run, "probe_eval_top1")), [2 * STEPS, 4 * STEPS])
        self.assertEqual(list(self.measured(run, "knn_top1")), [4 * STEPS])
        subprocess.run([SIMCLR, "report", run], check=True, capture_output=True)
        self.assertIn("Top-1 of the probe on held-out images", (run / "report.html").read_text())
        plan = subprocess.run([SIMCLR, "plan", "--config", run / "config.cfg", "--machine", "h100"], capture_output=True,
                              text=True, check=False)
        self.assertEqual(plan.returncode, 0, plan.stderr)
        self.assertIn("monitors", plan.stdout)
        exported = run / "all.safetensors"
        subprocess.run([SIMCLR, "export", "--checkpoint", run, "--output", exported], check=True, capture_output=True)
        self.assertNotIn(b"probe.", exported.read_bytes())

    def test_images_without_a_label_do_not_count_for_the_probe(self):
        few = relabeled(self.data, "few", lambda labels: np.where(np.arange(len(labels)) % 24 == 0, labels, -1))
        rows = self.rows(self.probed("few-labels", data=few, shuffle="off"))
        # As stored, a batch of 16 images has a labeled one in two of three steps.
        self.assertEqual(["probe_loss" in row for row in rows[:3]], [True, True, False])

    # ---- nearest neighbors, loss on held-out images ------------------------------------------------

    def measured(self, run, name):
        return {row["step"]: row[name] for row in self.rows(run) if name in row}

    def monitored(self, name, ranks=1, **changed):
        options = {"eval_data": self.held_out, "knn_every_epochs": 1, "eval_loss_every_epochs": 2, **changed}
        return self.run_of(name, ranks, **options)

    def test_monitors_change_nothing_of_the_run(self):
        for ranks in (1, 2):
            plain = self.run_of(f"plain{ranks}", ranks, checkpoint_steps=f"{STEPS},{STEPS + 2}", max_steps=2 * STEPS + 1)
            watched = self.monitored(f"watched{ranks}", ranks, checkpoint_steps=f"{STEPS},{STEPS + 2}", max_steps=2 * STEPS + 1)
            for step in (STEPS, STEPS + 2, 2 * STEPS + 1):
                expected = tensors(self.checkpoint(step, plain))
                self.assertGreater(len(expected), 100)
                self.assertEqual(tensors(self.checkpoint(step, watched)), expected)
            losses = [row["loss"] for row in self.rows(watched) if "loss" in row]
            self.assertEqual(losses, self.losses(plain))
            self.assertEqual(list(self.measured(watched, "knn_top1")), [STEPS, 2 * STEPS])
            self.assertEqual(list(self.measured(watched, "eval_loss")), [2 * STEPS])

    def test_nearest_neighbors_are_those_that_knn_finds(self):
        run = self.monitored("knn", checkpoint_every_epochs=1, max_steps=2 * STEPS)
        for step, top1 in self.measured(run, "knn_top1").items():
            done = subprocess.run([SIMCLR, "knn", "--checkpoint", self.checkpoint(step, run), "--train-data", self.data,
                                   "--test-data", self.held_out], capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 0, done.stderr)
            result = json.loads((run / "eval" / f"knn-step-{step:010}.json").read_text())
            self.assertEqual(top1, result["top1"])
            self.assertGreater(top1, 0)

    def test_what_is_measured_depends_on_neither_ranks_nor_restarts(self):
        few = {"knn_bank": 50, "eval_loss_every_epochs": 1, "max_steps": 2 * STEPS}
        runs = {ranks: self.monitored(f"ranks{ranks}", ranks, **few) for ranks in (1, 2, 4)}
        for name in ("knn_top1", "eval_loss"):
            one = self.measured(runs[1], name)
            self.assertEqual(list(one), [STEPS, 2 * STEPS])
            for ranks in (2, 4):
                other = self.measured(runs[ranks], name)
                # Sums over ranks are rounded in another order: a neighbor may be another one.
                for step in one:
                    self.assertAlmostEqual(other[step], one[step], delta=0.02 if name == "eval_loss" else 2.5 / HELD_OUT)
        stopped = self.monitored("stopped", **{**few, "max_steps": STEPS + 2})
        text = (stopped / "metrics.jsonl").read_text()
        (stopped / "metrics.jsonl").write_text(text + json.dumps({"step": 2 * STEPS, "epoch": 2, "knn_top1": 0.5}) + "\n")
        self.monitored("stopped", **few)
        for name in ("knn_top1", "eval_loss"):
            self.assertEqual(self.measured(stopped, name), self.measured(runs[1], name))

    def test_frequency_and_bank_may_change_when_a_run_goes_on(self):
        run = self.run_of("later", max_steps=STEPS)
        self.monitored("later", eval_loss_every_epochs=1, knn_every_epochs=2, knn_bank=30, max_steps=2 * STEPS)
        self.assertEqual(list(self.measured(run, "knn_top1")), [2 * STEPS])
        self.run_of("later", knn_every_epochs=0, eval_loss_every_epochs=0, max_steps=3 * STEPS)

    def test_the_loss_on_held_out_images_needs_no_labels(self):
        options = {"knn_every_epochs": 0, "eval_loss_every_epochs": 1, "max_steps": STEPS}
        run = self.monitored("unlabeled", eval_data=self.unlabeled, **options)
        labeled = self.monitored("labeled", **options)
        (loss,) = self.measured(run, "eval_loss").values()
        self.assertEqual([loss], list(self.measured(labeled, "eval_loss").values()))
        self.assertTrue(0 < loss < 2 * math.log(2 * BATCH), loss)

    def test_report_shows_what_was_measured(self):
        run = self.monitored("report", max_steps=2 * STEPS)
        subprocess.run([SIMCLR, "report", run], check=True, capture_output=True)
        page = (run / "report.html").read_text()
        data = json.loads(re.search('id="data">(.*?)</script>', page, re.DOTALL)[1])
        titles = {metric["column"]: metric["title"] for metric in data["runs"][0]["metrics"]}
        self.assertEqual(titles["knn_top1"], "Nearest-neighbor top-1")
        self.assertEqual(titles["eval_loss"], "Loss on held-out images")
        self.assertIn("knn_top1", data["runs"][0]["columns"])
        trained = sum(row["seconds_step"] for row in self.rows(run) if "seconds_step" in row)
        self.assertAlmostEqual(data["runs"][0]["seconds"], trained, delta=1e-6)

    def assert_refused(self, message, **changed):
        for dry in ({}, {"dry_run": "here"}, {"dry_run": "elsewhere"}):
            done = self.pretrain(expect=2, **{**changed, **dry})
            self.assertRegex(done.stderr, message)
            self.assertFalse(self.run_dir.exists())

    def test_refusals(self):
        self.assert_refused("option --probe: .*unlabeled has no labels", probe="on", data=self.unlabeled)
        self.assert_refused("option --probe-every-epochs: needs --probe on", probe_every_epochs=1)
        self.assert_refused("option --probe-every-epochs: needs --eval-data", probe="on", probe_every_epochs=1)
        self.assert_refused("option --knn-every-epochs: needs --eval-data", knn_every_epochs=1)
        self.assert_refused("option --eval-loss-every-epochs: needs --eval-data", eval_loss_every_epochs=1)
        self.assert_refused("option --knn-bank: needs --knn-every-epochs", knn_bank=5)
        knn = {"knn_every_epochs": 1, "eval_data": self.held_out}
        self.assert_refused("option --eval-data: .*unlabeled has no labels", **{**knn, "eval_data": self.unlabeled})
        self.assert_refused("option --data: .*unlabeled has no labels", data=self.unlabeled, **knn)
        self.assert_refused(f"option --knn-bank: 97 is more than the {SAMPLES} labeled images", knn_bank=97, **knn)
        self.assert_refused("option --eval-loss-every-epochs: the 40 images of .*held-out are fewer than a batch of 48",
                            eval_loss_every_epochs=1, eval_data=self.held_out, batch_size=48)
        more = relabeled(self.held_out, "more", lambda labels: np.where(labels == labels.max(), 11, labels))
        self.assert_refused("option --eval-data: .*more has 12 classes, the training data has 10",
                            **{**knn, "eval_data": more})


if __name__ == "__main__":
    main()
