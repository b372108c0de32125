"""A run directory has one writer: a start that has lost its lock ends without touching a file.

usage: ownership_test.py SIMCLR MPIEXEC [unittest arguments]
"""
import json
import os
import signal
import subprocess

from training_runs import TrainingTest, main, rank_pids

NAMESPACE = ["unshare", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", 'hostname node && exec "$@"', "sh"]


class OwnershipTest(TrainingTest):
    def files(self):
        """Every file of the run but its lock, with its content."""
        return {p: p.read_bytes() for p in self.run_dir.rglob("*") if p.is_file() and p.name != "lock"}

    def signal_ranks(self, process, ranks, number):
        for pid in [process.pid] if ranks == 1 else rank_pids(process).values():
            os.kill(pid, number)

    def assert_ends_untouched(self, process, before):
        output, errors = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 2, output + errors)
        lines = [line for line in errors.splitlines() if line.startswith("simclr: error:")]
        self.assertEqual(len(lines), 1, errors)
        self.assertIn("no longer owns the run directory", lines[0])
        self.assertEqual(self.files(), before)
        return lines[0]

    def delete(self, lock):
        lock.unlink()

    def give_to_another_start(self, lock):
        lock.write_text(json.dumps({**json.loads(lock.read_text()), "job": "77", "job_restart": 1}))

    def link_to_a_copy(self, lock):
        copy = lock.with_name("copy")
        lock.rename(copy)
        lock.symlink_to(copy)

    def test_before_metrics(self):
        for ranks, change, words in ((1, self.delete, "has been deleted"), (2, self.delete, "has been deleted"),
                                     (2, self.give_to_another_start, "job 77"), (1, self.link_to_a_copy, "symbolic link")):
            with self.subTest(ranks=ranks, change=change.__name__):
                self.setUp()
                process = self.start(ranks, epochs=100000, checkpoint_steps=1)
                self.wait_for_step(process, 2)
                self.signal_ranks(process, ranks, signal.SIGSTOP)
                change(self.run_dir / "lock")
                before = self.files()
                self.signal_ranks(process, ranks, signal.SIGCONT)
                self.assertIn(words, self.assert_ends_untouched(process, before))
                self.assert_state(status="running")

    def test_before_a_checkpoint(self):
        for ranks in (1, 2):
            with self.subTest(ranks=ranks):
                self.setUp()
                process = self.start(ranks, epochs=100000, log_every=10**6)
                self.wait_for_step(process, 1)
                self.delete(self.run_dir / "lock")
                before = self.files()
                process.send_signal(signal.SIGUSR1)
                self.assert_ends_untouched(process, before)

    def test_a_start_that_slurm_has_given_up_changes_nothing(self):
        """The node of the first start is cut off from Slurm for a while, but not from the file system."""
        job = {"SLURM_JOB_ID": "5", "SLURM_CLUSTER_NAME": "north"}
        first = self.start(1, environment={**job, "SLURM_RESTART_COUNT": "0"}, epochs=100000, checkpoint_steps=2)
        self.wait_for_step(first, 3)
        first.send_signal(signal.SIGSTOP)
        done = self.pretrain(2, environment={**job, "SLURM_RESTART_COUNT": "1"}, epochs=100000, max_steps=12)
        self.assertIn("an earlier start of this job", done.stderr)
        before = self.files()
        first.send_signal(signal.SIGCONT)
        self.assert_ends_untouched(first, before)
        self.assertEqual([row["step"] for row in self.rows()], list(range(1, 13)))
        self.assert_state(status="finished", step=12, restarts=1)

    def test_containers_of_the_same_name_do_not_take_each_other_for_gone(self):
        trial = subprocess.run([*NAMESPACE, "true"], capture_output=True, text=True, check=False)
        if trial.returncode != 0:
            self.skipTest(f"no namespaces can be made here: {trial.stderr.strip()}")
        command = [*NAMESPACE, *self.command(1, epochs=100000)]
        first = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(first.communicate)
        self.addCleanup(first.kill)
        self.wait_for_step(first, 1)
        for second in (command, self.command(1, epochs=100000)):
            done = subprocess.run(second, capture_output=True, text=True, timeout=60, check=False)
            self.assertEqual(done.returncode, 2, done.stdout + done.stderr)
            self.assertRegex(done.stderr, r"is in use by process \d+ on node \(last heartbeat \d+ s ago")
        first.kill()
        first.wait(timeout=10)
        # Nobody here can see that it is gone; without heartbeats the lock is stale after minutes.
        self.assertIn("is in use", self.pretrain(expect=2, epochs=100000).stderr)
        lock = self.run_dir / "lock"
        past = lock.stat().st_mtime - 400
        os.utime(lock, (past, past))
        done = self.pretrain(epochs=100000, max_steps=1 + self.rows()[-1]["step"])
        self.assertRegex(done.stderr, r"taking over the lock of .*, without a heartbeat for 4\d\d s")


if __name__ == "__main__":
    main()
