#!/usr/bin/env python3
"""Recomputes three steps of `simclr finetune` in PyTorch with float64, from the program's own weights and batches.

The program pretrains a small encoder, fine-tunes it for three steps with a checkpoint before and after, and dumps
the images it trained on. The replay begins with the exported weights and takes all three steps on its own: with
batch statistics it must agree, and with running statistics it must not, which shows in which mode the program
trains.
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
from simclr_torch import SimClr, load_exported, read_safetensors  # noqa: E402

STEPS = 3
CLASSES = 10
LOSS_TOLERANCE = 1e-6
WEIGHT_TOLERANCE = 1e-4
RATE = 0.1


class Classifier(torch.nn.Module):
    """The encoder, the first layers of the projection head, and a linear classifier that begins at zero."""

    def __init__(self, case, weights, head_layers):
        super().__init__()
        self.model = SimClr(case.encoder, case.width, case.stem == "cifar", case.head_layers).double()
        load_exported(self.model, weights)
        self.head = self.model.projection_head[:head_layers]
        width = weights["conv1.weight"].shape[0] * 8
        self.classifier = torch.nn.Linear(width, CLASSES).double()
        torch.nn.init.zeros_(self.classifier.weight)
        torch.nn.init.zeros_(self.classifier.bias)

    def forward(self, images):
        features = self.model.features(images)
        for layer in self.head:
            features = layer(features)
        return self.classifier(features)


def tensors_of(classifier, layers):
    named = {name: t for name, t in classifier.model.state_dict().items()
             if not name.startswith("projection_head") or int(name.split(".")[1]) < layers}
    named.update({f"classifier.{name}": t for name, t in classifier.classifier.state_dict().items()})
    return {name: t.numpy() for name, t in named.items() if "num_batches" not in name}


def replay(case, weights, images, labels, rates, layers, train):
    """Returns the losses of the steps and the tensors after the last one."""
    classifier = Classifier(case, weights, layers).train(train)
    head = [p for layer in classifier.head for p in layer.parameters() if p.requires_grad]
    encoder = [p for name, p in classifier.model.named_parameters() if not name.startswith("projection_head")]
    optimizer = torch.optim.SGD(encoder + head + list(classifier.classifier.parameters()), lr=RATE, momentum=0.9,
                                nesterov=True)
    losses = []
    for step, rate in enumerate(rates):
        for group in optimizer.param_groups:
            group["lr"] = rate
        logits = classifier(torch.from_numpy(images[step][0].astype(np.float64)).permute(0, 3, 1, 2))
        loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(labels[step]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return np.array(losses), tensors_of(classifier, layers)


def deviations(found_losses, found, losses, expected):
    """The largest deviation of a loss, and of a tensor relative to its norm."""
    worst = 0.0
    for name, values in expected.items():
        if name not in found:
            continue  # the last batch normalization's shift, which is no parameter
        norm = np.linalg.norm(values)
        worst = max(worst, float(np.linalg.norm(found[name] - values) / (norm if norm > 0 else 1)))
    return float(np.max(np.abs(found_losses - losses))), worst


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--simclr", required=True)
    parser.add_argument("--ranks", type=int, default=1)
    parser.add_argument("--head-layers", type=int, default=0, help="layers of the head below the classifier")
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    case = dataclasses.replace(CASES["basic-3-layer-head"], learning_rate=1.0)
    with Program(args.simclr, args.ranks, args.device) as program:
        make_images(program, case)
        program.pretrain(case, 2)
        exported = program.folder / "step-2.safetensors"
        run = program.folder / "finetune"
        options = ["--weights", exported, "--data", program.data, "--eval-data", program.data, "--run-dir", run,
                   "--from-head-layer", args.head_layers, "--recipe", "v1", "--batch-size", case.batch_size, "--epochs", 3,
                   "--learning-rate", RATE, "--lr-scaling", "none", "--log-every", 1, "--threads", 1,
                   "--device", args.device, "--precision", "fp32"]
        views = program.folder / "views.h5"
        program.run("preview", "finetune", *options, "--steps", f"0:{STEPS}", "--output", views)
        program.run("finetune", *options, "--max-steps", STEPS, ranks=args.ranks)
        after = program.folder / "after.safetensors"
        program.run("export", "--checkpoint", run / "checkpoints" / f"step-{STEPS:010d}.h5", "--output", after)
        rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()][:STEPS]
        found = {name.replace("fc.", "classifier."): t for name, t in read_safetensors(after)[0].items()}
        with h5py.File(views) as file:
            images, labels = file["views"][:], file["labels"][:]
        weights = read_safetensors(exported)[0]
    found_losses = np.array([row["loss"] for row in rows])
    rates = [row["learning_rate"] for row in rows]
    loss, tensor = deviations(found_losses, found, *replay(case, weights, images, labels, rates, args.head_layers, True))
    print(f"with batch statistics: loss within {loss:.2e}, weights and running statistics within {tensor:.2e}")
    if not (loss <= LOSS_TOLERANCE and tensor <= WEIGHT_TOLERANCE):
        fail(f"the tolerances are {LOSS_TOLERANCE:g} and {WEIGHT_TOLERANCE:g}")
    loss, tensor = deviations(found_losses, found, *replay(case, weights, images, labels, rates, args.head_layers, False))
    print(f"with running statistics: loss within {loss:.2e}, weights within {tensor:.2e}")
    if not (loss > 100 * LOSS_TOLERANCE and tensor > 10 * WEIGHT_TOLERANCE):
        fail("running statistics give the same result: the test cannot tell the modes apart")
    missing = {name for name in found if name.startswith("projection_head") and int(name.split(".")[1]) >= args.head_layers}
    if missing:
        fail(f"layers behind the classifier's input are in the model: {sorted(missing)}")


if __name__ == "__main__":
    main()
