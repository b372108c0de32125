#!/usr/bin/env python3
"""Sizes the quick start for this machine, from a short trial of its training.

usage: quickstart_size.py METRICS_JSONL SECONDS_SO_FAR PRECISION

METRICS_JSONL is of a trial in PRECISION with a ResNet-18 of a quarter of the width, a row a step. Writes the largest recipe that
ends in time as one line: width, epochs, epochs of warm-up, the trial's images/s, seconds of training and of evaluating.
"""
import json
import sys

END_SECONDS = 660  # a minute below the promised twelve
TRAINING_IMAGES = 60_000
# Two encoders, two protocols: each takes the features of all training and test images.
EVALUATED_IMAGES = 2 * 2 * 70_000
# A step makes two views of an image, and its backward pass takes twice as long as its forward pass.
EVALUATION_COST = 1 / 6
# Evaluations compute in fp32, whatever the training does; in bf16 that was up to twice as fast.
EVALUATION_SLOWDOWN = 2
# Width and epochs, best first, and the cost of an image against the trial's: by counts of operations four times less
# for half the width, but narrow layers use less of a processor. Measured with AVX2: 3.5, 1 and 0.31.
RECIPES = [(0.5, 2, 4.0), (0.25, 2, 1.0), (0.25, 1, 1.0), (0.125, 4, 0.4), (0.125, 2, 0.4), (0.125, 1, 0.4)]


def images_per_second(rows):
    """The first steps also warm up caches and threads."""
    rows = rows[2:]
    batch = rows[0]["images_per_second"] * rows[0]["seconds_step"]
    return batch * len(rows) / sum(row["seconds_step"] for row in rows)


def seconds(recipe, rate, slowdown):
    """(training, evaluations) of a recipe."""
    _, epochs, cost = recipe
    return epochs * TRAINING_IMAGES * cost / rate, EVALUATED_IMAGES * EVALUATION_COST * slowdown * cost / rate


def choose(rate, seconds_left, slowdown):
    """The best recipe that ends in time; the smallest one where none does."""
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
    main()
