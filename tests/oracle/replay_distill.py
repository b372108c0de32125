#!/usr/bin/env python3
"""Recomputes three steps of `simclr distill` in PyTorch with float64, from the program's own weights and batches.

The program trains a teacher, distills it for three steps with a checkpoint before them, and dumps the images it
trained on. The replay begins with the exported weights and takes all three steps on its own. The teacher must see
them in inference mode: with batch statistics the result must differ.
"""

import argparse
import dataclasses
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts" / "pytorch"))

import h5py  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from program import CASES, Program, fail, make_images  # noqa: E402
from replay_finetune import Classifier, deviations, tensors_of  # noqa: E402
from simclr_torch import read_safetensors  # noqa: E402
from torch.nn import functional  # noqa: E402

STEPS = 3
LOSS_TOLERANCE = 1e-6
WEIGHT_TOLERANCE = 1e-4
RATE = 0.1
TEMPERATURE = 0.5
LABEL_WEIGHT = 0.25


def classifier_of(case, weights):
    """A model with the exported weights, `fc` included."""
    encoder = {name: value for name, value in weights.items() if not name.startswith("fc.")}
    model = Classifier(dataclasses.replace(case, head_layers=0), encoder, 0)
    with torch.no_grad():
        model.classifier.weight.copy_(torch.tensor(weights["fc.weight"].copy()))
        model.classifier.bias.copy_(torch.tensor(weights["fc.bias"].copy()))
    return model


def replay(case, student, teacher, images, labels, rates, teacher_trains):
    """Returns the losses of the steps and the student's tensors after the last one."""
    student = classifier_of(case, student).train()
    teacher = classifier_of(case, teacher).train(teacher_trains)
    optimizer = torch.optim.SGD(student.parameters(), lr=RATE, momentum=0.9, nesterov=True)
    losses = []
    for step, rate in enumerate(rates):
        for group in optimizer.param_groups:
            group["lr"] = rate
        views = torch.from_numpy(images[step][0].astype(np.float64)).permute(0, 3, 1, 2)
        logits = student(views)
        with torch.no_grad():
            wanted = (teacher(views) / TEMPERATURE).softmax(dim=1)
        divergence = functional.kl_div((logits / TEMPERATURE).log_softmax(dim=1), wanted, reduction="batchmean")
        entropy = -(wanted * wanted.log()).sum(dim=1).mean()
        loss = (LABEL_WEIGHT * functional.cross_entropy(logits, torch.from_numpy(labels[step]))
                + (1 - LABEL_WEIGHT) * TEMPERATURE ** 2 * (divergence + entropy))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    tensors = {name.replace("classifier.", "fc."): value for name, value in tensors_of(student, 0).items()}
    return np.array(losses), tensors


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--simclr", required=True)
    parser.add_argument("--ranks", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    case = dataclasses.replace(CASES["basic"], samples=96, batch_size=32)
    with Program(args.simclr, args.ranks, args.device) as program:
        make_images(program, case)
        common = ["--data", program.data, "--eval-data", program.data, "--encoder", case.encoder, "--width", case.width,
                  "--image-size", case.image_size, "--batch-size", case.batch_size, "--threads", 1, "--log-every", 1,
                  "--device", args.device, "--precision", "fp32"]
        teacher, run = program.folder / "teacher", program.folder / "student"
        program.run("supervised", *common, "--epochs", 4, "--run-dir", teacher)
        options = ["--teacher", teacher, *common, "--epochs", 3, "--run-dir", run, "--optimizer", "sgd",
                   "--learning-rate", RATE, "--lr-scaling", "none", "--warmup-epochs", 0, "--weight-decay", 0,
                   "--distill-temperature", TEMPERATURE, "--label-weight", LABEL_WEIGHT,
                   "--checkpoint-steps", 0]
        views = program.folder / "views.h5"
        program.run("preview", "distill", *options, "--steps", f"0:{STEPS}", "--output", views)
        program.run("distill", *options, "--max-steps", STEPS, ranks=args.ranks)
        weights = {}
        for name, source in (("teacher", teacher), ("before", run / "checkpoints" / f"step-{0:010d}.h5"),
                             ("after", run / "checkpoints" / f"step-{STEPS:010d}.h5")):
            file = program.folder / f"{name}.safetensors"
            program.run("export", "--checkpoint", source, "--output", file)
            weights[name] = read_safetensors(file)[0]
        rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()][:STEPS]
        with h5py.File(views) as file:
            images, labels = file["views"][:], file["labels"][:]
    found = np.array([row["loss"] for row in rows])
    rates = [row["learning_rate"] for row in rows]
    arguments = (case, weights["before"], weights["teacher"], images, labels, rates)
    loss, tensor = deviations(found, weights["after"], *replay(*arguments, False))
    print(f"teacher in inference mode: loss within {loss:.2e}, weights and running statistics within {tensor:.2e}")
    if not (loss <= LOSS_TOLERANCE and tensor <= WEIGHT_TOLERANCE):
        fail(f"the tolerances are {LOSS_TOLERANCE:g} and {WEIGHT_TOLERANCE:g}")
    loss, _ = deviations(found, weights["after"], *replay(*arguments, True))
    print(f"teacher with batch statistics: loss within {loss:.2e}")
    if not loss > 100 * LOSS_TOLERANCE:
        fail("a teacher with batch statistics gives the same loss: the test cannot tell the modes apart")


if __name__ == "__main__":
    main()
