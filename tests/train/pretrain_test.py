"""`simclr pretrain` from outside: restarts, ranks, signals, failures, refusals, on real images.

usage: pretrain_test.py SIMCLR MPIEXEC [unittest arguments]
"""
import gzip
import json
import os
import resource
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
SAMPLES = 96
BATCH = 16  # six steps an epoch

OPTIONS = {
    "image-size": 16, "encoder": "resnet18", "width": 0.125, "stem": "cifar", "batch-size": BATCH,
    "epochs": 4, "warmup-epochs": 0.5, "temperature": 0.5, "augment": "crop,flip,color",
    "learning-rate": 0.1, "lr-scaling": "none", "log-every": 1, "checkpoint-every-epochs": 0,
    "threads": 1, "loader-threads": 1,
}


def pack_real_images(directory):
    """The first images of Fashion-MNIST, as an IDX file that `simclr pack` turns into shards."""
    with gzip.open(IMAGES) as f:
        head, pixels = f.read(16), f.read(SAMPLES * 28 * 28)
    idx = directory / "idx"
    idx.mkdir()
    (idx / "few-images-idx3-ubyte").write_bytes(head[:4] + SAMPLES.to_bytes(4, "big") + head[8:] + pixels)
    subprocess.run([SIMCLR, "pack", "--from", "idx", "--input", idx, "--images", idx / "few-images-idx3-ubyte",
                    "--output", directory / "data", "--shards", "2"], check=True, capture_output=True)
    return directory / "data"


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


class PretrainTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.top = Path(tempfile.mkdtemp(prefix="simclr-pretrain-"))
        cls.addClassCleanup(shutil.rmtree, cls.top)
        cls.data = pack_real_images(cls.top)

    def setUp(self):
        self.run_dir = Path(tempfile.mkdtemp(dir=self.top)) / "run"

    def command(self, ranks, run_dir=None, **changed):
        options = {"data": self.data, "run-dir": run_dir or self.run_dir, **OPTIONS}
        options.update({name.replace("_", "-"): value for name, value in changed.items()})
        launcher = [MPIEXEC, "--oversubscribe", "-n", str(ranks)] if ranks > 1 else []
        flags = [f"--{name}" for name, value in options.items() if value is True]
        values = [f"--{name}={value}" for name, value in options.items() if value is not True]
        return launcher + [SIMCLR, "pretrain", *flags, *values]

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

    def start(self, ranks, **changed):
        process = subprocess.Popen(self.command(ranks, **changed), text=True, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.kill)
        return process

    def assert_close(self, a, b, relative):
        self.assertEqual(len(a), len(b))
        for x, y in zip(a, b):
            self.assertTrue(abs(x - y) <= relative * abs(y), (a, b))

    # ---- what a run leaves ----------------------------------------------------------------------

    def test_a_run_directory_holds_what_it_should(self):
        self.pretrain(max_steps=3, checkpoint_steps="0,2", keep=1)
        self.assertEqual([row["step"] for row in self.rows()], [1, 2, 3])
        self.assertEqual(self.rows()[0]["learning_rate"], 0)
        self.assertAlmostEqual(self.rows()[1]["learning_rate"], 0.1 / 3)
        self.assertEqual(self.state()["status"], "finished")
        self.assertEqual(self.state()["step"], 3)
        names = sorted(os.listdir(self.run_dir / "checkpoints"))
        self.assertEqual(names, [self.checkpoint(s).name for s in (0, 2, 3)])
        environment = json.loads((self.run_dir / "environment.json").read_text())
        self.assertEqual(environment["ranks"][0]["threads"], 1)
        self.assertFalse((self.run_dir / "lock").exists())

        # The stored configuration is loadable and says the same.
        again = self.run_dir.parent / "again"
        done = subprocess.run([SIMCLR, "pretrain", "--config", self.run_dir / "config.cfg", "--run-dir", again],
                              capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.losses(again), self.losses())

    def test_the_command_line_wins_over_sections_and_those_over_common_options(self):
        config = self.run_dir.parent / "c.cfg"
        lines = "".join(f"{k} = {v}\n" for k, v in OPTIONS.items() if k not in ("batch-size", "threads"))
        config.write_text(f"data = {self.data}\nthreads = 3\n# a comment\n[pretrain]\n{lines}"
                          "batch-size = 12\nthreads = 1\nseed = 7\n[linear-eval]\nepochs = 5\n")
        done = subprocess.run([SIMCLR, "pretrain", "--config", config, "--run-dir", self.run_dir,
                               "--batch-size", "24", "--max-steps", "1"], capture_output=True, text=True,
                              check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        written = (self.run_dir / "config.cfg").read_text()
        for line in ("batch-size = 24", "threads = 1", "seed = 7", "epochs = 4", f"data = {self.data}"):
            self.assertIn(f"\n{line}\n", written)

    def test_trace_ops_prints_every_op_once(self):
        done = self.pretrain(max_steps=1, trace_ops=True)
        for op in ("conv_forward", "nt_xent_forward", "conv_backward_weights", "lars_update"):
            self.assertIn(op, done.stdout)
        self.assertIn("not finite 0", done.stdout)

    # ---- restarts and ranks -----------------------------------------------------------------------

    def test_ten_steps_are_six_a_restart_and_four_byte_for_byte(self):
        for ranks in (1, 2):
            with self.subTest(ranks=ranks):
                straight = self.run_dir.parent / f"straight{ranks}"
                restarted = self.run_dir.parent / f"restarted{ranks}"
                self.pretrain(ranks, run_dir=straight, max_steps=10)
                self.pretrain(ranks, run_dir=restarted, max_steps=6)
                # Rows beyond the checkpoint, as a crash leaves them, go away.
                with open(restarted / "metrics.jsonl", "a", encoding="utf-8") as f:
                    f.write('{"step":7,"loss":1.0}\n{"step":8,"lo')
                self.pretrain(ranks, run_dir=restarted, max_steps=10)
                self.assertEqual(self.checkpoint(10, straight).read_bytes(),
                                 self.checkpoint(10, restarted).read_bytes())
                self.assertEqual(self.losses(straight), self.losses(restarted))
                state = json.loads((restarted / "state.json").read_text())
                self.assertEqual(state["restarts"], 1)

    def test_one_two_and_four_ranks_compute_the_same(self):
        directories = {n: self.run_dir.parent / f"ranks{n}" for n in (1, 2, 4)}
        for ranks, directory in directories.items():
            self.pretrain(ranks, run_dir=directory, max_steps=12, checkpoint_steps=5)
        one = self.losses(directories[1])
        for ranks in (2, 4):
            self.assert_close(self.losses(directories[ranks])[:1], one[:1], 1e-6)
            self.assert_close(self.losses(directories[ranks]), one, 1e-3)
            # From identical state, in mid-epoch, with momentum: one rank's checkpoint on several ranks.
            forked = self.run_dir.parent / f"forked{ranks}"
            self.pretrain(ranks, run_dir=forked, max_steps=6, resume=self.checkpoint(5, directories[1]))
            self.assert_close(self.losses(forked), one[5:6], 1e-6)

    def test_another_number_of_ranks_goes_on(self):
        straight = self.run_dir.parent / "straight"
        self.pretrain(1, run_dir=straight, max_steps=6)
        for ranks, steps in ((1, 2), (2, 4), (4, 6)):
            self.pretrain(ranks, max_steps=steps)
        self.assertEqual([row["step"] for row in self.rows()], [1, 2, 3, 4, 5, 6])
        self.assert_close(self.losses(), self.losses(straight), 1e-3)

    def test_falls_back_when_the_newest_checkpoint_is_damaged(self):
        self.pretrain(max_steps=2)
        self.pretrain(max_steps=4)
        newest = self.checkpoint(4)
        damaged = bytearray(newest.read_bytes())
        damaged[len(damaged) // 2] ^= 0x40
        newest.write_bytes(damaged)
        done = self.pretrain(max_steps=5)
        self.assertIn(newest.name, done.stderr)
        self.assertIn("at step 2", done.stdout)
        self.assertEqual([row["step"] for row in self.rows()], [1, 2, 3, 4, 5])

    # ---- signals and failures ---------------------------------------------------------------------

    def test_usr1_stops_all_ranks_with_a_checkpoint_and_75(self):
        process = self.start(2, epochs=1000)
        self.wait_for_step(process, 2)
        process.send_signal(signal.SIGUSR1)
        process.communicate(timeout=60)
        self.assertEqual(process.returncode, 75)
        self.assertEqual(self.state()["status"], "stopped-early")
        self.assertIn("SIGUSR1", self.state()["reason"])
        step = self.state()["step"]
        self.assertTrue(self.checkpoint(step).exists())
        self.pretrain(2, epochs=1000, max_steps=step + 1)
        self.assertEqual(self.rows()[-1]["step"], step + 1)

    def test_stops_before_the_time_limit(self):
        soon = {"SLURM_JOB_END_TIME": str(int(time.time()) + 60)}
        self.pretrain(2, expect=75, environment=soon, stop_before_minutes=2)
        self.assertEqual(self.state()["status"], "stopped-early")
        self.assertTrue(self.checkpoint(1).exists())

    def test_a_killed_rank_ends_all_within_five_seconds(self):
        process = self.start(2, epochs=1000)
        self.wait_for_step(process, 1)
        ranks = [int(p) for p in subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True,
                                                text=True, check=True).stdout.split()]
        self.assertEqual(len(ranks), 2)
        os.kill(ranks[1], signal.SIGKILL)
        killed = time.monotonic()
        process.communicate(timeout=30)
        while any(map(alive, ranks)) and time.monotonic() - killed < 5:
            time.sleep(0.02)
        self.assertLess(time.monotonic() - killed, 5)
        self.assertFalse([rank for rank in ranks if alive(rank)])
        self.assertNotEqual(process.returncode, 0)
        # Its lock is stale and does not stand in the way.
        done = self.pretrain(1, epochs=1000, max_steps=2)
        self.assertIn("lock", done.stderr)

    def test_a_nan_stops_the_run_and_names_the_first_op(self):
        done = self.pretrain(2, expect=1, optimizer="sgd", learning_rate=1e30, warmup_epochs=0,
                             checkpoint_steps=0)
        errors = [line for line in done.stderr.splitlines() if line.startswith("simclr: error:")]
        self.assertEqual(len(errors), 1, done.stderr)
        self.assertRegex(errors[0], r"step 2: the loss is not finite; first offending op: '\w+ [\w.]+'")
        self.assertEqual(self.state()["status"], "failed")
        self.assertIn("not finite", self.state()["reason"])
        self.assertEqual(os.listdir(self.run_dir / "checkpoints"), [self.checkpoint(0).name])

    def test_a_full_disk_fails_the_run_and_keeps_older_checkpoints(self):
        self.pretrain(max_steps=2)
        before = self.checkpoint(2).read_bytes()

        process = self.start(1, max_steps=20)
        self.wait_for_step(process, 3)
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (len(before) // 2, resource.RLIM_INFINITY))
        process.send_signal(signal.SIGUSR1)
        _, errors = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 1, errors)
        self.assertRegex(errors, r"simclr: error: .*step-0000\d+\.h5")
        self.assertEqual(os.listdir(self.run_dir / "checkpoints"), [self.checkpoint(2).name])
        self.assertEqual(self.checkpoint(2).read_bytes(), before)
        self.assertEqual(self.state()["status"], "failed")
        self.pretrain(max_steps=3)

    # ---- refusals -----------------------------------------------------------------------------------

    def refused(self, culprit, ranks=1, **changed):
        done = self.pretrain(ranks, expect=2, **changed)
        errors = [line for line in done.stderr.splitlines() if line.startswith("simclr:")]
        self.assertEqual(len(errors), 1, done.stderr)
        if ranks == 1:
            self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        self.assertIn(culprit, errors[0])

    def test_bad_options_are_refused_before_anything_is_written(self):
        (self.top / "empty").mkdir(exist_ok=True)
        cases = [
            ("'resnet18'", {"encoder": "resnt18"}), ("'color'", {"augment": "crop,colour"}),
            ("--temperature", {"temperature": 0}), ("--temperature", {"temperature": "nan"}),
            ("--batch-size", {"batch_size": 0}), ("--batch-size", {"batch_size": -4}),
            ("'x4'", {"batch_size": "x4"}), ("97", {"batch_size": 97}), ("--epochs", {"epochs": 0}),
            ("--batch-size'", {"batch_sise": 4}), ("--device", {"device": "cuda"}),
            ("--device", {"device": "gpu"}), ("--precision", {"precision": "fp16"}),
            ("--bn-group", {"bn_group": "some"}), ("--bn-group", {"bn_group": 3}),
            ("--momentum", {"momentum": 1.5}), ("--keep", {"keep": 0}),
            ("nowhere", {"data": self.top / "nowhere"}), ("empty", {"data": self.top / "empty"}),
            ("nothing.h5", {"resume": self.top / "nothing.h5"}), ("missing.cfg", {"config": "missing.cfg"}),
            ("SLURM_JOB_END_TIME", {"stop_before_minutes": 5}),
        ]
        for culprit, changed in cases:
            with self.subTest(**changed):
                if "batch_sise" in changed:
                    culprit = "'batch-size'"
                self.refused(culprit, **changed)
                self.assertFalse(self.run_dir.exists())

    def test_several_ranks_refuse_with_one_line(self):
        self.refused("3 ranks", ranks=3, batch_size=16)
        self.refused("--temperature", ranks=2, temperature=0)
        self.refused("nowhere", ranks=2, data=self.top / "nowhere")
        self.assertFalse(self.run_dir.exists())

    def test_bad_configuration_files_are_refused(self):
        config = self.run_dir.parent / "c.cfg"
        for text, culprit in (("[pretrian]\nseed = 1\n", "'pretrain'"), ("[pretrain]\nsede = 1\n", "'seed'"),
                              ("[pretrain]\nseed = 1\nseed = 2\n", "seed"), ("bach-size = 1\n", "'batch-size'"),
                              ("[pretrain]\nseed = one\n", "'one'")):
            with self.subTest(text=text):
                config.write_text(text)
                self.refused(culprit, config=config)

    def test_a_run_cannot_change_what_it_is(self):
        self.pretrain(max_steps=1)
        before = {p: p.read_bytes() for p in self.run_dir.rglob("*") if p.is_file()}
        self.refused("--temperature", temperature=0.2)
        self.refused("--seed", ranks=2, seed=2)
        self.refused("holds a run", resume="none")
        self.assertEqual(before, {p: p.read_bytes() for p in self.run_dir.rglob("*") if p.is_file()})
        other = self.run_dir.parent / "other"
        self.refused("--width", run_dir=other, width=0.25, resume=self.checkpoint(1))
        self.assertFalse(other.exists())
        self.pretrain(max_steps=2, threads=2, cache="node", recompute="blocks", log_every=2, keep=5)

    def test_a_run_directory_in_use_is_refused(self):
        process = self.start(1, epochs=1000)
        self.wait_for_step(process, 1)
        self.refused(f"process {process.pid}", epochs=1000)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
        self.assertEqual(process.returncode, 75)


if __name__ == "__main__":
    if not IMAGES.exists():
        print(f"skipped: {IMAGES} is missing (Debian package dataset-fashion-mnist)")
        sys.exit(77)
    os.environ["OMP_WAIT_POLICY"] = "passive"
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
