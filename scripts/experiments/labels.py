#!/usr/bin/env python3
"""Makes the tables of training with labels in docs/studies.md: pretrains on CIFAR-10, then fine-tunes, trains from scratch
and evaluates on 1 %, 10 % and all of the labels, and evaluates layers of the encoder on Fashion-MNIST and EuroSAT.

usage: labels.py SIMCLR CIFAR_DIR EUROSAT_DIR OUTPUT_DIR [SEEDS]

CIFAR_DIR has data_batch_1.bin ... test_batch.bin, EUROSAT_DIR one folder of JPEG files for each class, of which every tenth
in the order of names is a test image. Fashion-MNIST is Debian's dataset-fashion-mnist. SEEDS (default 3) is the number of
draws of labels; all of them are used but once. Takes about an hour on two cores with AVX-512 and bf16, four with AVX2. A
second call runs only what is missing.
"""
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FASHION = Path("/usr/share/datasets/fashion-mnist")
FRACTIONS = {"1 %": ("0.01", 60), "10 %": ("0.1", 30), "100 %": ("1", 10)}  # and the epochs of fine-tuning
LAYERS = ("h", "z", "layer1")
ENVIRONMENT = {**os.environ, "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
               "OMPI_MCA_rmaps_base_oversubscribe": "1"}


class Experiment:
    def __init__(self, simclr, output, precision):
        self.simclr, self.out, self.precision = simclr, output, precision

    def run(self, command, *words, **options):
        line = ["mpirun", "-n", "2", self.simclr, command, *words]
        line += [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
        print(" ".join(map(str, line)), flush=True)
        subprocess.run(list(map(str, line)), check=True, env=ENVIRONMENT)

    def pack(self, source, images, name):
        for split in ("train", "test"):
            folder = self.out / name / split
            if folder.exists():
                continue
            if source == "folder":
                self.run("pack", "--from", source, input=images / split, output=folder)
            else:
                self.run("pack", "--from", source, input=images, split=split, output=folder)

    def data(self, name):
        return {"train_data": self.out / name / "train", "test_data": self.out / name / "test"}

    def top1(self, protocol, checkpoint, name, **options):
        """Top-1 in percent of an evaluation, which is made if its result is missing."""
        file = self.out / "results" / f"{name}.json"
        if not file.exists():
            self.run("linear-eval", protocol=protocol, checkpoint=checkpoint, output=file, **options)
        return 100 * json.loads(file.read_text())["top1"]

    def trained_top1(self, command, name, **options):
        """Top-1 in percent of a run of finetune or supervised, which is trained if its result is missing."""
        run = self.out / name
        if not list(run.glob("eval/*.json")):
            self.run(command, data=self.out / "cifar10" / "train", eval_data=self.out / "cifar10" / "test", run_dir=run,
                     precision=self.precision, checkpoint_every_epochs=0, log_every=100, **options)
        [file] = run.glob("eval/*.json")
        return 100 * json.loads(file.read_text())["top1"]


def split_eurosat(images, output):
    """Links every tenth file of each class into output/test, the others into output/train."""
    for folder in sorted(path for path in images.iterdir() if path.is_dir()):
        for index, file in enumerate(sorted(folder.iterdir())):
            target = output / ("test" if index % 10 == 9 else "train") / folder.name / file.name
            target.parent.mkdir(parents=True, exist_ok=True)
            if not target.exists():
                target.symlink_to(file)


def spread(values):
    if len(values) == 1:
        return f"{values[0]:.1f}"
    return f"{statistics.mean(values):.1f} ± {statistics.stdev(values):.1f}"


def labels_table(experiment, pretrained, seeds):
    rows = {"fine-tuned": [], "linear classifier on the same labels": [], "from scratch, as many epochs": [],
            "from scratch, ten times the epochs": []}
    for fraction, epochs in FRACTIONS.values():
        draws = range(1, seeds + 1) if fraction != "1" else (1,)
        cells = {row: [] for row in rows}
        for seed in draws:
            labels = {"label_fraction": fraction, "label_seed": seed}
            name = f"{fraction}-{seed}"
            cells["linear classifier on the same labels"].append(experiment.top1(
                "cached", pretrained, f"linear-{name}", **labels, **experiment.data("cifar10")))
            run = {**labels, "seed": seed, "epochs": epochs}
            cells["fine-tuned"].append(experiment.trained_top1("finetune", f"finetune-{name}", checkpoint=pretrained, **run))
            model = {"encoder": "resnet18", "width": 0.25, "stem": "cifar", "image_size": 32}
            few = {"batch_size": 64} if fraction == "0.01" else {}
            cells["from scratch, as many epochs"].append(
                experiment.trained_top1("supervised", f"scratch-{name}", **run, **model, **few))
            if fraction == "0.01" or (fraction == "0.1" and seed == 1):
                cells["from scratch, ten times the epochs"].append(experiment.trained_top1(
                    "supervised", f"scratch-long-{name}", **{**run, "epochs": 10 * epochs}, **model, **few))
        for row, values in cells.items():
            rows[row].append(spread(values) if values else "")
    print(f"| top-1 on CIFAR-10, % | {' | '.join(FRACTIONS)} |\n|---{'|---' * len(FRACTIONS)}|")
    for row, values in rows.items():
        print(f"| {row} | {' | '.join(values)} |")


def transfer_table(experiment, pretrained, untrained):
    print("\n| `linear-eval --protocol transfer`, top-1, % | Fashion-MNIST | EuroSAT |\n|---|---|---|")
    for name, checkpoint, layer in [("untrained, h", untrained, "h"), *((layer, pretrained, layer) for layer in LAYERS)]:
        values = [experiment.top1("transfer", checkpoint, f"{data}-{name}".replace(", ", "-"), layer=layer,
                                  **experiment.data(data)) for data in ("fashion-mnist", "eurosat")]
        print(f"| {name} | {values[0]:.1f} | {values[1]:.1f} |")


def main():
    simclr, cifar, eurosat, output = (Path(argument).resolve() for argument in sys.argv[1:5])
    seeds = int(sys.argv[5]) if len(sys.argv) > 5 else 3
    precision = "bf16" if "avx512_bf16" in Path("/proc/cpuinfo").read_text(encoding="utf-8") else "fp32"
    experiment = Experiment(simclr, output, precision)
    (output / "results").mkdir(parents=True, exist_ok=True)
    split_eurosat(eurosat, output / "eurosat-files")
    experiment.pack("cifar-bin", cifar, "cifar10")
    experiment.pack("idx", FASHION, "fashion-mnist")
    experiment.pack("folder", output / "eurosat-files", "eurosat")
    run = output / "pretrained"
    if not (run / "state.json").exists() or json.loads((run / "state.json").read_text())["status"] != "finished":
        experiment.run("pretrain", config=ROOT / "configs" / "cifar10-cpu.cfg", data=output / "cifar10" / "train",
                       eval_data=output / "cifar10" / "test", epochs=20, precision=precision, checkpoint_steps=0,
                       run_dir=run)
    labels_table(experiment, run, seeds)
    transfer_table(experiment, run, run / "checkpoints" / "step-0000000000.h5")


if __name__ == "__main__":
    if {"-h", "--help"} & set(sys.argv[1:]) or len(sys.argv) < 5:
        sys.exit(print(__doc__) if len(sys.argv) > 1 else __doc__)
    main()
