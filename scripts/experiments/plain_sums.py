#!/usr/bin/env python3
"""Compares two errors of batch-norm variances: that of plain fp32 sums, and that of rounding outputs to fp16.

usage: plain_sums.py

Rounds the outputs of all convolutions of an untrained ResNet-50 on images of 224 px to fp16. For every channel,
compares the variance from fp32 sums with that in float64, and the latter with the variance of the unrounded output. Prints the
largest errors. On Debian use /usr/bin/python3; the package dataset-fashion-mnist has the images.
"""

import gzip
import sys

import numpy as np
import torch
import torchvision

IMAGES = "/usr/share/datasets/fashion-mnist/t10k-images-idx3-ubyte.gz"
COUNT = 32
EPSILON = 1e-5  # epsilon of batch norm


def images():
    with gzip.open(IMAGES) as file:
        stored = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 1, 28, 28)[:COUNT]
    views = torch.from_numpy(stored.copy()).float().div(255).repeat(1, 3, 1, 1)
    return torch.nn.functional.interpolate(views, size=224, mode="bilinear")


def worst(variance, exact):
    return ((variance - exact).abs() / (exact + EPSILON)).max().item()


def deviations(output):
    """Returns the errors of plain sums and of rounding to fp16."""
    values = output.transpose(0, 1).flatten(1)
    rounded = values.half().float()
    exact = rounded.double().var(1, unbiased=False)
    mean = rounded.sum(1).double() / rounded.shape[1]
    plain = (rounded * rounded).sum(1).double() / rounded.shape[1] - mean * mean
    return worst(plain, exact), worst(exact, values.double().var(1, unbiased=False))


def main():
    torch.manual_seed(0)
    model = torchvision.models.resnet50().train()
    found = []
    for module in model.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_hook(lambda _module, _inputs, output: found.append(deviations(output)))
    with torch.no_grad():
        model(images())
    plain, rounding = (max(column) for column in zip(*found))
    print(f"{len(found)} convolutions; largest relative error of variances: {plain:.1e} by plain fp32 sums, "
          f"{rounding:.1e} by rounding to fp16")


if __name__ == "__main__":
    if {"-h", "--help"} & set(sys.argv[1:]):
        sys.exit(print(__doc__))
    main()
