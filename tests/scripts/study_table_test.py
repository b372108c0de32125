"""scripts/study_table.py on made-up run directories: numbers, reasons for missing ones, the paper's table.

usage: study_table_test.py SIMCLR [unittest arguments]
"""

import csv
import json
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

SIMCLR = sys.argv[1]
SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "study_table.py"


class StudyTableTest(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.study = Path(directory.name, "study")
        self.output = Path(directory.name, "out", "table")

    def cell(self, batch, epochs, scaling, state=None, results=(), **config):
        run = self.study / f"batch-{batch}_epochs-{epochs}_scaling-{scaling}"
        (run / "eval").mkdir(parents=True)
        options = {"batch-size": batch, "epochs": epochs, "lr-scaling": scaling, "encoder": "resnet18", "width": 0.25,
                   "image-size": 32, "seed": 1, "threads": batch, **{k.replace("_", "-"): v for k, v in config.items()}}
        (run / "config.cfg").write_text("[pretrain]\n" + "".join(f"{k} = {v}\n" for k, v in options.items()))
        state = {"status": "finished", "step": 100, "reason": "all epochs done", **(state or {})}
        (run / "state.json").write_text(json.dumps(state))
        for i, (protocol, step, top1) in enumerate(results):
            (run / "eval" / f"r{i}.json").write_text(json.dumps(
                {"protocol": protocol, "step": step, "top1": top1, "top5": 0.9, "samples": 10000,
                 "test_data": "cifar10-test"}))
        return run

    def run_script(self, *arguments, expect=0, simclr=SIMCLR):
        done = subprocess.run([sys.executable, SCRIPT, self.study, "--output", self.output, "--simclr", simclr,
                               *arguments], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, expect, done.stderr)
        return done.stdout + done.stderr

    def blocks(self):
        """Returns the texts of our table and of the paper's."""
        ours, paper = (self.output / "table.md").read_text().split("## The SimCLR paper")
        return ours, paper

    def rows(self, source):
        with open(self.output / "table.csv", newline="", encoding="utf-8") as file:
            return [row for row in csv.DictReader(file) if row["source"] == source]

    def test_table_has_the_papers_form(self):
        self.cell(64, 10, "linear", results=[("linear-cached", 0, 0.3), ("linear-cached", 100, 0.51234)])
        self.cell(64, 10, "sqrt", results=[("linear-cached", 100, 0.526), ("knn", 100, 0.99)])
        self.cell(256, 10, "linear", results=[("linear-cached", 100, 0.55)])
        self.cell(64, 100, "linear", results=[("linear-cached", 100, 0.6)])
        self.assertIn("4 cells, 0 without a number", self.run_script())
        ours, paper = self.blocks()
        self.assertEqual([line for line in ours.splitlines() if line.startswith("|")],
                         ["| Batch size \\ Epochs | 10 | 100 |", "| --- | --- | --- |",
                          "| 64 | 51.2 / 52.6 | 60.0 / – |", "| 256 | 55.0 / – | – / – |"])
        self.assertIn("`linear-cached` on cifar10-test (10000 images); resnet18, width 0.25, images of 32 pixels", ours)
        self.assertNotIn("differ", ours)
        self.assertIn("| 256 | 57.5 / 62.8 | 61.9 / 64.3 | 64.7 / 65.7 | 66.6 / 66.5 |", paper)
        self.assertIn("| 8192 | 64.8 / 64.8 | 66.6 / 67.0 | 67.8 / 68.3 | 69.0 / 69.1 |", paper)
        self.assertEqual([(r["batch_size"], r["epochs"], r["lr_scaling"], r["top1_percent"]) for r in self.rows("study")],
                         [("64", "10", "linear", "51.2340"), ("64", "10", "sqrt", "52.6000"),
                          ("64", "100", "linear", "60.0000"), ("256", "10", "linear", "55.0000")])
        self.assertEqual(len(self.rows("paper")), 48)
        self.assertEqual((self.output / "plot.png").read_bytes()[:8], b"\x89PNG\r\n\x1a\n")

    def test_a_cell_without_a_number_has_a_reason(self):
        done = [("linear-cached", 100, 0.5)]
        self.cell(1, 5, "linear", results=done)
        self.cell(2, 5, "linear", {"status": "failed", "step": 7, "reason": "the loss is not finite"}, done)
        self.cell(4, 5, "linear", {"status": "stopped-early", "reason": "SIGUSR1"}, done)
        self.cell(8, 5, "linear", results=[("knn", 100, 0.5)])
        self.cell(16, 5, "linear", results=[("linear-cached", 50, 0.5)])
        (self.cell(32, 5, "linear", results=done) / "config.cfg").unlink()
        (self.cell(64, 5, "linear", results=done) / "state.json").write_text('{"sta')
        (self.cell(128, 5, "linear") / "eval" / "r0.json").write_text("[1]")
        self.cell(256, 5, "linear", {"cause": "max-steps", "reason": "--max-steps reached"}, done)
        run = self.cell(512, 5, "linear", results=done)
        run.rename(run.with_name("batch-1024_epochs-5_scaling-linear"))
        self.assertIn("10 cells, 9 without a number", self.run_script())
        ours, _ = self.blocks()
        self.assertIn("| 1 | 50.0 |", ours)
        self.assertIn("| 2 | (1) |", ours)
        self.assertIn("(1) batch 2, 5 epochs, linear: failed at step 7: the loss is not finite", ours)
        problems = {int(row["batch_size"]): row["problem"] for row in self.rows("study")}
        self.assertEqual(problems, {
            1: "", 2: "failed at step 7: the loss is not finite", 4: "stopped-early at step 100: SIGUSR1",
            8: "no linear-cached result", 16: "evaluated at step 50, but trained to step 100", 32: "not started",
            64: "no state.json", 128: "no linear-cached result", 256: "finished at step 100: --max-steps reached",
            1024: "another run: batch-size = 512"})
        for batch in problems:
            self.assertEqual(f"| {batch} | 50.0 |" in ours, batch == 1)

    def test_takes_the_last_of_several_evaluations(self):
        """Another data set has been evaluated first, under the short name."""
        for batch, newer in ((2, "r1.json"), (4, "r0.json")):
            run = self.cell(batch, 5, "linear", results=[("linear-cached", 100, 0.25), ("linear-cached", 100, 0.75),
                                                         ("linear-cached", 50, 0.5)])
            for name, data in (("r0.json", "stl10-test"), ("r1.json", "cifar10-test")):
                file = run / "eval" / name
                file.write_text(json.dumps({**json.loads(file.read_text()), "test_data": data}))
                os.utime(file, (2000, 2000) if name == newer else (1000, 1000))
        self.run_script()
        ours, _ = self.blocks()
        self.assertIn("| 2 | 75.0 |\n| 4 | 25.0 |", ours)
        self.assertIn("**The cells differ in test data: cifar10-test, stl10-test.**", ours)

    def test_makes_a_table_of_unfinished_cells_only(self):
        self.cell(2, 5, "none", {"status": "running", "step": 3, "reason": ""})
        self.run_script()
        self.assertIn("running at step 3", self.blocks()[0])

    def test_shows_one_protocol_and_names_options_in_which_cells_differ(self):
        for batch, top1, seed in ((2, 0.25, 1), (4, 0.75, 2)):
            self.cell(batch, 5, "linear", results=[("knn", 100, top1), ("linear-cached", 100, 0.5)], seed=seed)
        self.run_script("--protocol", "knn")
        ours, _ = self.blocks()
        self.assertIn("| 2 | 25.0 |\n| 4 | 75.0 |", ours)
        self.assertIn("**The cells differ in seed: 1, 2.**", ours)

    def test_ignores_differences_that_a_resumed_run_may_have(self):
        done = [("linear-cached", 100, 0.5)]
        # The second cell has the default momentum.
        self.cell(2, 5, "linear", results=done, threads=1, keep=3, hash_every=9, momentum=0.9, temperature=0.1)
        self.cell(4, 5, "linear", results=done, threads=8, keep=5, temperature=0.2)
        self.run_script()
        ours, _ = self.blocks()
        self.assertEqual([line for line in ours.splitlines() if "differ" in line],
                         ["**The cells differ in temperature: 0.1, 0.2.**"])

    def test_refusals(self):
        self.assertIn("not a directory", self.run_script(expect=2))
        self.study.mkdir()
        (self.study / "batch-2_epochs-x_scaling-linear").mkdir()
        self.assertIn("has no folders batch-B_epochs-E_scaling-S", self.run_script(expect=2))
        self.cell(2, 5, "linear")
        for program, reason in (("no-such-program", "No such file"), ("/bin/false", "exit status 1")):
            answer = self.run_script(expect=2, simclr=program)
            self.assertIn(f"{program} pretrain --list-options", answer)
            self.assertIn(reason, answer)
        self.assertFalse(self.output.exists())


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]])
