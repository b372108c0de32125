"""Ranks that were started wrongly: alone, although there are several, or with different options.

usage: launch_test.py SIMCLR MPIEXEC [unittest arguments]
"""
import os
import subprocess

from training_runs import MPIEXEC, SIMCLR, TrainingTest, main

COMMANDS = ("pack", "preview", "pretrain", "linear-eval", "knn", "quality", "embed", "bench")
STEP = {"SLURM_JOB_ID": "3", "SLURM_STEP_ID": "0"}


class LaunchTest(TrainingTest):
    def run_program(self, command, **environment):
        return subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=60, check=False,
                              env={**os.environ, **environment})

    def errors(self, done):
        return [line for line in done.stderr.splitlines() if line.startswith("simclr: error:")]

    # ---- each rank alone ----

    def test_ranks_that_started_alone_are_refused(self):
        for environment, evidence in (({"PMI_RANK": "1", "PMI_SIZE": "4", "SLURM_STEP_NUM_TASKS": "4"}, "PMI_SIZE=4"),
                                      ({**STEP, "SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "2"}, "SLURM_STEP_NUM_TASKS=4"),
                                      ({**STEP, "SLURM_NTASKS": "8", "SLURM_PROCID": "0"}, "SLURM_NTASKS=8"),
                                      ({"MV2_COMM_WORLD_SIZE": "2"}, "MV2_COMM_WORLD_SIZE=2")):
            with self.subTest(environment=environment):
                done = self.run_program(self.command(1), **environment)
                self.assertEqual(done.returncode, 2, done.stdout + done.stderr)
                self.assertEqual(len(self.errors(done)), 1)
                self.assertIn("each rank has started alone", done.stderr)
                self.assertIn(f"({evidence})", done.stderr)
                self.assertIn("srun --mpi=pmix", done.stderr)
                self.assertFalse(self.run_dir.exists())

    def test_a_step_without_pmix_is_named_before_mpi_starts(self):
        """MPI may end the process in its own words, so the advice comes first, from one rank."""
        for variables, warned in (({"SLURM_PROCID": "0"}, True), ({"SLURM_PROCID": "1"}, False),
                                  ({"SLURM_PROCID": "0", "PMI_JOBID": "3.0"}, False),
                                  ({"SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "1"}, False)):
            with self.subTest(variables=variables):
                done = self.run_program([SIMCLR, "knn"], **{**STEP, "SLURM_STEP_NUM_TASKS": "4", **variables})
                self.assertEqual(done.returncode, 2, done.stdout + done.stderr)
                warning = "simclr: warning: srun has given its ranks no PMIx and no PMI"
                self.assertEqual(done.stderr.startswith(warning), warned, done.stderr)
                self.assertIs("use srun --mpi=pmix\n" in done.stderr, warned)

    def test_every_command_that_runs_on_ranks_refuses_it(self):
        for command in COMMANDS:
            with self.subTest(command=command):
                done = self.run_program([SIMCLR, command, "step"], PMI_SIZE="4")
                self.assertEqual(done.returncode, 2)
                self.assertIn("each rank has started alone", done.stderr)

    def test_one_process_in_a_larger_job_is_no_error(self):
        for environment in ({"SLURM_JOB_ID": "3", "SLURM_NTASKS": "8", "SLURM_PROCID": "0"},  # in a batch script
                            {**STEP, "SLURM_STEP_ID": "batch", "SLURM_NTASKS": "8", "SLURM_PROCID": "0"},
                            {**STEP, "SLURM_STEP_ID": "4294967290", "SLURM_STEP_NUM_TASKS": "8"},  # interactive
                            {**STEP, "SLURM_STEP_NUM_TASKS": "1", "SLURM_NTASKS": "1", "SLURM_PROCID": "0"}):
            with self.subTest(environment=environment):
                self.assertIn("option --checkpoint", self.run_program([SIMCLR, "knn"], **environment).stderr)
        # mpirun's daemons are a step of Slurm, and its ranks see the step's variables.
        done = self.run_program([MPIEXEC, "-n", 1, SIMCLR, "knn"], **STEP, SLURM_STEP_NUM_TASKS="4", SLURM_PROCID="0")
        self.assertIn("option --checkpoint", done.stderr)
        for command in (["knn", "--help"], ["pretrain", "--list-options"]):
            self.assertEqual(self.run_program([SIMCLR, *command], PMI_SIZE="4").returncode, 0)

    # ---- different options ----

    def start_both(self, first, second, ranks=(1, 1)):
        return self.run_program([MPIEXEC, "-n", ranks[0], *first, ":", "-n", ranks[1], *second])

    def test_different_options_are_named(self):
        for changed, words in (({"batch_size": 32}, "option --batch-size ('16' on rank 0, '32' on rank 1)"),
                               ({"seed": 2}, "option --seed ('1' on rank 0, '2' on rank 1)"),
                               ({"learning_rate": 0.2}, "option --learning-rate ('0.1' on rank 0, '0.2' on rank 1)"),
                               ({"max_steps": 5}, "option --max-steps (unset on rank 0, '5' on rank 1)"),
                               ({"dry_run": "here"}, "option --dry-run (unset on rank 0, 'given' on rank 1)"),
                               ({"run_dir": self.top / "other"}, f"'{self.top / 'other'}' on rank 1")):
            with self.subTest(changed=changed):
                done = self.start_both(self.command(1), self.command(1, **changed))
                self.assertEqual(done.returncode, 2, done.stdout + done.stderr)
                self.assertEqual(len(self.errors(done)), 1, done.stderr)
                self.assertIn(words, done.stderr)
                self.assertFalse(self.run_dir.exists())

    def test_all_differences_and_ranks_are_named(self):
        done = self.start_both(self.command(1), self.command(1, seed=2, epochs=5), ranks=(2, 1))
        self.assertEqual(done.returncode, 2, done.stdout + done.stderr)
        self.assertIn("option --seed ('1' on ranks 0 to 1, '2' on rank 2)", done.stderr)
        self.assertIn("option --epochs ('4' on ranks 0 to 1, '5' on rank 2)", done.stderr)

    def test_different_commands(self):
        done = self.start_both(self.command(1), [SIMCLR, "knn", "--checkpoint", self.run_dir])
        self.assertEqual(done.returncode, 2, done.stdout + done.stderr)
        self.assertIn("the command ('pretrain' on rank 0, 'knn' on rank 1)", done.stderr)

    def test_a_rank_that_only_answers_does_not_keep_the_others_waiting(self):
        if "Open MPI" not in self.run_program([SIMCLR, "--version", "--verbose"]).stdout:
            self.skipTest("only Open MPI tells ranks that others have another command line")
        for answer in ("--help", "-h", "--list-options", "--dry-run=elsewhere"):
            done = self.start_both(self.command(1), [*self.command(1), answer])
            self.assertEqual(done.returncode, 2, done.stdout + done.stderr)
            self.assertEqual(len(self.errors(done)), 1, done.stderr)
            self.assertIn(f"the command ('pretrain' on rank 0, 'pretrain {answer}' on rank 1)", done.stderr)
        for alone in (["--help"], ["--version"], ["inspect", self.data], ["report", "nothing"]):
            done = self.start_both([SIMCLR, *alone], self.command(1))
            self.assertEqual(done.returncode, 2, done.stdout + done.stderr)
            self.assertIn(f"the command ('{alone[0]}' on rank 0, 'pretrain' on rank 1)", done.stderr)
        self.assertFalse(self.run_dir.exists())

    def test_ranks_that_all_only_answer(self):
        for answer in (["--version"], ["pretrain", "--help"], ["inspect", self.data],
                       [*self.command(1)[1:], "--dry-run=elsewhere"]):
            done = self.run_program([MPIEXEC, "-n", 2, SIMCLR, *answer])
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            # Pieces of the two ranks' output may alternate.
            expected = sorted(2 * self.run_program([SIMCLR, *answer]).stdout)
            self.assertEqual(sorted(done.stdout), expected)
            done = self.start_both([SIMCLR, *answer], [SIMCLR, *answer])
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            self.assertEqual(sorted(done.stdout), expected)

    def test_ranks_may_answer_before_they_run(self):
        done = self.run_program([MPIEXEC, "-n", 2, "sh", "-c", '"$1" --version && "$@"', "sh", *self.command(1, max_steps=1)])
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assert_state(status="finished", step=1)

    def test_options_of_evaluations_and_pack(self):
        for command, option, required in (("knn", "neighbors", "checkpoint"), ("linear-eval", "epochs", "checkpoint"),
                                          ("pack", "shards", "output")):
            with self.subTest(command=command):
                done = self.start_both(*([SIMCLR, command, f"--{option}", value, f"--{required}", "x", "--input", "x"]
                                         [:None if command == "pack" else -2] for value in (3, 4)))
                self.assertEqual(done.returncode, 2, done.stdout + done.stderr)
                self.assertIn(f"option --{option} ('3' on rank 0, '4' on rank 1)", done.stderr)

    def test_options_of_benchmarks(self):
        def bench(name, *options):
            return [SIMCLR, "bench", name, *options]

        done = self.start_both(bench("loss", "--views=4", "--repeats=1"), bench("loss", "--views=4", "--repeats=2"))
        self.assertEqual(done.returncode, 2, done.stdout + done.stderr)
        self.assertIn("option --repeats ('1' on rank 0, '2' on rank 1)", done.stderr)
        done = self.start_both(bench("loss"), bench("op"))
        self.assertEqual(done.returncode, 2, done.stdout + done.stderr)
        self.assertIn("the benchmark ('loss' on rank 0, 'op' on rank 1)", done.stderr)
        # The same values, written differently; the number of threads may differ.
        done = self.start_both(bench("loss", "--views=4", "--repeats=1", "--threads=1"),
                               bench("loss", "--repeats", "1", "--views", "4", "--threads=2"))
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_an_option_that_one_rank_refuses_ends_all(self):
        done = self.start_both(self.command(1), self.command(1, batch_size=-1))
        self.assertEqual(done.returncode, 2, done.stdout + done.stderr)
        self.assertIn("option --batch-size: '-1' is not accepted", done.stderr)

    def test_paths_and_threads_of_a_node_may_differ(self):
        copy = self.run_dir.parent / "copy"
        copy.symlink_to(self.data)
        done = self.start_both(self.command(1, max_steps=1),
                               self.command(1, max_steps=1, data=copy, threads=2, loader_threads=2))
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assert_state(status="finished", step=1)


if __name__ == "__main__":
    main()
