"""Compares linear-eval's transfer protocol and few labels with NumPy on the features that embed writes.

usage: transfer_oracle.py BUILD CHECK
"""
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np

from program import Program, check, model, striped_images

CLASSES = 4
GRID = "1e-5:1e4:10"
SETS = ["--train-data", "train", "--test-data", "test"]


def features(program, name):
    program.run("embed", "--checkpoint", "run", "--data", name, "--output", f"{name}.h5")
    with h5py.File(os.path.join(program.directory, f"{name}.h5"), "r") as file:
        return file["h"][:].astype(np.float64)


def newton(x, targets, penalty, sigmoid):
    """The minimum of sum CE + penalty/2 |W|^2 and W (K, C+1). targets: (N, K) shares, NaN where ignored."""
    x = np.hstack([x, np.ones((len(x), 1))])
    classes, inputs = targets.shape[1], x.shape[1]
    weight = np.arange(inputs) < inputs - 1
    valid = ~np.isnan(targets)
    targets = np.where(valid, targets, 0)

    def loss(w):
        z = x @ w.T
        if sigmoid:
            losses = np.where(valid, np.logaddexp(0, z) - targets * z, 0)
        else:
            losses = np.logaddexp.reduce(z, axis=1) - (targets * z).sum(1)
        return losses.sum() + penalty / 2 * (w[:, weight] ** 2).sum()

    w = np.zeros((classes, inputs))
    for _ in range(100):
        z = x @ w.T
        p = 1 / (1 + np.exp(-z)) if sigmoid else np.exp(z - np.logaddexp.reduce(z, axis=1)[:, None])
        gradient = ((p - targets) * valid).T @ x + penalty * w * weight
        curvature = np.einsum("nk,kj->nkj", p * valid, np.eye(classes))
        curvature -= np.einsum("nk,nj->nkj", p, p) * (np.eye(classes) * valid[:, None, :] if sigmoid else 1)
        hessian = np.einsum("nkj,nc,nd->kcjd", curvature, x, x, optimize=True).reshape(w.size, w.size)
        hessian += np.diag(np.tile(np.where(weight, penalty, 1e-9), classes))
        step = np.linalg.solve(hessian, gradient.ravel()).reshape(w.shape)
        factor = 1.0
        while factor > 1e-8 and not loss(w - factor * step) < loss(w):
            factor /= 2
        if factor <= 1e-8:
            break
        w = w - factor * step
    return loss(w), w


def logits(w, x):
    return x @ w[:, :-1].T + w[:, -1]


def mean_per_class(scores, labels):
    right = scores.argmax(1) == labels
    return np.mean([right[labels == c].mean() for c in np.unique(labels)])


def ap11(scores, marks):
    """Mean over classes with a present sample. A threshold takes all samples of equal score or none."""
    values = []
    for z, m in zip(scores.T, marks.T):
        z, m = z[m != 255], m[m != 255]
        if not (m == 1).any():
            continue
        thresholds = np.unique(z)
        found = np.array([(m[z >= t] == 1).sum() for t in thresholds])
        precision = found / np.array([(z >= t).sum() for t in thresholds])
        values.append(np.mean([precision[10 * found >= r * (m == 1).sum()].max() for r in range(11)]))
    return np.mean(values)


def close(found, expected, relative, what):
    check(abs(found - expected) <= relative * abs(expected), f"{what}: {found}, not {expected}")


def transfer(program, *options, ranks=0, name="result", code=0):
    """Runs the protocol; returns its result and its log."""
    out, err = program.run("linear-eval", "--protocol", "transfer", "--checkpoint", "run", *options,
                           "--output", f"{name}.json", ranks=ranks, code=code)
    return (program.result(f"{name}.json") if code == 0 else None), out + err


def check_single(program):
    """Each penalty, the choice on a validation set, the fit on both, and the predictions."""
    train, validation, test = (features(program, name) for name in ("train", "validation", "test"))
    labels = {name: program.labels[name] for name in program.labels}
    one_hot = {name: np.eye(CLASSES)[label] for name, label in labels.items()}
    for metric, of in (("top1", lambda z, y: np.mean(z.argmax(1) == y)), ("mean-per-class", mean_per_class),
                       ("ap11", lambda z, y: ap11(z, np.eye(CLASSES)[y]))):
        found, log = transfer(program, *SETS, "--validation", "validation", "--l2-grid", GRID, "--metric", metric,
                              "--predictions", f"{metric}.h5", name=metric)
        values = []
        for point, penalty in zip(found["path"], np.logspace(4, -5, 10)):
            close(point["lambda"], penalty, 1e-12, "penalty")
            _, w = newton(train, one_hot["train"], penalty, False)
            values.append(of(logits(w, validation), labels["validation"]))
            close(point["validation"], values[-1], 1e-12, f"{metric} at {penalty}")
            check(point["converged"] and point["iterations"] > 0, f"{point}")
        chosen = int(np.argmax(values))
        close(found["lambda"], found["path"][chosen]["lambda"], 0, "chosen penalty")
        check(found["validation"] == found["path"][chosen]["validation"], "validation metric")
        check(found["end_of_grid_won"] == (chosen in (0, 9)), "end_of_grid_won")
        check(("widen --l2-grid" in log) == (chosen in (0, 9)), log)
        best, w = newton(np.vstack([train, validation]), np.vstack([one_hot["train"], one_hot["validation"]]),
                         found["lambda"], False)
        close(found["objective"], best, 1e-6, "objective")
        scores = logits(w, test)
        close(found["test"], of(scores, labels["test"]), 1e-12, f"{metric} of the test set")
        check(found["top1"] == np.mean(scores.argmax(1) == labels["test"]) > 0.5, f"top-1 {found['top1']}")
        with h5py.File(os.path.join(program.directory, f"{metric}.h5"), "r") as file:
            check((file["top5"][:, 0] == scores.argmax(1)).all(), "predictions")


def check_fraction(program):
    """Held-out samples do not depend on the ranks, and the last fit has all samples."""
    train = features(program, "train")
    results = [transfer(program, *SETS, "--validation", 0.3, "--l2-grid", GRID, "--label-seed", 5, ranks=ranks,
                        name=f"ranks{ranks}")[0] for ranks in (0, 2, 4)]
    counts = np.bincount(program.labels["train"])
    for found in results:
        check(found["validation_samples"] == np.floor(0.3 * counts + 0.5).sum(), f"{found['validation_samples']}")
        for key in ("lambda", "test", "validation", "top1", "end_of_grid_won"):
            check(found[key] == results[0][key], f"{key}: {found[key]}, not {results[0][key]}")
        close(found["objective"], results[0]["objective"], 1e-7, "objective by ranks")
        check([p["validation"] for p in found["path"]] == [p["validation"] for p in results[0]["path"]], "path")
    best, _ = newton(train, np.eye(CLASSES)[program.labels["train"]], results[0]["lambda"], False)
    close(results[0]["objective"], best, 1e-6, "objective")
    one, log = transfer(program, *SETS, "--l2-grid", "2:2:1")
    check(one["lambda"] == 2 and len(one["path"]) == 1 and "widen" not in log, f"{one}")


def check_multi_label(program):
    """One sigmoid for each class; ignored marks; equal scores; a class without samples in the test set."""
    marks = {}
    for name, count, seed in (("train", 120, 1), ("test", 60, 3)):
        images, labels = striped_images(count, 16, CLASSES, seed)
        if name == "test":
            images[20:40] = images[:20]  # equal scores, other marks
        random = np.random.default_rng(seed)
        mark = np.eye(CLASSES, dtype=np.uint8)[labels] | (random.random((count, CLASSES)) < 0.2)
        mark[random.random(mark.shape) < 0.15] = 255
        if name == "test":
            mark[:, 2][mark[:, 2] == 1] = 0
        program.write_shards(f"marked-{name}", images, mark)
        marks[name] = mark
    sets = ["--train-data", "marked-train", "--test-data", "marked-test"]
    train, test = features(program, "marked-train"), features(program, "marked-test")
    results = [transfer(program, *sets, "--metric", "ap11", "--l2-grid", "1e-3:1e3:5", ranks=ranks, name=f"m{ranks}")[0]
               for ranks in (0, 2, 4)]
    found = results[0]
    best, w = newton(train, np.where(marks["train"] == 255, np.nan, marks["train"]), found["lambda"], True)
    for other in results:
        check(other["lambda"] == found["lambda"] and other["test"] == found["test"], "ranks")
        close(other["objective"], best, 1e-6, "objective")
    close(found["test"], ap11(logits(w, test), marks["test"]), 1e-12, "ap11")
    check(found["test"] > 0.4 and "top1" not in found, f"{found}")
    check(found["validation_samples"] == 24, "validation samples")
    out, _ = program.run("inspect", "marked-train")
    check("4 classes, any number for a sample" in out, out)
    # Everything else takes them for unlabeled data, or says what they are good for.
    program.run("pretrain", "--data", "marked-train", "--run-dir", "trained", "--encoder", "resnet18", "--width", 0.125,
                "--image-size", 16, "--batch-size", 30, "--epochs", 1, "--warmup-epochs", 0)
    for command in (["knn"], ["linear-eval"], ["linear-eval", "--protocol", "augmented"]):
        _, err = program.run(*command, "--checkpoint", "run", *sets, code=2)
        check("marked-train is multi-label" in err and len(err.splitlines()) == 1, err)
    page, _ = program.run("linear-eval", "--protocol", "transfer", "--checkpoint", "run", *sets, "--metric", "ap11",
                          "--l2-grid", "1:1:1")
    check("unreadable" not in page and "not shown" not in page, page)


def check_example(program):
    """The page's example of a multi-label set can be learned from."""
    page = Path(__file__).resolve().parents[2].joinpath("docs/data.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(import os\n.*?)```", page, re.DOTALL).group(1)
    subprocess.run([sys.executable, "-c", code], cwd=program.directory, check=True)
    out, _ = program.run("inspect", "shards/voc")
    check("3 classes, any number for a sample: bicycle, bird, boat" in out, out)
    found, _ = transfer(program, "--train-data", "shards/voc", "--test-data", "shards/voc", "--metric", "ap11",
                        "--l2-grid", "1:100:2")
    check(found["samples"] == 100 and found["test"] > 0.3, f"{found}")


def check_refusals(program):
    images, labels = striped_images(8, 16, CLASSES, 1)
    program.write_shards("marked", images, np.eye(CLASSES, dtype=np.uint8)[labels])
    program.write_shards("other-marked", images, np.eye(CLASSES + 1, dtype=np.uint8)[labels])
    program.write_shards("bad-marks", images, np.full((8, 3), 2))
    program.write_shards("no-marks", images, np.zeros((8, CLASSES), np.uint8))
    program.write_shards("misnamed", images, np.eye(CLASSES, dtype=np.uint8)[labels], ["a", "b"])
    program.write_shards("short", images, np.zeros((7, 3), np.uint8))
    program.write_shards("single", images[:2], [0, 1])
    marked = ["--train-data", "marked", "--test-data", "marked", "--metric", "ap11"]
    cases = [
        ("--metric", ["--train-data", "marked", "--test-data", "marked"]),
        ("test is not multi-label", ["--train-data", "marked", "--test-data", "test", "--metric", "ap11"]),
        ("mark 5 classes", ["--train-data", "marked", "--test-data", "other-marked", "--metric", "ap11"]),
        ("holds 2", ["--train-data", "bad-marks", "--test-data", "marked", "--metric", "ap11"]),
        ("no-marks has no sample of any class", ["--train-data", "marked", "--test-data", "no-marks", "--metric", "ap11"]),
        ("2 class names", ["--train-data", "misnamed", "--test-data", "marked", "--metric", "ap11"]),
        ("shape (7,3)", ["--train-data", "short", "--test-data", "marked", "--metric", "ap11"]),
        ("--predictions", [*marked, "--predictions", "p.h5"]),
        ("option --validation: no class has two samples", ["--train-data", "single", "--test-data", "single"]),
        ("option --validation: test is not multi-label", [*marked, "--validation", "test"]),
        ("absent", [*SETS, "--validation", "absent"]),
        ("option --validation: test holds the test data", [*SETS, "--validation", "test"]),
        ("option --validation: train holds the training data", [*SETS, "--validation", "train"]),
        *(("option --validation", [*SETS, "--validation", text]) for text in ("0", "1", "1.5", "-0.1")),
        *(("option --l2-grid", [*SETS, "--l2-grid", text]) for text in
          ("0:1:3", "2:1:3", "1:2", "1:2:1", "1:1:2", "1:2:2.5", "1:2:3:4", "a:b:c", "1:1e40:3", "1:2:1001", "nan:1:2")),
        ("--metric", [*SETS, "--metric", "top2"]),
        ("--l2:", [*SETS, "--l2", 1]),
        ("--labels-per-class", [*SETS, "--labels-per-class", 1]),
        ("--label-seed", [*SETS, "--validation", "test", "--label-seed", 3]),
    ]
    cached = [
        ("--validation: goes with --protocol transfer only", ["--validation", 0.5]),
        ("option --labels-per-class: 1000 is more than", ["--labels-per-class", "1,1000"]),
        ("option --labels-per-class: 2 is in the list twice", ["--labels-per-class", "4,2,1,2"]),
        ("option --label-fraction", ["--label-fraction", 0.001]),
        ("--label-fraction and --labels-per-class", ["--label-fraction", 0.5, "--labels-per-class", 2]),
        ("--draws", ["--draws", 3]),
        ("options --label-seed and --draws", ["--labels-per-class", 2, "--draws", 3, "--label-seed", 2 ** 64 - 2]),
        ("--label-seed", ["--label-seed", 3]),
        ("--predictions", ["--labels-per-class", 2, "--draws", 2, "--predictions", "p.h5"]),
    ]
    commands = [(culprit, ["--protocol", "transfer", *options]) for culprit, options in cases]
    commands += [(culprit, [*SETS, *options]) for culprit, options in cached]
    for culprit, options in commands:
        for dry in ([], ["--dry-run"], ["--dry-run=elsewhere"]):
            _, err = program.run("linear-eval", "--checkpoint", "run", *options, *dry, code=2)
            check(culprit in err and len(err.splitlines()) == 1 and err.startswith("simclr: error: "), f"{options}: {err}")


def check_few_labels(program):
    """Means and deviations over draws, the same on any ranks; all labels are the whole set."""
    per_class = 12
    images, labels = striped_images(400, 16, CLASSES, 8)
    chosen = np.sort(np.concatenate([np.flatnonzero(labels == c)[:per_class] for c in range(CLASSES)]))
    # Samples without a label stand between the others.
    program.write_shards("even", np.repeat(images[chosen], 2, axis=0), np.stack([labels[chosen], -np.ones(48)], 1).ravel())
    sets = ["--train-data", "even", "--test-data", "test"]

    def run(*options, ranks=0):
        program.run("linear-eval", "--checkpoint", "run", *sets, *options, "--output", "few.json", ranks=ranks)
        result = program.result("few.json")
        os.remove(os.path.join(program.directory, "few.json"))
        return result

    few = ["--labels-per-class", "1,4,12", "--draws", 5, "--label-seed", 7]
    results = [run(*few, ranks=ranks) for ranks in (0, 2, 4)]
    for result in results:
        check(result["protocol"] == "linear-few-labels" and result["draws"] == 5, f"{result}")
        check([r["top1"] for r in result["few_labels"]] == [r["top1"] for r in results[0]["few_labels"]], "ranks")
    for row, n in zip(results[0]["few_labels"], (1, 4, 12)):
        check(row["labels_per_class"] == n and row["labels"] == n * CLASSES and len(row["top1"]) == 5, f"{row}")
        close(row["top1_mean"], np.mean(row["top1"]), 1e-12, "mean")
        check(abs(row["top1_deviation"] - np.std(row["top1"], ddof=1)) < 1e-12, "deviation")
    rows = results[0]["few_labels"]
    check(len(set(rows[0]["top1"])) > 1, "all draws are equal")
    check(rows[0]["top1_mean"] < rows[2]["top1_mean"], "more labels are no better")
    whole = run()
    check(set(rows[2]["top1"]) == {whole["top1"]}, "all labels, drawn")
    # Each value is that of one draw with its seed; a half of the labels are six of each class.
    third = run("--labels-per-class", 4, "--label-seed", 9)
    check(third["top1"] == rows[1]["top1"][2] and third["labels"] == 16, f"{third}")
    six, half = (run(*options, "--label-seed", 3) for options in (["--labels-per-class", 6], ["--label-fraction", 0.5]))
    check(six["train_loss"] == half["train_loss"] and six["top1"] == half["top1"], "six of each class and a half")


def main():
    with tempfile.TemporaryDirectory() as directory:
        program = Program(sys.argv[1], directory)
        program.labels = {}
        for name, count, seed in (("train", 150, 1), ("validation", 70, 2), ("test", 90, 3)):
            images, labels = striped_images(count, 16, CLASSES, seed)
            noise = np.random.default_rng(seed).integers(-110, 110, images.shape)
            program.write_shards(name, np.clip(images + noise, 0, 255).astype(np.uint8), labels)
            program.labels[name] = labels
        program.make_checkpoint("run/checkpoints/step-0000000000.h5", model())
        globals()[f"check_{sys.argv[2]}"](program)


main()
