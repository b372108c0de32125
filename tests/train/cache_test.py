"""The cache mode does not change results: the same batches and losses in every mode, on any number of
ranks, with restarts in between.

usage: cache_test.py SIMCLR MPIEXEC [unittest arguments]
"""
import io
import itertools
import shlex
import signal
import subprocess

import h5py
import numpy as np
from PIL import Image

from training_runs import BATCH, OPTIONS, SAMPLES, SIMCLR, MPIEXEC, TrainingTest, main

MODES = ("node", "distributed", "none")
# Options of a run that determine the views.
VIEWS = {name: OPTIONS[name] for name in ("image-size", "batch-size", "augment", "loader-threads")}


def write_shards(directory, encoding, seed=3):
    """Images of different sizes in two shards, raw or as JPEG."""
    random = np.random.default_rng(seed)
    directory.mkdir()
    for shard, count in enumerate((SAMPLES // 3, SAMPLES - SAMPLES // 3)):
        sizes = random.integers(12, 25, (count, 2)).astype(np.int32)
        images = [random.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]
        stored = [image.tobytes() for image in images]
        if encoding == "jpeg":
            files = [io.BytesIO() for _ in images]
            for file, image in zip(files, images):
                Image.fromarray(image).save(file, "JPEG")
            stored = [file.getvalue() for file in files]
        with h5py.File(directory / f"{encoding}-{shard:05d}-of-00002.h5", "w") as f:
            f.attrs["encoding"] = encoding
            f["bytes"] = np.frombuffer(b"".join(stored), np.uint8)
            f["offsets"] = np.cumsum([0] + [len(image) for image in stored]).astype(np.uint64)
            f["sizes"] = sizes
    return directory


class CacheTest(TrainingTest):
    def views(self, ranks, cache, steps="0:4", data=None, **changed):
        """What `preview` writes: the samples and their views."""
        output = self.run_dir.parent / "views.h5"
        options = {"data": data or self.data, "steps": steps, "output": output, "cache": cache, **VIEWS, **changed}
        launcher = [MPIEXEC, "-n", str(ranks)] if ranks > 1 else []
        subprocess.run(launcher + [SIMCLR, "preview"] + [f"--{name}={value}" for name, value in options.items()],
                       check=True, capture_output=True, timeout=60)
        with h5py.File(output, "r") as f:
            return f["sample_index"][:], f["views"][:]

    def assert_same_views(self, first, second, message):
        for a, b in zip(first, second):
            self.assertEqual(a.shape, b.shape, message)
            self.assertEqual(a.tobytes(), b.tobytes(), message)

    def cost(self, key, run_dir):
        return sum(row[key] for row in self.rows(run_dir))

    # ---- the same in every mode ---------------------------------------------------------------------

    def test_batches_are_the_same_on_any_ranks(self):
        expected = self.views(1, "none")
        self.assertFalse(np.array_equal(np.sort(expected[0][0]), np.arange(BATCH)), "samples are shuffled")
        for ranks, cache in itertools.product((1, 2, 4), MODES):
            if (ranks, cache) != (1, "none"):
                self.assert_same_views(self.views(ranks, cache), expected, f"{cache} on {ranks} ranks")

    def test_batches_are_the_same_for_any_shards_and_order(self):
        images = {kind: write_shards(self.run_dir.parent / kind, kind) for kind in ("raw", "jpeg")}
        for kind, shuffle in (("raw", "full"), ("raw", "block"), ("jpeg", "off"), ("jpeg", "full")):
            expected = self.views(1, "none", data=images[kind], shuffle=shuffle)
            for ranks, cache in ((4, "distributed"), (2, "node")):
                self.assert_same_views(self.views(ranks, cache, data=images[kind], shuffle=shuffle), expected,
                                       f"{kind}, {shuffle}, {cache}")

    def test_losses_are_the_same(self):
        directory = self.run_dir.parent
        for ranks, cache in itertools.product((1, 2, 4), MODES):
            self.pretrain(ranks, run_dir=directory / f"{cache}{ranks}", max_steps=8, cache=cache)
        single = self.losses(directory / "node1")
        image_bytes = 28 * 28 * 3
        for ranks in (1, 2, 4):
            losses = {cache: self.losses(directory / f"{cache}{ranks}") for cache in MODES}
            self.assertEqual(losses["distributed"], losses["node"], ranks)
            self.assertEqual(losses["none"], losses["node"], ranks)
            self.assert_close(losses["node"][:1], single[:1], 1e-6)
            self.assert_close(losses["node"], single, 1e-3)
            # Every rank's samples are counted once: as read without a cache, as fetched if another rank holds them.
            run = {cache: directory / f"{cache}{ranks}" for cache in MODES}
            self.assertEqual(self.cost("bytes_read", run["none"]), 8 * BATCH * image_bytes)
            self.assertEqual(self.cost("bytes_fetched", run["none"]), 0)
            self.assertEqual(self.cost("bytes_read", run["node"]), 0)
            self.assertEqual(self.cost("bytes_read", run["distributed"]), 0)
            fetched = self.cost("bytes_fetched", run["distributed"])
            sample_index = self.views(1, "none", steps="0:8")[0]
            foreign = sum(int(sample) // (SAMPLES // ranks) != place // (BATCH // ranks)
                          for batch in sample_index for place, sample in enumerate(batch))
            self.assertEqual(fetched, foreign * image_bytes)
            for cache in MODES:
                self.assertTrue(all(0 <= row["seconds_read"] < 10 for row in self.rows(run[cache])))

    def test_the_log_says_where_pixels_are_and_why(self):
        done = self.pretrain(2, max_steps=1, cache="auto")
        self.assertRegex(done.stdout, rf"data: {SAMPLES} samples in \d+ shards?: \S+-00000-of-0000\d\.h5")
        self.assertRegex(done.stdout, r"data: node cache, .* GB/s per rank \(direct\); takes 0\.2 MB of the .* GB that are "
                                      r"free on the fullest node")
        done = self.pretrain(2, max_steps=2, cache="distributed")
        self.assertRegex(done.stdout, r"data: distributed over 2 ranks, .* GB/s per rank \(direct\); takes .* MB of the .* GB "
                                      r"that are free per rank on the fullest node")

    # ---- shared memory --------------------------------------------------------------------------------

    def test_jobs_that_start_together_share_the_memory_of_a_node(self):
        """Each of two jobs alone fits into /dev/shm, both together do not."""
        private = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs -o size=64m tmpfs /dev/shm && "$@"', "sh"]
        trial = subprocess.run([*private, "true"], capture_output=True, text=True, check=False)
        if trial.returncode != 0:
            self.skipTest(f"no file system can be mounted here: {trial.stderr.strip()}")
        side = 340
        shards = self.run_dir.parent / "shards"
        shards.mkdir()
        with h5py.File(shards / "large.h5", "w") as f:
            f["images"] = np.random.default_rng(1).integers(0, 256, (SAMPLES, side, side, 3), dtype=np.uint8)
        megabytes = SAMPLES * side * side * 3 / 1e6
        both = ["sh", "-c", "{0} >{1}/0.log 2>&1 & first=$!; {2} >{1}/1.log 2>&1; second=$?; wait $first; "
                            "echo $? $second"]
        for cache, allowed in (("auto", ({0}, {0})), ("node", ({0, 2}, {0, 2}))):
            with self.subTest(cache=cache):
                jobs = []
                for i in range(2):
                    # Two starts of mpirun at once may get in each other's way in one directory of sessions.
                    sessions = self.run_dir.parent / f"{cache}-sessions{i}"
                    sessions.mkdir()
                    command = self.command(2, run_dir=self.run_dir.parent / f"{cache}{i}", data=shards, cache=cache, max_steps=2)
                    jobs.append(shlex.join(["env", f"OMPI_MCA_orte_tmpdir_base={sessions}", *map(str, command)]))
                script = both[2].format(jobs[0], self.run_dir.parent, jobs[1])
                done = subprocess.run([*private, *both[:2], script], capture_output=True, text=True, timeout=120, check=True)
                codes = [int(code) for code in done.stdout.split()[-2:]]
                logs = [(self.run_dir.parent / f"{i}.log").read_text() for i in range(2)]
                self.assertIn(codes[0], allowed[0], logs)
                self.assertIn(codes[1], allowed[1], logs)
                self.assertIn(0, codes, logs)
                for code, log in zip(codes, logs):
                    if code == 2:
                        self.assertRegex(log, rf"/dev/shm.*{megabytes:.1f} MB|{megabytes:.1f} MB.*/dev/shm")

    # ---- restarts -----------------------------------------------------------------------------------

    def test_a_restart_in_another_mode_changes_no_byte(self):
        straight = self.run_dir.parent / "straight"
        self.pretrain(2, run_dir=straight, max_steps=6, cache="distributed")
        for steps, cache in ((2, "distributed"), (4, "none"), (5, "node"), (6, "distributed")):
            self.pretrain(2, max_steps=steps, cache=cache)
        self.assertEqual(self.losses(), self.losses(straight))
        self.assertEqual(self.checkpoint(6).read_bytes(), self.checkpoint(6, straight).read_bytes())

    def test_fewer_ranks_and_another_mode_follow_the_single_run(self):
        straight = self.run_dir.parent / "straight"
        options = {"learning_rate": 0.02}  # with larger ones rounding errors grow without bound over these steps
        self.pretrain(1, run_dir=straight, max_steps=20, **options)
        expected = self.views(1, "none", steps="0:20")
        for ranks, cache, first, end in ((4, "distributed", 0, 7), (2, "none", 7, 14), (1, "node", 14, 20)):
            done = self.pretrain(ranks, max_steps=end, cache=cache, **options)
            if first > 0:
                self.assertIn(f"ranks {2 * ranks} -> {ranks}", done.stdout)
            self.assert_same_views(self.views(ranks, cache, steps=f"{first}:{end}"),
                                   [part[first:end] for part in expected], f"{cache} on {ranks} ranks")
        self.assertEqual([row["step"] for row in self.rows()], list(range(1, 21)))
        self.assert_close(self.losses(), self.losses(straight), 1e-3)

    def test_a_run_that_kept_its_data_on_a_device_goes_on(self):
        straight = self.run_dir.parent / "straight"
        self.pretrain(run_dir=straight, max_steps=4)
        self.pretrain(max_steps=2)
        stored = self.run_dir / "config.cfg"
        stored.write_text(stored.read_text().replace("\ncache = auto\n", "\ncache = device\n"))
        self.assertIn("cache = device", stored.read_text())
        subprocess.run([SIMCLR, "report", self.run_dir], check=True, capture_output=True)
        self.pretrain(max_steps=4)
        self.assertEqual(self.checkpoint(4).read_bytes(), self.checkpoint(4, straight).read_bytes())
        self.assertIn("\ncache = auto\n", stored.read_text())
        done = self.pretrain(expect=2, max_steps=6, cache="device")
        self.assertIn("option --cache: 'device' is not accepted; allowed: auto|node|distributed|none", done.stderr)

    # ---- endings ------------------------------------------------------------------------------------

    def test_a_signal_ends_ranks_that_fetch_from_each_other(self):
        process = self.start(4, epochs=1000, cache="distributed")
        self.wait_for_step(process, 2)
        process.send_signal(signal.SIGUSR1)
        process.communicate(timeout=60)
        self.assertEqual(process.returncode, 75)
        self.assertEqual(self.state()["status"], "stopped-early")
        self.pretrain(4, epochs=1000, max_steps=self.state()["step"] + 1, cache="distributed")

    def test_a_failure_ends_ranks_that_fetch_from_each_other(self):
        done = self.pretrain(4, expect=1, optimizer="sgd", learning_rate=1e30, warmup_epochs=0, cache="distributed")
        self.assertIn("the loss is not finite", done.stderr)
        self.assertEqual(self.state()["status"], "failed")


if __name__ == "__main__":
    main()
