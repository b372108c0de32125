"""scripts/compare_predictions.py: known values of both tests, and what it refuses."""
import importlib.util
import itertools
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import h5py
import numpy as np

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "compare_predictions.py"
SPEC = importlib.util.spec_from_file_location("compare_predictions", SCRIPT)
compare = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(compare)


class ComparePredictionsTest(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.top = Path(directory.name)

    def write(self, name, labels, predicted, **changes):
        with h5py.File(self.top / name, "w") as file:
            file.attrs.update({"format": "simclr-predictions", "test_data_hash": "0123", "classes": 3, **changes})
            file["label"] = np.asarray(labels, np.int64)
            file["sample"] = np.arange(len(labels), dtype=np.int64)
            top5 = np.full((len(labels), 5), -1, np.int32)
            top5[:, 0] = predicted
            file["top5"] = top5
        return str(self.top / name)

    def run_script(self, *arguments, code=0):
        done = subprocess.run([sys.executable, SCRIPT, *arguments], capture_output=True, text=True, check=False, timeout=60)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stdout if code == 0 else done.stderr

    def test_mcnemar_has_the_values_of_the_binomial_test(self):
        # Sums of binomial coefficients by hand: 2 (1 + 10) / 2^10, 2 (1 + 20 + 190 + 1140 + 4845 + 15504) / 2^20.
        for a, b, p in ((0, 0, 1), (1, 0, 1), (3, 3, 1), (0, 6, 2 / 64), (1, 9, 22 / 1024), (15, 5, 43400 / 2 ** 20)):
            self.assertAlmostEqual(compare.mcnemar(a, b), p, delta=1e-12 * p)
        # With many samples: the normal approximation with continuity correction, z = (200 - 1) / sqrt(10200).
        self.assertAlmostEqual(compare.mcnemar(5200, 5000), 0.0488, delta=5e-4)

    def test_the_permutation_test_agrees_with_all_permutations(self):
        labels = np.array([0] * 8 + [1] * 3 + [2] * 5)
        difference = np.array([1, 1, 1, 0, -1, 0, 1, 0, 1, 0, 0, -1, 1, 1, 0, 1])
        observed = abs(compare.mean_per_class(labels, difference))
        unequal = np.flatnonzero(difference)
        as_large = 0
        for signs in itertools.product((1, -1), repeat=len(unequal)):
            swapped = np.zeros(len(labels))
            swapped[unequal] = signs
            as_large += abs(compare.mean_per_class(labels, swapped)) >= observed - 1e-12
        exact = as_large / 2 ** len(unequal)
        self.assertAlmostEqual(compare.permutation(labels, difference, 100_000, 0), exact, delta=0.006)
        self.assertEqual(compare.permutation(labels, difference, 1000, 5), compare.permutation(labels, difference, 1000, 5))
        self.assertEqual(compare.permutation(labels, 0 * difference, 1000, 0), 1)

    def test_both_accuracies_differences_and_p_are_printed(self):
        labels = [0] * 6 + [1] * 4
        a = self.write("a.h5", labels, [0] * 5 + [1] + [1] * 4)
        b = self.write("b.h5", labels, [0] * 6 + [0] * 3 + [1])
        out = self.run_script(a, b)
        self.assertIn("10 samples of 2 classes", out)
        self.assertIn("A: top-1 90.00 %, mean per class 91.67 %", out)
        self.assertIn("B: top-1 70.00 %, mean per class 62.50 %", out)
        self.assertIn("top-1: B - A = -20.00 points, p = 0.625 (exact McNemar; 3 samples only A has right, 1 only B)", out)
        self.assertIn("mean per class: B - A = -29.17 points", out)

    def test_other_test_sets_are_refused(self):
        labels = [0, 1, 2, 0]
        a = self.write("a.h5", labels, labels)
        for name, words, text in (("hash.h5", dict(test_data_hash="4567"), "test data"), ("classes.h5", dict(classes=4), "classes"),
                                  ("format.h5", dict(format="simclr-features"), "no file of --predictions")):
            self.assertIn(text, self.run_script(a, self.write(name, labels, labels, **words), code=2))
        self.assertIn("labels", self.run_script(a, self.write("labels.h5", [0, 1, 2, 1], labels), code=2))
        self.assertIn("samples", self.run_script(a, self.write("fewer.h5", labels[:3], labels[:3]), code=2))
        self.assertIn("missing.h5", self.run_script(a, str(self.top / "missing.h5"), code=2))
        incomplete = self.top / "incomplete.h5"
        with h5py.File(incomplete, "w") as file:
            file.attrs["format"] = "simclr-predictions"
        self.assertIn("incomplete.h5: cannot be read", self.run_script(a, str(incomplete), code=2))


if __name__ == "__main__":
    unittest.main()
