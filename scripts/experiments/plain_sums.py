#!/usr/bin/env python3
"""What plain fp32 sums of values and squares do to batch-norm variances, beside rounding to fp16.

Every convolution of an untrained ResNet-50 on real images of 224 px, whose output is taken as fp16: per
channel, the variance from fp32 sums against the one in float64; and that one against the unrounded output's.
The worst of all channels is printed. On Debian use /usr/bin/python3; package dataset-fashion-mnist has the images.
"""

import gzip

import numpy as np
import torch
import torchvision

IMAGES = "/usr/share/datasets/fashion-mnist/t10k-images-idx3-ubyte.gz"
COUNT = 32
EPSILON = 1e-5  # of batch norm


def images():
    with gzip.open(IMAGES) as file:
        stored = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 1, 28, 28)[:COUNT]
    views = torch.from_numpy(stored.copy()).float().div(255).repeat(1, 3, 1, 1)
    return torch.nn.functional.interpolate(views, size=224, mode="bilinear")


def worst(variance, exact):
    return ((variance - exact).abs() / (exact + EPSILON)).max().item()


def deviations(output):
    """Of plain sums, and of rounding to fp16."""
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
    print(f"{len(found)} convolutions; variances move by {plain:.1e} of their size at most through plain fp32 sums, "
          f"by {rounding:.1e} through rounding to fp16")


if __name__ == "__main__":
    main()
