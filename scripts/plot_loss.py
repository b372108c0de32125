#!/usr/bin/env python3
"""Plots the loss and the learning rate of a run's metrics.jsonl as PNG (needs python3-matplotlib)."""

import argparse
import json
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="run directory")
    parser.add_argument("--output", type=Path, help="default: RUN/loss.png")
    options = parser.parse_args()
    lines = (options.run / "metrics.jsonl").read_text().splitlines()
    rows = [row for row in map(json.loads, lines) if "loss" in row]
    steps = [row["step"] for row in rows]

    figure, (loss, top1) = plt.subplots(1, 2, figsize=(9, 3.2), constrained_layout=True)
    loss.plot(steps, [row["loss"] for row in rows])
    loss.set(xlabel="step", ylabel="NT-Xent loss")
    rate = loss.twinx()
    rate.plot(steps, [row["learning_rate"] for row in rows], color="0.7", linewidth=1)
    rate.set_ylabel("learning rate", color="0.5")
    top1.plot(steps, [100 * row["contrastive_top1"] for row in rows])
    top1.set(xlabel="step", ylabel="partner is nearest, %")
    for axes in (loss, top1):
        axes.grid(alpha=0.3)
    figure.savefig(options.output or options.run / "loss.png", dpi=110)


if __name__ == "__main__":
    main()
