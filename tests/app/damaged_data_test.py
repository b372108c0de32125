"""Damaged data and outputs that do not fit, in every command: one line that names the file, and the right exit code.

usage: damaged_data_test.py BUILD_DIRECTORY MPIEXEC [unittest arguments]
"""
import io
import json
import os
import resource
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import h5py
import numpy as np
from PIL import Image

BUILD, MPIEXEC = Path(sys.argv[1]).resolve(), sys.argv[2]
MODEL = {"encoder": "resnet18", "width": 0.0625, "stem": "cifar", "projection_shortcut_everywhere": False,
         "head": "linear", "head_layers": 1, "head_hidden": 0, "embedding_dim": 8, "image_size": 16, "mean": None,
         "std": None}
TRAINING = ["--encoder=resnet18", "--width=0.0625", "--image-size=16", "--batch-size=8", "--warmup-epochs=0", "--epochs=1",
            "--device=cpu", "--threads=1"]
PIXELS = np.random.default_rng(1).integers(0, 256, (1000, 16, 16, 3), np.uint8)


def write_shard(path, count=16, labels=None, **options):
    path.parent.mkdir()
    with h5py.File(path, "w") as f:
        f.create_dataset("images", data=PIXELS[:count], **options)
        f["labels"] = np.arange(count) % 4 if labels is None else labels


def encoded(image):
    out = io.BytesIO()
    Image.fromarray(image).save(out, "JPEG")
    return out.getvalue()


class DamagedDataTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        directory = tempfile.TemporaryDirectory(prefix="simclr-damaged-")
        cls.addClassCleanup(directory.cleanup)
        cls.top = Path(directory.name)
        write_shard(cls.top / "good/good.h5")
        cls.make_checkpoint("step.h5", MODEL)

    @classmethod
    def make_checkpoint(cls, name, model):
        subprocess.run([BUILD / "tests/make_checkpoint", cls.top / name, json.dumps(model)], check=True)

    def run_program(self, *arguments, ranks=1, most_bytes=None):
        def limit():
            if most_bytes:
                resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))
        launcher = [MPIEXEC, "-n", str(ranks)] if ranks > 1 else []
        return subprocess.run([*launcher, BUILD / "simclr", *map(str, arguments)], cwd=self.top, capture_output=True,
                              text=True, timeout=100, check=False, preexec_fn=limit)

    def assert_fails(self, code, says, *arguments, **how):
        done = self.run_program(*arguments, **how)
        errors = [line for line in done.stderr.splitlines() if line.startswith("simclr: error: ")]
        with self.subTest(arguments=arguments, how=how):
            self.assertEqual(done.returncode, code, done.stderr)
            self.assertEqual(len(errors), 1, done.stderr)
            for text in says:
                self.assertIn(text, errors[0])
            self.assertNotRegex(done.stderr, r"HDF5 (read|write|could)|Signal|0x[0-9a-f]{6}")

    def evaluation(self, command, train, test="good", **options):
        return [command, "--checkpoint=step.h5", f"--train-data={train}", f"--test-data={test}", "--output=result.json",
                *[f"--{name}={value}" for name, value in options.items()]]

    def assert_refused_at_the_start(self, data, says):
        for command in (["pretrain", f"--data={data}", "--run-dir=run", *TRAINING],
                        ["pretrain", f"--data={data}", "--run-dir=run", "--cache=none", *TRAINING],
                        ["pretrain", f"--data={data}", "--run-dir=run", "--dry-run", *TRAINING],
                        self.evaluation("knn", data, neighbors=3), self.evaluation("knn", "good", data, neighbors=3),
                        self.evaluation("linear-eval", data),
                        ["embed", "--checkpoint=step.h5", f"--data={data}", "--output=features.h5"]):
            self.assert_fails(2, says, *command)
        self.assert_fails(2, says, "pretrain", f"--data={data}", "--run-dir=run", *TRAINING, ranks=2)
        for made in ("run", "result.json", "features.h5"):
            self.assertFalse((self.top / made).exists(), made)

    def assert_fails_during_work(self, data, says):
        self.assert_fails(1, says, "preview", f"--data={data}", "--output=pairs.png", "--image-size=16", "--samples=16")
        self.assert_fails(1, says, "preview", f"--data={data}", "--output=views.h5", "--image-size=16", "--batch-size=16",
                          "--steps=0:1")
        self.assert_fails(1, says, "inspect", data, "--verify")

    def test_damaged_chunks(self):
        for name, options in (("gzip", {"compression": "gzip"}), ("checksum", {"fletcher32": True})):
            file = self.top / name / "data.h5"
            write_shard(file, chunks=(4, 16, 16, 3), **options)
            with h5py.File(file) as f:
                chunk = f["images"].id.get_chunk_info(1).byte_offset
            with open(file, "r+b") as f:
                f.seek(chunk + 20)
                f.write(bytes(40))
            says = [f"{name}/data.h5: 'images' cannot be read: "]
            self.assert_refused_at_the_start(name, says)
            self.assert_fails_during_work(name, says)

    def test_damaged_images(self):
        images = [encoded(image) for image in PIXELS[:16]]
        images[5] = images[5][:300]
        (self.top / "jpeg").mkdir()
        with h5py.File(self.top / "jpeg/data.h5", "w") as f:
            f["bytes"] = np.frombuffer(b"".join(images), np.uint8)
            f["offsets"] = np.cumsum([0] + [len(image) for image in images])
            f["sizes"] = np.full((16, 2), 16)
            f["labels"] = np.arange(16) % 4
            f.attrs["encoding"] = "jpeg"
        says = ["jpeg/data.h5: sample 5 of ", "damaged JPEG"]
        self.assert_refused_at_the_start("jpeg", says)
        self.assert_fails_during_work("jpeg", says)

    def test_verify_says_what_it_read(self):
        done = self.run_program("inspect", "good", "--verify")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stdout, r"verified +0\.0 MB against 0 checksums, 0 wrong\nonly read +0\.0 MB without checksums\n")

    def test_outputs_that_do_not_fit(self):
        write_shard(self.top / "many/many.h5", 1000)
        (self.top / "photos/a").mkdir(parents=True)
        for i in range(8):
            Image.fromarray(PIXELS[30 * i:30 * i + 30].reshape(120, 64, 3)).save(self.top / f"photos/a/{i}.jpg", quality=95)
        before = sorted(os.listdir(self.top))
        for most in (70_000, 100_000, 130_000):  # commands write 64 KiB before the work, to see whether they can
            self.assert_fails(1, ["features.h5", "File too large"], "embed", "--checkpoint=step.h5", "--data=many",
                              "--output=features.h5", most_bytes=most)
            self.assert_fails(1, ["views.h5", "File too large"], "preview", "--data=good", "--output=views.h5",
                              "--image-size=16", "--batch-size=8", "--steps=0:3", most_bytes=most)
        for encoding in ("raw", "jpeg"):
            for most in (1000, 10_000, 40_000):
                self.assert_fails(1, ["packed"], "pack", "--from=folder", "--input=photos", "--output=packed", "--shards=1",
                                  f"--encoding={encoding}", most_bytes=most)
                self.assertEqual(list((self.top / "packed").glob("*")), [])
                (self.top / "packed").rmdir()
        self.assertEqual(sorted(os.listdir(self.top)), before)

    def test_views_of_more_steps_than_the_disk_holds(self):
        for last in (10**12, 2**62, 2**63 - 1):
            self.assert_fails(2, ["option --steps: ", f"{last} steps"], "preview", "--data=good", "--image-size=16",
                              "--batch-size=8", f"--steps=0:{last}", "--output=views.h5")

    def test_classifiers_that_memory_does_not_hold(self):
        write_shard(self.top / "gap/gap.h5", labels=np.where(np.arange(16) == 3, 2**24 - 1, np.arange(16) % 4))
        self.make_checkpoint("step.h5", dict(MODEL, width=2))
        self.addCleanup(self.make_checkpoint, "step.h5", MODEL)
        says = ["option --train-data: ", "largest label is 16777215", "gap"]
        with open("/proc/meminfo", encoding="ascii") as f:
            gigabytes = int(f.readline().split()[1]) / 1e6
        self.assertLess(gigabytes, 4000)  # 16777216 classes and 1024 channels take 4.1 TB, or 0.2 TB with SGD
        self.assert_fails(2, says, *self.evaluation("linear-eval", "gap"))
        self.assert_fails(2, says, *self.evaluation("linear-eval", "gap"), "--dry-run")
        self.assert_fails(2, says, *self.evaluation("linear-eval", "gap"), ranks=2)
        if gigabytes < 200:
            self.assert_fails(2, says, *self.evaluation("linear-eval", "gap", "gap", protocol="augmented",
                                                        **{"batch-size": 8}))


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
