#!/usr/bin/env python3
"""Tells whether two evaluations of one test set differ by more than chance.

A and B are files of --predictions. Prints both accuracies, their difference and p, the probability of a
difference at least as large if both models were equally good:
  top-1           exact McNemar test: of the samples that only one model has right, each is A's or B's with 1/2
  mean per class  permutation test: swaps the two predictions of each sample at random
"""
import argparse
import sys
from fractions import Fraction
from pathlib import Path

try:
    import h5py
    import numpy as np
except ImportError as missing:
    sys.exit(f"compare_predictions.py: {missing}; it needs the packages python3-numpy and python3-h5py")


class Refused(Exception):
    """A file that cannot be compared."""


def read(path):
    """Returns the attributes and label, sample, top-1 prediction of each sample."""
    try:
        with h5py.File(path) as file:
            if file.attrs.get("format") not in ("simclr-predictions", b"simclr-predictions"):
                raise Refused(f"{path}: is no file of --predictions")
            origin = {name: file.attrs[name] for name in ("test_data_hash", "classes")}
            return origin, file["label"][:], file["sample"][:], file["top5"][:, 0]
    except (OSError, KeyError, ValueError) as error:
        raise Refused(f"{path}: cannot be read: {error}") from error


def require_same_test_set(a, b, names):
    """Refuses predictions of other samples, or of the same samples with other labels."""
    for key, what in (("test_data_hash", "test data"), ("classes", "number of classes")):
        if a[0][key] != b[0][key]:
            raise Refused(f"{names[0]} and {names[1]} have another {what}: {a[0][key]} and {b[0][key]}")
    for i, what in ((2, "samples"), (1, "labels")):
        if not np.array_equal(a[i], b[i]):
            raise Refused(f"{names[0]} and {names[1]} have other {what}, though their test data have the same hash")


def mcnemar(only_a, only_b):
    """The two-sided p of a binomial test of `only_a` successes in only_a + only_b trials of probability 1/2."""
    trials = only_a + only_b
    ways, tail = 1, 0
    for k in range(min(only_a, only_b) + 1):
        tail += ways
        ways = ways * (trials - k) // (k + 1)
    return float(min(Fraction(1), Fraction(2 * tail, 2 ** trials)))


def mean_per_class(labels, values):
    """The mean over classes of the mean of `values` over the class's samples."""
    return np.mean([values[labels == label].mean() for label in np.unique(labels)])


def permutation(labels, difference, swaps, seed):
    """The two-sided p of the mean per class of `difference`, 1, 0 or -1 for each sample, whose signs are drawn."""
    observed = abs(mean_per_class(labels, difference))
    random = np.random.default_rng(seed)
    classes = np.unique(labels)
    drawn = np.zeros(swaps)
    for label in classes:
        own = difference[labels == label]
        unequal = np.count_nonzero(own)
        # A sum of n random signs is 2 Binomial(n, 1/2) - n.
        drawn += (2 * random.binomial(unequal, 0.5, swaps) - unequal) / (len(own) * len(classes))
    as_large = np.count_nonzero(np.abs(drawn) >= observed - 1e-12)
    return (as_large + 1) / (swaps + 1)


def compare(names, swaps, seed):
    a, b = (read(name) for name in names)
    require_same_test_set(a, b, names)
    labels = a[1]
    if not len(labels):
        raise Refused(f"{names[0]}: holds no samples")
    right = [(part[3] == labels).astype(int) for part in (a, b)]
    difference = right[1] - right[0]
    only_a, only_b = np.count_nonzero(difference < 0), np.count_nonzero(difference > 0)
    print(f"{len(labels)} samples of {len(np.unique(labels))} classes")
    for letter, name, hits in zip("AB", names, right):
        print(f"{letter}: top-1 {100 * hits.mean():.2f} %, mean per class {100 * mean_per_class(labels, hits):.2f} %: {name}")
    print(f"top-1: B - A = {100 * difference.mean():+.2f} points, p = {mcnemar(int(only_a), int(only_b)):.4g} "
          f"(exact McNemar; {only_a} samples only A has right, {only_b} only B)")
    print(f"mean per class: B - A = {100 * mean_per_class(labels, difference):+.2f} points, "
          f"p = {permutation(labels, difference, swaps, seed):.4g} (permutation test; {swaps} swaps, seed {seed})")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("a", type=Path, metavar="A.h5")
    parser.add_argument("b", type=Path, metavar="B.h5")
    parser.add_argument("--swaps", type=int, default=100_000, metavar="N", help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="default: %(default)s")
    given = parser.parse_args()
    if given.swaps < 1 or given.seed < 0:
        parser.error("--swaps must be 1 or more, --seed 0 or more")
    try:
        compare((given.a, given.b), given.swaps, given.seed)
    except Refused as refused:
        parser.error(str(refused))


if __name__ == "__main__":
    sys.exit(main())
