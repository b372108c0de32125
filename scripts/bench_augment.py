#!/usr/bin/python3
"""Augmentation rates of this program and of PyTorch in one run: on one core, or on a GPU.

    scripts/bench_augment.py [--simclr build/simclr] [--device cuda] [--seconds 2]

On a core torchvision does the same work in two ways: `tensor`, the float ops that this program's views equal, and
`PIL`, what most training scripts use (8-bit in between, PIL's resize and colour ops). Both sides report
processor time of one thread pinned to one core, so neighbours disturb the ratio little.

On a GPU PyTorch renders whole batches by the same recipe (pytorch/gpu_augment.py) from images that stay there: eager,
compiled, compiled with CUDA graphs, and as one CUDA graph. The ratio is that of simclr, with each batch's random
decisions brought from the host, to the fastest of these; beside it stands the rate of simclr's kernels alone.
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

from bench_pytorch import capture, compiled, wait
from bench_step import MODES
from gpu_augment import two_views  # bench_pytorch has made it known

SAMPLES = 64


def make_images(side, count=SAMPLES):
    rng = np.random.default_rng(1)
    ramp = (np.arange(side)[:, None] + np.arange(side)[None, :]) * (127 / (2 * side))
    images = ramp[None, :, :, None] + rng.integers(0, 128, (count, side, side, 3))
    return images.astype(np.uint8)


def pipeline(ops, side, strength, as_tensor):
    """ops: comma-separated, in the program's names."""
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
    """Processor time, best of three repeats after a warm-up."""
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


def seconds_of(step, runs, args):
    wait(args)
    start = time.perf_counter()
    for _ in range(runs):
        step()
    wait(args)
    return time.perf_counter() - start


def batch_rate(mode, stored, row, args):
    """Views/s of two_views() in one mode, best of three repeats after a warm-up."""
    if hasattr(torch, "_dynamo"):
        torch._dynamo.reset()  # every row is compiled for its own shapes
    make = compiled(two_views, mode)
    step = lambda: make(stored, row["image_size"], row["color_strength"], tuple(row["ops"].split(",")))  # noqa: E731
    if mode == "graph":
        step = capture(step, 3)
    seconds_of(step, 3, args)
    runs = max(1, int(args.seconds / 3 / seconds_of(step, 1, args)))
    return 2 * len(stored) * runs / min(seconds_of(step, runs, args) for _ in range(3))


def pytorch_rates(row, args):
    """{mode: views/s}, from images that stay on the device."""
    images = torch.from_numpy(make_images(row["stored_size"], row["batch_size"]))
    stored = images.permute(0, 3, 1, 2).contiguous().to(args.device)
    with torch.no_grad():
        return {mode: batch_rate(mode, stored, row, args) for mode in MODES[args.device]}


def compare_on_core(ours, args):
    print(f"one core; {ours['kernels']} kernels; torch {torch.__version__}, torchvision {torchvision.__version__}, "
          f"PIL {PIL.__version__}; load {os.getloadavg()[0]:.1f}")
    print(f"{'side':>4}  {'ops':<26} {'simclr':>10} {'tensor':>8} {'ratio':>6} {'PIL':>8} {'ratio':>6}   views/s")
    for row in ours["results"]:
        row["torchvision_tensor"], row["torchvision_pil"] = torchvision_rates(row, args.seconds)
        rate = row["views_per_second"]
        print(f"{row['image_size']:>4}  {row['ops']:<26} {rate:>10.0f} {row['torchvision_tensor']:>8.0f} "
              f"{rate / row['torchvision_tensor']:>5.0f}x {row['torchvision_pil']:>8.0f} "
              f"{rate / row['torchvision_pil']:>5.0f}x")


def compare_on_gpu(ours, args):
    print(f"{ours['kernels']}; torch {torch.__version__}; copy {ours['copied_bytes_per_second'] / 1e9:.0f} GB/s, "
          f"f32 products {ours['flops_per_second'] / 1e12:.1f} TFLOP/s")
    print(f"{'side':>4}  {'ops':<26} {'images':>6} {'kernels':>10} {'limit':>10} {'simclr':>10} {'PyTorch':>10} "
          f"{'ratio':>6}   views/s", flush=True)
    for row in ours["results"]:
        row["pytorch"] = pytorch_rates(row, args)
        mode, theirs = max(row["pytorch"].items(), key=lambda entry: entry[1])
        limit = 1e6 / max(row["arithmetic_limit_microseconds"], row["memory_limit_microseconds"])
        rate = row["resident_views_per_second"]
        print(f"{row['image_size']:>4}  {row['ops']:<26} {row['batch_size']:>6} {row['views_per_second']:>10.0f} "
              f"{limit:>10.0f} {rate:>10.0f} {theirs:>10.0f} {rate / theirs:>5.1f}x   ({mode})", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--simclr", default="build/simclr", help="the program")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--seconds", type=float, default=2, help="for each rate")
    parser.add_argument("--json", help="also write the results to this file")
    args = parser.parse_args()

    if args.device == "cpu":
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
        torch.set_num_threads(1)
    else:
        torch.backends.cudnn.benchmark = True
        torch.backends.cudnn.allow_tf32 = False  # as in matrix products, and as simclr's kernels
    command = [args.simclr, "bench", "augment", "--device", args.device, "--json", "--seconds", str(args.seconds / 5)]
    ours = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    (compare_on_core if args.device == "cpu" else compare_on_gpu)(ours, args)
    if args.json:
        with open(args.json, "w") as file:
            json.dump(ours, file, indent=1)


if __name__ == "__main__":
    main()
