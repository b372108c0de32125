"""scripts/quickstart_size.py: what it chooses for fast, slow and very slow machines."""

import json
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "quickstart_size.py"
BATCH = 256
END = 720  # seconds: what the quick start promises


class QuickstartSizeTest(unittest.TestCase):
    def size(self, rate, so_far=180, precision="fp32"):
        """For a machine that trains `rate` images/s, but in the first two steps a tenth of that."""
        with tempfile.TemporaryDirectory() as directory:
            rows = [{"step": step, "seconds_step": BATCH / r, "images_per_second": r}
                    for step, r in enumerate([rate / 10] * 2 + [rate * 0.9, rate / 0.9] + [rate] * 4, 1)]
            metrics = Path(directory, "metrics.jsonl")
            metrics.write_text("".join(json.dumps(row) + "\n" for row in rows))
            done = subprocess.run([sys.executable, SCRIPT, metrics, str(so_far), precision], check=True,
                                  capture_output=True, text=True)
        width, epochs, warmup, found, train, evaluation = map(float, done.stdout.split())
        self.assertAlmostEqual(found / rate, 1, delta=0.01)
        self.assertEqual(warmup, epochs / 4)
        return width, epochs, so_far + train + evaluation

    def test_a_fast_machine_takes_the_whole_recipe(self):
        width, epochs, end = self.size(3000)
        self.assertEqual((width, epochs), (0.5, 2))
        self.assertLess(end, END)

    def test_two_cores_with_avx2_take_a_quarter_of_the_width(self):
        width, epochs, end = self.size(280)
        self.assertEqual((width, epochs), (0.25, 1))
        self.assertLess(end, END)

    def test_every_choice_that_can_ends_in_time(self):
        last = (0, 0)
        for rate in (150, 200, 300, 400, 600, 1000, 1500, 2000):
            width, epochs, end = self.size(rate)
            self.assertLess(end, END, rate)
            self.assertGreaterEqual((width, epochs), last)
            last = (width, epochs)

    def test_time_that_is_spent_is_missing(self):
        self.assertGreater(self.size(280, so_far=30)[:2], self.size(280, so_far=400)[:2])

    def test_evaluations_do_not_gain_by_bf16(self):
        plain, with_bf16 = (self.size(400, so_far=0, precision=p) for p in ("fp32", "bf16"))
        self.assertEqual(with_bf16[:2], plain[:2])
        self.assertGreater(with_bf16[2], plain[2])

    def test_a_very_slow_machine_takes_the_smallest(self):
        self.assertEqual(self.size(5)[:2], (0.125, 1))


if __name__ == "__main__":
    unittest.main()
