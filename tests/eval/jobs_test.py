"""Runs the evaluation commands and checks results, ranks and refusals."""

import os
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np

from program import Program, check, model, striped_images

CLASSES = 6
TRAIN, TEST = 210, 90
SETS = ["--train-data", "train", "--test-data", "test"]


def close(found, expected, tolerance, what):
    check(abs(found - expected) <= tolerance, f"{what}: {found}, not {expected}")


def knn_by_hand(train, train_labels, test, test_labels, k, temperature):
    unit = [x.astype(np.float64) / np.linalg.norm(x.astype(np.float64), axis=1, keepdims=True)
            for x in (test, train)]
    similarity = unit[0] @ unit[1].T
    nearest = np.argsort(-similarity, axis=1)[:, :k]
    votes = np.zeros((len(test), CLASSES))
    for j in range(k):
        rows = np.arange(len(test))
        np.add.at(votes, (rows, train_labels[nearest[:, j]]),
                  np.exp(similarity[rows, nearest[:, j]] / temperature))
    return np.mean(votes.argmax(1) == test_labels)


def check_knn(program):
    by_hand = knn_by_hand(*features(program, "train"), *features(program, "test"), 20, 0.07)
    for ranks in (0, 2):
        program.run("knn", "--checkpoint", "run", *SETS, "--neighbors", 20, "--temperature", 0.07,
                    "--name", f"knn{ranks}", ranks=ranks)
        result = program.result(f"run/eval/knn{ranks}.json")
        check(result["protocol"] == "knn" and result["samples"] == TEST, f"{result}")
        close(result["top1"], by_hand, 1.5 / TEST, f"knn on {ranks} ranks")
        check(result["top5"] >= result["top1"], "top5 below top1")
        check(result["checkpoint"] == "step-0000000000.h5", "checkpoint's name")
        check(len(result["checkpoint_hash"]) == 16, "checkpoint's hash")


def features(program, name):
    program.run("embed", "--checkpoint", "run", "--data", name, "--output", f"{name}.h5")
    with h5py.File(os.path.join(program.directory, f"{name}.h5"), "r") as file:
        return file["h"][:], file["labels"][:]


def check_embed_on_ranks(program):
    alone, labels = features(program, "test")
    program.run("embed", "--checkpoint", "run", "--data", "test", "--output", "two.h5",
                "--cache", "distributed", ranks=2)
    with h5py.File(os.path.join(program.directory, "two.h5"), "r") as file:
        check(np.allclose(file["h"][:], alone, rtol=1e-6, atol=1e-7), "h depends on the ranks")
        check((file["labels"][:] == labels).all(), "labels depend on the ranks")
        check((file["sample_index"][:] == np.arange(TEST)).all(), "sample_index")


def check_linear_cached(program):
    results = []
    for ranks in (0, 2):
        out, _ = program.run("linear-eval", "--checkpoint", "run", *SETS, ranks=ranks)
        check("linear-cached: top-1" in out.splitlines()[-1], f"last line: {out}")
        results.append(program.result("run/eval/linear-cached-step-0000000000.json"))
        check(results[-1]["protocol"] == "linear-cached" and results[-1]["converged"], "converged")
    close(results[0]["top1"], results[1]["top1"], 1.5 / TEST, "top-1 on 1 and 2 ranks")
    close(results[0]["train_loss"], results[1]["train_loss"], 1e-4, "loss on 1 and 2 ranks")
    check(results[0]["top1"] > 0.8, f"top-1 {results[0]['top1']} is no better than chance")


def check_linear_augmented(program):
    """Uses a learning rate at which the steps do not amplify rounding: 4 x 30 / 256 times the largest curvature (half of
    the largest eigenvalue, 3.0, of the features' second moment) is 0.70, where Nesterov's limit at 0.9 is 1.36."""
    results = []
    for ranks, cache in ((0, "node"), (2, "distributed")):
        program.run("linear-eval", "--checkpoint", "run", *SETS, "--protocol", "augmented", "--cache", cache,
                    "--epochs", 30, "--batch-size", 30, "--learning-rate", 4, "--output",
                    f"augmented{ranks}.json", ranks=ranks)
        results.append(program.result(f"augmented{ranks}.json"))
        check(results[-1]["protocol"] == "linear-augmented", "protocol")
        check(results[-1]["steps"] == 30 * (TRAIN // 30), "steps")
        check(results[-1]["encoder_hash_before"] == results[-1]["encoder_hash_after"], "hash")
    check(results[0]["encoder_hash_before"] == results[1]["encoder_hash_before"], "hash by rank")
    close(results[0]["train_loss"], results[1]["train_loss"], 1e-6 * results[0]["train_loss"],
          "loss on 1 and 2 ranks")
    check(results[0]["top1"] > 0.5, f"top-1 {results[0]['top1']} is no better than chance")


def check_trained_run(program):
    """As a user would: pretrains, then evaluates the first and the last checkpoint in the same way."""
    program.run("pretrain", "--data", "train", "--run-dir", "trained", "--encoder", "resnet18",
                "--width", 0.125, "--stem", "cifar", "--image-size", 16, "--embedding-dim", 32,
                "--batch-size", 30, "--epochs", 12, "--warmup-epochs", 1, "--learning-rate", 2,
                "--temperature", 0.5, "--augment", "crop,flip,color", "--checkpoint-steps", 0,
                ranks=2)
    top1 = {}
    for checkpoint in ("trained/checkpoints/step-0000000000.h5", "trained"):
        program.run("linear-eval", "--checkpoint", checkpoint, *SETS, "--protocol", "augmented",
                    "--epochs", 10, "--batch-size", 30, "--learning-rate", 1)
    for step in (0, 12 * (TRAIN // 30)):
        result = program.result(f"trained/eval/linear-augmented-step-{step:010}.json")
        check(result["step"] == step, f"step {result['step']}, not {step}")
        top1[step] = result["top1"]
    check(top1[84] > top1[0] + 0.2, f"top-1 by step: {top1}")


def all_files(directory):
    return {path: path.is_file() and path.stat().st_mtime_ns for path in Path(directory).rglob("*")}


def check_refusals(program):
    images, labels = striped_images(12, 16, CLASSES, 3)
    program.write_shards("unlabeled", images)
    program.write_shards("many-classes", images, labels + CLASSES)
    program.write_shards("negative", images, labels - 1)
    program.write_shards("endless", images, labels + 2**40)
    program.write_shards("named", images, labels, [f"class {i}" for i in range(CLASSES)])
    program.write_shards("named-otherwise", images, labels, ["class 0"] + [f"class {i}" for i in range(2, CLASSES + 1)])
    program.make_checkpoint("loose.h5", model())
    program.make_checkpoint("deeper.h5", model(), says=model(encoder="resnet34"))
    program.make_checkpoint("wider.h5", model(), says=model(width=0.25))
    run = ["--checkpoint", "run"]
    cases = [
        ("unlabeled", ["knn", *run, "--train-data", "unlabeled", "--test-data", "test"]),
        ("unlabeled", ["linear-eval", *run, "--train-data", "train", "--test-data", "unlabeled"]),
        ("many-classes", ["knn", *run, "--train-data", "train", "--test-data", "many-classes"]),
        ("endless", ["knn", *run, "--train-data", "endless", "--test-data", "test"]),
        ("'class 2'", ["knn", *run, "--train-data", "named", "--test-data", "named-otherwise"]),
        ("--name", ["knn", *run, *SETS, "--name", "../elsewhere"]),
        ("negative", ["knn", *run, "--train-data", "negative", "--test-data", "test"]),
        ("--test-data", ["knn", *run, "--train-data", "train"]),
        ("--checkpoint", ["knn", *SETS]),
        ("absent", ["knn", "--checkpoint", "absent", *SETS]),
        ("--output", ["knn", "--checkpoint", "loose.h5", *SETS]),
        ("deeper.h5: holds no", ["knn", "--checkpoint", "deeper.h5", *SETS, "--output", "x.json", "--neighbors", 9]),
        ("wider.h5", ["embed", "--checkpoint", "wider.h5", "--data", "test", "--output", "features.h5"]),
        (f"'{TRAIN + 1}' is not accepted; allowed: at most {TRAIN}, the number of training samples",
         ["knn", *run, *SETS, "--neighbors", TRAIN + 1]),
        ("'1025' is not accepted; allowed: a whole number, 1 or more, at most 1024",
         ["knn", *run, *SETS, "--neighbors", 1025]),
        ("--temperature", ["knn", *run, *SETS, "--temperature", 0]),
        ("--l2", ["linear-eval", *run, *SETS, "--l2", -1]),
        ("--epochs", ["linear-eval", *run, *SETS, "--epochs", 5]),
        ("--l2", ["linear-eval", *run, *SETS, "--protocol", "augmented", "--l2", 1]),
        ("--batch-size", ["linear-eval", *run, *SETS, "--protocol", "augmented"]),
        ("--device", ["knn", *run, *SETS, "--device", "cuda"]),
        ("did you mean 'neighbors'", ["knn", *run, *SETS, "--neighbours", 3]),
        ("--output", ["embed", *run, "--data", "test"]),
        ("nowhere", ["embed", *run, "--data", "test", "--output", "nowhere/features.h5"]),
        ("text.h5", ["export", "text.h5"]),
        (".safetensors", ["export", "run", "--output", "weights.bin"]),
        ("nowhere", ["export", "run", "--output", "nowhere/weights.safetensors"]),
    ]
    with open(os.path.join(program.directory, "text.h5"), "w", encoding="utf-8") as file:
        file.write("no checkpoint")
    before = all_files(program.directory)
    dry = [(culprit, [*command, "--dry-run"]) for culprit, command in cases if command[0] in ("knn", "linear-eval")]
    for culprit, command in cases + dry:
        _, err = program.run(*command, code=2)
        check(len(err.splitlines()) == 1 and culprit in err, f"{command}: {err}")
        check(err.startswith("simclr: error: "), f"{command}: {err}")
        check(all_files(program.directory) == before, f"{command} wrote something")
    _, err = program.run("linear-eval", *run, *SETS, "--protocol", "augmented", "--batch-size", 15,
                         ranks=2, code=2)
    check(sum("--batch-size" in line for line in err.splitlines()) == 1, f"{err}")


def check_dry_run(program):
    before = all_files(program.directory)
    for command in (["knn"], ["linear-eval"], ["linear-eval", "--protocol", "augmented", "--batch-size", 30]):
        for ranks in (0, 2):
            out, _ = program.run(*command, "--checkpoint", "run", *SETS, "--dry-run", ranks=ranks)
            protocol = "knn" if command == ["knn"] else "linear-augmented" if len(command) > 1 else "linear-cached"
            line = (f"dry run: would evaluate run/checkpoints/step-0000000000.h5 by {protocol}: {TRAIN} training and "
                    f"{TEST} test images of {CLASSES} classes, on {max(ranks, 1)} rank{'s' if ranks > 1 else ''}; result in ")
            check(len(out.splitlines()) == 1 and out.startswith(line), out)
            check(out.rstrip().endswith(f"run/eval/{protocol}-step-0000000000.json"), out)
    check(all_files(program.directory) == before, "a dry run wrote something")


def main():
    with tempfile.TemporaryDirectory() as directory:
        program = Program(sys.argv[1], directory)
        program.write_shards("train", *striped_images(TRAIN, 16, CLASSES, 1))
        program.write_shards("test", *striped_images(TEST, 16, CLASSES, 2))
        program.make_checkpoint("run/checkpoints/step-0000000000.h5", model())
        globals()[f"check_{sys.argv[2]}"](program)


main()
