#!/usr/bin/python3
"""Compares the augmentation rates of this program and of torchvision on one core.

    scripts/bench_augment.py [--simclr build/simclr] [--seconds 2]

torchvision does the same work in two ways: `tensor`, float ops whose results equal this program's views, and `PIL`, as
most training scripts use it (8-bit intermediate images, PIL's resize and color ops). Both programs report the processor
time of one thread pinned to one core, so that other load on the machine changes the ratio little.
"""

import argparse
import json
import os
import subprocess
import time

import numpy as np
import PIL
import torch
import torchvision
from PIL import Image
from torchvision import transforms as T
from torchvision.transforms import InterpolationMode

SAMPLES = 64


def make_images(side, count=SAMPLES):
    rng = np.random.default_rng(1)
    ramp = (np.arange(side)[:, None] + np.arange(side)[None, :]) * (127 / (2 * side))
    images = ramp[None, :, :, None] + rng.integers(0, 128, (count, side, side, 3))
    return images.astype(np.uint8)


def pipeline(ops, side, strength, as_tensor):
    """ops: comma-separated, with this program's names."""
    ops = ops.split(",")
    steps = [T.RandomResizedCrop(side, interpolation=InterpolationMode.BICUBIC, antialias=True)]
    if as_tensor:
        steps.append(T.Lambda(lambda view: view.clamp_(0, 1)))
    if "flip" in ops:
        steps.append(T.RandomHorizontalFlip())
    if "color" in ops:
        jitter = T.ColorJitter(0.8 * strength, 0.8 * strength, 0.8 * strength, 0.2 * strength)
        steps.append(T.RandomApply([jitter], p=0.8))
    if "gray" in ops:
        steps.append(T.RandomGrayscale(0.2))
    if "blur" in ops:
        kernel = side // 10 + (side // 10 % 2 == 0)
        steps.append(T.RandomApply([T.GaussianBlur(kernel, (0.1, 2.0))], p=0.5))
    if not as_tensor:
        steps.append(T.ToTensor())
    return T.Compose(steps)


def views_per_second(make_view, seconds):
    """The best of three repeats after a warm-up, by processor time."""
    best = 0
    for repeat in range(4):
        made, start = 0, time.thread_time()
        while time.thread_time() - start < (seconds / 10 if repeat == 0 else seconds / 3):
            make_view(made % SAMPLES)
            made += 1
        if repeat > 0:
            best = max(best, made / (time.thread_time() - start))
    return best


def torchvision_rates(row, seconds):
    images = make_images(row["stored_size"])
    side, strength = row["image_size"], row["color_strength"]
    on_tensor = pipeline(row["ops"], side, strength, True)
    on_pil = pipeline(row["ops"], side, strength, False)
    tensors = [torch.from_numpy(image) for image in images]
    pictures = [Image.fromarray(image) for image in images]
    with torch.inference_mode():
        as_tensor = views_per_second(lambda i: on_tensor(tensors[i].permute(2, 0, 1).float().div_(255)), seconds)
        as_pil = views_per_second(lambda i: on_pil(pictures[i]), seconds)
    return as_tensor, as_pil


def compare(ours, args):
    print(f"one core; {ours['kernels']} kernels; torch {torch.__version__}, torchvision {torchvision.__version__}, "
          f"PIL {PIL.__version__}; load {os.getloadavg()[0]:.1f}")
    print(f"{'side':>4}  {'ops':<26} {'simclr':>10} {'tensor':>8} {'ratio':>6} {'PIL':>8} {'ratio':>6}   views/s")
    for row in ours["results"]:
        if row["ops"].split(",")[0] != "crop":  # torchvision's pipelines begin with one
            continue
        row["torchvision_tensor"], row["torchvision_pil"] = torchvision_rates(row, args.seconds)
        rate = row["views_per_second"]
        print(f"{row['image_size']:>4}  {row['ops']:<26} {rate:>10.0f} {row['torchvision_tensor']:>8.0f} "
              f"{rate / row['torchvision_tensor']:>5.0f}x {row['torchvision_pil']:>8.0f} "
              f"{rate / row['torchvision_pil']:>5.0f}x")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--simclr", default="build/simclr", help="the simclr program")
    parser.add_argument("--seconds", type=float, default=2, help="time to measure each rate")
    parser.add_argument("--json", help="also write the results to this file")
    args = parser.parse_args()

    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    torch.set_num_threads(1)
    command = [args.simclr, "bench", "augment", "--json", "--seconds", str(args.seconds / 5)]
    ours = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    compare(ours, args)
    if args.json:
        with open(args.json, "w") as file:
            json.dump(ours, file, indent=1)


if __name__ == "__main__":
    main()
