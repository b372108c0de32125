"""Shared by the tests of the evaluation commands: data sets, checkpoints, running the program."""

import json
import os
import subprocess
import sys

import h5py
import numpy as np


def model(**changes):
    """Describes a small encoder; see model_description.hpp."""
    description = dict(encoder="resnet18", width=0.125, stem="cifar",
                       projection_shortcut_everywhere=False, head="nonlinear", head_layers=2,
                       head_hidden=0, embedding_dim=32, image_size=16, mean=None, std=None)
    return {**description, **changes}


class Program:
    """Runs the built program and make_checkpoint in a directory."""

    def __init__(self, build, directory):
        self.build = build
        self.directory = directory

    def make_checkpoint(self, path, description, says=None):
        """Writes a checkpoint of the described model; `says`: another description to store in it."""
        full = os.path.join(self.directory, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        texts = [json.dumps(text) for text in (description, says) if text]
        subprocess.run([f"{self.build}/tests/make_checkpoint", full, *texts], check=True)
        return path

    def run(self, *arguments, ranks=0, code=0):
        """Runs a command and returns (stdout, stderr); ranks = 0: without a launcher."""
        launcher = [os.environ.get("MPIEXEC", "mpirun"), "-n", str(ranks)] if ranks else []
        command = [*launcher, f"{self.build}/simclr", *map(str, arguments)]
        done = subprocess.run(command, cwd=self.directory, capture_output=True, text=True,
                              errors="replace", timeout=200, check=False)
        if done.returncode != code:
            sys.exit(f"{' '.join(command)}\nexit code {done.returncode}, not {code}\n"
                     f"{done.stdout}{done.stderr}")
        return done.stdout, done.stderr

    def result(self, path):
        with open(os.path.join(self.directory, path), encoding="utf-8") as file:
            return json.load(file)

    def write_result(self, path, result):
        with open(os.path.join(self.directory, path), "w", encoding="utf-8") as file:
            json.dump(result, file)

    def write_shards(self, name, images, labels=None, class_names=None, title=None, names=None):
        """Writes a shard set with only the fields that h5py users would write; `title`: the name stored in it, `names`:
        those of the samples, as bytes."""
        directory = os.path.join(self.directory, name)
        os.makedirs(directory, exist_ok=True)
        with h5py.File(os.path.join(directory, f"{name}-00000-of-00001.h5"), "w") as file:
            file["images"] = images
            if labels is not None:
                file["labels"] = np.asarray(labels, np.int64)
            if class_names is not None:
                file.attrs["class_names"] = class_names
            if names is not None:
                file["names"] = np.frombuffer(b"".join(names), np.uint8)
                file["name_offsets"] = np.cumsum([0, *map(len, names)])
            if title is not None:
                file.attrs["name"] = title


def striped_images(count, size, classes, seed):
    """Makes noisy images of stripes whose direction and color depend on the class."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, count)
    y, x = np.mgrid[0:size, 0:size] / size
    angle = np.pi * labels / classes
    phase = random.uniform(0, 2 * np.pi, count)
    wave = np.sin(12 * (np.cos(angle)[:, None, None] * x + np.sin(angle)[:, None, None] * y)
                  + phase[:, None, None])
    tint = 0.5 + 0.5 * np.cos(2 * np.pi * (labels[:, None] / classes + np.arange(3) / 3))
    images = 40 + 40 * wave[..., None] + 150 * tint[:, None, None, :] \
        + random.normal(0, 25, (count, size, size, 3))
    return np.clip(images, 0, 255).astype(np.uint8), labels


def check(condition, message):
    if not condition:
        sys.exit(f"FAILED: {message}")
