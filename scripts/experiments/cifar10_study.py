#!/usr/bin/env python3
"""Runs the README's batch-size study: jobs/batch_size_study.sh on CIFAR-10, on a Slurm cluster within this machine.

usage: cifar10_study.py SIMCLR CIFAR_DIR OUTPUT_DIR      (as root; CIFAR_DIR has data_batch_1.bin ... test_batch.bin)

Trains a ResNet-18 of an eighth of the width for one epoch in eight runs: batch sizes from 64 to 512, with linear and
square-root learning rates that are equal at a batch of 256. Takes a quarter of an hour on two cores. A second call runs
only what is missing.
"""
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "slurm"))
from cluster import Cluster, why_no_cluster  # noqa: E402

GRID = {"BATCH_SIZES": "64 128 256 512", "EPOCHS": "1", "SCALINGS": "linear sqrt", "AT_A_TIME": "1",
        "LEARNING_RATE_LINEAR": "1.0", "LEARNING_RATE_SQRT": "0.0625", "SIMCLR_PYTHON": "/usr/bin/python3"}
HOUR = 3600


def pack(simclr, images, output):
    for split in ("train", "test"):
        if not (output / split).exists():
            subprocess.run([simclr, "pack", "--from", "cifar-bin", "--input", images, "--split", split,
                            "--output", output / split], check=True)


def main():
    simclr, images, output = (Path(argument).resolve() for argument in sys.argv[1:4])
    if why := why_no_cluster():
        sys.exit(f"cifar10_study.py: {why}")
    output.mkdir(parents=True, exist_ok=True)
    pack(simclr, images, output)
    precision = "bf16" if "avx512_bf16" in Path("/proc/cpuinfo").read_text(encoding="utf-8") else "fp32"
    cluster = Cluster(nodes=1)
    try:
        cluster.environment["SIMCLR"] = str(simclr)
        done = cluster.run(
            ROOT / "jobs" / "batch_size_study.sh", output / "study", "--nodes=1", "--ntasks-per-node=2", "--time=60",
            "--", f"--config={ROOT}/configs/cifar10-cpu.cfg", f"--data={output}/train", f"--eval-data={output}/test",
            "--width=0.125", "--warmup-epochs=0.2", f"--precision={precision}", environment={**os.environ, **GRID},
            cwd=output)
        print(done.stdout + done.stderr, flush=True)
        for number in re.search(r"jobs ([\d ]+);", done.stdout).group(1).split():
            cluster.wait_for_array(number, 3 * HOUR)
    finally:
        cluster.close()
    print((output / "study" / "table" / "table.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    if {"-h", "--help"} & set(sys.argv[1:]):
        sys.exit(print(__doc__))
    main()
