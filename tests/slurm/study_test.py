"""jobs/study.sh: an array of training, its evaluations, training with labels, the tables, and a study that goes on.

usage: study_test.py SIMCLR [unittest arguments]
"""
import csv
import json
import re
import shutil
import signal
import subprocess

from slurm_case import BATCH, JOBS, OPTIONS, SAMPLES, SIMCLR, STAND_IN, SlurmTest, main

AXES = ("batch-size", "epochs")


class StudyTest(SlurmTest):
    def setUp(self):
        super().setUp()
        self.file, self.output = self.directory / "some.cfg", self.directory / "study"

    def write(self, axes, epochs=1, sections="[knn]\nneighbors = 10\n[quality]\n"):
        options = {**{name: value for name, value in OPTIONS.items() if name not in AXES}, "epochs": epochs}
        options.pop("device")
        self.file.write_text(
            f"data = {self.data}\neval-data = {self.test_data}\ndevice = cpu\n[study]\nname = a study\n[axes]\n{axes}\n[pretrain]\n" +
            "".join(f"{name} = {value}\n" for name, value in options.items()) + sections)

    def submit_study(self, *arguments, **environment):
        return self.cluster.run(JOBS / "study.sh", self.file, self.output, "--nodes=1", "--ntasks-per-node=2", "--time=5",
                                *arguments, environment=environment, cwd=self.directory)

    def numbers(self, done):
        self.assertEqual(done.returncode, 0, done.stderr)
        self.saw(done.stdout.strip())
        return re.search(r"jobs ([\d ]+);", done.stdout).group(1).split()

    def wait_for(self, done):
        for number in self.numbers(done):
            self.cluster.wait_for_array(number, 120)

    def logs(self):
        return "".join(f"\n{log.name}:\n{log.read_text()}" for log in sorted(self.output.glob("logs/simclr-*.out")))

    def rows(self):
        self.assertTrue((self.output / "table.csv").exists(), self.logs())
        with open(self.output / "table.csv", newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    def run_alone(self, name):
        """The same study without Slurm, on as many ranks."""
        output = self.directory / name
        done = subprocess.run([SIMCLR, "study", self.file, f"--output={output}", "--run", "--ranks=2"], capture_output=True,
                              text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return (output / "table.csv").read_bytes()

    def test_a_study_runs_what_is_missing_and_makes_its_tables(self):
        self.write(f"batch-size = {BATCH}")
        self.wait_for(self.submit_study())
        first = self.output / "pretrain" / f"batch-size-{BATCH}"
        self.assertEqual(self.rows()[0]["knn.top1_count"], "1", self.logs())
        before = {file: file.stat().st_mtime_ns for file in first.rglob("*.h5")}

        # A second call adds cells, of which one will fail; a third is refused meanwhile.
        self.write(f"batch-size & learning-rate = {BATCH} & 0.1, {2 * BATCH} & 0.2")
        refused = self.submit_study()
        self.assertEqual(refused.returncode, 2)
        self.assertIn("a study may only gain cells", refused.stderr)
        self.assertIn("nothing was submitted", refused.stderr)
        self.write(f"batch-size = {BATCH}, {2 * BATCH}")
        done, again = self.submit_study(), self.submit_study()
        self.assertEqual(again.returncode, 2)
        self.assertIn("jobs of this study are still in the queue", again.stderr)
        self.wait_for(done)
        self.assertTrue(done.stdout.startswith("1 to train, 0 to train with labels after that, 2 to evaluate"), done.stdout)
        rows = self.rows()
        self.assertEqual([(row["batch-size"], row["knn.top1_count"], row["quality.rankme_h_count"], row["problem"]) for row in rows],
                         [(str(BATCH), "1", "1", ""), (str(2 * BATCH), "1", "1", "")], self.logs())
        self.assertEqual({file: file.stat().st_mtime_ns for file in first.rglob("*.h5")}, before)
        self.assertEqual((self.output / "table.csv").read_bytes(), self.run_alone("alone"))

        shutil.rmtree(first / "eval")
        done = self.submit_study()
        self.assertTrue(done.stdout.startswith("0 to train, 0 to train with labels after that, 2 to evaluate"), done.stdout)
        self.wait_for(done)
        self.assertEqual(self.rows(), rows)

    def test_a_killed_cell_goes_on_to_the_same_table(self):
        self.write(f"batch-size = {BATCH}, {2 * BATCH}\nfinetune.label-fraction = 0.5", epochs=20,
                   sections="[knn]\nneighbors = 10\n[finetune]\nbatch-size = 16\nepochs = 1\nthreads = 1\nloader-threads = 1\n")
        done = self.submit_study()
        numbers = self.numbers(done)
        self.run_dir = self.output / "pretrain" / f"batch-size-{BATCH}"
        self.log = self.output / "logs" / f"simclr-study-train-{numbers[0]}_0.out"
        self.freeze_at_step(10)
        self.signal_ranks(signal.SIGKILL)
        for number in numbers:
            self.cluster.wait_for_array(number, 120)
        self.assertGreaterEqual(len(self.starts()), 2, self.logs())
        self.assertEqual([row["problem"] for row in self.rows()], ["", ""], self.logs())
        self.assertEqual((self.output / "table.csv").read_bytes(), self.run_alone("alone"))

    def test_a_failing_cell_says_why_and_the_others_go_on(self):
        self.write(f"batch-size = {BATCH}\nlearning-rate = 1e30, 0.1\noptimizer = sgd")
        self.wait_for(self.submit_study())
        failed, good = self.rows()
        self.assertIn("pretrain: failed at step", failed["problem"], self.logs())
        self.assertEqual((failed["knn.top1_count"], good["knn.top1_count"], good["problem"]), ("0", "1", ""), self.logs())

    def test_each_cell_is_requeued_on_its_own(self):
        self.write(f"batch-size = {BATCH}, {2 * BATCH}", sections="")
        listed = subprocess.run([SIMCLR, "study", self.file, f"--output={self.output}", "--missing"], capture_output=True, text=True, check=True)
        works = self.directory / "works"
        works.write_text("".join("\t".join(line.split("\t")[1:5]) + "\n" for line in listed.stdout.splitlines()))
        number = self.cluster.submit("--nodes=1", "--ntasks-per-node=2", "--time=5", "--array=0-1", JOBS / "study.sbatch", "train", works,
                                     environment={"SIMCLR": str(STAND_IN), "END": "second-start"}, cwd=self.directory)
        self.cluster.wait_for_array(number, 120)
        for batch in (BATCH, 2 * BATCH):
            cell = self.output / "pretrain" / f"batch-size-{batch}"
            self.assertEqual(self.state(cell)["status"], "finished")
            self.assertEqual(self.starts(cell), [0, 1])

    def test_submits_nothing_if_a_cell_would_be_refused(self):
        self.write(f"batch-size = {BATCH}, {2 * SAMPLES}")
        done = self.submit_study()
        self.assertEqual(done.returncode, 2, done.stdout)
        self.assertIn(f"option --batch-size: {2 * SAMPLES} is more than the {SAMPLES} images", done.stderr)
        self.assertIn("nothing was submitted", done.stderr)
        self.assertFalse(self.output.exists())


if __name__ == "__main__":
    main()
