"""Files that are damaged, or made to harm: every command refuses them with exit code 2 and one line that names the
file, soon and with little memory.

usage: hostile_test.py BUILD_DIRECTORY [unittest arguments]
"""
import json
import re
import resource
import struct
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import h5py
import numpy as np

BUILD = Path(sys.argv[1])
MODEL = {"encoder": "resnet18", "width": 0.0625, "stem": "cifar", "projection_shortcut_everywhere": False,
         "head": "linear", "head_layers": 1, "head_hidden": 0, "embedding_dim": 8, "image_size": 16, "mean": None,
         "std": None}
MOST_MEMORY = 12_000_000_000


def limit():
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))


def simclr(*arguments):
    return subprocess.run([BUILD / "simclr", *map(str, arguments)], capture_output=True, timeout=20, check=False,
                          preexec_fn=limit)


# Readers that follow such a value by recursion use up their stack.
DEEP = "[" * 60_000 + "]" * 60_000


class HostileTest(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="simclr-hostile-")
        self.addCleanup(directory.cleanup)
        self.top = Path(directory.name)

    def assert_refused(self, done, *culprits):
        errors = done.stderr.decode()
        self.assertEqual(done.returncode, 2, errors)
        self.assertRegex(errors, r"\Asimclr: error: [^\n]*\n\Z")
        self.assertNotIn("json.exception", errors)
        for culprit in culprits:
            self.assertIn(str(culprit), errors)

    # ---- shards ----

    def shard_commands(self, file):
        options = ("--encoder", "resnet18", "--width", "0.0625", "--image-size", "16", "--batch-size", "2")
        yield "inspect", file
        yield "inspect", file, "--verify"
        yield "plan", "--machine", "h100", "--data", file, *options
        yield "preview", "--data", file, "--output", self.top / "grid.png", "--image-size", "16"
        yield "pretrain", "--data", file, "--run-dir", self.top / "run", "--device", "cpu", *options

    def write_shard(self, **attributes):
        file = self.top / "shard.h5"
        with h5py.File(file, "w") as f:
            f["images"] = np.zeros((4, 16, 16, 3), np.uint8)
            f.attrs.update(attributes)
        return file

    def test_texts_that_crash_hdf5(self):
        """HDF5 believes the number of texts and where they are stored."""
        texts = [f"class {i}" for i in range(41)]
        fixed = self.write_shard(class_names=np.array(texts, "S16")).read_bytes()
        variable = self.write_shard(class_names=texts).read_bytes()
        heap = variable.index(b"GCOL")
        text = variable.index(struct.pack("<IQ", len(texts[0]), heap))  # its length, heap and number there
        broken = [fixed.replace(struct.pack("<Q", 41), struct.pack("<Q", count)) for count in (1 << 28, 1 << 40)]
        for at in range(heap + 16, heap + 64, 8):
            broken.append(variable[:at] + struct.pack("<Q", (1 << 40) + 8) + variable[at + 8:])
        for changed in ((2**32 - 1, heap, 1), (7, heap + 8, 1), (7, 2**60, 1), (7, 0, 1), (7, heap, 60000)):
            broken.append(variable[:text] + struct.pack("<IQI", *changed) + variable[text + 16:])
        refused = 0
        for i, content in enumerate(broken):
            file = self.top / f"{i}.h5"
            file.write_bytes(content)
            done = simclr("inspect", file)
            if done.returncode == 0:
                continue  # a number that HDF5 does not use
            refused += 1
            for command in self.shard_commands(file):
                with self.subTest(command=command[0], i=i):
                    self.assert_refused(simclr(*command), file)
        self.assertGreater(refused, 4)

    def test_more_text_than_a_shard_has(self):
        file = self.write_shard(class_names=["x" * (1 << 20)] * 17)
        self.assert_refused(simclr("inspect", file), file, "class_names", "bytes of text")

    def test_a_number_of_shards_that_is_none(self):
        directory = self.top / "set"
        directory.mkdir()
        for i in range(2):
            self.write_shard().rename(directory / f"data-{i}-of-99999999999999999999999.h5")
        self.assertEqual(simclr("inspect", directory).returncode, 0)

    def test_terminals_are_not_controlled(self):
        file = self.write_shard(name="\x1b[31mred\r\x07", class_names=["\x9b31m", "a\nb"])
        with h5py.File(file, "a") as f:
            f["labels"] = np.array([0, 1, 0, 1])
        shown = simclr("inspect", file).stdout.decode()
        self.assertIn("\\x1b[31mred\\x0d\\x07", shown)
        self.assertNotRegex(shown, "[\x00-\x09\x0b-\x1f\x7f-\x9f]")
        odd = self.top / "odd\x1b[2J.h5"
        odd.write_bytes(b"no HDF5")
        self.assert_refused(simclr("inspect", odd), "odd\\x1b[2J.h5")
        checkpoint = self.write_checkpoint(dict(MODEL, note="\x1b[2J"))
        shown = simclr("inspect", checkpoint).stdout.decode()
        self.assertNotIn("\x1b", shown)

    # ---- checkpoints ----

    def write_checkpoint(self, says=None):
        file = self.top / "step-0000000001.h5"
        subprocess.run([BUILD / "tests/make_checkpoint", file, json.dumps(MODEL),
                        *([says if isinstance(says, str) else json.dumps(says)] if says else [])], check=True)
        return file

    def assert_checkpoint_refused(self, file, *culprits):
        data = self.write_shard()
        for command in (("inspect", file), ("inspect", file, "--verify"), ("export", file),
                        ("embed", "--checkpoint", file, "--data", data, "--output", self.top / "features.h5"),
                        ("knn", "--checkpoint", file, "--train-data", data, "--test-data", data)):
            with self.subTest(command=command[0], culprits=culprits):
                self.assert_refused(simclr(*command), file.name, *culprits)

    def test_models_that_cannot_be(self):
        for changed in ({"image_size": 0}, {"image_size": 2**31}, {"embedding_dim": 2**62}, {"width": -1},
                        {"head_layers": 0}, {"encoder": "resnet\x1b[1m"}):
            self.assert_checkpoint_refused(self.write_checkpoint(dict(MODEL, **changed)))
        self.assert_checkpoint_refused(self.write_checkpoint(dict(MODEL, encoder="resnet50")), "holds no")

    def test_models_nested_too_deeply(self):
        for field in ("image_size", "stem", "mean", "encoder"):
            deep = json.dumps(dict(MODEL, **{field: 0})).replace(f'"{field}": 0', f'"{field}": {DEEP}')
            self.assert_checkpoint_refused(self.write_checkpoint(deep))

    def test_tensors_that_cannot_be(self):
        name = "conv1.weight"
        for shape, said in (((65536,) * 4, "impossible shape"), ((2**62 + 1, 1, 1, 4), "impossible shape"),
                            ((2**32, 2**32), "impossible shape"), ((0,), "impossible shape"),
                            ((2**40,), "never written"), ((1, 1, 1, 1, 1), "5 dimensions")):
            file = self.write_checkpoint()
            with h5py.File(file, "a") as f:
                checksum = f["parameters"][name].attrs["checksum"]
                del f["parameters"][name]
                space = h5py.h5s.create_simple(shape)
                dataset = h5py.h5d.create(f["parameters"].id, name.encode(), h5py.h5t.NATIVE_FLOAT, space)
                h5py.Dataset(dataset).attrs["checksum"] = checksum
                if said == "5 dimensions":
                    h5py.Dataset(dataset)[...] = 1
            self.assert_checkpoint_refused(file, name)

    def test_tensors_of_other_kinds(self):
        name = "conv1.weight"
        for change, said in (
                (lambda group, values: group.create_dataset(name, data=values.astype(np.float64)), "32-bit"),
                (lambda group, values: group.create_dataset(name, data=values, chunks=values.shape), "32-bit"),
                (lambda group, values: group.__setitem__(name, h5py.ExternalLink("/etc/passwd", "x")), "link"),
                (lambda group, values: None, "cannot be opened")):
            file = self.write_checkpoint()
            with h5py.File(file, "a") as f:
                values = f["parameters"][name][...]
                del f["parameters"][name]
                change(f["parameters"], values)
            self.assert_checkpoint_refused(file, said, name)

    def test_a_tensor_that_is_listed_twice(self):
        file = self.write_checkpoint()
        with h5py.File(file, "a") as f:
            names = list(f.attrs["order:parameters"])
            f.attrs["order:parameters"] = names + names[:1]
        self.assert_checkpoint_refused(file, names[0], "twice")

    def test_numbers_that_cannot_be(self):
        for name in ("step", "epoch"):
            for value in (-7, 2**62):
                file = self.write_checkpoint()
                with h5py.File(file, "a") as f:
                    f.attrs[name] = np.int64(value)
                self.assert_checkpoint_refused(file, name, value)

    # ---- machines and configurations ----

    def test_machines_that_cannot_be(self):
        file = self.top / "machine.json"
        for text in ("5", "[]", "{", '{"format": "simclr-machine"}', '{"format": 7}', DEEP, "[" * 100000,
                     '{"format": "simclr-machine", "name": %s}' % DEEP):
            file.write_text(text)
            done = simclr("plan", "--machine", file, "--samples", 100, "--batch-size", 2)
            with self.subTest(text=text[:30]):
                self.assert_refused(done, file)

    def test_configurations_that_cannot_be(self):
        file = self.top / "c.cfg"
        for text in (b"\x00" * 100, b"[pretrain]\nwidth = nan\n", b"[pretrain]\n" + b"x" * 100000 + b"\n",
                     b"[pretrain]\n\x1b[2Jseed = 1\n", b"[pretrain\nseed = 1\n", b"[pretrain]\nseed = -1\n",
                     b"[pretrain]\nseed = 18446744073709551616\n", b"[pretrain]\nepochs = 1e3\n", b"\xff\xfe[\x00"):
            file.write_bytes(text)
            with self.subTest(text=text[:40]):
                self.assert_refused(simclr("pretrain", "--config", file, "--data", "d", "--run-dir", "r"), file)
                self.assertFalse(re.search(rb"[\x00-\x09\x0b-\x1f]", simclr("pretrain", "--config", file).stderr))


if __name__ == "__main__":
    unittest.main(module="__main__", argv=[sys.argv[0], *sys.argv[2:]])
