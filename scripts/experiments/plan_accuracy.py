#!/usr/bin/env python3
"""Compares the memory and step time that `simclr plan` predicts with runs on this machine's CPU.

None of the configurations is among the networks that `plan --machine measured` times. Each is planned and run in turns,
--rounds times; a ratio is predicted / measured of one round, and the median ratio is printed with the lowest and the
highest. Other load on the machine changes the times: check the column `load`.

usage: plan_accuracy.py [--simclr build/simclr] [--rounds 3] [--only NAME ...] [--memory-only] [--json FILE]
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np

ROOT = Path(__file__).resolve().parent.parent.parent

# name: ranks, stored side, samples, steps, options
CONFIGURATIONS = {
    "R18 x0.5, 32 px, 64, bf16": (1, 32, 1024, 12, {
        "encoder": "resnet18", "width": 0.5, "image-size": 32, "batch-size": 64, "precision": "bf16",
        "augment": "crop,flip,color,gray"}),
    "R50, 160 px, 8, fp32": (1, 180, 96, 7, {
        "encoder": "resnet50", "image-size": 160, "batch-size": 8, "precision": "fp32"}),
    "R34 x0.25, 32 px, 64, fp32, 2 ranks": (2, 32, 1024, 12, {
        "encoder": "resnet34", "width": 0.25, "image-size": 32, "batch-size": 64, "precision": "fp32",
        "augment": "crop,flip,color,gray"}),
}
FIRST_STEPS = 2  # slow steps that touch memory pages for the first time


def run(command):
    environment = {**os.environ, "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
                   "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False,
                          env=environment)
    if done.returncode != 0:
        sys.exit(f"plan_accuracy: {' '.join(map(str, command))} ended with {done.returncode}\n"
                 f"{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def write_shards(directory, side, samples):
    directory.mkdir()
    pixels = np.random.default_rng(1).integers(0, 256, (samples, side, side, 3), dtype=np.uint8)
    with h5py.File(directory / "noise-00000-of-00001.h5", "w") as f:
        f["images"] = pixels


def plan(simclr, ranks, options, scratch, measure_time):
    """Returns the predicted bytes per rank and seconds per step."""
    file = scratch / "plan.json"
    # Without a measurement, the machine file has invented limits and the predicted time has no meaning.
    machine = ["--machine", "measured" if measure_time else ROOT / "tests/plan/cpu.json"]
    run([simclr, "plan", *options, "--ranks", ranks, "--ranks-per-node", ranks, "--json", file, *machine])
    planned = json.loads(file.read_text())
    memory = planned["memory"]
    return memory["host_bytes"] + memory["cache_bytes_per_node"], planned["model"]["seconds_step"]


def pretrain(simclr, ranks, steps, options, scratch):
    """Returns the measured values: the highest peak of any rank, and the median step."""
    run_dir = Path(tempfile.mkdtemp(dir=scratch)) / "run"
    launcher = ["mpirun", "--oversubscribe", "--bind-to", "none", "-n", ranks] if ranks > 1 else []
    output = run([*launcher, simclr, "pretrain", *options, "--run-dir", run_dir, "--max-steps", steps,
                  "--log-every", 1])
    peak = re.search(r"peak memory a rank: ([\d.]+) MB", output)
    rows = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    seconds = [row["seconds_step"] for row in rows[FIRST_STEPS:]]
    return float(peak[1]) * 1e6, statistics.median(seconds)


def compare(name, arguments, scratch):
    ranks, side, samples, steps, options = CONFIGURATIONS[name]
    data = scratch / f"data-{side}-{samples}"
    if not data.exists():
        write_shards(data, side, samples)
    words = [f"--{key}={value}" for key, value in options.items()]
    words += [f"--data={data}", "--device=cpu", "--warmup-epochs=0", "--epochs=10"]
    if arguments.memory_only:
        steps = FIRST_STEPS + 1
    rounds = []
    for _ in range(arguments.rounds):
        load = os.getloadavg()[0]
        predicted = plan(arguments.simclr, ranks, words, scratch, not arguments.memory_only)
        measured = pretrain(arguments.simclr, ranks, steps, words, scratch)
        rounds.append({"load": load, "memory_predicted": predicted[0], "memory_measured": measured[0],
                       "memory_ratio": predicted[0] / measured[0], "step_predicted": predicted[1],
                       "step_measured": measured[1], "step_ratio": predicted[1] / measured[1]})
    return rounds


def report(name, rounds, memory_only):
    def column(key):
        return sorted(row[key] for row in rounds)

    memory, step = column("memory_ratio"), column("step_ratio")
    line = (f"{name:<38} {statistics.median(column('memory_predicted')) / 1e6:>8.1f} "
            f"{statistics.median(column('memory_measured')) / 1e6:>8.1f} {statistics.median(memory):>6.3f}")
    if not memory_only:
        line += (f"   {statistics.median(column('step_predicted')) * 1e3:>8.1f} "
                 f"{statistics.median(column('step_measured')) * 1e3:>8.1f} {statistics.median(step):>6.3f} "
                 f"({step[0]:.3f}, {step[-1]:.3f})   {max(column('load')):.1f}")
    print(line, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--simclr", default=ROOT / "build" / "simclr")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", action="append", choices=list(CONFIGURATIONS))
    parser.add_argument("--memory-only", action="store_true", help="do not measure times: few steps, no calibration")
    parser.add_argument("--json", type=Path, help="write the numbers of every round to this file")
    arguments = parser.parse_args()
    print(f"{'configuration':<38} {'MB: plan':>8} {'run':>8} {'ratio':>6}"
          + ("" if arguments.memory_only else f"   {'ms: plan':>8} {'run':>8} {'ratio':>6} (low, high)   load"))
    results = {}
    with tempfile.TemporaryDirectory(prefix="simclr-plan-") as scratch:
        for name in arguments.only or CONFIGURATIONS:
            results[name] = compare(name, arguments, Path(scratch))
            report(name, results[name], arguments.memory_only)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
