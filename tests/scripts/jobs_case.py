"""A folder of the job scripts, and stand-ins for Slurm and the program, which record what they are given."""
import json
import os
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
JOBS = ROOT / "jobs"

# Each stand-in appends its name, its arguments and some of its environment to calls.jsonl.
STAND_IN = """#!/usr/bin/python3
import json, os, sys, time
name = os.path.basename(sys.argv[0])
names = [n for n in os.environ if n.startswith(("SQUEUE_", "SLURM_TIME_FORMAT"))]
with open(os.environ["CALLS"], "a") as f:
    f.write(json.dumps([name, sys.argv[1:], {n: os.environ[n] for n in names}]) + "\\n")
command = sys.argv[1:2]
if name == "simclr" and os.environ.get("REFUSES", "none") in command: sys.exit("simclr: error: refused")
if name == "simclr" and command == ["study"] and "--missing" in sys.argv: print(os.environ.get("MISSING", ""))
if name == "sbatch": print(7)
if name == "squeue" and "--format=%e" in sys.argv: print("2031-01-02T03:04:05")
if name == "scontrol" and "show" in command: print(os.environ.get("JOB", ""))
if name == "simclr" and command and command[0] in ("pretrain", "finetune", "supervised") and "--dry-run=elsewhere" not in sys.argv:
    run = [a.split("=", 1)[1] for a in sys.argv if a.startswith("--run-dir=")][-1]
    os.makedirs(run, exist_ok=True)
    with open(run + "/metrics.jsonl", "w") as f: f.write('{"step":12,"epoch":1.5,"loss":5.51239,"x":1}\\n')
    if "LOCK" in os.environ:
        with open(run + "/lock", "w") as f: f.write(os.environ["LOCK"])
        then = time.time() - float(os.environ["LOCK_AGE"])
        os.utime(run + "/lock", (then, then))
    with open(run + "/state.json", "w") as f: f.write('{\\n  "status": "finished",\\n  "reason": "done"\\n}\\n')
    time.sleep(float(os.environ.get("SLEEPS", "0")))
"""


class JobsCase(unittest.TestCase):
    def setUp(self):
        self.top = Path(tempfile.mkdtemp(prefix="simclr jobs "))  # blanks in every path
        self.addCleanup(shutil.rmtree, self.top)
        self.jobs = self.top / "my jobs"
        shutil.copytree(JOBS, self.jobs)
        bin_directory = self.top / "bin"
        bin_directory.mkdir()
        for name in ("simclr", "sbatch", "squeue", "scontrol"):
            (bin_directory / name).write_text(STAND_IN)
            (bin_directory / name).chmod(0o755)
        self.environment = {"PATH": f"{bin_directory}:{os.environ['PATH']}", "CALLS": str(self.top / "calls.jsonl"),
                            "SIMCLR_LAUNCHER": "env", "HOME": str(self.top)}
        self.run_dir = self.top / "runs" / "my run"

    def run_script(self, name, *arguments, expect=0, **environment):
        done = subprocess.run(["bash", self.jobs / name, *arguments], env={**self.environment, **environment}, timeout=60,
                              capture_output=True, text=True, check=False, cwd=self.top)
        self.assertEqual(done.returncode, expect, done.stdout + done.stderr)
        return done

    def calls(self, name):
        calls = Path(self.environment["CALLS"])
        lines = calls.read_text().splitlines() if calls.exists() else []
        return [call[1:] for call in map(json.loads, lines) if call[0] == name]

    def pretrain_options(self):
        return [f"--run-dir={self.run_dir}", "--data=train set", "--eval-data", "test set"]

    def submit(self, *sbatch_options, expect=0, **environment):
        return self.run_script("submit_pipeline.sh", *sbatch_options, "--", *self.pretrain_options(), expect=expect,
                               **environment)

    def study(self, *arguments, expect=0, works=(), **environment):
        """Submits a study of which this is missing: (kind, command, run, the run that it waits for or "-")."""
        top = self.top / "my study"
        lines = ["\t".join((kind, command, str(top / "cells" / f"{run}.cfg"), str(top / run), str(top / "logs" / f"{command}-{run}.log"),
                            waits if waits == "-" else str(top / waits))) for kind, command, run, waits in works]
        return self.run_script("study.sh", "my study.cfg", "my study", "--nodes=1", *arguments, expect=expect,
                               MISSING="\n".join(lines), **environment)

    def assert_refused(self, done, problem):
        """One line on the error stream says the problem, and nothing was submitted or started."""
        self.assertEqual(done.stderr, f"simclr job: error: {problem}\n")
        self.assertEqual(self.calls("sbatch") + self.calls("simclr"), [])

    def job(self, script, *arguments, expect=0, **environment):
        return self.run_script(script, *arguments, expect=expect, SLURM_JOB_ID="5", SLURM_JOB_NUM_NODES="1",
                               SLURM_JOB_NODELIST="n1", SLURM_JOB_PARTITION="main",
                               **{"SIMCLR_MAX_IDLE_STARTS": "9", **environment})
