"""jobs/batch_size_study.sh: an array of cells, their evaluations, the table, and the continuation of a study.

usage: study_test.py SIMCLR [unittest arguments]
"""
import csv
import json
import re
import shutil
import sys

from slurm_case import BATCH, JOBS, OPTIONS, SAMPLES, STAND_IN, SlurmTest, as_arguments, main

# Small enough for two CPUs; works with the study's base learning rates.
GRID = {"BATCH_SIZES": f"{BATCH} {2 * BATCH}", "EPOCHS": "1", "SCALINGS": "linear sqrt",
        "KNN_OPTIONS": "--neighbors 10", "SIMCLR_PYTHON": sys.executable}
CELL_OPTIONS = ("batch-size", "epochs", "lr-scaling", "learning-rate")


class StudyTest(SlurmTest):
    def study(self, **environment):
        options = {"data": self.data, "eval-data": self.test_data,
                   **{name: value for name, value in OPTIONS.items() if name not in CELL_OPTIONS}}
        return self.cluster.run(
            JOBS / "batch_size_study.sh", self.directory / "study", "--nodes=1", "--ntasks-per-node=2", "--time=5",
            "--", *as_arguments(options), environment={**GRID, **environment}, cwd=self.directory)

    def wait_for(self, done):
        """Waits for the jobs that a call has submitted; returns the number of cells that were already finished."""
        self.assertEqual(done.returncode, 0, done.stderr)
        self.saw(done.stdout.strip())
        self.log = self.directory / "none"
        for number in re.search(r"jobs ([\d ]+);", done.stdout).group(1).split():
            self.cluster.wait_for_array(number, 120)
        return int(done.stdout.split()[0])

    def cell(self, batch, scaling):
        return self.directory / "study" / f"batch-{batch}_epochs-1_scaling-{scaling}"

    def assert_finished(self, cell):
        logs = "".join(f"\n{log}:\n{log.read_text()}" for log in sorted((cell.parent / "logs").glob("*.out")))
        self.assertTrue((cell / "state.json").exists(), logs)
        self.assertEqual(self.state(cell)["status"], "finished", logs)
        names = sorted(re.sub(r"-step-\d+", "", file.stem) for file in (cell / "eval").glob("*.json"))
        self.assertEqual(names, ["knn", "linear-cached"], logs)

    def test_a_study_trains_missing_cells_and_makes_its_table(self):
        self.assertEqual(self.wait_for(self.study(SCALINGS="linear", BATCH_SIZES=str(BATCH))), 0)
        first = self.cell(BATCH, "linear")
        self.assert_finished(first)
        before = {file: file.stat().st_mtime_ns for file in first.rglob("*")}

        # A second call adds three cells and makes the table of all four; a third is refused meanwhile.
        done = self.study()
        again = self.study()
        self.assertEqual(again.returncode, 2)
        self.assertIn("jobs of this study are still in the queue", again.stderr)
        self.assertEqual(self.wait_for(done), 1)
        cells = [self.cell(batch, scaling) for batch in (BATCH, 2 * BATCH) for scaling in ("linear", "sqrt")]
        for cell in cells:
            self.assert_finished(cell)
            config = (cell / "config.cfg").read_text()
            batch, scaling = re.search(r"batch-(\d+)_epochs-1_scaling-(\w+)", cell.name).groups()
            for line in (f"batch-size = {batch}", f"lr-scaling = {scaling}", "epochs = 1",
                         f"learning-rate = {0.3 if scaling == 'linear' else 0.075}"):
                self.assertIn(f"\n{line}\n", config)
            self.assertEqual(self.state(cell)["step"], SAMPLES // int(batch))
        self.assertEqual({file: file.stat().st_mtime_ns for file in first.rglob("*")}, before)
        self.assertEqual(self.starts(first), [0])
        table = self.directory / "study" / "table"
        with open(table / "table.csv", encoding="utf-8") as f:
            found = {f"batch-{row['batch_size']}_epochs-{row['epochs']}_scaling-{row['lr_scaling']}":
                     float(row["top1_percent"]) for row in csv.DictReader(f) if row["source"] == "study"}
        self.saw(f"top-1 of the table: {found}")
        expected = {cell.name: json.loads(next((cell / "eval").glob("linear-*.json")).read_text())["top1"]
                    for cell in cells}
        self.assertEqual(sorted(found), sorted(expected))
        for name, top1 in expected.items():
            self.assertAlmostEqual(found[name], 100 * top1, places=3)
        self.assertTrue((table / "plot.png").exists())

        shutil.rmtree(cells[1] / "eval")
        done = self.study()
        self.assertIn("3 cells finished, 0 to pretrain, 1 to evaluate only", done.stdout)
        self.wait_for(done)
        self.assert_finished(cells[1])

    def test_each_cell_is_requeued_on_its_own(self):
        self.wait_for(self.study(SIMCLR=str(STAND_IN), END="second-start"))
        for batch in (BATCH, 2 * BATCH):
            for scaling in ("linear", "sqrt"):
                cell = self.cell(batch, scaling)
                self.assertEqual(self.state(cell)["status"], "finished")
                self.assertEqual(self.starts(cell), [0, 1])

    def test_submits_nothing_if_a_cell_would_be_refused(self):
        done = self.study(BATCH_SIZES=f"{BATCH} {2 * SAMPLES}", SCALINGS="linear")
        self.assertEqual(done.returncode, 2, done.stdout)
        self.assertIn(f"option --batch-size: {2 * SAMPLES} is more than the {SAMPLES} images", done.stderr)
        self.assertIn(f"{self.cell(2 * SAMPLES, 'linear').name}: nothing was submitted", done.stderr)
        self.assertEqual((self.directory / "study" / "jobs.txt").read_text(), "")
        self.assertEqual(list((self.directory / "study" / "logs").iterdir()), [])

    def test_refuses_options_that_the_study_sets(self):
        done = self.cluster.run(JOBS / "batch_size_study.sh", self.directory / "study", "--",
                                "--eval-data", self.data, "--batch-size=4")
        self.assertEqual(done.returncode, 2)
        self.assertIn("--batch-size: the study sets it for every cell", done.stderr)


if __name__ == "__main__":
    main()
