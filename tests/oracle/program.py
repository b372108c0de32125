"""Runs simclr for the oracle tests: small data sets, training, previews and exports in a temporary folder."""

import dataclasses
import gzip
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np

FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")


def fail(message):
    sys.exit(f"FAILED: {message}")


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    encoder: str
    width: float
    stem: str
    image_size: int
    source: str  # "fashion": gray photographs packed from IDX files; "patterns": synthetic color images
    augment: str
    head_layers: int
    temperature: float
    color_strength: float
    weight_decay: float
    learning_rate: float
    samples: int = 48
    batch_size: int = 16
    epochs: int = 10
    warmup_epochs: float = 1
    momentum: float = 0.9
    pool_padding: str = "torchvision"
    sk_ratio: float = 0.0
    bn_decay: float = 0.9
    seed: int = 7
    loss: tuple = ()  # options of the loss beside the temperature, as pairs


_BASIC = Case("basic", "resnet18", 0.25, "cifar", 28, "fashion", "crop,flip,color,gray", 2, 0.5, 0.5,
              1e-6, 8.0)
_BOTTLENECK = Case("bottleneck", "resnet50", 0.25, "imagenet", 64, "patterns",
                   "crop,flip,color,gray,blur", 3, 0.1, 1.0, 1e-4, 4.0)
CASES = {case.name: case for case in (
    _BASIC,
    dataclasses.replace(_BASIC, name="basic-3-layer-head", head_layers=3),
    dataclasses.replace(_BASIC, name="nt-xent-one-dot", temperature=20, loss=(("negatives", "one"), ("normalize", "off"))),
    dataclasses.replace(_BASIC, name="dcl", loss=(("loss", "dcl"),)),
    dataclasses.replace(_BASIC, name="nt-logistic", loss=(("loss", "nt-logistic"), ("negatives", "one"))),
    dataclasses.replace(_BASIC, name="nt-logistic-semi-hard", loss=(("loss", "nt-logistic"), ("semi-hard", "on"))),
    dataclasses.replace(_BASIC, name="supcon", loss=(("loss", "supcon"),)),
    # With so large a margin every negative counts: no rounding decides whether one does.
    dataclasses.replace(_BASIC, name="margin", loss=(("loss", "margin"), ("margin", 2.5))),
    _BOTTLENECK,
    dataclasses.replace(_BOTTLENECK, name="bottleneck-2-layer-head", head_layers=2),
    dataclasses.replace(_BOTTLENECK, name="bottleneck-tensorflow", pool_padding="same", bn_decay=0.75),
    dataclasses.replace(_BOTTLENECK, name="selective-kernels", image_size=36, sk_ratio=0.0625),
)}


def fashion_images(count):
    """Returns the first images of Debian's Fashion-MNIST: uint8 (count, 28, 28)."""
    path = FASHION_MNIST / "train-images-idx3-ubyte.gz"
    if not path.exists():
        print(f"skipped: {path} is missing (scripts/install_deps.sh --with-tests installs it)")
        sys.exit(77)
    with gzip.open(path) as file:
        file.read(16)
        return np.frombuffer(file.read(count * 784), dtype=np.uint8).reshape(count, 28, 28)


def labels_of(samples):
    """Returns the labels of these samples, as write_idx stores them."""
    return np.asarray(samples) % 10


def write_idx(folder, images):
    folder.mkdir()
    with gzip.open(folder / "train-images-idx3-ubyte.gz", "wb", compresslevel=1) as file:
        file.write(struct.pack(">IIII", 0x803, *images.shape) + images.tobytes())
    with gzip.open(folder / "train-labels-idx1-ubyte.gz", "wb", compresslevel=1) as file:
        file.write(struct.pack(">II", 0x801, len(images)) + bytes(labels_of(range(len(images))).tolist()))


def pattern_images(count, size):
    """Returns different images of colorful waves and edges: uint8 (count, size, size, 3)."""
    random = np.random.default_rng(1)
    y, x = np.mgrid[0:size, 0:size] / size
    images = np.empty((count, size, size, 3), np.uint8)
    for image in images:
        angle, waves, phase = random.uniform(0, np.pi, 3), random.uniform(1, 9, 3), random.uniform(0, 6, 3)
        for c in range(3):
            wave = np.sin(2 * np.pi * waves[c] * (x * np.cos(angle[c]) + y * np.sin(angle[c])) + phase[c])
            edge = (x > random.uniform(0.2, 0.8)) * random.uniform(-0.4, 0.4)
            image[..., c] = np.clip((0.5 + 0.35 * wave + edge) * 255, 0, 255)
    return images


def make_images(program, case):
    """Writes the case's data set to program.data and returns its images, uint8 (N, S, S, 3)."""
    if case.source == "fashion":
        gray = fashion_images(case.samples)
        write_idx(program.folder / "idx", gray)
        program.run("pack", "--from", "idx", "--input", program.folder / "idx",
                    "--output", program.data, "--shards", 2)
        return np.repeat(gray[..., None], 3, axis=3)
    images = pattern_images(case.samples, case.image_size)
    program.data.mkdir()
    for shard, part in enumerate(np.array_split(images, 2)):
        with h5py.File(program.data / f"patterns-{shard:05d}-of-00002.h5", "w") as file:
            file["images"] = part
    return images


class Program:
    """Runs simclr on some ranks in a temporary folder."""

    def __init__(self, binary, ranks, device="cpu"):
        self.binary, self.ranks, self.device = str(Path(binary).resolve()), ranks, device

    def __enter__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="simclr-oracle-"))
        self.data = self.folder / "data"
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.folder)

    def run(self, *arguments, ranks=1):
        command = [self.binary, *map(str, arguments)]
        if ranks > 1:
            command = ["mpirun", "-n", str(ranks), *command]
        environment = dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if self.device == "cuda" and done.returncode == 2 and "option --device: cuda:" in done.stderr:
            print(f"skipped: {done.stderr.strip()}")
            sys.exit(77)
        if done.returncode != 0:
            fail(f"{' '.join(command)}\nended with {done.returncode}\n{done.stdout}\n{done.stderr}")

    def options(self, case):
        return ["--data", self.data, "--image-size", case.image_size, "--encoder", case.encoder,
                "--width", case.width, "--stem", case.stem, "--pool-padding", case.pool_padding,
                "--sk-ratio", case.sk_ratio,
                "--head-layers", case.head_layers, "--bn-decay", case.bn_decay,
                "--batch-size", case.batch_size, "--temperature", case.temperature,
                "--color-strength", case.color_strength, "--learning-rate", case.learning_rate,
                "--lr-scaling", "linear", "--warmup-epochs", case.warmup_epochs,
                "--weight-decay", case.weight_decay, "--momentum", case.momentum,
                "--epochs", case.epochs, "--seed", case.seed, "--device", self.device,
                "--precision", "fp32", "--threads", 1,
                *(word for name, value in case.loss for word in (f"--{name}", value))]

    def pretrain(self, case, steps):
        """Trains; returns the exported states 0 ... steps and the metrics by step."""
        run = self.folder / "run"
        # Several ranks may have to share the only GPU.
        sharing = ["--collectives", "mpi", "--share-device"] if self.device == "cuda" else []
        self.run("pretrain", *self.options(case), *sharing, "--augment", case.augment, "--run-dir", run,
                 "--checkpoint-steps", ",".join(map(str, range(steps))), "--max-steps", steps,
                 "--log-every", 1, ranks=self.ranks)
        exports = []
        for step in range(steps + 1):
            exports.append(self.folder / f"step-{step}.safetensors")
            self.run("export", "--checkpoint", run / "checkpoints" / f"step-{step:010d}.h5",
                     "--output", exports[-1])
        rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        return exports, {row["step"]: row for row in rows if "loss" in row}

    def preview(self, case, steps, augment=None):
        output = self.folder / f"views-{augment}.h5"
        self.run("preview", *self.options(case), "--augment", augment or case.augment,
                 "--steps", steps, "--output", output, ranks=self.ranks)
        return output
