"""Shared by the tests of `simclr pretrain`: real images, a run directory, starting the program.

A test program is started as: TEST.py SIMCLR MPIEXEC [unittest arguments]
"""
import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

SIMCLR, MPIEXEC = sys.argv[1:3]
IMAGES = Path("/usr/share/datasets/fashion-mnist/t10k-images-idx3-ubyte.gz")
LABELS = IMAGES.with_name("t10k-labels-idx1-ubyte.gz")
SAMPLES = 96
BATCH = 16  # six steps an epoch

OPTIONS = {
    "image-size": 16, "encoder": "resnet18", "width": 0.125, "stem": "cifar", "batch-size": BATCH,
    "epochs": 4, "warmup-epochs": 0.5, "temperature": 0.5, "augment": "crop,flip,color",
    "learning-rate": 0.1, "lr-scaling": "none", "log-every": 1, "checkpoint-every-epochs": 0,
    "threads": 1, "loader-threads": 1,
}


def pack_real_images(directory):
    """The first images of Fashion-MNIST, as IDX files that `simclr pack` turns into labeled shards."""
    idx = directory / "idx"
    idx.mkdir()
    files = {}
    for option, source, head_bytes, sample_bytes in (("--images", IMAGES, 16, 28 * 28), ("--labels", LABELS, 8, 1)):
        with gzip.open(source) as f:
            head, samples = f.read(head_bytes), f.read(SAMPLES * sample_bytes)
        files[option] = idx / f"few-{source.stem}"
        files[option].write_bytes(head[:4] + SAMPLES.to_bytes(4, "big") + head[8:] + samples)
    given = [word for pair in files.items() for word in pair]
    subprocess.run([SIMCLR, "pack", "--from", "idx", "--input", idx, *given, "--output", directory / "data", "--shards", "2"], check=True, capture_output=True)
    return directory / "data"


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def children(processes, *options):
    found = subprocess.run(["pgrep", *options, "-P", ",".join(map(str, processes))], capture_output=True, text=True, check=False)
    return [int(pid) for pid in found.stdout.split()]


def started_by(launcher):
    """Its ranks. MPICH has a proxy between the launcher and them."""
    return children(children([launcher.pid], "-x", "hydra_pmi_proxy") or [launcher.pid])


def ranks_of(launcher, count):
    """Waits until the launcher has started all ranks and returns their processes."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        found = started_by(launcher)
        if len(found) == count:
            return found
        time.sleep(0.01)
    raise AssertionError(f"{MPIEXEC} has not started {count} ranks")


def rank_of(pid):
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return None
    names = (b"OMPI_COMM_WORLD_RANK=", b"PMI_RANK=")
    return next((int(v.split(b"=")[1]) for v in environment if v.startswith(names)), None)


def rank_pids(launcher):
    """Returns rank -> process for a launcher that has started all ranks."""
    return {rank_of(pid): pid for pid in started_by(launcher)}


class TrainingTest(unittest.TestCase):
    COMMAND, OPTIONS = "pretrain", OPTIONS

    @classmethod
    def setUpClass(cls):
        cls.top = Path(tempfile.mkdtemp(prefix="simclr-pretrain-"))
        cls.addClassCleanup(shutil.rmtree, cls.top)
        cls.data = pack_real_images(cls.top)

    def setUp(self):
        self.run_dir = Path(tempfile.mkdtemp(dir=self.top)) / "run"

    def command(self, ranks, run_dir=None, **changed):
        options = {"data": self.data, "run-dir": self.run_dir if run_dir is None else run_dir, **self.OPTIONS}
        options.update({name.replace("_", "-"): value for name, value in changed.items()})
        launcher = [MPIEXEC, "-n", str(ranks)] if ranks > 1 else []
        flags = [f"--{name}" for name, value in options.items() if value is True]
        values = [f"--{name}={value}" for name, value in options.items() if value is not True]
        return launcher + [SIMCLR, self.COMMAND, *flags, *values]

    def pretrain(self, ranks=1, expect=0, run_dir=None, environment=None, **changed):
        done = subprocess.run(self.command(ranks, run_dir, **changed), capture_output=True, text=True,
                              env={**os.environ, **(environment or {})}, timeout=120, check=False)
        self.assertEqual(done.returncode, expect, done.stdout + done.stderr)
        return done

    def rows(self, run_dir=None):
        text = ((run_dir or self.run_dir) / "metrics.jsonl").read_text()
        return [json.loads(line) for line in text.splitlines()]

    def losses(self, run_dir=None):
        return [row["loss"] for row in self.rows(run_dir)]

    def state(self):
        return json.loads((self.run_dir / "state.json").read_text())

    def assert_state(self, **expected):
        state = self.state()
        self.assertEqual({name: state[name] for name in expected}, expected, state)

    def checkpoint(self, step, run_dir=None):
        return (run_dir or self.run_dir) / "checkpoints" / f"step-{step:010}.h5"

    def wait_for_step(self, process, step):
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline and process.poll() is None:
            metrics = self.run_dir / "metrics.jsonl"
            if metrics.exists() and len(metrics.read_text().splitlines()) >= step:
                return
            time.sleep(0.05)
        self.fail(f"no step {step}: {process.communicate(timeout=5)}")

    def start(self, ranks, environment=None, **changed):
        process = subprocess.Popen(self.command(ranks, **changed), text=True, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, env={**os.environ, **(environment or {})})
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.kill)
        return process

    def stop_by_signal(self, ranks, after_step=1, **changed):
        """Starts a run and sends USR1 after a step; all ranks must stop with a checkpoint. Returns its step."""
        process = self.start(ranks, **changed)
        self.wait_for_step(process, after_step)
        process.send_signal(signal.SIGUSR1)
        process.communicate(timeout=60)
        self.assertEqual(process.returncode, 75)
        self.assert_state(status="stopped-early", cause="signal", resubmit=True)
        return self.state()["step"]

    def assert_a_restart_changes_no_bit(self, ranks, at, steps, columns, torn_rows=""):
        """Trains `steps` steps at once, and again with a restart after step `at`, for which a crash has left `torn_rows`
        behind the rows of metrics.jsonl. Compares checkpoints and columns; returns the directory of the restarted run."""
        straight, restarted = (self.run_dir.parent / f"{name}{ranks}" for name in ("straight", "restarted"))
        self.pretrain(ranks, run_dir=straight, max_steps=steps)
        self.pretrain(ranks, run_dir=restarted, max_steps=at)
        with open(restarted / "metrics.jsonl", "a", encoding="utf-8") as f:
            f.write(torn_rows)
        self.pretrain(ranks, run_dir=restarted, max_steps=steps)
        self.assertEqual(self.checkpoint(steps, straight).read_bytes(), self.checkpoint(steps, restarted).read_bytes())
        self.assertEqual(*([[row[c] for c in columns] for row in self.rows(run)] for run in (straight, restarted)))
        return restarted

    def assert_close(self, a, b, relative):
        self.assertEqual(len(a), len(b))
        for x, y in zip(a, b):
            self.assertTrue(abs(x - y) <= relative * abs(y), (a, b))


def main():
    if not IMAGES.exists():
        print(f"skipped: {IMAGES} is missing (Debian package dataset-fashion-mnist)")
        sys.exit(77)
    os.environ["OMP_WAIT_POLICY"] = "passive"
    unittest.main(module="__main__", argv=[sys.argv[0], *sys.argv[3:]])
