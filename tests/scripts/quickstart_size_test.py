"""scripts/quickstart_size.py: its choices for fast, slow and very slow machines."""

import json
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "quickstart_size.py"
BATCH = 256
END = 720  # seconds, the limit that the quick start promises


class QuickstartSizeTest(unittest.TestCase):
    def size(self, rate, so_far=180, precision="fp32"):
        """The choice for a machine that trains `rate` images/s, and a tenth of that in the first two steps."""
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

    def test_a_fast_machine_gets_the_largest_recipe(self):
        width, epochs, end = self.size(3000)
        self.assertEqual((width, epochs), (0.5, 2))
        self.assertLess(end, END)

    def test_two_cores_with_avx2_get_a_quarter_of_the_width(self):
        width, epochs, end = self.size(280)
        self.assertEqual((width, epochs), (0.25, 1))
        self.assertLess(end, END)

    def test_ends_in_time_on_all_but_very_slow_machines(self):
        last = (0, 0)
        for rate in (150, 200, 300, 400, 600, 1000, 1500, 2000):
            width, epochs, end = self.size(rate)
            self.assertLess(end, END, rate)
            self.assertGreaterEqual((width, epochs), last)
            last = (width, epochs)

    def test_less_time_left_gives_a_smaller_recipe(self):
        self.assertGreater(self.size(280, so_far=30)[:2], self.size(280, so_far=400)[:2])

    def test_bf16_does_not_make_evaluations_faster(self):
        plain, with_bf16 = (self.size(400, so_far=0, precision=p) for p in ("fp32", "bf16"))
        self.assertEqual(with_bf16[:2], plain[:2])
        self.assertGreater(with_bf16[2], plain[2])

    def test_a_very_slow_machine_gets_the_smallest_recipe(self):
        self.assertEqual(self.size(5)[:2], (0.125, 1))


if __name__ == "__main__":
    unittest.main()
