#!/usr/bin/env python3
"""Chooses the size of the quick start for this machine from a short trial run.

usage: quickstart_size.py METRICS_JSONL SECONDS_SO_FAR PRECISION

METRICS_JSONL has a row per step of a trial in PRECISION with a quarter-width ResNet-18. Prints the largest recipe that
ends in time as one line: width, epochs, warm-up epochs, the trial's images/s, seconds of training and of evaluation.
"""
import json
import sys

END_SECONDS = 660  # a minute below the promised twelve
TRAINING_IMAGES = 60_000
# Two encoders and two protocols, each of which computes the features of all training and test images.
EVALUATED_IMAGES = 2 * 2 * 70_000
# A training step has two views per image, and its backward pass takes twice as long as its forward pass.
EVALUATION_COST = 1 / 6
# Evaluations always compute in fp32, which takes up to twice as long as bf16.
EVALUATION_SLOWDOWN = 2
# Width and epochs, best first, and the cost per image relative to the trial. Half the width has a quarter of the
# operations, but narrow layers use a processor less well. Measured with AVX2: 3.5, 1 and 0.31.
RECIPES = [(0.5, 2, 4.0), (0.25, 2, 1.0), (0.25, 1, 1.0), (0.125, 4, 0.4), (0.125, 2, 0.4), (0.125, 1, 0.4)]


def images_per_second(rows):
    """Leaves out the first two steps, which warm up caches and threads."""
    rows = rows[2:]
    batch = rows[0]["images_per_second"] * rows[0]["seconds_step"]
    return batch * len(rows) / sum(row["seconds_step"] for row in rows)


def seconds(recipe, rate, slowdown):
    """Returns (training, evaluations) of a recipe."""
    _, epochs, cost = recipe
    return epochs * TRAINING_IMAGES * cost / rate, EVALUATED_IMAGES * EVALUATION_COST * slowdown * cost / rate


def choose(rate, seconds_left, slowdown):
    """Returns the best recipe that ends in time, or the smallest one if none does."""
    return next((recipe for recipe in RECIPES if sum(seconds(recipe, rate, slowdown)) <= seconds_left), RECIPES[-1])


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        rate = images_per_second([json.loads(line) for line in file])
    slowdown = EVALUATION_SLOWDOWN if sys.argv[3] == "bf16" else 1
    recipe = choose(rate, END_SECONDS - float(sys.argv[2]), slowdown)
    width, epochs, _ = recipe
    train, evaluation = seconds(recipe, rate, slowdown)
    print(width, epochs, epochs / 4, *(f"{value:.0f}" for value in (rate, train, evaluation)))


if __name__ == "__main__":
    if {"-h", "--help"} & set(sys.argv[1:]):
        sys.exit(print(__doc__))
    main()
