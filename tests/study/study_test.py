"""simclr study on real images: sharing, seeds, failing cells, interruptions, added cells, ranks and refusals.

usage: study_test.py SIMCLR [unittest arguments]
"""
import csv
import gzip
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

import h5py
import numpy as np

SIMCLR = str(Path(sys.argv[1]).resolve())
FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")
SAMPLES = 96

PRETRAIN = """
[pretrain]
image-size = 16
encoder = resnet18
width = 0.125
stem = cifar
batch-size = 16
epochs = 2
warmup-epochs = 0
temperature = 0.5
augment = crop,flip,color
learning-rate = 0.1
lr-scaling = none
optimizer = sgd
log-every = 1
"""


def real_images(first):
    """Images of Fashion-MNIST with their labels."""
    parts = []
    for kind, header, shape in (("images-idx3", 16, (SAMPLES, 28, 28)), ("labels-idx1", 8, (SAMPLES,))):
        size = int(np.prod(shape[1:], dtype=int))
        with gzip.open(FASHION_MNIST / f"t10k-{kind}-ubyte.gz") as file:
            file.read(header + first * size)
            parts.append(np.frombuffer(file.read(SAMPLES * size), np.uint8).reshape(shape))
    return parts


class StudyTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.top = Path(tempfile.mkdtemp(prefix="simclr-study-"))
        cls.addClassCleanup(shutil.rmtree, cls.top)
        for name, first in (("train", 0), ("test", SAMPLES)):
            images, labels = real_images(first)
            (cls.top / name).mkdir()
            with h5py.File(cls.top / name / "few-00000-of-00001.h5", "w") as file:
                file["images"] = np.repeat(images[..., None], 3, axis=3)
                file["labels"] = labels.astype(np.int64)

    def setUp(self):
        self.directory = Path(tempfile.mkdtemp(dir=self.top))
        self.file = self.directory / "some.cfg"
        self.output = self.directory / "study"

    def write(self, axes, sections="[knn]\nneighbors = 5\n", pretrain=PRETRAIN, study=""):
        common = f"data = {self.top}/train\neval-data = {self.top}/test\nthreads = 1\ndevice = cpu\n"
        loaders = "loader-threads = 1\n" if pretrain else ""
        self.file.write_text(f"{common}[study]\nname = a study\n{study}[axes]\n{axes}\n{pretrain}{loaders}{sections}")

    def study(self, *arguments, expect=0, file=None, output=None, environment=None):
        where = [] if file and Path(file).is_dir() else [f"--output={output or self.output}"]
        done = subprocess.run([SIMCLR, "study", file or self.file, *where, *arguments], capture_output=True, text=True,
                              timeout=300, check=False, env={**os.environ, **(environment or {})})
        self.assertEqual(done.returncode, expect, done.stdout + done.stderr + self.logs())
        return done.stdout + done.stderr

    def logs(self):
        return "".join(f"\n{log.name}: {log.read_text()[-300:]}" for log in sorted(self.output.glob("logs/*.log")))

    def refused(self, *says, arguments=(), **options):
        said = self.study(*arguments, expect=2, **options)
        errors = [line for line in said.splitlines() if "simclr: error: " in line]
        self.assertEqual(len(errors), 1, said)
        for text in says:
            self.assertIn(text, errors[0])

    def rows(self, output=None):
        with open((output or self.output) / "table.csv", newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    def test_cells_share_pretraining_and_the_table_has_mean_and_deviation_over_seeds(self):
        self.write("temperature = 0.2, 0.5\nknn.neighbors = 5, 10\nseed = 1, 2, 3")
        self.study("--dry-run")
        self.assertFalse(self.output.exists())
        self.study()
        runs = sorted(path.name for path in (self.output / "pretrain").iterdir())
        self.assertEqual(runs, [f"temperature-{t}_seed-{s}" for t in ("0.2", "0.5") for s in (1, 2, 3)])
        self.assertEqual(len(list((self.output / "cells").iterdir())), 12)
        self.assertFalse(list(self.output.rglob("metrics.jsonl")))
        self.study("--run", file=self.output)
        rows = self.rows()
        self.assertEqual([(row["temperature"], row["knn.neighbors"]) for row in rows],
                         [("0.2", "5"), ("0.2", "10"), ("0.5", "5"), ("0.5", "10")])
        for row in rows:
            values = [json.loads((self.output / "pretrain" / f"temperature-{row['temperature']}_seed-{seed}" / "eval" /
                                  f"knn_neighbors-{row['knn.neighbors']}.json").read_text())["top1"] for seed in (1, 2, 3)]
            self.assertEqual(row["knn.top1_count"], "3")
            self.assertAlmostEqual(float(row["knn.top1_mean"]), statistics.mean(values), places=12)
            self.assertAlmostEqual(float(row["knn.top1_deviation"]), statistics.stdev(values), places=12)
            self.assertEqual((row["problem"], row["paper"]), ("", ""))
        losses = [json.loads((self.output / "pretrain" / f"temperature-0.2_seed-{seed}" / "metrics.jsonl").read_text()
                             .splitlines()[-1])["loss"] for seed in (1, 2, 3)]
        self.assertAlmostEqual(float(rows[0]["pretrain.loss_mean"]), statistics.mean(losses), places=12)
        self.assertEqual(rows[0]["pretrain.loss_count"], "3")  # not once for each number of neighbors
        # Nothing is left to do, and doing nothing changes nothing.
        before = {path: path.stat().st_mtime_ns for path in self.output.rglob("*.json*")}
        self.study("--run")
        self.assertEqual({path: path.stat().st_mtime_ns for path in self.output.rglob("*.json*")}, before)
        self.assertEqual(self.study("--missing"), "")

    def test_a_study_that_is_killed_goes_on_to_the_same_table(self):
        self.write("temperature = 0.2, 0.5\nseed = 1, 2", pretrain=PRETRAIN.replace("epochs = 2", "epochs = 30", 1))
        undisturbed = self.directory / "undisturbed"
        self.study("--run", output=undisturbed)
        metrics = self.output / "pretrain" / "temperature-0.2_seed-2" / "metrics.jsonl"
        for rows in (20, 100):
            with subprocess.Popen([SIMCLR, "study", self.file, f"--output={self.output}", "--run"],
                                  stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as study:
                deadline = time.monotonic() + 120
                while not metrics.exists() or len(metrics.read_text().splitlines()) < rows:
                    self.assertLess(time.monotonic(), deadline, self.logs())
                    self.assertIsNone(study.poll(), self.logs())
                    time.sleep(0.002)
                children = Path(f"/proc/{study.pid}/task/{study.pid}/children").read_text().split()
                trained = [pid for pid in children if b"pretrain" in Path(f"/proc/{pid}/cmdline").read_bytes()]
                self.assertEqual(len(trained), 1)
                for pid in (study.pid, int(trained[0])):
                    os.kill(pid, signal.SIGKILL)
            self.assertEqual(json.loads((metrics.parent / "state.json").read_text())["status"], "running")
            self.assertFalse((self.output / "table.csv").exists())
        self.study("--run")
        self.assertEqual(json.loads((metrics.parent / "state.json").read_text())["restarts"], 2)
        self.assertEqual((self.output / "table.csv").read_bytes(), (undisturbed / "table.csv").read_bytes())
        self.assertEqual((self.output / "table.md").read_bytes(), (undisturbed / "table.md").read_bytes())

    def test_a_signal_stops_the_study_in_order(self):
        self.write("seed = 1, 2", pretrain=PRETRAIN.replace("epochs = 2", "epochs = 2000", 1))
        metrics = self.output / "pretrain" / "seed-1" / "metrics.jsonl"
        for number in (signal.SIGINT, signal.SIGTERM):
            with subprocess.Popen([SIMCLR, "study", self.file, f"--output={self.output}", "--run"],
                                  stdout=subprocess.PIPE, text=True) as study:
                deadline, rows = time.monotonic() + 60, len(metrics.read_text().splitlines()) if metrics.exists() else 0
                while not metrics.exists() or len(metrics.read_text().splitlines()) < rows + 3:
                    self.assertLess(time.monotonic(), deadline, self.logs())
                    time.sleep(0.01)
                study.send_signal(number)
                said = study.communicate(timeout=60)[0]
            self.assertEqual(study.returncode, 75, said)
            self.assertIn("to go on: simclr study", said)
            self.assertEqual(json.loads((metrics.parent / "state.json").read_text())["status"], "stopped-early")
        self.assertFalse((self.output / "pretrain" / "seed-2" / "metrics.jsonl").exists())

    def test_a_failing_cell_is_reported_and_the_others_go_on(self):
        self.write("learning-rate = 1e30, 0.1", sections="[knn]\n[quality]\n")
        said = self.study("--run", expect=1)
        self.assertIn("simclr: error: ", said)
        self.assertIn("some cells have no result; table.md and table.csv say why", said)
        self.assertIn("pretrain learning-rate-1e30: failed at step", said)
        failed, good = self.rows()
        self.assertEqual((failed["learning-rate"], failed["knn.top1_count"], failed["knn.top1_mean"]), ("1e30", "0", ""))
        self.assertRegex(failed["problem"], r"learning-rate-1e30, pretrain: failed at step \d+: .*; learning-rate-1e30, quality: pretraining: failed")
        self.assertEqual((good["knn.top1_count"], good["problem"]), ("1", ""))
        self.assertIn("Without a result:", (self.output / "table.md").read_text())

    def test_training_with_labels_follows_and_options_may_change_together(self):
        self.write("finetune.label-fraction & finetune.epochs = 0.25 & 2, 0.5 & 1\nfinetune.label-seed & finetune.seed = 1 & 1, 2 & 2",
                   sections="[finetune]\nbatch-size = 8\nlog-every = 1\nloader-threads = 1\n"
                            "[supervised]\nimage-size = 16\nencoder = resnet18\nwidth = 0.125\nstem = cifar\nbatch-size = 16\nepochs = 1\nloader-threads = 1\n",
                   study="paper = 50, -\npaper-title = made up\npaper-metric = finetune.top1\n")
        self.study("--run")
        self.assertEqual([path.name for path in (self.output / "pretrain").iterdir()], ["base"])
        self.assertEqual([path.name for path in (self.output / "supervised").iterdir()], ["base"])
        names = sorted(path.name for path in (self.output / "finetune").iterdir())
        self.assertEqual(names, [f"label-fraction-{f}_epochs-{e}_label-seed-{s}_seed-{s}"
                                 for f, e in (("0.25", 2), ("0.5", 1)) for s in (1, 2)])
        rows = self.rows()
        self.assertEqual([(row["finetune.label-fraction"], row["finetune.epochs"], row["finetune.top1_count"], row["paper"])
                          for row in rows], [("0.25", "2", "2", "50"), ("0.5", "1", "2", "")])
        self.assertEqual(rows[0]["supervised.top1_count"], "1")
        self.assertEqual(len((self.output / "finetune" / names[0] / "labels.txt").read_text().splitlines()), SAMPLES // 4)
        self.assertIn("| finetune.top1, % | published |", (self.output / "table.md").read_text())

    def test_evaluations_of_a_given_checkpoint_need_no_pretraining(self):
        self.write("seed = 1")
        self.study("--run")
        run = self.output / "pretrain" / "seed-1"
        self.output = self.directory / "second"
        self.write("linear-eval.layer = h, z, layer1", sections=f"[linear-eval]\ncheckpoint = {run}\n", pretrain="")
        self.study("--run")
        self.assertEqual(sorted(path.name for path in (self.output / "eval").iterdir()),
                         [f"linear-eval_layer-{layer}.json" for layer in ("h", "layer1", "z")])
        self.assertEqual([row["linear-eval.top1_count"] for row in self.rows()], ["1", "1", "1"])

    def test_several_ranks(self):
        self.write("seed = 1, 2")
        self.study("--run", "--ranks=2")
        for result in self.output.rglob("knn.json"):
            self.assertEqual(json.loads(result.read_text())["ranks"], 2)
        self.assertEqual(len(self.rows()), 1)
        self.assertEqual(self.rows()[0]["knn.top1_count"], "2")

    def test_a_study_waits_for_what_a_killed_one_has_left(self):
        """Only the study is killed: its ranks still write their checkpoint when the next one starts."""
        self.write("seed = 1", pretrain=PRETRAIN.replace("epochs = 2", "epochs = 30", 1))
        undisturbed = self.directory / "undisturbed"
        self.study("--run", "--ranks=2", output=undisturbed)
        metrics = self.output / "pretrain" / "seed-1" / "metrics.jsonl"
        with subprocess.Popen([SIMCLR, "study", self.file, f"--output={self.output}", "--run", "--ranks=2"],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as study:
            deadline = time.monotonic() + 120
            while not metrics.exists() or len(metrics.read_text().splitlines()) < 20:
                self.assertLess(time.monotonic(), deadline, self.logs())
                time.sleep(0.002)
            os.kill(study.pid, signal.SIGKILL)
        self.study("--run", "--ranks=2")
        self.assertGreaterEqual(json.loads((metrics.parent / "state.json").read_text())["restarts"], 1)
        self.assertEqual((self.output / "table.csv").read_bytes(), (undisturbed / "table.csv").read_bytes())

    def test_a_second_call_may_only_add_cells(self):
        self.write("temperature = 0.2, 0.5")
        self.study("--run")
        before = {path: path.stat().st_mtime_ns for path in (self.output / "pretrain").rglob("*.h5")}
        self.write("temperature = 0.2, 0.5, 1")
        self.study("--run")
        self.assertEqual(len(self.rows()), 3)
        self.assertLessEqual(before.items(), {path: path.stat().st_mtime_ns for path in (self.output / "pretrain").rglob("*.h5")}.items())
        stored = {path: path.read_bytes() for path in self.output.rglob("*.cfg")}
        for change, says in (
                (lambda: self.write("temperature = 0.2, 1"), ("has the cell temperature-0.5, which the file has no longer",)),
                (lambda: self.write("temperature = 0.2, 0.5, 1", pretrain=PRETRAIN.replace("width = 0.125", "width = 0.25")),
                 ("has the cell temperature-0.2", "option --width of 'pretrain' was '0.125' and is '0.25'")),
                (lambda: self.write("temperature = 0.2, 0.5, 1", sections="[knn]\nneighbors = 5\n[quality]\n"),
                 ("it now has section [quality]",)),
                (lambda: self.write("temperature = 0.2, 0.5, 1", sections="[knn]\nneighbors = 6\n"),
                 ("option --neighbors of 'knn' was '5' and is '6'",))):
            change()
            self.refused(*says, arguments=["--run"])
        self.assertEqual({path: path.read_bytes() for path in self.output.rglob("*.cfg")}, stored)
        # What a resumed run may change, a study may change.
        self.write("temperature = 0.2, 0.5, 1", pretrain=PRETRAIN + "keep = 7\n")
        self.study()

    def test_more_steps_go_on_and_fewer_are_no_result(self):
        self.write("seed = 1, 2", pretrain=PRETRAIN + "max-steps = 2\n")
        self.study("--run")
        for more, end in (("max-steps = 5\n", 5), ("", 12)):
            self.write("seed = 1, 2", pretrain=PRETRAIN + more)
            self.assertEqual(len(self.study("--missing").splitlines()), 4)
            self.study("--run")
            self.assertEqual(self.trained(), [end, end])
            self.assertEqual({json.loads(file.read_text())["step"] for file in self.output.rglob("knn.json")}, {end})
            self.assertEqual(self.study("--missing"), "")
        self.write("seed = 1, 2", pretrain=PRETRAIN + "max-steps = 3\n")
        self.assertIn("has trained 12 steps, more than --max-steps 3", self.study("--run", expect=1))

    def trained(self):
        return [json.loads(file.read_text())["step"] for file in sorted(self.output.rglob("state.json"))]

    def test_refusals_of_this_machine(self):
        self.write("seed = 1", sections="")
        self.refused("cell seed-1, pretrain: options --batch-size and --ranks: 16 images cannot be divided among 3 ranks",
                     arguments=["--run", "--ranks=3"])
        self.refused("option --ranks: several ranks need mpirun, which is not in PATH", arguments=["--run", "--ranks=2"],
                     environment={"PATH": "/nowhere"})
        self.write("knn.neighbors = 3, 5", pretrain="",
                   sections=f"[knn]\ncheckpoint = {self.top}/nothing\ntrain-data = {self.top}/train\ntest-data = {self.top}/test\n")
        self.refused("cell knn.neighbors-3, knn:", f"{self.top}/nothing", arguments=["--run"])
        self.assertFalse(self.output.exists())

    def test_two_axes_of_seeds_are_counted_together(self):
        self.write("seed = 1, 2\nfinetune.label-seed = 1, 2", pretrain=PRETRAIN + "max-steps = 1\n",
                   sections="[finetune]\nlabel-fraction = 0.5\nrecipe = v1\nbatch-size = 8\nmax-steps = 1\n")
        self.study("--run")
        self.assertIn("Mean ± deviation over up to 4 cells each.", (self.output / "table.md").read_text())
        row = self.rows()[0]
        self.assertEqual((row["pretrain.loss_count"], row["finetune.top1_count"]), ("2", "4"))

    def test_refusals_name_the_line(self):
        at = f"{self.file}:"
        for axes, more, says in (
                ("temprature = 1", {}, (at, "unknown option 'temprature' of 'pretrain'; did you mean 'temperature'?")),
                ("temperature =", {}, (at, "axis 'temperature' has no values")),
                ("temperature = 0.1,,0.2", {}, (at, "axis 'temperature' has an empty value")),
                ("", {}, (f"{self.file}: section [axes] has no axis",)),
                ("temperature = 0.1, 0.1", {}, (at, "has the value 0.1 twice")),
                ("temperature = 0.1, 0.10", {}, ("cells temperature-0.1 and temperature-0.10 are the same",)),
                ("temperature = 0.1, -1", {}, (at, "option --temperature: '-1' is not accepted")),
                ("knnn.neighbors = 1", {}, (at, "a study cannot run 'knnn'; did you mean 'knn'?")),
                ("knn.neighbours = 1", {}, (at, "unknown option 'neighbours' of 'knn'; did you mean 'neighbors'?")),
                ("temperature = 0.1\npretrain.temperature = 0.2", {}, (at, "option --temperature: in two axes of 'pretrain'")),
                ("temperature & seed = 0.1 & 1, 0.2", {}, (at, "'0.2' has 1 part; give 2")),
                ("augment = \"crop,flip", {}, (at, "has a quote without its partner")),
                ("seed = 1", {"pretrain": PRETRAIN + "temprature = 1\n"}, (at, "unknown option 'temprature'")),
                ("seed = 1", {"pretrain": PRETRAIN + "run-dir = x\n"}, ("option --run-dir: the study sets it for each cell; leave it out of 'pretrain'",)),
                ("seed = 1", {"sections": "[knn]\nneighbours = 1\n"}, (at, "unknown option 'neighbours' of 'knn'")),
                ("seed = 1", {"sections": "[knn]\nname = x\n"}, ("option --name: the study sets it for each cell; leave it out of 'knn'",)),
                ("seed = 1", {"sections": "[embed]\n"}, (at, "section [embed]: a study has study, axes, pretrain")),
                ("seed = 1", {"sections": "[knm]\n"}, (at, "section [knm]", "did you mean 'knn'?")),
                ("seed = 1", {"study": "nam = x\n"}, (at, "unknown option 'nam' of 'study'")),
                ("temperature = 1, 2", {"study": "paper = 1\n"}, ("option --paper: 1 figures for 2 lines",)),
                ("temperature = 1, 2", {"study": "paper = 1, x\n"}, ("option --paper: 'x' is not accepted",)),
                ("temperature = 1, 2", {"study": "paper = 1, 2\npaper-metric = top1\n"}, ("option --paper-metric: 'top1'", "pretrain, knn")),
                ("temperature = 1, 2", {"study": "paper = 1, 2\npaper-metric = finetune.top1\n"}, ("option --paper-metric: 'finetune.top1'",)),
                ("temperature = 1, 2", {"study": "paper = 1, 2\npaper-metric = knn.top9\n"}, ("option --paper-metric: knn has no metric 'top9'",)),
                ("batch-size = 16, 512", {}, ("cell batch-size-512, pretrain: option --batch-size: 512 is more than the 96 images",)),
                ("knn.neighbors = 5, 100", {}, ("cell knn.neighbors-100, knn: option --neighbors",)),
                ("seed = 1", {"study": "recipe = none.cfg\n"}, ("cannot read", "none.cfg"))):
            with self.subTest(axes=axes, **more):
                self.write(axes, **more)
                self.refused(*says, arguments=["--dry-run"])
                self.assertFalse(self.output.exists())
        self.write("seed = 1")
        self.file.write_text("\n".join(line for line in self.file.read_text().splitlines() if not line.startswith("eval-data")))
        self.refused("option --eval-data: missing; give DIR, the test images of 'knn'", arguments=["--dry-run"])
        self.write("temperature =")
        self.refused("axis 'temperature' has no values", arguments=["--run"])
        self.assertFalse(self.output.exists())
        self.write("seed = 1")
        self.refused("option --file:", "holds no study", file=self.directory)
        self.refused("option --output:", "holds other files and no study", output=self.directory)
        self.refused("option --ranks: goes with --run only", arguments=["--ranks=2"])
        self.refused("cannot read", "none.cfg", file=self.directory / "none.cfg")
        self.refused("option --run: the study starts its runs itself", "OMPI_COMM_WORLD_SIZE=2", arguments=["--run"],
                     environment={"OMPI_COMM_WORLD_SIZE": "2"})

    def test_every_study_of_the_program_is_accepted(self):
        """All but the data: these are missing, which is the last thing to be refused."""
        files = sorted((Path(__file__).resolve().parents[2] / "configs" / "studies").glob("*.cfg"))
        self.assertGreaterEqual(len(files), 16)
        for file in files:
            with self.subTest(file=file.name):
                said = self.study("--dry-run", "--data=/nowhere/train", "--eval-data=/nowhere/test", expect=2, file=file)
                self.assertRegex(said, rf"{file}: cell .*: .*(/nowhere/|shards/)")
                self.assertIn(file.name.split("-")[-1], ("imagenet.cfg", "cifar10.cfg"))

    def test_values_with_commas_and_long_names(self):
        self.write('augment = "crop,flip", "crop,flip,color", none')
        self.study()
        self.assertEqual(sorted(path.name for path in (self.output / "pretrain").iterdir()),
                         ["augment-crop,flip", "augment-crop,flip,color", "augment-none"])
        self.study("--table")
        self.assertEqual([row["augment"] for row in self.rows()], ["crop,flip", "crop,flip,color", "none"])
        self.assertIn("pretrain: not started", self.rows()[0]["problem"])


if __name__ == "__main__":
    if not FASHION_MNIST.exists():
        print(f"skipped: {FASHION_MNIST} is missing (Debian package dataset-fashion-mnist)")
        sys.exit(77)
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]], verbosity=2)
