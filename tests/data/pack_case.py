"""Shared by the tests of `simclr pack`: images, starting the program, reading what it wrote.

A test program is started as: TEST.py SIMCLR MPIEXEC [unittest arguments]
"""
import glob
import hashlib
import os
import subprocess
import sys
import tempfile
import unittest

import h5py
import numpy as np
from PIL import Image

SIMCLR, MPIEXEC = sys.argv[1:3]


def simclr(*arguments, ranks=0):
    launcher = [MPIEXEC, "-n", str(ranks)] if ranks else []
    return subprocess.run(launcher + [SIMCLR, *map(str, arguments)], capture_output=True, text=True)


def smooth(height, width, phase=0):
    y, x = np.mgrid[:height, :width]
    planes = [np.sin(y / 9 + phase), np.cos(x / 7 + phase), np.sin((x + y) / 11)]
    return (127.5 + 120 * np.stack(planes, -1)).astype(np.uint8)


def shards(directory):
    return sorted(glob.glob(os.path.join(directory, "*.h5")))


def read(directory, name):
    return np.concatenate([h5py.File(path)[name][:] for path in shards(directory)])


def read_variable(directory):
    samples = []
    for path in shards(directory):
        with h5py.File(path) as f:
            data, offsets, sizes = f["bytes"][:], f["offsets"][:], f["sizes"][:]
        samples += [(data[a:b], tuple(s)) for a, b, s in zip(offsets, offsets[1:], sizes)]
    return samples


def names(directory):
    """The samples' names, as bytes."""
    result = []
    for path in shards(directory):
        with h5py.File(path) as f:
            data, offsets = f["names"][:].tobytes(), f["name_offsets"][:]
        result += [data[a:b] for a, b in zip(offsets, offsets[1:])]
    return result


def contents(path):
    with open(path, "rb") as f:
        return f.read()


def rewrite(path, data):
    with open(path, "wb") as f:
        f.write(data)


def digests(directory):
    return [hashlib.sha256(contents(path)).hexdigest() for path in shards(directory)]


class PackCase(unittest.TestCase):
    def setUp(self):
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.root = holder.name

    def path(self, *parts):
        return os.path.join(self.root, *parts)

    def save(self, image, *parts, **options):
        os.makedirs(os.path.dirname(self.path(*parts)), exist_ok=True)
        if isinstance(image, np.ndarray):
            image = Image.fromarray(image)
        image.save(self.path(*parts), **options)

    def pack(self, *arguments, ranks=0):
        result = simclr("pack", *arguments, ranks=ranks)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result

    def refused(self, *arguments, naming, command="pack"):
        result = simclr(command, *arguments)
        self.assertEqual(result.returncode, 2, result.stderr)
        self.assertIn(naming, result.stderr)
        self.assertEqual(len(result.stderr.strip().splitlines()), 1, result.stderr)

    def make_classes(self, count=5, size=(24, 20)):
        for label, name in enumerate(["ant", "bee", "cow"]):
            for i in range(count):
                extension = "png" if i % 2 else "jpg"
                self.save(smooth(*size, phase=label * 10 + i), "in", name, f"{i}.{extension}")

    def into(self, *more):
        return ["--input", self.path("in"), "--output", self.path("out"), *more]

    def write(self, data, *parts):
        os.makedirs(os.path.dirname(self.path(*parts)), exist_ok=True)
        rewrite(self.path(*parts), data)

    def labels(self):
        return list(read(self.path("out"), "labels"))

    def class_names(self):
        return list(h5py.File(shards(self.path("out"))[0]).attrs["class_names"])
