#!/usr/bin/env python3
"""Pretrains with the recipe of a simclr configuration file, in PyTorch and torchvision.

Starts from the untrained encoder that `simclr pretrain --checkpoint-steps 0` wrote and writes the result as a
checkpoint, so that the same commands evaluate both programs:

    simclr pretrain --config C --data D --run-dir RUN --checkpoint-steps 0
    pretrain.py --config C --data D --start RUN/checkpoints/step-0000000000.h5 --output torch.h5
    simclr linear-eval --checkpoint torch.h5 ...
"""

import argparse
import contextlib
import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import h5py  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from PIL import Image  # noqa: E402
from simclr_torch import Lars, SimClr, learning_rate, nt_xent  # noqa: E402
from torchvision import transforms  # noqa: E402

from checkpoint import read_state, write_state  # noqa: E402

DEFAULTS = {
    "encoder": "resnet50", "width": "1", "stem": "imagenet", "head-layers": "2", "embedding-dim": "128",
    "temperature": "0.1", "augment": "crop,flip,color,gray,blur", "color-strength": "1.0",
    "learning-rate": "0.3", "lr-scaling": "linear", "warmup-epochs": "10", "weight-decay": "1e-6",
    "momentum": "0.9",
}


def read_config(path):
    """Returns the options of the [pretrain] section, and defaults for others."""
    config, section = dict(DEFAULTS), ""
    for line in Path(path).read_text().splitlines():
        line = line.split("#")[0].strip()
        if line.startswith("["):
            section = line.strip("[]")
        elif "=" in line and section in ("", "pretrain"):
            name, value = (part.strip() for part in line.split("=", 1))
            config[name] = value
    return config


class Views(torch.utils.data.Dataset):
    """Two views (2, 3, S, S) of every image of a shard set, which is kept in memory."""

    def __init__(self, folder, config):
        shards = sorted(Path(folder).glob("*.h5"))
        if not shards:
            sys.exit(f"pretrain.py: no shards in {folder}")
        self.images = np.concatenate([self.read(shard) for shard in shards])
        self.transform = training_transform(config)

    @staticmethod
    def read(shard):
        with h5py.File(shard) as file:
            return file["images"][:]

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        image = Image.fromarray(self.images[index])
        return torch.stack([self.transform(image), self.transform(image)])


def training_transform(config):
    size, s, names = int(config["image-size"]), float(config["color-strength"]), config["augment"].split(",")
    bicubic = transforms.InterpolationMode.BICUBIC
    blur_kernel = max(1, size // 10) | 1
    known = {
        "crop": transforms.RandomResizedCrop(size, scale=(0.08, 1.0), interpolation=bicubic),
        "flip": transforms.RandomHorizontalFlip(),
        "color": transforms.RandomApply([transforms.ColorJitter(0.8 * s, 0.8 * s, 0.8 * s, 0.2 * s)], p=0.8),
        "gray": transforms.RandomGrayscale(p=0.2),
        "blur": transforms.RandomApply([transforms.GaussianBlur(blur_kernel, (0.1, 2.0))], p=0.5),
    }
    return transforms.Compose([known[name] for name in names if name != "none"] + [transforms.ToTensor()])


def peak_rate(config):
    batch, base = int(config["batch-size"]), float(config["learning-rate"])
    return base * {"linear": batch / 256, "sqrt": batch**0.5, "none": 1.0}[config["lr-scaling"]]


def train(model, config, options):
    data = Views(options.data, config)
    batch, epochs = int(config["batch-size"]), int(config["epochs"])
    loader = torch.utils.data.DataLoader(data, batch, shuffle=True, drop_last=True,
                                         num_workers=options.workers, persistent_workers=options.workers > 0)
    total, warmup = len(loader) * epochs, round(float(config["warmup-epochs"]) * len(loader))
    optimizer = Lars(model.parameters(), float(config["momentum"]), float(config["weight-decay"]))
    precision = contextlib.nullcontext
    if options.precision == "bf16":
        precision = lambda: torch.autocast("cpu", torch.bfloat16)  # noqa: E731
    model = model.to(memory_format=torch.channels_last).train()
    step, start = 0, time.time()
    for epoch in range(epochs):
        for views in loader:
            both = views.transpose(0, 1).flatten(0, 1).contiguous(memory_format=torch.channels_last)
            optimizer.zero_grad()
            with precision():
                _, z = model(both)
            loss = nt_xent(z.float(), float(config["temperature"]))
            loss.backward()
            optimizer.step(learning_rate(step, peak_rate(config), warmup, total))
            step += 1
            if step % options.log_every == 0 or step == total:
                if not torch.isfinite(loss):
                    sys.exit(f"pretrain.py: the loss is {loss.item()} at step {step}")
                print(json.dumps({"step": step, "epoch": epoch, "loss": loss.item(),
                                  "seconds": round(time.time() - start, 1)}), flush=True)
    return step


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--config", required=True)
    parser.add_argument("--data", required=True, help="directory of shards")
    parser.add_argument("--start", required=True, help="checkpoint to start from")
    parser.add_argument("--output", required=True, help="checkpoint to write")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="override an option of the file")
    parser.add_argument("--precision", default="bf16", choices=["fp32", "bf16"])
    parser.add_argument("--workers", type=int, default=1, help="processes that render views")
    parser.add_argument("--log-every", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    config = read_config(options.config)
    config.update(pair.split("=", 1) for pair in options.set)
    torch.manual_seed(options.seed)
    model = SimClr(config["encoder"], float(config["width"]), config["stem"] == "cifar",
                   int(config["head-layers"]), int(config["embedding-dim"]))
    read_state(options.start, model)
    steps = train(model, config, options)
    write_state(options.start, options.output, model, steps)


if __name__ == "__main__":
    main()
