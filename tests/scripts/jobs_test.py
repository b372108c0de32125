"""The scripts of jobs/ before and around the jobs, without Slurm: stand-ins record what they are given.

usage: jobs_test.py [unittest arguments]
"""
import os
import re
import shutil
import subprocess
import sys
import unittest
from pathlib import Path

from jobs_case import JOBS, ROOT, JobsCase

SCRIPTS = ["submit_pipeline.sh", "study.sh", "pretrain.sbatch", "knn.sbatch", "linear_eval.sbatch",
           "evaluate.sbatch", "quality.sbatch", "study.sbatch", "finetune.sbatch"]


class JobsTest(JobsCase):
    # ---- help ----

    def test_help(self):
        for name in SCRIPTS:
            for option in ("-h", "--help"):
                done = self.run_script(name, option)
                self.assertEqual(done.stderr, "")
                self.assertIn(name, done.stdout)
                self.assertGreater(len(done.stdout.splitlines()), 3)
                self.assertNotIn("#SBATCH", done.stdout)
                self.assertNotIn("set -e", done.stdout)
        self.assertEqual(self.calls("sbatch"), [])

    # ---- before jobs are submitted ----

    def test_the_run_and_its_evaluations_are_checked_first(self):
        self.submit(LINEAR_EVAL_OPTIONS="--l2 1", KNN_OPTIONS="--name 'first try'")
        checks = [arguments for arguments, _ in self.calls("simclr")]
        self.assertEqual([check[0] for check in checks], ["pretrain", "linear-eval", "knn"])
        for check in checks:
            self.assertIn("--dry-run=elsewhere", check)
        data = [f"--checkpoint={self.run_dir}", "--train-data=train set", "--test-data=test set"]
        self.assertEqual(checks[1][1:-1], ["--l2", "1", *data])
        self.assertEqual(checks[2][1:-1], ["--name", "first try", *data])

    def test_what_the_program_refuses_is_not_submitted(self):
        for command in ("pretrain", "linear-eval", "knn"):
            self.assertIn("nothing was submitted", self.submit(expect=2, REFUSES=command).stderr)
        self.assertIn("nothing was submitted", self.study(expect=2, REFUSES="study").stderr)
        self.assertEqual(self.calls("sbatch"), [])
        self.assertFalse((self.top / "my study").exists())
        self.assertFalse(self.run_dir.exists())

    def test_own_data_of_an_evaluation_take_precedence(self):
        self.submit(KNN_OPTIONS="--train-data other")
        knn = self.calls("simclr")[2][0]
        self.assertIn("--train-data", knn)
        self.assertNotIn("--train-data=train set", knn)

    def test_quotes_without_partner_are_refused(self):
        done = self.submit(expect=2, KNN_OPTIONS="--name 'first")
        self.assertIn("KNN_OPTIONS: '--name 'first' has a quote without its partner", done.stderr)

    def test_empty_words_of_options_stay(self):
        for text, words in (('--name ""', ["--name", ""]), ('"" --name', ["", "--name"]), ("--name '' ''", ["--name", "", ""]),
                            ("--name \n a", ["--name", "a"]), (" ", [])):
            Path(self.environment["CALLS"]).unlink(missing_ok=True)
            self.submit(KNN_OPTIONS=text)
            self.assertEqual(self.calls("simclr")[2][0][1:-4], words)
            job = self.calls("sbatch")[2][0]
            self.assertEqual(job[job.index("--checkpoint") + 2:], words)

    def test_settings_that_are_no_numbers_are_refused(self):
        number = "a whole number from 1 to 999999999"
        minutes = "a number of minutes such as 2 or 0.5, or nothing"
        for name, allowed, values in (
                ("SIMCLR_GPUS_PER_NODE", f"0 or {number}", ("two", "-1", "1.5", "08", "99999999999999999999")),
                ("SIMCLR_MAX_RESTARTS", f"0 or {number}", ("x",)), ("SIMCLR_COMMENT_SECONDS", f"0 or {number}", ("x", "1m")),
                ("SIMCLR_EVALUATION_NODES", number, ("x", "0")), ("SIMCLR_MAX_IDLE_STARTS", number, ("x", "0")),
                ("SIMCLR_RANKS_PER_NODE", f"{number}, or nothing", ("x", "0")),
                ("SIMCLR_CPUS_PER_RANK", f"{number}, or nothing", ("x", "a[$(touch /x)]")),
                ("SIMCLR_STOP_BEFORE_MINUTES", minutes, ("x", "-1", "nan"))):
            for value in values:
                refusal = f"{name}: '{value}' is not accepted; allowed: {allowed}"
                self.assert_refused(self.submit(expect=2, **{name: value}), refusal)
            done = self.job("pretrain.sbatch", "--run-dir=r", expect=2, SIMCLR_JOBS=str(self.jobs), **{name: values[-1]})
            self.assert_refused(done, refusal)
        self.assert_refused(self.study(expect=2, SIMCLR_GPUS_PER_NODE="x"),
                            f"SIMCLR_GPUS_PER_NODE: 'x' is not accepted; allowed: 0 or {number}")
        self.assertIn("SIMCLR_TIME: '2 days' is not accepted; allowed: a time",
                      self.submit(expect=2, SIMCLR_TIME="2 days").stderr)
        for launcher, problem in ((" ", "has no command"), ("a 'b", "has a quote without its partner")):
            self.assert_refused(self.submit(expect=2, SIMCLR_LAUNCHER=launcher), f"SIMCLR_LAUNCHER: '{launcher}' {problem}")
        self.submit(SIMCLR_TIME="2-12:30:00", SIMCLR_STOP_BEFORE_MINUTES="0.01", SIMCLR_GPUS_PER_NODE="0",
                    SIMCLR_CPUS_PER_RANK="16", SIMCLR_MAX_RESTARTS="0")

    def test_a_site_file_that_cannot_serve_is_refused(self):
        old = self.top / "old.env"
        lines = (JOBS / "site.env").read_text().splitlines(True)
        old.write_text("".join(line for line in lines if "COMMENT" not in line))
        for site in ("/tmp", "/nowhere/site.env"):
            self.assert_refused(self.submit(expect=2, SIMCLR_SITE=site),
                                f"SIMCLR_SITE: cannot read the file {site}; name a copy of {self.jobs}/site.env")
        self.assert_refused(self.submit(expect=2, SIMCLR_SITE=str(old)),
                            f"{old} does not set SIMCLR_COMMENT_SECONDS; copy its line from {self.jobs}/site.env")

    def test_a_study_is_submitted_as_arrays_that_wait_for_their_runs(self):
        done = self.study("--", "--data=a b", AT_A_TIME="3", EVALUATION_SBATCH_OPTIONS="--time=9", works=[
            ("train", "pretrain", "one", "-"), ("evaluate", "knn", "one/eval", "one"), ("evaluate", "quality", "one/eval", "one"),
            ("train", "pretrain", "two", "-"), ("evaluate", "knn", "two/eval", "two"), ("train", "finetune", "labels", "two"),
            ("evaluate", "knn", "three/eval", "-"), ("evaluate", "quality", "three/eval", "-"), ("evaluate", "knn", "four/eval", "-")])
        self.assertEqual(self.calls("simclr")[0][0], ["study", "my study.cfg", f"--output={self.top}/my study", "--data=a b", "--missing"])
        jobs = [arguments for arguments, _ in self.calls("sbatch")]
        chosen = [[word for word in job if word.startswith(("--array", "--dependency", "--time", "--job-name"))] for job in jobs]
        self.assertEqual(chosen, [
            ["--job-name=my study-train", "--array=0-1%3"],
            ["--time=9", "--dependency=aftercorr:7", "--job-name=my study-evaluate", "--array=0-1%3"],
            ["--dependency=afterok:7_1", "--job-name=my study-train", "--array=0-0%3"],
            ["--time=9", "--job-name=my study-evaluate", "--array=0-1%3"],
            ["--time=9", "--dependency=afterany:7:7:7:7", "--job-name=my study-table"]])
        lists = [Path(job[-1]) for job in jobs[:-1]]
        top = self.top / "my study"
        self.assertEqual([[line.split("\t")[:2] for line in file.read_text().splitlines()] for file in lists], [
            [["pretrain", f"{top}/cells/one.cfg"], ["pretrain", f"{top}/cells/two.cfg"]],
            [["0", "knn"], ["0", "quality"], ["1", "knn"]], [["finetune", f"{top}/cells/labels.cfg"]],
            [["0", "knn"], ["0", "quality"], ["1", "knn"]]])
        self.assertIn("2 to train, 1 to train with labels after that, 6 to evaluate; jobs 7 7 7 7 7;", done.stdout)
        self.assertEqual((top / "jobs.txt").read_text(), "7\n" * 5)

    def test_a_finished_study_only_makes_its_tables(self):
        self.study()
        (job,) = [arguments for arguments, _ in self.calls("sbatch")]
        self.assertEqual(job[-3:], [str(self.jobs / "study.sbatch"), "table", str(self.top / "my study")])

    def test_a_study_that_is_not_submitted_leaves_no_lists(self):
        works = [("train", "pretrain", "one", "-")]
        number = "a whole number from 1 to 999999999"
        for value in ("x", "0"):
            self.assert_refused(self.study(expect=2, AT_A_TIME=value), f"AT_A_TIME: '{value}' is not accepted; allowed: {number}, or nothing")
        self.study(expect=2, works=works, EVALUATION_SBATCH_OPTIONS="'")
        self.assertEqual([*(self.top / "my study" / "logs").iterdir()], [])
        self.assertEqual(self.calls("sbatch"), [])
        (self.top / "bin" / "sbatch").write_text("#!/bin/sh\nexit 1\n")
        self.assertIn("sbatch refused the array train", self.study(expect=1, works=works).stderr)
        self.assertEqual([*(self.top / "my study" / "logs").iterdir()], [])
        self.assertEqual((self.top / "my study" / "jobs.txt").read_text(), "")

    def test_directories_that_cannot_be_made_are_named(self):
        (self.top / "file").write_text("")
        for directory, reason in (("/proc/x", "No such file or directory"), ("file", "Not a directory")):
            done = self.job("pretrain.sbatch", f"--run-dir={directory}/run", expect=2, SIMCLR_JOBS=str(self.jobs))
            self.assert_refused(done, f"cannot make the directory {directory}/run: {reason}")
        for words in (["s.cfg", "a\nb"], ["s.cfg", "a\tb"]):
            self.assert_refused(self.run_script("study.sh", *words, expect=2), "the study's directory must be a path without tabs and line breaks")
        for words in ([], ["s.cfg"], ["s.cfg", "--nodes=1"], ["--nodes=1", "s.cfg"]):
            self.assert_refused(self.run_script("study.sh", *words, expect=2), "usage: study.sh FILE DIR [SBATCH_OPTION...] [-- STUDY_OPTION...]")
        self.run_dir.mkdir(parents=True)
        (self.run_dir / "starts.log").symlink_to("/proc/x")
        done = self.job("pretrain.sbatch", f"--run-dir={self.run_dir}", expect=2, SIMCLR_JOBS=str(self.jobs))
        self.assert_refused(done, f"cannot write {self.run_dir}/starts.log")

    def test_paths_that_look_like_options_are_refused(self):
        refusal = "'-x' begins with -; write ./-x if this is the path"
        job = {"expect": 2, "SIMCLR_JOBS": str(self.jobs)}
        for script, option in (("pretrain", "--run-dir"), ("knn", "--checkpoint"), ("linear_eval", "--checkpoint"),
                               ("evaluate", "--checkpoint"), ("quality", "--checkpoint")):
            for words in ([f"{option}=-x"], [option, "-x"]):
                self.assert_refused(self.job(f"{script}.sbatch", *words, **job), f"{option}: {refusal}")
        done = self.run_script("submit_pipeline.sh", "--", "--run-dir", "-x", "--data=t", "--eval-data=e", expect=2)
        self.assert_refused(done, f"--run-dir: {refusal}")

    def test_jobs_outside_slurm_or_of_unknown_stage_are_refused(self):
        for name in (name for name in SCRIPTS if name.endswith(".sbatch")):
            for environment in ({}, {"SIMCLR_JOBS": str(self.jobs)}):
                self.assert_refused(self.run_script(name, "--run-dir=r", expect=2, **environment), "submit this file with sbatch")
            self.assert_refused(self.job(name, "--run-dir=r", expect=2, SIMCLR_JOBS=str(self.top)),
                                f"SIMCLR_JOBS: '{self.top}' is not the folder of the job scripts")
        works = self.top / "some works"
        works.write_text(f"pretrain\t{self.top}/a b.cfg\t{self.run_dir}\t{self.top}/a b.log\n")
        usage = "usage: study.sbatch train|evaluate LIST, or study.sbatch table STUDY_DIR"
        for arguments, task, problem in (
                ([], {}, usage), (["table"], {}, usage),
                (["foo", "bar"], {}, "unknown stage 'foo'; allowed: train, evaluate, table"),
                (["train", str(works)], {}, "stage train runs as a job array: submit it with study.sh"),
                (["evaluate", "none"], {"SLURM_ARRAY_TASK_ID": "0"}, "cannot read none"),
                (["train", str(works)], {"SLURM_ARRAY_TASK_ID": "1"}, f"cannot read a run from line 2 of {works}")):
            done = self.job("study.sbatch", *arguments, expect=2, SIMCLR_JOBS=str(self.jobs), **task)
            self.assert_refused(done, problem)
        self.job("study.sbatch", "train", str(works), SIMCLR_JOBS=str(self.jobs), SLURM_ARRAY_TASK_ID="0")
        self.assertEqual(self.calls("simclr")[0][0][:3], ["pretrain", f"--config={self.top}/a b.cfg", f"--run-dir={self.run_dir}"])
        works.write_text("".join(f"{task}\t{command}\t{self.top}/{command}.cfg\t{self.top}/{command}.log\n"
                                 for task, command in ((0, "knn"), (1, "quality"), (0, "linear-eval"))))
        self.job("study.sbatch", "evaluate", str(works), SIMCLR_JOBS=str(self.jobs), SLURM_ARRAY_TASK_ID="0", REFUSES="knn", expect=1)
        self.assertEqual([call[0] for call, _ in self.calls("simclr")[1:]], ["knn", "linear-eval"])
        self.assertIn("simclr: error: refused", (self.top / "knn.log").read_text())

    def test_mistyped_variables_are_refused(self):
        for name, meant in (("ATATIME", "AT_A_TIME"), ("EVALUATION_SBATCH_OPTION", "EVALUATION_SBATCH_OPTIONS")):
            done = self.study(expect=2, **{name: "1"})
            self.assertEqual(done.stderr, f"simclr job: error: unknown variable {name}; did you mean {meant}?\n")
        self.assertIn("did you mean LINEAR_EVAL_OPTIONS?", self.submit(expect=2, LINEAR_EVAL_OPTION="1").stderr)
        for script in (self.study, self.submit):
            self.assertIn("unknown variable SIMCLR_PARTITON", script(expect=2, SIMCLR_PARTITON="gpu").stderr)
        self.assertEqual(self.calls("sbatch"), [])
        self.study(SIMCLR_CPU_ISA="baseline", SIMCLR_SHARE="/x", KNN="1", EPOCHSECONDS="1")

    # ---- what is submitted ----

    def test_jobs_have_the_name_of_the_run_and_paths_may_have_blanks(self):
        self.submit("--time=5")
        jobs = [arguments for arguments, _ in self.calls("sbatch")]
        self.assertEqual([option for job in jobs for option in job if option.startswith("--job-name")],
                         ["--job-name=my run", "--job-name=my run-linear-eval", "--job-name=my run-knn"])
        self.assertIn(f"--output={self.run_dir}/logs/simclr-pretrain-%j.out", jobs[0])
        self.assertEqual(jobs[0][-5:], [str(self.jobs / "pretrain.sbatch"), *self.pretrain_options()])
        self.assertEqual(jobs[1][-3:], [str(self.jobs / "linear_eval.sbatch"), "--checkpoint", str(self.run_dir)])
        self.assertTrue((self.run_dir / "logs").is_dir())

    def test_the_users_own_filters_do_not_hide_jobs(self):
        (self.top / "my study").mkdir()
        (self.top / "my study" / "jobs.txt").write_text("3\n")
        self.study(SQUEUE_STATES="FAILED", SQUEUE_FORMAT="%i", SLURM_TIME_FORMAT="relative")
        self.assertEqual(self.calls("squeue")[0][1], {"SLURM_TIME_FORMAT": "standard"})

    # ---- devices ----

    def test_gpus_mean_the_device_cuda(self):
        for sbatch_options, environment, expected in (
                ([], {}, 0), (["--gpus-per-node=2"], {}, 3), (["--gres=gpu:2"], {}, 3), (["--gres", "lscratch:1,gpu"], {}, 3),
                (["--gres=lscratch:1,gpu:a100:2"], {}, 3), (["-G", "2"], {}, 3), (["-Ga100:2"], {}, 3),
                (["--tres-per-task=cpu:1,gres/gpu:1"], {}, 3),
                (["--gpus-per-node=0"], {}, 0), (["--gpus", "a100:0"], {}, 0), (["-G0"], {}, 0), (["--gres=gpu:0,gpux:1"], {}, 0),
                (["--comment=needs -G nothing, --gpus=2"], {}, 0), (["--job-name", "x --gres=gpu:1"], {}, 0),
                (["--gpus-per-node=2", "--gpus-per-node=0"], {}, 0),
                ([], {"SIMCLR_GPUS_PER_NODE": "2"}, 3), (["--gpus-per-node=0"], {"SIMCLR_GPUS_PER_NODE": "2"}, 0),
                ([], {"EVALUATION_SBATCH_OPTIONS": "--gpus-per-node=1"}, 2),
                (["-G2"], {"EVALUATION_SBATCH_OPTIONS": "--gpus=0"}, 1),
                ([], {"SIMCLR_GPUS_PER_NODE": "2", "KNN_OPTIONS": "--device=cpu"}, 2),
                ([], {"SBATCH_GPUS": "2"}, 3), ([], {"SBATCH_GPUS_PER_NODE": "a100:1"}, 3), ([], {"SBATCH_GRES": "gpu:2"}, 3),
                ([], {"SBATCH_GPUS_PER_TASK": "1"}, 3), ([], {"SBATCH_TRES_PER_TASK": "cpu:1,gres/gpu:1"}, 3),
                ([], {"SBATCH_GPUS": "0"}, 0), ([], {"SBATCH_GRES": "lscratch:1"}, 0), (["--gpus=0"], {"SBATCH_GPUS": "2"}, 0),
                (["--gres=lscratch:1"], {"SBATCH_GRES": "gpu:2"}, 0),
                ([], {"SBATCH_GPUS_PER_NODE": "0", "SIMCLR_GPUS_PER_NODE": "2"}, 3)):
            Path(self.environment["CALLS"]).unlink(missing_ok=True)
            self.submit(*sbatch_options, **environment)
            checks = [arguments for arguments, _ in self.calls("simclr")]
            self.assertEqual(sum("--device=cuda" in check for check in checks), expected, (sbatch_options, environment))

    # ---- inside a job ----

    def test_a_job_finds_its_folder_with_blanks(self):
        command = f"   Command={self.jobs}/pretrain.sbatch --run-dir /a/b c\n"
        self.job("pretrain.sbatch", f"--run-dir={self.run_dir}", JOB=f"JobId=5\n{command}")
        program, _ = self.calls("simclr")[0]
        self.assertEqual(program[:2], ["pretrain", f"--run-dir={self.run_dir}"])

    def test_the_script_of_fine_tuning_runs_either_command(self):
        for words, command in (([], "finetune"), (["supervised"], "supervised")):
            self.job("finetune.sbatch", *words, f"--run-dir={self.run_dir}", SIMCLR_JOBS=str(self.jobs))
            self.assertEqual(self.calls("simclr")[-1][0][:2], [command, f"--run-dir={self.run_dir}"])

    def test_the_pipeline_can_end_with_fine_tuning(self):
        self.submit(FINETUNE_OPTIONS="--label-fraction 0.01")
        job = self.calls("sbatch")[-1][0]
        given = ["--label-fraction", "0.01", "--data=train set", "--eval-data=test set", f"--run-dir={self.run_dir}-finetune",
                 f"--checkpoint={self.run_dir}"]
        self.assertEqual(job[-7:], [str(self.jobs / "finetune.sbatch"), *given])
        self.assertIn("--dependency=afterok:7", job)
        check = [arguments for arguments, _ in self.calls("simclr") if arguments[0] == "finetune"]
        self.assertEqual(check, [["finetune", *given, "--dry-run=elsewhere"]])
        Path(self.environment["CALLS"]).unlink()
        self.submit(FINETUNE_OPTIONS="--label-fraction 0.01", REFUSES="finetune", expect=2)
        self.assertEqual(self.calls("sbatch"), [])

    def test_a_job_on_gpus_computes_there(self):
        for environment, expected in (
                ({"SLURM_GPUS": "a100:2"}, True), ({"SLURM_GPUS_PER_NODE": "2"}, True), ({"SLURM_GPUS_ON_NODE": "2"}, True),
                ({"SLURM_JOB_GPUS": "0"}, True), ({"SIMCLR_GPUS_PER_NODE": "2"}, True), ({}, False),
                ({"SLURM_GPUS": "0"}, False), ({"SLURM_GPUS_PER_NODE": "a100:0", "SIMCLR_GPUS_PER_NODE": "2"}, False)):
            self.job("pretrain.sbatch", f"--run-dir={self.run_dir}", SIMCLR_JOBS=str(self.jobs), **environment)
            self.assertEqual("--device=cuda" in self.calls("simclr")[-1][0], expected, environment)

    def test_each_launcher_gets_its_own_options(self):
        for says, expected in (("HYDRA build details:", ["-bind-to", "core:6", "-n", "2"]),
                               ("mpiexec (OpenRTE) 4.1.4", ["--map-by", "slot:PE=6", "--bind-to", "core",
                                                            "-x", "SLURM_JOB_END_TIME", "-n", "2"])):
            launcher = self.top / "bin" / "mpiexec"
            launcher.write_text(f'#!/bin/sh\n[ "$1" != --version ] || {{ echo "{says}"; exit; }}\n'
                                'printf "%s\\n" "$@" >"$HOME/options"\n'
                                'while [ "${1##*/}" != simclr ]; do shift; done\nexec "$@"\n')
            launcher.chmod(0o755)
            self.job("pretrain.sbatch", f"--run-dir={self.run_dir}", SIMCLR_JOBS=str(self.jobs), SLURM_NTASKS="2",
                     SLURM_CPUS_PER_TASK="6", SIMCLR_LAUNCHER="mpiexec")
            self.assertEqual((self.top / "options").read_text().splitlines()[:len(expected)], expected)

    def test_the_comment_has_step_and_loss(self):
        def comments(every=1, **environment):
            Path(self.environment["CALLS"]).unlink(missing_ok=True)
            self.job("pretrain.sbatch", f"--run-dir={self.run_dir}", SIMCLR_JOBS=str(self.jobs), SLEEPS="2.5",
                     SIMCLR_COMMENT_SECONDS=str(every), **environment)
            return [call[-1] for call, _ in self.calls("scontrol") if call[0] == "update"]

        self.assertEqual(comments()[-1], "Comment=simclr: my run: step 12, loss 5.5124")
        self.assertEqual(comments(JOB="   Comment=simclr: my run: step 1\n")[-1],
                         "Comment=simclr: my run: step 12, loss 5.5124")
        # A comment of the user stays, and none is made when they are switched off.
        self.assertEqual(comments(JOB="   Comment=paid by grant 7\n"), [])
        self.assertEqual(comments(every=0), [])

    def test_a_job_that_has_lost_the_lock_stops(self):
        """The lock counts when the program has ended: a later start of this job, or another job, may go on there."""
        def lock(job="5", cluster="", restart=None):
            later = "" if restart is None else f',"job_restart":{restart}'
            return f'{{"host":"n1","pid":7,"process_start":"1","job":"{job}"{later},"cluster":"{cluster}"}}'

        for content, age, restart, code in (
                (lock(restart=1), 0, "0", 2), (lock(restart=1), 9000, "0", 2),  # a later start, however long silent
                (lock(restart=1), 0, "1", 0), (lock(restart=1), 0, "2", 0),  # this start, an earlier one
                (lock(), 0, "0", 0), (lock(restart=0), 0, "", 0),  # without the number, as earlier versions
                (lock(job="6"), 0, "0", 2), (lock(job="6"), 9000, "0", 0),  # another job, living and dead
                (lock(cluster="other"), 0, "0", 2), ("", 0, "0", 0)):
            with self.subTest(content=content, age=age, restart=restart):
                done = self.job("pretrain.sbatch", f"--run-dir={self.run_dir}", SIMCLR_JOBS=str(self.jobs), LOCK=content,
                                LOCK_AGE=str(age), expect=code, **({"SLURM_RESTART_COUNT": restart} if restart else {}))
                self.assertEqual("is in use by job" in done.stderr, code == 2, done.stderr)
                shutil.rmtree(self.run_dir)
        self.assertEqual([call for call, _ in self.calls("scontrol") if call[0] == "requeue"], [])

    def test_the_time_limit_is_read_in_slurms_standard_format(self):
        self.job("pretrain.sbatch", f"--run-dir={self.run_dir}", SIMCLR_JOBS=str(self.jobs),
                 SLURM_TIME_FORMAT="relative", SQUEUE_SORT="i")
        self.assertEqual(self.calls("squeue")[-1][1], {"SLURM_TIME_FORMAT": "standard"})
        self.assertIn("--stop-before-minutes=2.00", self.calls("simclr")[-1][0])

    def test_the_first_line_of_a_start_has_date_and_zone(self):
        done = self.job("pretrain.sbatch", f"--run-dir={self.run_dir}", SIMCLR_JOBS=str(self.jobs))
        self.assertRegex(done.stdout, r"\Asimclr job: ==== \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d, job 5,")


class HelpOfScriptsTest(unittest.TestCase):
    def test_every_script_has_help(self):
        scripts = [path for path in (ROOT / "scripts").rglob("*") if path.suffix in (".sh", ".py")]
        started = [path for path in scripts if os.access(path, os.X_OK)]
        self.assertGreater(len(started), 10)
        for path in started:
            with self.subTest(script=path.name):
                interpreter = [sys.executable] if path.suffix == ".py" else []
                done = subprocess.run([*interpreter, path, "--help"], capture_output=True, text=True, timeout=60, check=False)
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertTrue(re.search(r"\busage\b|" + re.escape(path.name), done.stdout, re.IGNORECASE), done.stdout)


if __name__ == "__main__":
    unittest.main()
