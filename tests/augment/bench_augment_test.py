"""`simclr bench augment` measures every setting, and refuses what cannot be measured.

    bench_augment_test.py SIMCLR
"""

import json
import math
import subprocess
import sys

SIMCLR = sys.argv[1]


def run(*arguments):
    return subprocess.run([SIMCLR, "bench", "augment", *arguments], capture_output=True, text=True)


done = run("--seconds", "0.02", "--repeats", "1", "--json")
assert done.returncode == 0, done.stderr
report = json.loads(done.stdout)
assert report["views"] == "f32", report
assert report["flops_per_second"] > 1e8 and report["copied_bytes_per_second"] > 1e7, report
sizes = set()
for row in report["results"]:
    sizes.add(row["image_size"])
    assert math.isclose(row["views_per_second"] * row["microseconds_per_view"], 1e6, rel_tol=1e-6), row
    # Nothing is faster than the work it has to do; but the limit is of the wall clock, beside other tests.
    assert 0 < row["arithmetic_limit_microseconds"] < 4 * row["microseconds_per_view"], row
    assert row["memory_limit_microseconds"] > 0, row
assert sizes == {32, 224}
measured = {(row["image_size"], row["ops"]) for row in report["results"]}
OPS = "crop flip color gray blur cutout rotate noise sobel solarize equalize"
assert measured >= {(side, op) for side in sizes for op in ["none", *OPS.split()]}, "every operation has its rate"

table = run("--seconds", "0.01", "--repeats", "1")
assert table.returncode == 0 and len(table.stdout.strip().split("\n")) == 2 + len(report["results"]), table
half = run("--seconds", "0.01", "--repeats", "1", "--precision", "bf16", "--json")
assert half.returncode == 0 and json.loads(half.stdout)["views"] == "bf16", half
for arguments, culprit in [(("--seconds", "0"), "--seconds"), (("--repeats", "0"), "--repeats"),
                           (("--interpolation", "nearest"), "nearest"), (("--precision", "fp8"), "fp8")]:
    refused = run(*arguments)
    assert refused.returncode == 2 and culprit in refused.stderr, (arguments, refused)
