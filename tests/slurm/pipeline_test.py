"""jobs/submit_pipeline.sh on a cluster: pretraining, then the evaluations that depend on it.

usage: pipeline_test.py SIMCLR [unittest arguments]
"""
import json
import re
import shutil

from slurm_case import JOBS, SAMPLES, SIMCLR, SlurmTest, main


FOR_EVALUATIONS = {"LINEAR_EVAL_OPTIONS": "--device cpu", "KNN_OPTIONS": "--device cpu --neighbors 10"}


class PipelineTest(SlurmTest):
    def submit_pipeline(self, jobs=JOBS, environment=None, **changed):
        return self.cluster.run(
            jobs / "submit_pipeline.sh", "--nodes=4", "--time=5", "--", *self.pretrain_arguments(**changed),
            environment={"SIMCLR_RANKS_PER_NODE": "2", **FOR_EVALUATIONS, **(environment or {})}, cwd=self.directory)

    def pipeline(self, jobs=JOBS, environment=None, **changed):
        """Submits a pipeline and returns the numbers of the pretraining, linear-eval and knn jobs, and that of
        fine-tuning if there is one."""
        self.log = self.directory / "none"
        done = self.submit_pipeline(jobs, environment, **changed)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.saw(done.stdout.strip().replace("\n", "; "))
        numbers = re.findall(r"^(?:pretrain|linear-eval|knn|finetune) +job (\d+)$", done.stdout, re.MULTILINE)
        self.assertEqual(len(numbers), 4 if "FINETUNE_OPTIONS" in (environment or {}) else 3, done.stdout)
        self.log = self.run_dir / "logs" / f"simclr-pretrain-{numbers[0]}.out"
        return numbers

    def assert_results(self):
        self.assertEqual(self.state()["status"], "finished")
        for name, protocol in (("linear-cached", "linear-cached"), ("knn", "knn")):
            result = json.loads((self.run_dir / "eval" / f"{name}-step-0000000004.json").read_text())
            self.assertEqual(result["protocol"], protocol)
            self.assertEqual(result["samples"], SAMPLES)
            self.assertEqual(result["ranks"], 2)
            self.assertGreater(result["top1"], 0.2)

    def test_evaluations_follow_pretraining_and_write_their_results(self):
        # On a site with GPUs, each has one rank.
        numbers = self.pipeline(max_steps=4, environment={
            "SIMCLR_RANKS_PER_NODE": "", "SIMCLR_GPUS_PER_NODE": "2",
            "FINETUNE_OPTIONS": "--device cpu --batch-size 16 --labels-per-class 4 --max-steps 2 --threads 1 --loader-threads 1"})
        finetune = numbers.pop()
        jobs = [self.finish(number) for number in numbers]
        for before, after in zip(jobs, jobs[1:]):
            self.assertLessEqual(before.fields["EndTime"], after.fields["StartTime"])
        self.assert_results()
        self.assertLessEqual(jobs[0].fields["EndTime"], self.finish(finetune).fields["StartTime"])
        result = json.loads((self.directory / "run-finetune" / "eval" / "finetune-step-0000000002.json").read_text())
        self.assertEqual((result["labels"], result["samples"], result["ranks"]), (40, SAMPLES, 8))
        self.assertIn("8 ranks on CPU", self.log.read_text())
        self.assertEqual(jobs[0].fields["TresPerNode"], "gres:gpu:2")
        self.assertEqual([job.fields["JobName"] for job in jobs], ["run", "run-linear-eval", "run-knn"])
        self.assertIn("Comment=simclr: run: step ", self.cluster.output("scontrol", "show", "job", numbers[0]))
        for name, number in zip(("pretrain", "linear-eval", "knn"), numbers):
            log = (self.run_dir / "logs" / f"simclr-{name}-{number}.out").read_text()
            self.assertIn(f"job {number}, restart 0", log)

    def test_an_installed_tree_started_by_mpirun(self):
        """prefix/share/simclr/jobs finds prefix/bin/simclr without environment variables."""
        prefix = self.directory / "prefix"
        (prefix / "bin").mkdir(parents=True)
        shutil.copy(SIMCLR, prefix / "bin" / "simclr")
        shutil.copytree(JOBS, prefix / "share" / "simclr" / "jobs")
        numbers = self.pipeline(prefix / "share" / "simclr" / "jobs", max_steps=4, environment={
            "SIMCLR": "", "SIMCLR_LAUNCHER": "mpirun"})
        for number in numbers:
            self.finish(number)
        self.assert_results()
        self.assertIn("8 ranks on CPU", self.log.read_text())

    def test_a_failing_pretraining_cancels_its_evaluations(self):
        # The loss becomes non-finite at once, so that starting again would not help.
        pretrain, *evaluations = self.pipeline(optimizer="sgd", learning_rate=1e30, warmup_epochs=0)
        failed = self.finish(pretrain, "FAILED")
        self.assertEqual(failed.fields["ExitCode"], "1:0")
        self.assertEqual(failed.restarts, 0)
        for number in evaluations:
            self.assertEqual(self.finish(number, "CANCELLED", 30).reason, "DependencyNeverSatisfied")
        self.assertFalse((self.run_dir / "eval").exists())
        self.assertIn("would fail again", self.log.read_text())

    def test_a_run_that_would_be_refused_is_not_submitted(self):
        def jobs():
            return set(self.cluster.output("squeue", "--noheader", "--format=%A").split())

        before = jobs()
        for changed, message in (({"batch_size": 4 * SAMPLES}, "option --batch-size"),
                                 ({"keep": 0}, "option --keep: '0' is not accepted"),
                                 ({"eval_data": self.directory / "none"}, f"{self.directory}/none")):
            done = self.submit_pipeline(**changed)
            self.assertEqual(done.returncode, 2, done.stdout)
            self.assertIn(message, done.stderr)
            self.assertIn("nothing was submitted", done.stderr)
        self.assertLessEqual(jobs(), before)
        self.assertFalse(self.run_dir.exists())

    def test_a_refused_run_is_not_requeued_and_leaves_nothing(self):
        number = self.submit(batch_size=4 * SAMPLES)
        failed = self.finish(number, "FAILED")
        self.assertEqual(failed.fields["ExitCode"], "2:0")
        self.assertEqual(failed.restarts, 0)
        self.assertIn("option --batch-size", self.log.read_text())
        self.assertFalse(self.run_dir.exists())


if __name__ == "__main__":
    main()
