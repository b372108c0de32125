"""`simclr pretrain --dry-run` makes pretrain's checks, says in one line what pretrain would do, and writes nothing.

usage: dry_run_test.py SIMCLR MPIEXEC [unittest arguments]
"""
import os
import signal
import subprocess

import h5py
import numpy as np
from training_runs import BATCH, OPTIONS, SAMPLES, SIMCLR, TrainingTest, main

STEPS = OPTIONS["epochs"] * (SAMPLES // BATCH)
ELSEWHERE = "; device, memory and time limit are for the job to check"


class DryRunTest(TrainingTest):
    def files(self):
        """Returns every file below the test's folder with the time when it was last written."""
        return {p: (p.stat().st_mtime_ns, None if p.is_dir() else p.stat().st_size) for p in self.top.rglob("*")}

    def dry_run(self, ranks=1, expect=0, where=True, **changed):
        """Returns the line that a dry run prints, or the refusal."""
        before = self.files()
        done = self.pretrain(ranks, expect=expect, **{"dry-run": where}, **changed)
        self.assertEqual(self.files(), before)
        said, silent = (done.stderr, done.stdout) if expect else (done.stdout, done.stderr)
        self.assertEqual(silent, "")
        lines = [line for line in said.splitlines() if line.startswith("simclr:") or not expect]
        self.assertEqual(len(lines), 1, said)
        return lines[0]

    def test_a_new_run(self):
        for ranks, words in ((1, "1 rank"), (2, "2 ranks")):
            self.assertEqual(self.dry_run(ranks), f"dry run: would start a new run in {self.run_dir}: steps 0 to "
                                                  f"{STEPS}, {SAMPLES // BATCH} an epoch, on {words}")
        self.assertFalse(self.run_dir.exists())
        self.assertIn("steps 0 to 5, ", self.dry_run(max_steps=5))
        self.assertIn("steps 0 to 123, ", self.dry_run(schedule_steps=123))

    def test_a_run_to_resume(self):
        self.pretrain(max_steps=4)
        for ranks, words in ((1, "1 rank"), (2, "2 ranks")):
            self.assertEqual(self.dry_run(ranks), f"dry run: would resume {self.run_dir} from step-0000000004.h5: steps "
                                                  f"4 to {STEPS}, {SAMPLES // BATCH} an epoch, on {words}")
        for steps in (4, 0):
            self.assertEqual(self.dry_run(max_steps=steps), f"dry run: {self.run_dir} is at step 4 of {STEPS}: nothing is left "
                                                            "to do; a --max-steps above 4 goes on")
        self.assertEqual(self.dry_run(2, max_steps=0), self.dry_run(max_steps=0))
        self.assertIn("--temperature: this run was started with '0.5'",
                      self.dry_run(expect=2, temperature=0.2))
        self.assertIn("--seed: this run was started with '1'", self.dry_run(2, expect=2, seed=7))
        self.assertIn("holds a run", self.dry_run(expect=2, resume="none"))
        # Options that may change on resume are accepted; and the dry run does not affect the run.
        self.assertIn("would resume", self.dry_run(threads=2, keep=9, log_every=3))
        self.pretrain(max_steps=5)
        self.assertNotIn("dry-run", (self.run_dir / "config.cfg").read_text())

    def test_what_pretrain_refuses_is_refused(self):
        for culprit, changed in (("option --temperature: '0' is not accepted", {"temperature": 0}),
                                 ("nowhere: No such file or directory", {"data": self.top / "nowhere"}),
                                 (f"more than the {SAMPLES} images", {"batch_size": SAMPLES + 1}),
                                 ("--mean", {"mean": "1,1,1"}),
                                 ("--bn-group", {"bn_group": 7}),
                                 ("nothing.h5", {"resume": self.top / "nothing.h5"}),
                                 ("a file of this name is in the way", {"run_dir": self.data / "data-00000-of-00002.h5"}),
                                 ("run-dir", {"run_dir": ""})):
            for where in (True, "elsewhere"):
                with self.subTest(culprit=culprit, where=where):
                    self.assertIn(culprit, self.dry_run(expect=2, where=where, **changed))
        self.assertIn("3 ranks", self.dry_run(3, expect=2))
        self.assertIn("here|elsewhere", self.dry_run(expect=2, where="everywhere"))

    def test_a_directory_in_which_nothing_can_be_written(self):
        closed = self.run_dir.parent / "closed"
        closed.mkdir(mode=0o555)
        self.top.chmod(0o755)
        self.run_dir.parent.chmod(0o755)
        nobody = {"user": 65534, "extra_groups": []} if os.getuid() == 0 else {}
        try:
            done = subprocess.run(self.command(1, closed / "run", **{"dry-run": "elsewhere"}), capture_output=True,
                                  text=True, check=False, **nobody)
        except PermissionError:
            self.skipTest("root can write everywhere, and no other user can start the program")
        self.assertEqual(done.returncode, 2, done.stdout + done.stderr)
        self.assertIn(f"{closed}: Permission denied", done.stderr)

    def test_the_machine_is_checked_here_but_not_elsewhere(self):
        for culprit, changed in (("--device", {"device": "cuda"}), ("fp16 needs a GPU", {"precision": "fp16"}),
                                 ("SLURM_JOB_END_TIME", {"stop_before_minutes": 5})):
            with self.subTest(culprit=culprit):
                self.assertIn(culprit, self.dry_run(expect=2, where="here", **changed))
                self.assertTrue(self.dry_run(where="elsewhere", **changed).endswith(ELSEWHERE))

    def test_elsewhere_needs_no_mpi(self):
        broken = {"OMPI_MCA_pml": "no-such-transport"}
        self.assertIn("would start", self.pretrain(environment=broken, **{"dry-run": "elsewhere"}).stdout)
        with self.assertRaises(AssertionError):
            self.pretrain(environment=broken, **{"dry-run": "here"})

    def test_evaluations_are_checked_before_there_is_a_checkpoint(self):
        def evaluate(command, *options, expect=0):
            sets = [f"--checkpoint={self.run_dir}", f"--train-data={self.data}", f"--test-data={self.data}"]
            done = subprocess.run([SIMCLR, command, *sets, "--dry-run=elsewhere", *options], capture_output=True,
                                  text=True, check=False, env={**os.environ, "OMPI_MCA_pml": "no-such-transport"})
            self.assertEqual(done.returncode, expect, done.stdout + done.stderr)
            return done.stderr if expect else done.stdout

        for command, options in (("knn", ["--neighbors=5"]), ("linear-eval", [])):
            self.assertEqual(evaluate(command, *options), f"dry run: would evaluate {self.run_dir} by {command}: {SAMPLES} training "
                                                f"and {SAMPLES} test images of 10 classes; checkpoint, device and memory "
                                                "are for the job to check\n")
        self.assertIn("--neighbors", evaluate("knn", "--neighbors=0", expect=2))
        self.assertIn(f"allowed: at most {SAMPLES}, the number of training samples",
                      evaluate("knn", f"--neighbors={SAMPLES + 1}", expect=2))
        self.assertIn(f"allowed: at most {SAMPLES}, the number of training samples",
                      evaluate("linear-eval", "--protocol=augmented", f"--batch-size={SAMPLES + 1}", expect=2))
        self.assertIn("option --output: cannot write /dev/null", evaluate("knn", "--neighbors=5", "--output=/dev/null", expect=2))
        self.assertIn("--protocol augmented only", evaluate("linear-eval", "--epochs=1", expect=2))
        unlabeled = self.run_dir.parent / "unlabeled"
        unlabeled.mkdir()
        with h5py.File(unlabeled / "a.h5", "w") as f:
            f["images"] = np.zeros((4, 8, 8, 3), np.uint8)
        for data in (unlabeled, self.top / "missing"):
            done = subprocess.run([SIMCLR, "knn", "--checkpoint=run", f"--train-data={self.data}", f"--test-data={data}",
                                   "--dry-run=elsewhere"], capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 2)
            self.assertIn(str(data), done.stderr)

    def test_a_run_that_is_in_use(self):
        process = self.start(1, epochs=1000, log_every=1000)
        self.wait_for_step(process, 1)
        done = self.pretrain(expect=2, epochs=1000, **{"dry-run": True})
        self.assertIn(f"process {process.pid}", done.stderr)
        # It may be free by the time the job begins.
        done = self.pretrain(epochs=1000, **{"dry-run": "elsewhere"})
        self.assertRegex(done.stdout, "^dry run: would (start|resume)")
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
        self.assertEqual(process.returncode, 75)
        self.assertIn("would resume", self.dry_run(epochs=1000))

    def test_it_is_not_accepted_in_a_file(self):
        config = self.run_dir.parent / "c.cfg"
        config.write_text("[pretrain]\ndry-run = here\n")
        self.assertIn("unknown option 'dry-run'", self.dry_run(expect=2, config=config))
        done = subprocess.run([SIMCLR, "preview", "--dry-run"], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 2)
        self.assertIn("unknown option --dry-run", done.stderr)


if __name__ == "__main__":
    main()
