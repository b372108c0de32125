#!/usr/bin/env python3
"""Times the training step of simclr and of PyTorch in turns on one machine and prints the ratios.

The load of a shared machine varies: both programs run in every round, a ratio is taken within each round, and the
median round is reported with the slowest and the fastest. On a GPU PyTorch runs eager, compiled, compiled with CUDA
graphs, and as one CUDA graph; the last row compares with the fastest of these in each round.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# name: encoder, stem, image size, images per step (with two views each) on a CPU and on a GPU
SHAPES = {
    "R18-CIFAR": ("resnet18", "cifar", 32, {"cpu": 32, "cuda": 1024}),
    "R50-224": ("resnet50", "imagenet", 224, {"cpu": 8, "cuda": 256}),
}
MODES = {"cpu": ["eager"], "cuda": ["eager", "compile", "compile-graph", "graph"]}


def run_json(command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"bench_step: {' '.join(command)} ended with {done.returncode}\n{done.stdout}{done.stderr}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def shape_options(shape, precision, options):
    encoder, stem, size, batches = SHAPES[shape]
    batch = options.batch_size or batches[options.device]
    return ["--encoder", encoder, "--stem", stem, "--image-size", str(size), "--batch-size", str(batch),
            "--precision", precision, "--threads", str(options.threads), "--device", options.device,
            "--repeats", str(options.repeats), "--json"]


def measure(shape, precision, options):
    """Returns [(views/s of simclr, [views/s of each PyTorch])] by round, and the names of the PyTorch runs."""
    shared = shape_options(shape, precision, options)
    ours = [options.simclr, "bench", "step", *shared]
    theirs = [[python, str(ROOT / "scripts" / "bench_pytorch.py"), *shared, "--mode", mode]
              for python in options.python for mode in MODES[options.device]]
    rounds, names = [], []
    for _ in range(options.rounds):
        ours_rate = run_json(ours)["views_per_second"]
        results = [run_json(command) for command in theirs]
        names = [f"{result['version']} {result['mode']}" for result in results]
        rounds.append((ours_rate, [result["views_per_second"] for result in results]))
    return rounds, names


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--simclr", default=str(ROOT / "build" / "simclr"))
    parser.add_argument("--python", action="append", help="interpreter with PyTorch; may be repeated")
    parser.add_argument("--shapes", default=",".join(SHAPES))
    parser.add_argument("--precisions", default="bf16,fp32")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--batch-size", type=int, default=0, help="images per step, instead of each shape's default")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=5, help="timed steps per run")
    options = parser.parse_args()
    options.python = options.python or ["/usr/bin/python3"]

    print(f"load average before: {os.getloadavg()[0]:.2f}; {options.threads} threads, "
          f"{options.rounds} rounds of {options.repeats} steps", flush=True)
    print("| step | precision | simclr, views/s | PyTorch, views/s | ratio (slowest, fastest round) |")
    print("|---|---|---|---|---|", flush=True)
    for shape in options.shapes.split(","):
        for precision in options.precisions.split(","):
            rounds, names = measure(shape, precision, options)
            ours = statistics.median(r[0] for r in rounds)
            columns = [(name, [r[1][which] for r in rounds]) for which, name in enumerate(names)]
            if len(columns) > 1:
                columns.append(("the fastest", [max(r[1]) for r in rounds]))
            for name, rates in columns:
                theirs = statistics.median(rates)
                ratios = [r[0] / rate for r, rate in zip(rounds, rates)]
                print(f"| {shape} | {precision} | {ours:.1f} | {theirs:.1f} ({name}) | "
                      f"{statistics.median(ratios):.2f} ({min(ratios):.2f}, {max(ratios):.2f}) |", flush=True)


if __name__ == "__main__":
    main()
