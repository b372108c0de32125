"""Limits of the process and the machine: few open files for many shards, and little memory.

usage: limits_test.py SIMCLR MPIEXEC [unittest arguments]
"""
import re
import resource
import subprocess
from pathlib import Path

import h5py

from training_runs import SAMPLES, SIMCLR, TrainingTest, main

SHARDS = 96  # one sample in each
OPEN_FILES = 64


class LimitsTest(TrainingTest):
    # ---- open files ---------------------------------------------------------------------------------

    def in_shards(self, shards):
        """The images of self.data in so many shards."""
        directory = self.top / f"{shards}-shards"
        if not directory.exists():
            idx = self.top / "idx"
            subprocess.run([SIMCLR, "pack", "--from", "idx", "--input", idx, "--images", idx / "few-t10k-images-idx3-ubyte",
                            "--labels", idx / "few-t10k-labels-idx1-ubyte", "--output", directory,
                            "--shards", str(shards)], check=True, capture_output=True, preexec_fn=few_files)
        return directory

    def limited(self, ranks, **changed):
        command = self.command(ranks, **changed)
        rank = command.index(SIMCLR)
        command[rank:rank] = ["sh", "-c", f'ulimit -n {OPEN_FILES}; exec "$@"', "sh"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done

    def test_more_shards_than_files_may_be_open(self):
        data = self.in_shards(SHARDS)
        expected = self.run_dir.parent / "expected"
        self.pretrain(run_dir=expected, max_steps=3)
        for ranks in (1, 2):
            for cache in ("auto", "node", "distributed", "none"):
                run = self.run_dir.parent / f"{cache}{ranks}"
                self.limited(ranks, run_dir=run, data=data, cache=cache, max_steps=3)
                self.assert_close(self.losses(run), self.losses(expected), 1e-3 if ranks > 1 else 1e-12)

    def test_evaluations_of_more_shards_than_files_may_be_open(self):
        data = self.in_shards(SHARDS)
        self.pretrain(max_steps=1)
        for command in (["knn", "--neighbors", "3"], ["linear-eval"],
                        ["linear-eval", "--protocol", "augmented", "--epochs", "1", "--batch-size", "16"]):
            done = subprocess.run([SIMCLR, *command, "--checkpoint", self.run_dir, "--train-data", data,
                                   "--test-data", data, "--cache", "none", "--threads", "2"], capture_output=True,
                                  text=True, check=False, preexec_fn=few_files, timeout=120)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        features = self.run_dir.parent / "features.h5"
        for command in (["embed", "--checkpoint", self.run_dir, "--data", data, "--output", features],
                        ["inspect", data, "--verify"]):
            done = subprocess.run([SIMCLR, *command], capture_output=True, text=True, check=False, preexec_fn=few_files,
                                  timeout=120)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        with h5py.File(features) as f:
            self.assertEqual(len(f["h"]), SAMPLES)

    # ---- memory -------------------------------------------------------------------------------------

    def with_free_memory(self, megabytes, ranks, expect, **changed):
        """Runs pretrain where /proc/meminfo says that so much memory is available."""
        text = re.sub(r"MemAvailable: .*", f"MemAvailable: {megabytes * 1000} kB", Path("/proc/meminfo").read_text())
        meminfo = self.run_dir.parent / "meminfo"
        meminfo.write_text(text)
        return self.with_mount(f"--bind {meminfo} /proc/meminfo", expect, self.command(ranks, **changed))

    def with_mount(self, mount, expect, command):
        private = ["unshare", "--mount", "sh", "-c", f'mount {mount} && "$@"', "sh"]
        trial = subprocess.run([*private, "true"], capture_output=True, text=True, check=False)
        if trial.returncode != 0:
            self.skipTest(f"nothing can be mounted here: {trial.stderr.strip()}")
        done = subprocess.run([*private, *map(str, command)], capture_output=True, text=True, check=False, timeout=120)
        self.assertEqual(done.returncode, expect, done.stdout + done.stderr)
        return done

    def test_a_system_without_proc(self):
        """What needs /proc says so in one line; what does not need it works."""
        def without_proc(expect, *command):
            return self.with_mount("-t tmpfs none /proc", expect, [SIMCLR, *command])

        shard = next(self.data.glob("*.h5"))
        for command in (self.command(1)[1:], ["inspect", self.data], ["knn", "--checkpoint", shard]):
            done = without_proc(2, *command)
            self.assertRegex(done.stderr, r"\Asimclr: error: [^\n]*mount /proc\n\Z")
            self.assertFalse(self.run_dir.exists())
        without_proc(0, "--version", "--verbose")
        plan = ["plan", "pretrain", "--samples", "100", "--batch-size", "16", "--epochs", "1", "--encoder", "resnet18"]
        self.assertIn("memory", without_proc(0, *plan).stdout)
        idx = self.top / "idx"
        packed = self.run_dir.parent / "packed"
        without_proc(0, "pack", "--from", "idx", "--input", idx, "--images", idx / "few-t10k-images-idx3-ubyte",
                     "--labels", idx / "few-t10k-labels-idx1-ubyte", "--output", packed)
        with h5py.File(next(packed.glob("*.h5"))) as f:
            self.assertEqual(f.attrs["format"], "simclr-shards")

    def test_a_run_that_does_not_fit_into_memory_is_refused_before_it_trains(self):
        large = {"width": 1, "image_size": 32, "max_steps": 1}
        for ranks in (1, 2):
            for how in ({}, {"dry-run": True}):
                done = self.with_free_memory(100, ranks, 2, **large, **how)
                errors = [line for line in done.stderr.splitlines() if line.startswith("simclr: error: ")]
                self.assertEqual(len(errors), 1, done.stderr)
                self.assertRegex(errors[0], r"not enough memory to train: needed 0\.\d GB.*writing a checkpoint 9\.4 MB"
                                            r".*0\.1 GB are there \(available memory\); use --recompute")
                self.assertFalse(self.run_dir.exists())
        self.with_free_memory(1000, 1, 0, **large)
        # A start that resumes frees the checkpoint that it has read.
        self.with_free_memory(1000, 2, 0, **{**large, "max_steps": 2})

    def test_a_run_holds_no_copy_of_its_state(self):
        """Parameters and momentum, 89 MB, are in the checkpoint; gradients, 45 MB, are not. Beside these the run needs
        less than one copy more, most of it for the libraries' scratch memory."""
        done = self.pretrain(width=1, image_size=8, batch_size=2, bn_group="global", max_steps=1)
        file = self.checkpoint(1).stat().st_size
        self.assertGreater(file, 85e6)
        peak = float(re.search(r"peak memory a rank: ([\d.]+) MB", done.stdout)[1]) * 1e6
        small = self.pretrain(run_dir=self.run_dir.parent / "small", image_size=8, batch_size=2, max_steps=1)
        program = float(re.search(r"peak memory a rank: ([\d.]+) MB", small.stdout)[1]) * 1e6
        activations = float(re.search(r"activations ([\d.]+) MB", done.stdout)[1]) * 1e6
        self.assertLess(peak - program - activations - 1.5 * file, 0.8 * file)


def few_files():
    resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES, OPEN_FILES))


if __name__ == "__main__":
    main()
