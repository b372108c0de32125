#!/usr/bin/env python3
"""Makes the table of a batch-size study in the form of the SimCLR paper's Table B.1, together with that table.

STUDY_DIR has a run directory per cell, batch-B_epochs-E_scaling-S (S: linear, sqrt or none), with the results
of its evaluations in eval/. Writes table.md, table.csv and plot.png. A cell without a result shows the reason.
Names options in which cells differ although they must not; `simclr pretrain --list-options` tells which may differ.
"""

import argparse
import csv
import json
import os
import re
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

CELL = re.compile(r"batch-(\d+)_epochs-(\d+)_scaling-(linear|sqrt|none)$")
SCALINGS = ("linear", "sqrt", "none")
PROTOCOLS = ("linear-cached", "linear-augmented", "knn")

# arXiv 2002.05709v3, Table B.1: ImageNet, ResNet-50, top-1 in % of a linear classifier trained on augmented images,
# by batch size (rows), epochs and scaling of the learning rate (columns).
PAPER_EPOCHS = (100, 200, 400, 800)
PAPER = {
    256: {"linear": (57.5, 61.9, 64.7, 66.6), "sqrt": (62.8, 64.3, 65.7, 66.5)},
    512: {"linear": (60.7, 64.0, 66.2, 67.8), "sqrt": (63.8, 65.6, 66.7, 67.4)},
    1024: {"linear": (62.8, 65.3, 67.2, 68.5), "sqrt": (64.3, 66.1, 67.2, 68.3)},
    2048: {"linear": (64.0, 66.1, 68.1, 68.9), "sqrt": (64.7, 66.8, 67.9, 68.8)},
    4096: {"linear": (64.6, 66.5, 68.2, 68.9), "sqrt": (64.5, 66.8, 68.0, 69.1)},
    8192: {"linear": (64.8, 66.6, 67.8, 69.0), "sqrt": (64.8, 67.0, 68.3, 69.1)},
}

# The options that the study varies.
VARIED = {"batch-size", "epochs", "lr-scaling", "learning-rate"}

# top1 is in percent, or None with the reason in `problem`.
Cell = namedtuple("Cell", "batch epochs scaling top1 top5 samples test_data problem config")


def read_json(path):
    """Returns the object of a JSON file; None if it is missing or damaged."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def find_program():
    """Returns simclr as named by $SIMCLR, of the source tree, of the installed tree, or in PATH."""
    here = Path(__file__).resolve().parent
    found = [os.environ.get("SIMCLR"), here / "../build/simclr", here / "../../../bin/simclr"]
    return next((str(p) for p in found if p and os.access(p, os.X_OK)), shutil.which("simclr"))


def pretrain_options(program):
    """Returns name -> description by the program, for every option of a run's configuration."""
    done = subprocess.run([program, "pretrain", "--list-options"], capture_output=True, text=True, check=True)
    return {option["name"]: option for option in json.loads(done.stdout) if option["sections"]}


def read_config(path):
    """Returns name -> value of a run's config.cfg; empty without the file."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    pairs = (line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    return {name.strip(): value.strip() for name, value in pairs}


def newest_result(directory, protocol):
    """Returns the evaluation of the latest step by this protocol; of several (other data or options), the last made."""
    files = sorted((directory / "eval").glob("*.json"), key=lambda file: (file.stat().st_mtime_ns, file.name))
    results = [result for result in map(read_json, files) if result is not None and result.get("protocol") == protocol]
    newest = max((result.get("step", 0) for result in results), default=None)
    return next((result for result in reversed(results) if result.get("step", 0) == newest), None)


def problem_of(config, state, result, asked, protocol):
    """Returns why a cell has no number to show; "" if it has one."""
    if not config:
        return "not started"
    for name, value in asked.items():
        if config.get(name) != value:
            return f"another run: {name} = {config.get(name)}"
    if state is None:
        return "no state.json"
    if state.get("status") != "finished" or state.get("cause") == "max-steps":
        reason = state.get("reason", "")
        return f"{state.get('status')} at step {state.get('step')}" + (f": {reason}" if reason else "")
    if result is None:
        return f"no {protocol} result"
    if result.get("step") != state.get("step"):
        return f"evaluated at step {result.get('step')}, but trained to step {state.get('step')}"
    return ""


def read_cell(directory, protocol):
    batch, epochs, scaling = CELL.match(directory.name).groups()
    config = read_config(directory / "config.cfg")
    result = newest_result(directory, protocol)
    asked = {"batch-size": batch, "epochs": epochs, "lr-scaling": scaling}
    problem = problem_of(config, read_json(directory / "state.json"), result, asked, protocol)
    found = {} if problem else result
    percent = {name: 100 * found[name] if name in found else None for name in ("top1", "top5")}
    return Cell(int(batch), int(epochs), scaling, percent["top1"], percent["top5"], found.get("samples"),
                found.get("test_data"), problem, config)


def differences(cells, options):
    """Returns name -> values of options in which the cells differ although they must not.

    Leaves out options that a resumed run may change, since they do not change its result."""
    configs = [cell.config for cell in cells if cell.config]
    defaults = {name: option["default"] for name, option in options.items()}
    may_differ = VARIED | {name for name, option in options.items() if option["may_change_on_resume"]}
    names = sorted(set(defaults).union(*configs) - may_differ)
    values = {name: sorted({config.get(name, defaults.get(name)) or "unset" for config in configs}) for name in names}
    return {name: found for name, found in values.items() if len(found) > 1}


def row_line(values):
    return "| " + " | ".join(values) + " |\n"


def study_table(cells, notes):
    """Returns the table and the names of the scalings.

    Rows are batch sizes, columns epochs; each field has a number for each scaling of the learning rate."""
    scalings = [s for s in SCALINGS if any(c.scaling == s for c in cells)]
    epochs = sorted({c.epochs for c in cells})
    by_place = {(c.batch, c.epochs, c.scaling): c for c in cells}

    def number(place):
        cell = by_place.get(place)
        if cell is None:
            return "–"
        if not cell.problem:
            return f"{cell.top1:.1f}"
        notes.append(f"batch {cell.batch}, {cell.epochs} epochs, {cell.scaling}: {cell.problem}")
        return f"({len(notes)})"

    text = row_line(["Batch size \\ Epochs", *map(str, epochs)]) + row_line(["---"] * (1 + len(epochs)))
    for batch in sorted({c.batch for c in cells}):
        text += row_line([str(batch), *(" / ".join(number((batch, e, s)) for s in scalings) for e in epochs)])
    return text, " / ".join(scalings)


def paper_table():
    text = row_line(["Batch size \\ Epochs", *map(str, PAPER_EPOCHS)]) + row_line(["---"] * (1 + len(PAPER_EPOCHS)))
    for batch, numbers in PAPER.items():
        text += row_line([str(batch), *(f"{linear} / {sqrt}" for linear, sqrt in zip(numbers["linear"], numbers["sqrt"]))])
    return text


def describe(cells, protocol):
    """Describes the evaluation and the encoder of the numbers."""
    config = next((c.config for c in cells if not c.problem), next((c.config for c in cells if c.config), {}))
    test_data = sorted({c.test_data for c in cells if c.test_data})
    samples = sorted({c.samples for c in cells if c.samples})
    text = f"`{protocol}`"
    if test_data:
        text += f" on {', '.join(test_data)} ({', '.join(map(str, samples))} images)"
    width = float(config.get("width", 1))
    text += f"; {config.get('encoder', 'unknown encoder')}" + (f", width {width:g}" if width != 1 else "")
    return text + (f", images of {config['image-size']} pixels" if "image-size" in config else "")


def markdown(cells, protocol, options):
    notes = []
    table, scalings = study_table(cells, notes)
    text = f"## This study\n\nTop-1 in %, {describe(cells, protocol)}. Learning rate scaled: {scalings}.\n\n{table}"
    if notes:
        text += "\n" + "\n".join(f"({i}) {note}  " for i, note in enumerate(notes, 1)) + "\n"
    test_data = sorted({c.test_data for c in cells if c.test_data})
    found = differences(cells, options) | ({"test data": test_data} if len(test_data) > 1 else {})
    for name, values in found.items():
        text += f"\n**The cells differ in {name}: {', '.join(values)}.**\n"
    return text + ("\n## The SimCLR paper (other data and another encoder)\n\n"
                   "Top-1 in %, linear evaluation of ResNet-50 on ImageNet (arXiv 2002.05709, Table B.1). "
                   f"Learning rate scaled: linear / sqrt.\n\n{paper_table()}")


def write_csv(path, cells, protocol):
    with open(path, "w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(["source", "batch_size", "epochs", "lr_scaling", "protocol", "top1_percent", "top5_percent",
                      "test_images", "test_data", "encoder", "problem"])
        for c in cells:
            numbers = ["" if n is None else f"{n:.4f}" for n in (c.top1, c.top5)]
            out.writerow(["study", c.batch, c.epochs, c.scaling, protocol, *numbers, c.samples or "",
                          c.test_data or "", c.config.get("encoder", ""), c.problem])
        for batch, numbers in PAPER.items():
            for scaling, accuracies in numbers.items():
                for epochs, top1 in zip(PAPER_EPOCHS, accuracies):
                    out.writerow(["paper", batch, epochs, scaling, "linear-augmented", top1, "", "", "ImageNet",
                                  "resnet50", ""])


def lines(cells):
    """Returns (epochs, scaling) -> [(batch, top-1), ...] of the cells that have a number."""
    found = {}
    for c in cells:
        if not c.problem:
            found.setdefault((c.epochs, c.scaling), []).append((c.batch, c.top1))
    return found


def plot_lines(axes, found, **style):
    epochs = sorted({e for e, _ in found})
    for (e, scaling), points in sorted(found.items()):
        axes.plot(*zip(*points), color=f"C{epochs.index(e) % 10}", marker="o", markersize=4,
                  linestyle={"linear": "-", "sqrt": "--", "none": ":"}[scaling],
                  label=f"{e} epoch{'s' if e > 1 else ''}, {scaling}", **style)
    batches = sorted({batch for points in found.values() for batch, _ in points})
    axes.set_xscale("log", base=2)
    axes.set_xticks(batches, [str(b) for b in batches])
    axes.minorticks_off()
    axes.set(xlabel="batch size", ylabel="top-1, %")
    axes.grid(alpha=0.3)
    if found:
        axes.legend(fontsize=7, ncol=2)


def write_plot(path, cells, protocol):
    try:
        import matplotlib
    except ImportError:
        sys.exit(f"study_table.py: wrote the tables, but {path} needs matplotlib (package python3-matplotlib)")
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    figure, (ours, paper) = plt.subplots(1, 2, figsize=(10, 4), constrained_layout=True)
    plot_lines(ours, lines(cells))
    ours.set_title(f"this study: {protocol}", fontsize=10)
    published = {(e, s): [(b, PAPER[b][s][i]) for b in PAPER] for i, e in enumerate(PAPER_EPOCHS)
                 for s in ("linear", "sqrt")}
    plot_lines(paper, published, alpha=0.45)
    paper.set_title("the paper: ResNet-50, ImageNet", fontsize=10)
    figure.savefig(path, dpi=120)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path, metavar="STUDY_DIR")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="created if missing")
    parser.add_argument("--protocol", default="linear-cached", choices=PROTOCOLS, help="default: %(default)s")
    parser.add_argument("--simclr", default=find_program(), metavar="PROGRAM",
                        help="the program that trained the runs; default: $SIMCLR, or simclr beside this file or in "
                             "PATH")
    given = parser.parse_args()
    if not given.study.is_dir():
        parser.error(f"{given.study}: not a directory")
    directories = [d for d in given.study.iterdir() if CELL.match(d.name) and d.is_dir()]
    if not directories:
        parser.error(f"{given.study}: has no folders batch-B_epochs-E_scaling-S")
    if given.simclr is None:
        parser.error("no simclr beside this file or in PATH: name it with --simclr or SIMCLR")
    try:
        options = pretrain_options(given.simclr)
    except (OSError, subprocess.CalledProcessError, ValueError) as error:
        parser.error(f"{given.simclr} pretrain --list-options: {error}")
    cells = sorted((read_cell(d, given.protocol) for d in directories), key=lambda c: c[:3])
    given.output.mkdir(parents=True, exist_ok=True)
    (given.output / "table.md").write_text(markdown(cells, given.protocol, options), encoding="utf-8")
    write_csv(given.output / "table.csv", cells, given.protocol)
    write_plot(given.output / "plot.png", cells, given.protocol)
    missing = sum(bool(c.problem) for c in cells)
    print(f"{given.output}: table.md, table.csv, plot.png; {len(cells)} cells, {missing} without a number")


if __name__ == "__main__":
    sys.exit(main())
