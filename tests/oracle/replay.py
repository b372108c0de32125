#!/usr/bin/env python3
"""Recomputes six training steps of simclr in PyTorch with float64, each from the program's state before it.

The program trains with a checkpoint after every step and dumps the views it trained on. Each step is then
recomputed by scripts/pytorch/simclr_torch.py; the momentum before a step is the difference of the two states
before it. The tolerances exceed the deviations of PyTorch in fp32 from float64 (measured 2e-6 for the loss,
1.1 % and 3.6 % for updates, 3e-5 for running statistics).
"""

import argparse
import math
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts" / "pytorch"))

import h5py  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from program import CASES, Program, fail, labels_of, make_images  # noqa: E402
from simclr_torch import (Lars, SimClr, contrastive_loss, learning_rate, load_exported,  # noqa: E402
                          read_safetensors)

STEPS = 6
LOSS_TOLERANCE = 1e-5
RATE_TOLERANCE = 1e-5
POOLED_UPDATE_TOLERANCE = 0.03
TENSOR_UPDATE_TOLERANCE = 0.10
RUNNING_TOLERANCE = 1e-4


def within(value, bound):
    """Returns value <= bound; False for NaN."""
    return bool(value <= bound)


def relative(difference, reference):
    """Returns |difference| / |reference|; infinity if only the reference is 0."""
    top, bottom = float(np.linalg.norm(difference)), float(np.linalg.norm(reference))
    if bottom == 0:
        return 0.0 if top == 0 else math.inf
    return top / bottom


class Replay:
    def __init__(self, case, states, views, index, metrics):
        self.case, self.states, self.views, self.index, self.metrics = case, states, views, index, metrics
        self.worst = {"loss": 0.0, "rate": 0.0, "pooled update": 0.0, "tensor update": 0.0, "running": 0.0}

    def bound(self, what, value, tolerance, where):
        if not within(value, tolerance):
            fail(f"{where}: {what} deviates by {value:.3g}; the tolerance is {tolerance:g}")
        self.worst[what] = max(self.worst[what], value)

    def model_at(self, step):
        model = SimClr(self.case.encoder, self.case.width, self.case.stem == "cifar",
                       self.case.head_layers, pool_padding=self.case.pool_padding,
                       sk_ratio=self.case.sk_ratio).double()
        for module in model.modules():
            if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):  # pylint: disable=protected-access
                module.momentum = 1 - self.case.bn_decay
        load_exported(model, self.states[step])
        return model.train()

    def expected_step(self, step):
        """Returns (loss, {name: update}, {name: running statistic}) of one step by PyTorch."""
        case = self.case
        model = self.model_at(step)
        views = torch.from_numpy(self.views[step].astype(np.float64))  # (2, N, H, W, 3)
        _, z = model(views.flatten(0, 1).permute(0, 3, 1, 2))
        options = {name.replace("-", "_"): value for name, value in case.loss}
        labels = torch.from_numpy(labels_of(self.index[step]))
        loss = contrastive_loss(z, temperature=case.temperature, labels=labels, **options)
        loss.backward()
        optimizer = Lars(model.parameters(), case.momentum, case.weight_decay)
        names = [name for name, p in model.named_parameters() if p.requires_grad]
        if step > 0:
            for name, velocity in zip(names, optimizer.velocity):
                before = self.states[step - 1][name].astype(np.float64)
                velocity.copy_(torch.from_numpy(before - self.states[step][name]))
        optimizer.step(self.rate(step))
        updates = {name: -v.numpy() for name, v in zip(names, optimizer.velocity)}
        running = {name: b.numpy() for name, b in model.named_buffers() if "running" in name}
        return loss.item(), updates, running

    def rate(self, step):
        case = self.case
        steps_per_epoch = case.samples // case.batch_size
        warmup = round(case.warmup_epochs * steps_per_epoch)
        peak = case.learning_rate * case.batch_size / 256
        return learning_rate(step, peak, warmup, steps_per_epoch * case.epochs)

    def check_step(self, step):
        loss, updates, running = self.expected_step(step)
        row, where = self.metrics[step + 1], f"{self.case.name} step {step}"
        self.bound("loss", abs(row["loss"] - loss) / abs(loss), LOSS_TOLERANCE, where)
        rate = self.rate(step)
        self.bound("rate", abs(row["learning_rate"] - rate) / max(rate, 1e-12), RATE_TOLERANCE, where)

        before, after = self.states[step], self.states[step + 1]
        actual = {name: after[name].astype(np.float64) - before[name] for name in updates}
        self.bound("pooled update", self.pooled(actual, updates), POOLED_UPDATE_TOLERANCE, where)
        for name, update in updates.items():
            error = relative(actual[name] - update, update)
            self.bound("tensor update", error, TENSOR_UPDATE_TOLERANCE, f"{where} {name}")
        for name, expected in running.items():
            error = relative(after[name] - expected, expected)
            self.bound("running", error, RUNNING_TOLERANCE, f"{where} {name}")
        return rate > 0 and any(np.any(update != 0) for update in updates.values())

    @staticmethod
    def pooled(actual, expected):
        flat = np.concatenate([expected[name].ravel() for name in expected])
        return relative(np.concatenate([actual[name].ravel() for name in expected]) - flat, flat)


def check_unaugmented(program, case, images):
    """Checks that both views of an unaugmented run equal the stored pixels."""
    with h5py.File(program.preview(case, steps="0:2", augment="none")) as file:
        views, index = file["views"][:], file["sample_index"][:]
    for step in range(len(views)):
        stored = images[index[step]].astype(np.float32) / np.float32(255)
        for view in range(2):
            if not np.array_equal(views[step, view], stored):
                fail(f"{case.name}: unaugmented view {view} of step {step} differs from the stored pixels")


def check_shapes(case, views, index):
    expected = (STEPS, 2, case.batch_size, case.image_size, case.image_size, 3)
    if views.shape != expected or views.dtype != np.float32:
        fail(f"{case.name}: views are {views.dtype} {views.shape}, expected float32 {expected}")
    rounding = 1e-6  # the weights of a blur add up to 1 except for rounding
    if not (views.min() >= -rounding and views.max() <= 1 + rounding):
        fail(f"{case.name}: views leave [0, 1]")
    per_epoch = case.samples // case.batch_size
    for first in range(0, STEPS, per_epoch):
        epoch = index[first:first + per_epoch].ravel()
        if len(np.unique(epoch)) != epoch.size or epoch.min() < 0 or epoch.max() >= case.samples:
            fail(f"{case.name}: an epoch visits a sample twice, or one that does not exist")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--simclr", required=True, help="the simclr program")
    parser.add_argument("--case", required=True, choices=sorted(CASES))
    parser.add_argument("--ranks", type=int, default=1)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"], help="where the program computes")
    options = parser.parse_args()
    torch.set_num_threads(1)  # leaves the other core to other tests
    case = CASES[options.case]

    with Program(options.simclr, options.ranks, options.device) as program:
        images = make_images(program, case)
        states, metrics = program.pretrain(case, steps=STEPS)
        with h5py.File(program.preview(case, steps=f"0:{STEPS}")) as file:
            views, index = file["views"][:], file["sample_index"][:]
        check_shapes(case, views, index)
        states = [read_safetensors(path)[0] for path in states]
        replay = Replay(case, states, views, index, metrics)
        moved = [replay.check_step(step) for step in range(STEPS)]
        if sum(moved) < STEPS - 1:
            fail(f"{case.name}: only {sum(moved)} of {STEPS} steps moved the parameters")
        check_unaugmented(program, case, images)
    print(f"{case.name} on {options.ranks} ranks, {options.device}: " +
          ", ".join(f"{what} {value:.2g}" for what, value in replay.worst.items()))


if __name__ == "__main__":
    main()
