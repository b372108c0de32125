"""The whole program with the CUDA backend on the emulated device, compared with its CPU backend.

usage: emulated_test.py SIMCLR_EMULATED MPIEXEC [unittest arguments]
"""
import gzip
import json
import os
import subprocess

import h5py
import numpy as np

from losses_test import VARIANTS
from training_runs import IMAGES, MPIEXEC, SIMCLR, TrainingTest, main

LABELS = IMAGES.with_name("t10k-labels-idx1-ubyte.gz")
# Small, because the emulation runs all threads of all blocks one after the other.
TINY = {"image-size": 8, "batch-size": 8, "embedding-dim": 16, "device": "cuda", "plan-cache": "none"}
SMALL = ["--encoder", "resnet18", "--width", "0.125", "--stem", "cifar", "--image-size", "8"]
LABELED = {"train": (0, 48), "test": (48, 24)}  # first image, images


def pack_labeled(directory, name):
    first, count = LABELED[name]
    idx = directory / f"{name}-idx"
    idx.mkdir()
    for path, header, size in ((IMAGES, 16, 28 * 28), (LABELS, 8, 1)):
        with gzip.open(path) as f:
            head = f.read(header)
            f.seek(header + first * size)
            (idx / path.stem).write_bytes(head[:4] + count.to_bytes(4, "big") + head[8:] + f.read(count * size))
    subprocess.run([SIMCLR, "pack", "--from", "idx", "--input", idx, "--split", "test", "--output",
                    directory / name, "--shards", "1"], check=True, capture_output=True)
    return directory / name


class EmulatedTest(TrainingTest):
    def train(self, run_dir, max_steps, ranks=1, **changed):
        options = {**{name.replace("-", "_"): value for name, value in TINY.items()}, **changed}
        return self.pretrain(ranks, run_dir=self.run_dir.parent / run_dir, max_steps=max_steps, **options)

    def loss_of(self, run_dir):
        return self.losses(self.run_dir.parent / run_dir)

    def bytes_of(self, run_dir, step):
        return self.checkpoint(step, self.run_dir.parent / run_dir).read_bytes()

    def parameters(self, run_dir, step):
        with h5py.File(self.checkpoint(step, self.run_dir.parent / run_dir), "r") as file:
            values = {}
            file["parameters"].visititems(
                lambda name, item: values.update({name: item[:].tobytes()}) if hasattr(item, "shape") else None)
        return values

    # ---- pretraining ------------------------------------------------------------------------------

    def test_monitors(self):
        """They change no bit, and agree with the CPU's."""
        (self.top / "monitors").mkdir()
        options = {"eval_data": pack_labeled(self.top / "monitors", "test"), "knn_every_epochs": 1, "knn_bank": 16,
                   "eval_loss_every_epochs": 1, "probe": "on", "probe_every_epochs": 1}
        steps = 12  # an epoch
        self.train("plain", steps, precision="fp32")
        self.train("watched", steps, precision="fp32", **options)
        self.train("cpu", steps, device="cpu", **options)
        plain, watched = (self.parameters(name, steps) for name in ("plain", "watched"))
        self.assertEqual({name: watched[name] for name in plain}, plain)
        self.assertEqual({name for name in watched if name not in plain}, {"probe.weight", "probe.bias"})
        gpu, cpu = (self.rows(self.run_dir.parent / name)[-1] for name in ("watched", "cpu"))
        self.assert_close([gpu["eval_loss"]], [cpu["eval_loss"]], 1e-2)
        self.assertTrue(0 <= gpu["knn_top1"] <= 1)
        probes = [[row["probe_loss"] for row in self.rows(self.run_dir.parent / name) if "loss" in row]
                  for name in ("watched", "cpu")]
        self.assert_close(probes[0][:3], probes[1][:3], 1e-3)

    def test_run(self):
        """Losses in fp32 agree with the CPU."""
        self.train("gpu", 4, precision="fp32")
        self.train("cpu", 4, device="cpu")
        self.assert_close(self.loss_of("gpu")[:1], self.loss_of("cpu")[:1], 1e-5)
        self.assert_close(self.loss_of("gpu"), self.loss_of("cpu"), 1e-3)
        rows = self.rows(self.run_dir.parent / "gpu")
        self.assertTrue(all(row["seconds_step"] > 0 for row in rows))
        self.assertFalse([key for row in rows for key in row if key in ("seconds_forward", "loss_scale")])
        environment = json.loads((self.run_dir.parent / "gpu" / "environment.json").read_text())
        self.assertEqual(environment["ranks"][0]["device"], "cuda")
        self.assertEqual(environment["ranks"][0]["model"], "emulated device")
        self.assertIn("forward", " ".join(environment["convolution_plans"]["choices"]))

    def test_restart(self):
        """2 steps, a restart and 2 steps equal 4 steps bit for bit, in the precision that auto means on a GPU."""
        self.train("straight", 4)
        self.train("restarted", 2)
        done = self.train("restarted", 4)
        self.assertNotIn("bit for bit", done.stdout)
        self.assertEqual(self.bytes_of("straight", 4), self.bytes_of("restarted", 4))
        self.assertEqual(self.loss_of("straight"), self.loss_of("restarted"))
        config = (self.run_dir.parent / "straight" / "config.cfg").read_text()
        self.assertIn("\nprecision = bf16\n", config)

    def test_plans(self):
        """A restart uses the run's stored plan for weight gradients, even if another one is faster by then."""
        rounded = {"SIMCLR_EMULATED_NARROW_GRADIENT_MS": "0.5"}
        self.train("straight", 3, environment=rounded)
        self.train("restarted", 1, environment=rounded)
        done = self.train("restarted", 3)
        self.assertNotIn("bit for bit", done.stdout)
        self.assertEqual(self.bytes_of("straight", 3), self.bytes_of("restarted", 3))
        self.train("exact", 3)
        self.assertNotEqual(self.parameters("exact", 3), self.parameters("straight", 3))

    def test_other_device(self):
        """A run moves from the CPU to the GPU and back and keeps its precision."""
        self.train("cpu", 6, device="cpu")
        self.train("both", 2, device="cpu")
        done = self.train("both", 4, precision="auto")
        self.assertIn("device cpu -> cuda", done.stdout)
        done = self.train("both", 6, device="cpu")
        self.assertIn("device cuda -> cpu", done.stdout)
        self.assertIn("\nprecision = fp32\n", (self.run_dir.parent / "both" / "config.cfg").read_text())
        environment = json.loads((self.run_dir.parent / "both" / "environment.json").read_text())
        self.assertEqual(environment["convolution_plans"]["model"], "emulated device")
        self.assert_close(self.loss_of("both"), self.loss_of("cpu"), 1e-3)

    def test_ranks(self):
        """Two ranks compute the same as one: sharing a device through host memory, and on two devices by NCCL."""
        self.train("one", 3, precision="fp32")
        self.train("shared", 3, ranks=2, precision="fp32", collectives="mpi", share_device=True)
        self.train("nccl", 3, ranks=2, precision="fp32", collectives="nccl",
                   environment={"SIMCLR_EMULATED_DEVICES": "2"})
        for two in ("shared", "nccl"):
            self.assert_close(self.loss_of(two)[:1], self.loss_of("one")[:1], 1e-6)
            self.assert_close(self.loss_of(two), self.loss_of("one"), 1e-3)

    def test_losses(self):
        """Every loss, on two ranks and in the precision that auto means on a GPU, too."""
        for name, options in VARIANTS.items():
            with self.subTest(name):
                self.train(f"{name}-cpu", 2, device="cpu", **options)
                self.train(f"{name}-gpu", 2, ranks=2, precision="fp32", collectives="mpi", share_device=True, **options)
                self.train(f"{name}-bf16", 2, **options)
                cpu, gpu, bf16 = (self.rows(self.run_dir.parent / f"{name}-{run}") for run in ("cpu", "gpu", "bf16"))
                self.assertEqual(cpu[0].get("semi_hard_share"), gpu[0].get("semi_hard_share"))
                first = {key: [[rows[0][key]] for rows in (cpu, gpu, bf16)]
                         for key in ("loss", "entropy", "contrastive_top1")}
                # Rounding may turn the comparisons that choose semi-hard negatives.
                is_semi_hard = "semi_hard" in options
                self.assert_close(first["loss"][1], first["loss"][0], 1e-2 if is_semi_hard else 1e-5)
                self.assert_close(first["entropy"][1], first["entropy"][0], 1e-5)
                self.assertEqual(first["contrastive_top1"][1], first["contrastive_top1"][0])
                self.assert_close(first["loss"][2], first["loss"][0], 5e-2)
                if not is_semi_hard:
                    self.assert_close([row["loss"] for row in gpu], [row["loss"] for row in cpu], 1e-3)

    def test_fp16(self):
        """The initial loss scale is too large for this network: steps are skipped until it fits."""
        self.train("fp32", 2, device="cpu")
        self.train("fp16", 6, precision="fp16", checkpoint_steps="1,2,3,4,5")
        self.assert_close(self.loss_of("fp16")[:2], self.loss_of("fp32"), 2e-2)
        rows = self.rows(self.run_dir.parent / "fp16")
        skipped = [0] + [row["skipped_steps"] for row in rows]
        self.assertEqual([row["loss_scale"] for row in rows], [65536 >> count for count in skipped[1:]])
        kept = [self.parameters("fp16", step) == self.parameters("fp16", step + 1) for step in range(1, 6)]
        self.assertEqual(kept, [after > before for before, after in zip(skipped[1:], skipped[2:])])
        self.assertTrue(any(kept) and not all(kept), skipped)

        self.train("restarted", 3, precision="fp16")
        self.train("restarted", 6, checkpoint_steps="1,2,3,4,5")
        self.assertEqual(self.bytes_of("fp16", 6), self.bytes_of("restarted", 6))

    def test_memory(self):
        """If any rank runs out of device memory, all ranks end with one error that says what would fit."""
        options = {**TINY, "max-steps": 1, "collectives": "mpi", "share-device": True}
        launcher, size, command = [MPIEXEC], "SIMCLR_EMULATED_MEMORY_MB=1", self.command(1, **options)
        for short in ((0,), (1,), (0, 1)):
            job = [*launcher]
            for rank in (0, 1):
                job += [":"] * rank + ["-n", "1", "env", *[size] * (rank in short), *command]
            done = subprocess.run(job, capture_output=True, text=True, timeout=60, check=False)
            self.assertEqual(done.returncode, 1, done.stderr)
            errors = [line for line in done.stderr.splitlines() if line.startswith("simclr: error")]
            self.assertEqual(len(errors), 1, done.stderr)
            self.assertRegex(errors[0], "rank . on .*: out of device memory: no room for .* MB are asked for, .*"
                                        "(would fit|no batch fits)")

    def test_nan(self):
        """The first offending op is named, even if the next batch is already staged."""
        done = subprocess.run(
            self.command(1, **{**TINY, "optimizer": "sgd", "learning_rate": 1e30, "warmup_epochs": 0,
                               "checkpoint_steps": 0, "precision": "fp32"}),
            capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertRegex(done.stderr, r"step 2: the loss is not finite; first offending op: '\w+ [\w.]+'")
        self.assertEqual(os.listdir(self.run_dir / "checkpoints"), [self.checkpoint(0).name])

    # ---- evaluation ---------------------------------------------------------------------------------

    def evaluate(self, command, *options, device="cuda"):
        """Evaluates an encoder that was trained on the CPU and returns the result, or h for `embed`."""
        if not hasattr(self, "labeled"):
            self.labeled = {name: pack_labeled(self.run_dir.parent, name) for name in LABELED}
            self.train("run", 6, device="cpu")
        output = self.run_dir.parent / f"{command}-{device}.{'h5' if command == 'embed' else 'json'}"
        data = (["--data", self.labeled["test"]] if command in ("embed", "quality") else
                ["--train-data", self.labeled["train"], "--test-data", self.labeled["test"]])
        done = subprocess.run(
            [SIMCLR, command, "--checkpoint", self.run_dir.parent / "run", *data, "--output", output,
             "--device", device, "--threads", "1", "--feature-batch", "8", "--plan-cache", "none",
             *map(str, options)], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        if command == "embed":
            with h5py.File(output, "r") as file:
                return file["h"][:]
        return json.loads(output.read_text())

    def assert_same_accuracy(self, command, *options):
        gpu, cpu = (self.evaluate(command, *options, device=device) for device in ("cuda", "cpu"))
        one_image = 1.5 / LABELED["test"][1]
        self.assertAlmostEqual(gpu["top1"], cpu["top1"], delta=one_image)
        self.assertAlmostEqual(gpu["top5"], cpu["top5"], delta=one_image)
        return gpu, cpu

    def test_knn(self):
        self.assert_same_accuracy("knn", "--neighbors", 5)

    def test_linear_cached(self):
        gpu, cpu = self.assert_same_accuracy("linear-eval", "--max-iterations", 10)
        self.assertAlmostEqual(gpu["train_loss"], cpu["train_loss"], delta=1e-3)

    def test_linear_augmented(self):
        gpu, cpu = self.assert_same_accuracy("linear-eval", "--protocol", "augmented", "--epochs", 1,
                                             "--batch-size", 24)
        self.assertAlmostEqual(gpu["train_loss"], cpu["train_loss"], delta=1e-3)
        self.assertEqual(gpu["encoder_hash_before"], cpu["encoder_hash_before"])
        self.assertEqual(gpu["encoder_hash_after"], gpu["encoder_hash_before"])

    def test_embed(self):
        np.testing.assert_allclose(self.evaluate("embed"), self.evaluate("embed", device="cpu"),
                                   rtol=1e-3, atol=1e-4)

    def test_quality(self):
        gpu, cpu = (self.evaluate("quality", device=device) for device in ("cuda", "cpu"))
        for key in ("feature_std", "uniformity", "alignment", "rankme_h", "rankme_z"):
            self.assertLess(abs(gpu[key] - cpu[key]), 2e-3 * abs(cpu[key]), key)

    # ---- benchmarks -----------------------------------------------------------------------------------

    def bench(self, command, *options):
        done = subprocess.run([SIMCLR, "bench", command, *options, "--device", "cuda", "--plan-cache", "none",
                               "--repeats", "1"], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def test_bench_op(self):
        self.assertRegex(self.bench("op", *SMALL, "--views", "4"), "limits of emulated device.*\n.*bf16")

    def test_bench_loss(self):
        self.assertRegex(self.bench("loss", "--views", "64", "--embedding-dim", "16"),
                         "limits of emulated device")

    def test_bench_step(self):
        result = json.loads(self.bench("step", *SMALL, "--batch-size", "2", "--json"))
        self.assertTrue(0 < result["views_per_second"] < 1e5, result)  # the emulation is slow
        self.assertIsNone(result["seconds_forward"])


if __name__ == "__main__":
    main()
