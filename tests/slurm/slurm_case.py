"""The base of the tests of jobs/: a cluster, real images, and access to runs and their files.

usage of a test program: TEST.py SIMCLR [unittest arguments]
"""
import gzip
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

import h5py
import numpy as np
from cluster import Cluster, wait_until, why_no_cluster

SIMCLR = Path(sys.argv[1]).resolve()
JOBS = Path(__file__).resolve().parents[2] / "jobs"
STAND_IN = Path(__file__).resolve().parent / "stand_in.sh"  # $END selects how it ends
DATASETS = Path("/usr/share/datasets/fashion-mnist")
SAMPLES = 96
BATCH = 16  # gives six steps per epoch

OPTIONS = {
    "image-size": 16, "encoder": "resnet18", "width": 0.125, "stem": "cifar", "batch-size": BATCH, "epochs": 6,
    "warmup-epochs": 0.5, "temperature": 0.5, "augment": "crop,flip,color", "learning-rate": 0.1,
    "lr-scaling": "none", "log-every": 1, "checkpoint-every-epochs": 0, "threads": 1, "loader-threads": 1,
    "device": "cpu",
}


def pack_real_images(directory, first):
    """Packs 96 images of Fashion-MNIST with their labels into shards."""
    directory.mkdir()
    files = {}
    for kind, header_bytes, sample_bytes in (("images-idx3", 16, 28 * 28), ("labels-idx1", 8, 1)):
        with gzip.open(DATASETS / f"t10k-{kind}-ubyte.gz") as f:
            head = f.read(header_bytes)
            f.seek(first * sample_bytes, os.SEEK_CUR)
            values = f.read(SAMPLES * sample_bytes)
        files[kind] = directory / f"few-{kind}-ubyte"
        files[kind].write_bytes(head[:4] + SAMPLES.to_bytes(4, "big") + head[8:] + values)
    subprocess.run([SIMCLR, "pack", "--from", "idx", "--input", directory, "--images", files["images-idx3"],
                    "--labels", files["labels-idx1"], "--output", directory / "shards", "--shards", "2"],
                   check=True, capture_output=True)
    return directory / "shards"


def as_arguments(options):
    return [f"--{name}={value}" for name, value in options.items()]


class SlurmTest(unittest.TestCase):
    SLURMD_TIMEOUT = 5  # seconds until Slurm considers a node lost

    @classmethod
    def setUpClass(cls):
        began = time.monotonic()
        cls.top = Path(tempfile.mkdtemp(prefix="simclr-slurm-"))
        cls.addClassCleanup(shutil.rmtree, cls.top)
        cls.data = pack_real_images(cls.top / "train", 0)
        cls.test_data = pack_real_images(cls.top / "test", SAMPLES)
        cls.cluster = Cluster(slurmd_timeout=cls.SLURMD_TIMEOUT)
        cls.addClassCleanup(cls.cluster.close)
        cls.cluster.environment["SIMCLR"] = str(SIMCLR)
        cls.saw(f"4 nodes up after {time.monotonic() - began:.1f} s")

    def setUp(self):
        self.cluster.wait_for_nodes()
        self.directory = Path(tempfile.mkdtemp(dir=self.top))
        self.run_dir = self.directory / "run"
        self.began = time.monotonic()
        self.addCleanup(lambda: self.saw(f"{self._testMethodName}: {time.monotonic() - self.began:.1f} s"))
        self.addCleanup(lambda: self.cluster.run("scancel", "--user=root"))

    @staticmethod
    def saw(text):
        print(f"  saw: {text}", flush=True)

    # ---- jobs ----

    def pretrain_arguments(self, run_dir=None, **changed):
        options = {"data": self.data, "eval-data": self.test_data, "run-dir": run_dir or self.run_dir, **OPTIONS}
        options.update({name.replace("_", "-"): value for name, value in changed.items()})
        return as_arguments(options)

    def submit(self, *sbatch_options, run_dir=None, environment=None, **changed):
        """Submits a pretraining job, on all nodes unless sbatch's options say otherwise, and returns its number."""
        self.log = self.directory / "job.out"
        return self.cluster.submit(
            "--nodes=4", "--ntasks-per-node=2", "--time=10", f"--output={self.log}", *sbatch_options,
            JOBS / "pretrain.sbatch", *self.pretrain_arguments(run_dir, **changed), environment=environment,
            cwd=self.directory)

    def finish(self, number, state="COMPLETED", seconds=90):
        try:
            job = self.cluster.wait_for_job(number, seconds)
        except TimeoutError as late:
            self.fail(f"{late}\n{self.log_text()}")
        self.assertEqual(job.state, state, self.log_text())
        return job

    def log_text(self):
        return self.log.read_text() if self.log.exists() else f"no log {self.log}"

    def wait_for_log(self, text, seconds=60):
        wait_until(lambda: text in self.log_text(), seconds, lambda: f"'{text}' in the log:\n{self.log_text()}")

    # Freezing the ranks makes events happen in the middle of a run, however fast or busy this machine is.

    def signal_ranks(self, number):
        """Sends a signal to every process of the program in this run."""
        for entry in Path("/proc").iterdir():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0") if entry.name.isdigit() else [b""]
                if words[0] == str(SIMCLR).encode() and f"--run-dir={self.run_dir}".encode() in words:
                    os.kill(int(entry.name), number)
            except (FileNotFoundError, ProcessLookupError):
                pass  # the process has ended

    def freeze_at_step(self, step, seconds=60):
        metrics = self.run_dir / "metrics.jsonl"
        wait_until(lambda: metrics.exists() and len(metrics.read_text().splitlines()) >= step, seconds,
                   lambda: f"step {step}: {self.log_text()}")
        self.signal_ranks(signal.SIGSTOP)
        self.addCleanup(self.thaw)
        self.assertEqual(self.state()["status"], "running")

    def thaw(self):
        self.signal_ranks(signal.SIGCONT)

    # ---- files of a run ----

    def rows(self, run_dir=None):
        return [json.loads(line) for line in ((run_dir or self.run_dir) / "metrics.jsonl").read_text().splitlines()]

    def losses(self, run_dir=None):
        return [row["loss"] for row in self.rows(run_dir)]

    def state(self, run_dir=None):
        return json.loads(((run_dir or self.run_dir) / "state.json").read_text())

    def starts(self, run_dir=None):
        """Returns the steps at which the job script started the program."""
        text = ((run_dir or self.run_dir) / "starts.log").read_text()
        return [int(step) for step in re.findall(r" step (\d+) ", text)]

    def newest_checkpoint(self, run_dir=None):
        return max((run_dir or self.run_dir).glob("checkpoints/step-*.h5"))

    def assert_same_weights(self, a, b):
        """Compares parameters, batch norm and optimizer state of two checkpoints byte for byte."""
        def tensors(file):
            found = {}
            with h5py.File(file, "r") as f:
                f.visititems(lambda name, item: found.update({name: item[()]}) if isinstance(item, h5py.Dataset)
                             else None)
            return found

        one, other = tensors(a), tensors(b)
        self.assertEqual(sorted(one), sorted(other))
        self.assertGreater(len(one), 50)
        for name, value in one.items():
            self.assertEqual(np.asarray(value).tobytes(), np.asarray(other[name]).tobytes(), name)
        self.saw(f"{len(one)} tensors of {Path(a).name} are the same, byte for byte")


def main():
    why_not = why_no_cluster()
    if not why_not and not DATASETS.exists():
        why_not = f"{DATASETS} is missing (Debian package dataset-fashion-mnist)"
    if why_not:
        print(f"skipped: {why_not}")
        sys.exit(77)
    unittest.main(module="__main__", argv=[sys.argv[0], *sys.argv[2:]], verbosity=2)
