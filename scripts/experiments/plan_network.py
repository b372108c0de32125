#!/usr/bin/env python3
"""Compares the communication that `simclr plan` predicts with runs on nodes whose links are slow or far.

The nodes are network namespaces of this machine, with links that Linux limits (tc); needs root. What a step takes longer
with limited links than without is compared with the predicted exposed communication.

usage: plan_network.py [--simclr build/simclr] [--steps 5] [--only PART_OF_A_NAME]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests/slurm"))
from nodes import Nodes  # noqa: E402

WIDE = {"encoder": "resnet18", "width": 0.5}  # 11.6 MB of gradients
NARROW = {"encoder": "resnet18", "width": 0.125}  # 0.8 MB
# name: nodes, ranks per node, options, limits of the links
CASES = {
    "2 nodes x 1 rank, 100 Mbit/s": (2, 1, WIDE, {"rate": "100mbit"}),
    "2 nodes x 1 rank, 20 Mbit/s": (2, 1, WIDE, {"rate": "20mbit"}),
    "3 nodes x 1 rank, 100 Mbit/s": (3, 1, WIDE, {"rate": "100mbit"}),
    "2 nodes x 2 ranks, 100 Mbit/s": (2, 2, WIDE, {"rate": "100mbit"}),
    "2 nodes x 1 rank, 1 ms one way": (2, 1, NARROW, {"delay": 0.001}),
    "2 nodes x 1 rank, 10 ms one way": (2, 1, NARROW, {"delay": 0.010}),
}
BATCH = 48  # on 1, 2, 3 and 4 ranks
FIRST_STEPS = 2
USUAL_HOP_US = 30  # between the namespaces without limits
ENVIRONMENT = {"OMP_WAIT_POLICY": "passive", "CUDA_VISIBLE_DEVICES": ""}


def arguments(options, data):
    merged = {"data": data, "image-size": 32, "batch-size": BATCH, "augment": "crop,flip", "precision": "fp32",
              "device": "cpu", "threads": 1, "loader-threads": 1, "epochs": 100, "warmup-epochs": 0, **options}
    return [f"--{name}={value}" for name, value in merged.items()]


def predicted(simclr, nodes, ranks, words, limits, scratch):
    machine = json.loads((ROOT / "tests/plan/cpu.json").read_text())
    link = {"start_us": 0, "hop_us": USUAL_HOP_US, "gbytes_per_second": 1.0 / ranks}
    if "rate" in limits:
        link["gbytes_per_second"] = float(limits["rate"].removesuffix("mbit")) / 8e3 / ranks
    if "delay" in limits:
        link["hop_us"] += 1e6 * limits["delay"]
    machine.update(devices_per_node=ranks, between_nodes=link)
    (scratch / "machine.json").write_text(json.dumps(machine))
    subprocess.run([simclr, "plan", *words, "--ranks", str(nodes * ranks), "--ranks-per-node", str(ranks), "--machine",
                    scratch / "machine.json", "--json", scratch / "plan.json"], check=True, stdout=subprocess.DEVNULL)
    return json.loads((scratch / "plan.json").read_text())["model"]["seconds_exposed_communication"]


def step_seconds(simclr, nodes, ranks, words, steps, scratch):
    run_dir = Path(tempfile.mkdtemp(dir=scratch)) / "run"
    done = nodes.mpirun(ranks, [simclr, "pretrain", *words, "--run-dir", run_dir, "--max-steps", FIRST_STEPS + steps,
                                "--log-every", 1], list(ENVIRONMENT), env={**os.environ, **ENVIRONMENT})
    if done.returncode != 0:
        sys.exit(f"plan_network: pretrain ended with {done.returncode}\n{done.stdout}{done.stderr}")
    rows = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    return statistics.median(row["seconds_step"] for row in rows[FIRST_STEPS:])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--simclr", default=ROOT / "build" / "simclr")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--only", default="", help="part of a case's name")
    options = parser.parse_args()
    print(f"{'case':<34} {'plan: s':>8} {'run: s':>8} {'ratio':>6}   step without limits: s")
    with tempfile.TemporaryDirectory(prefix="simclr-plan-") as directory:
        scratch = Path(directory)
        data = scratch / "data"
        data.mkdir()
        with h5py.File(data / "noise-00000-of-00001.h5", "w") as f:
            f["images"] = np.random.default_rng(1).integers(0, 256, (960, 32, 32, 3), dtype=np.uint8)
        for name, (count, ranks, network, limits) in CASES.items():
            if options.only not in name:
                continue
            words = arguments(network, data)
            plan = predicted(options.simclr, count, ranks, words, limits, scratch)
            with Nodes(count, scratch) as nodes:
                free = step_seconds(options.simclr, nodes, ranks, words, options.steps, scratch)
                if "rate" in limits:
                    nodes.limit(limits["rate"])
                else:
                    nodes.move_apart(limits["delay"])
                more = step_seconds(options.simclr, nodes, ranks, words, options.steps, scratch) - free
            print(f"{name:<34} {plan:>8.3f} {more:>8.3f} {plan / more:>6.2f}   {free:.3f}", flush=True)


if __name__ == "__main__":
    main()
