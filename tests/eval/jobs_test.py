"""Runs the evaluation commands and checks results, ranks and refusals."""

import os
import re
import shutil
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


def check_class_accuracy(result):
    """Accuracy, per class and in all, follows from the confusion matrix."""
    confusion = np.array(result["confusion"])
    check(confusion.shape == (result["classes"],) * 2 and confusion.sum() == result["samples"], f"confusion {confusion}")
    check(np.trace(confusion) / confusion.sum() == result["top1"], "top-1 of the confusion")
    per_class = [row[c] / row.sum() if row.sum() else None for c, row in enumerate(confusion)]
    check(result["per_class_accuracy"] == per_class, f"{result['per_class_accuracy']}, not {per_class}")
    close(result["mean_per_class"], np.mean([value for value in per_class if value is not None]), 1e-12, "mean per class")


def check_knn(program):
    by_hand = knn_by_hand(*features(program, "train"), *features(program, "test"), 20, 0.07)
    for ranks in (0, 2):
        program.run("knn", "--checkpoint", "run", *SETS, "--neighbors", 20, "--temperature", 0.07,
                    "--name", f"knn{ranks}", ranks=ranks)
        result = program.result(f"run/eval/knn{ranks}.json")
        check(result["protocol"] == "knn" and result["samples"] == TEST, f"{result}")
        close(result["top1"], by_hand, 1.5 / TEST, f"knn on {ranks} ranks")
        check(result["top5"] >= result["top1"], "top5 below top1")
        check_class_accuracy(result)
        check(result["checkpoint"] == "step-0000000000.h5", "checkpoint's name")
        check(len(result["checkpoint_hash"]) == 16, "checkpoint's hash")
    for data, most in (("train", 200), ("test", TEST)):
        program.run("knn", "--checkpoint", "run", "--train-data", data, "--test-data", "test", "--output", f"{data}.json")
        used = program.result(f"{data}.json")["neighbors"]
        check(used == most, f"{used} neighbors, not {most}")


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
        check("names" not in file and "name_offsets" not in file, "names of samples that have none")
    names = [b"class/%d.jpg" % i for i in range(TEST - 1)] + [b"\xff"]
    program.write_shards("called", *striped_images(TEST, 16, CLASSES, 2), names=names)
    for ranks in (0, 2, 4):
        program.run("embed", "--checkpoint", "run", "--data", "called", "--output", "called.h5", ranks=ranks)
        with h5py.File(os.path.join(program.directory, "called.h5"), "r") as file:
            data, offsets = file["names"][:].tobytes(), file["name_offsets"][:]
            check(file["names"].dtype == np.uint8 and offsets.dtype == np.uint64, "types of the names")
            check([data[a:b] for a, b in zip(offsets, offsets[1:])] == names, f"names on {ranks} ranks")
            check(np.allclose(file["h"][:], alone, rtol=1e-6, atol=1e-7), "h depends on names")
    with h5py.File(os.path.join(program.directory, "called/called-00000-of-00001.h5"), "a") as file:
        file["name_offsets"][5] = 10**9
    for ranks in (0, 2):
        out, err = program.run("embed", "--checkpoint", "run", "--data", "called", "--output", "none.h5", ranks=ranks,
                               code=2)
        check("called-00000-of-00001.h5: 'name_offsets' must ascend" in err and "features of" not in out, f"{out}{err}")
    check(not Path(program.directory, "none.h5").exists(), "a file of data that were refused")


def check_linear_cached(program):
    results = []
    for ranks in (0, 2):
        out, _ = program.run("linear-eval", "--checkpoint", "run", *SETS, ranks=ranks)
        check("linear-cached: top-1" in out.splitlines()[-1], f"last line: {out}")
        results.append(program.result("run/eval/linear-cached-step-0000000000.json"))
        check(results[-1]["protocol"] == "linear-cached" and results[-1]["converged"], "converged")
        check_class_accuracy(results[-1])
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
        check_class_accuracy(results[-1])
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
    program.write_shards("negative", images, -1 - labels)
    program.write_shards("endless", images, labels + 2**40)
    program.write_shards("named", images, labels, [f"class {i}" for i in range(CLASSES)])
    program.write_shards("named-otherwise", images, labels, ["class 0"] + [f"class {i}" for i in range(2, CLASSES + 1)])
    program.write_shards("named-twice", images, labels, ["class 0", "class 1", "class 1", "class 2", "class 3", "class 4"])
    program.write_shards("named-in-part", images, np.arange(12) % CLASSES, ["class 1", "class 0"])
    program.make_checkpoint("loose.h5", model())
    program.make_checkpoint("deeper.h5", model(), says=model(encoder="resnet34"))
    program.make_checkpoint("wider.h5", model(), says=model(width=0.25))
    run = ["--checkpoint", "run"]
    cases = [
        ("unlabeled", ["knn", *run, "--train-data", "unlabeled", "--test-data", "test"]),
        ("unlabeled", ["linear-eval", *run, "--train-data", "train", "--test-data", "unlabeled"]),
        ("many-classes", ["knn", *run, "--train-data", "train", "--test-data", "many-classes"]),
        ("endless", ["knn", *run, "--train-data", "endless", "--test-data", "test"]),
        ("'class 6'", ["knn", *run, "--train-data", "named", "--test-data", "named-otherwise"]),
        ("class 'class 1' of named is not unique", ["knn", *run, "--train-data", "named-twice", "--test-data", "named"]),
        ("label 2 of named-in-part has no name among its 2 class names", ["knn", *run, "--train-data", "named", "--test-data", "named-in-part"]),
        ("labels 1 and 2 of named-twice have the same name 'class 1'", ["knn", *run, "--train-data", "named", "--test-data", "named-twice"]),
        ("--name", ["knn", *run, *SETS, "--name", "../elsewhere"]),
        *(("something else than this command writes", [*command, "--output", file]) for command in
          (["embed", *run, "--data", "test"], ["preview", "--data", "test", "--steps", "0:1", "--image-size", 16, "--batch-size", 8])
          for file in ("run/checkpoints/step-0000000000.h5", "test/test-00000-of-00001.h5", "text.h5")),
        ("names no file", ["knn", *run, *SETS, "--output", ""]),
        ("names no file", ["embed", *run, "--data", "test", "--output", "new/"]),
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
        *((f"--layer: '{layer}' is not accepted; allowed: h, layer1, layer2, layer3, layer4, head1, head2",
           [*command, *run, "--layer", layer]) for layer in ("layer0", "layer5", "head0", "head3", "head100", "stem", "H", "")
          for command in (["knn", *SETS], ["linear-eval", *SETS], ["embed", "--data", "test", "--output", "layer.h5"])),
        ("the checkpoint's head has 2 layers", ["knn", *run, *SETS, "--layer", "head3"]),
        ("--layer", ["linear-eval", *run, *SETS, "--protocol", "augmented", "--layer", "layer1"]),
        ("--with-z", ["embed", *run, "--data", "test", "--output", "layer.h5", "--layer", "z", "--with-z"]),
        ("--l2", ["linear-eval", *run, *SETS, "--protocol", "augmented", "--l2", 1]),
        ("--batch-size", ["linear-eval", *run, *SETS, "--protocol", "augmented"]),
        ("--device", ["knn", *run, *SETS, "--device", "cuda"]),
        ("did you mean 'neighbors'", ["knn", *run, *SETS, "--neighbours", 3]),
        ("--output", ["embed", *run, "--data", "test"]),
        ("nowhere", ["embed", *run, "--data", "test", "--output", "nowhere/features.h5"]),
        ("cannot write run: it is a directory", ["embed", *run, "--data", "test", "--output", "run"]),
        ("cannot write folder.safetensors: it is a directory", ["export", "run", "--output", "folder.safetensors"]),
        ("text.h5", ["export", "text.h5"]),
        (".safetensors", ["export", "run", "--output", "weights.bin"]),
        ("nowhere", ["export", "run", "--output", "nowhere/weights.safetensors"]),
    ]
    with open(os.path.join(program.directory, "text.h5"), "w", encoding="utf-8") as file:
        file.write("no checkpoint")
    os.mkdir(os.path.join(program.directory, "folder.safetensors"))
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


def top1(program, *command, ranks=0):
    program.run(*command, "--checkpoint", "run", "--output", "once.json", ranks=ranks)
    result = program.result("once.json")
    os.remove(os.path.join(program.directory, "once.json"))
    return result


def check_classes(program):
    """A test set without some of the classes, numbered in its own way, counts by its classes' names."""
    images, labels = striped_images(TEST, 16, CLASSES, 2)
    names = [f"class {i}" for i in range(CLASSES)]
    few = np.isin(labels, (1, 4))
    program.write_shards("named", *striped_images(TRAIN, 16, CLASSES, 1), names)
    program.write_shards("few", images[few], labels[few])
    program.write_shards("few-named", images[few], (labels[few] == 1).astype(int), ["class 4", "class 1"])
    for command in (["knn", "--neighbors", 20], ["linear-eval"],
                    ["linear-eval", "--protocol", "augmented", "--epochs", 3, "--batch-size", 30]):
        by_number = top1(program, *command, "--train-data", "train", "--test-data", "few")
        by_name = top1(program, *command, "--train-data", "named", "--test-data", "few-named")
        for key in ("top1", "top5", "samples", "classes"):
            check(by_name[key] == by_number[key], f"{command}: {key} {by_name[key]}, not {by_number[key]}")
        check(by_name["class_names"] == names and "class_names" not in by_number, f"{by_name}")
        check(by_name["classes"] == CLASSES and by_name["samples"] == few.sum(), f"{by_name}")
        check_class_accuracy(by_name)
        check(sum(value is None for value in by_name["per_class_accuracy"]) == CLASSES - 2, f"{by_name}")
        check(by_name["top1"] > 0.4 or "augmented" in command, f"{command}: top-1 {by_name['top1']} is no better than chance")


def check_partly_labeled(program):
    """Samples without a label are left out, wherever they stand."""
    for name, count, seed in (("train", TRAIN, 1), ("test", TEST, 2)):
        images, labels = striped_images(count, 16, CLASSES, seed)
        more = np.insert(images, [0, 7, 7, count], 255 - images[:4], axis=0)
        program.write_shards(f"partly-{name}", more, np.insert(labels, [0, 7, 7, count], [-1, -7, -1, -1]))
    partly = ["--train-data", "partly-train", "--test-data", "partly-test"]
    for command in (["knn", "--neighbors", 20], ["linear-eval"],
                    ["linear-eval", "--protocol", "augmented", "--epochs", 3, "--batch-size", 30]):
        whole = top1(program, *command, *SETS)
        for ranks, cache in ((0, "none"), (2, "distributed")):
            part = top1(program, *command, *partly, "--cache", cache, ranks=ranks)
            close(part["top1"], whole["top1"], 0 if ranks == 0 else 2.5 / TEST, f"{command} on {ranks} ranks")
            check(part["samples"] == TEST and part["train_samples"] == TRAIN, f"{part}")
            check(part["test_unlabeled"] == part["train_unlabeled"] == 4, f"{part}")
    out, _ = program.run("linear-eval", "--checkpoint", "run", *partly)
    check(f"partly-train: {TRAIN} of {TRAIN + 4} samples have a label" in out, out)
    # Pretraining ignores labels, and embed copies them as they are.
    program.run("embed", "--checkpoint", "run", "--data", "partly-test", "--output", "partly.h5")
    with h5py.File(os.path.join(program.directory, "partly.h5"), "r") as file:
        check(list(file["labels"][[0, 8]]) == [-1, -7] and len(file["labels"]) == TEST + 4, "labels of embed")


def evaluations(program, run="run"):
    return sorted(path.name for path in (Path(program.directory) / run / "eval").iterdir())


def check_results(program):
    """A result never replaces one of other data or options, and is refused before the work if it cannot be written."""
    name = "knn-step-0000000000"
    knn = ["knn", "--checkpoint", "run", *SETS, "--neighbors", 9]
    program.run(*knn)
    first = program.result(f"run/eval/{name}.json")
    program.run(*knn, "--threads", 2)
    program.run("knn", "--checkpoint", "run", "--train-data", "train/", "--test-data", "./test", "--neighbors", 9)
    check(evaluations(program) == [f"{name}.json"], f"{evaluations(program)}")
    program.write_shards("cars", *striped_images(TEST, 16, CLASSES, 5))
    program.write_shards("boats", *striped_images(TEST, 16, CLASSES, 6), title="a/boat \u00fc" + "x" * 300)
    program.run(*knn[:-1], 5)
    others = ["knn", "--checkpoint", "run", "--neighbors", 9, "--train-data", "train", "--test-data"]
    program.run(*others, "cars")
    program.run(*others, "boats")
    program.write_shards("cars", *striped_images(TEST, 16, CLASSES, 7))
    for _ in range(2):
        program.run(*others, "cars")
    files = evaluations(program)
    expected = [f"{name}{part}.json" for part in ("", "-neighbors-5", "-cars", "-cars-2")]
    check(set(expected) < set(files) and len(files) == 5, f"{files}")
    check(max(map(len, files)) < 100, f"{files}")
    check({**program.result(f"run/eval/{name}.json"), "options": 0} == {**first, "options": 0}, "the first result changed")

    before = all_files(program.directory)
    for option, file in (("--name", name), ("--output", f"run/eval/{name}.json"), ("--output", "run/checkpoints"),
                         ("--output", "train/train-00000-of-00001.h5"), ("--output", "train/train-00000-of-00001.h5/x")):
        for dry in ([], ["--dry-run"]):
            out, err = program.run(*knn[:-1], 6, option, file, *dry, code=2)
            check("features of" not in out and "name" in err and len(err.splitlines()) == 1, f"{option} {file}: {out}{err}")
    check(all_files(program.directory) == before, "a refused evaluation wrote something")

    # A run in which nothing can be written, such as a colleague's.
    program.make_checkpoint("closed/checkpoints/step-0000000000.h5", model())
    Path(program.directory, "closed/eval").touch()
    closed = ["knn", "--checkpoint", "closed", *SETS, "--neighbors", 9]
    for ranks in (0, 2):
        out, err = program.run(*closed, ranks=ranks, code=2)
        check("features of" not in out and "closed/eval" in err and "--output" in err, f"{out}{err}")
    program.run(*closed, "--output", "elsewhere.json")
    check(program.result("elsewhere.json")["top1"] == first["top1"], "the same checkpoint's result")


def check_names(program):
    """Names whose bytes are not UTF-8, as of old home directories, do no harm."""
    run = os.fsdecode(b"M\xfcnster")
    train, test = striped_images(60, 16, CLASSES, 1), striped_images(30, 16, CLASSES, 2)
    program.write_shards("latin-train", *train, title=b"Stra\xdfe")
    program.write_shards("latin-test", *test, title=np.bytes_(b"B\xfccher"))
    program.run("pretrain", "--data", "latin-train", "--eval-data", "latin-test", "--run-dir", run, "--encoder", "resnet18",
                "--width", 0.125, "--image-size", 16, "--batch-size", 30, "--epochs", 1, "--warmup-epochs", 0)
    for _ in range(2):
        for command in (["knn", "--neighbors", 5], ["linear-eval"]):
            program.run(*command, "--checkpoint", run)
    names = ["knn-step-0000000002.json", "linear-cached-step-0000000002.json"]
    check(evaluations(program, run) == names, f"{evaluations(program, run)}")
    check(program.result(f"{run}/eval/{names[0]}")["test_data"] == "B\ufffdcher", "the data set's name")
    program.run("embed", "--checkpoint", run, "--data", "latin-test", "--output", f"{run}.h5")
    program.run("export", run, "--output", f"{run}.safetensors")


def check_run_data(program):
    """Without --train-data and --test-data, a run is evaluated on its own data, wherever it has been moved."""
    pretrain = ["pretrain", "--run-dir", "own", "--encoder", "resnet18", "--width", 0.125, "--image-size", 16,
                "--batch-size", 30, "--epochs", 2, "--warmup-epochs", 0]
    program.run(*pretrain, "--data", "train", "--max-steps", 1)
    _, err = program.run("knn", "--checkpoint", "own", "--neighbors", 9, code=2)
    check("--test-data" in err and "no --eval-data" in err, err)
    program.run(*pretrain, "--data", "train", "--eval-data", "test", "--max-steps", 2)
    named = top1(program, "knn", *SETS, "--neighbors", 9)
    os.rename(os.path.join(program.directory, "own"), os.path.join(program.directory, "moved"))
    for command in (["knn", "--neighbors", 9], ["linear-eval"]):
        out, _ = program.run(*command, "--checkpoint", "moved")
        check("moved/eval/" in out, out)
    result = program.result("moved/eval/knn-step-0000000002.json")
    for key in ("samples", "train_samples", "train_data_hash", "test_data_hash"):
        check(result[key] == named[key], f"{key}: {result[key]}, not {named[key]}")
    check(not Path(program.directory, "own").exists(), "something was written to the run's old place")
    shutil.rmtree(os.path.join(program.directory, "train"))
    _, err = program.run("knn", "--checkpoint", "moved", "--neighbors", 9, code=2)
    check("train: No such file or directory" in err, err)
    program.write_shards("train", *striped_images(TRAIN, 16, CLASSES, 8))
    _, err = program.run("knn", "--checkpoint", "moved", "--neighbors", 9, code=2)
    check("--train-data" in err and "other pixels" in err, err)
    program.run("knn", "--checkpoint", "moved", "--neighbors", 9, "--train-data", "train")


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


def check_inspect(program):
    """`inspect` says of each file that the program writes what it is, and shows it."""
    def inspect(*arguments, code=0):
        out, err = program.run("inspect", *arguments, code=code)
        return err if code else out

    program.run("pretrain", "--data", "train", "--run-dir", "trained", "--encoder", "resnet18", "--width", "0.125",
                "--batch-size", "8", "--epochs", "1", "--max-steps", "1", "--device", "cpu")
    shown = inspect("trained")
    check("{" not in shown, f"JSON in {shown}")
    for line in (r"encoder +resnet18", r"width +0.125", r"projection shortcut everywhere +no", r"mean +none"):
        check(re.search(f"^  {line}$", shown, re.M), f"no {line} in {shown}")
    given, usual = shown.split("\n[pretrain]\n")[1].split("\n# as by default\n")
    for line, group, other in (("width = 0.125", given, usual), ("batch-size = 8", given, usual),
                               ("temperature = 0.1", usual, given), ("optimizer = lars", usual, given)):
        check(line in group.splitlines() and line not in other.splitlines(), f"{line}: {shown}")
    stored = Path(program.directory, "trained/config.cfg").read_text().splitlines()
    missing = {line for line in stored if line and "run-dir" not in line} - set(shown.splitlines())
    check(not missing, f"{missing} not shown")

    program.run("export", "run", "--output", "weights.safetensors")
    os.rename(os.path.join(program.directory, "weights.safetensors"), os.path.join(program.directory, "weights"))
    def check_shown(file, *lines):
        shown = inspect(file)
        check("{" not in shown, f"JSON in {shown}")
        for line in lines:
            check(re.search(f"^ *{line}$", shown, re.M), f"no {line} in {shown}")

    check_shown("weights", "weights +weights", r"tensors +\d+ values in \d+ tensors", "pixel_range +0,1", "step +0", "image size +16")
    program.run("embed", "--checkpoint", "run", "--data", "test", "--output", "features.h5", "--layer", "layer2")
    check_shown("features.h5", "features +features.h5", "layer +layer2", f"layer2 +{TEST} x 16", f"labels +{TEST}")
    program.run("knn", "--checkpoint", "run", *SETS, "--predictions", "p.h5")
    check_shown("p.h5", "predictions +p.h5", "protocol +knn", f"top5 +{TEST} x 5")
    for file, what in (("weights", "weights"), ("features.h5", "features"), ("p.h5", "predictions")):
        check(f"option --verify: {file} is a file of {what}, which has no checksums" in
              inspect(file, "--verify", code=2), f"--verify of {file}")
    Path(program.directory, "cut.safetensors").write_bytes(Path(program.directory, "weights").read_bytes()[:500])
    check("cut.safetensors: is not a safetensors file" in inspect("cut.safetensors", code=2), "a cut file")


def main(checks):
    """Runs the check that the command line names in a directory with data sets and a checkpoint."""
    with tempfile.TemporaryDirectory() as directory:
        program = Program(sys.argv[1], directory)
        program.write_shards("train", *striped_images(TRAIN, 16, CLASSES, 1))
        program.write_shards("test", *striped_images(TEST, 16, CLASSES, 2))
        program.make_checkpoint("run/checkpoints/step-0000000000.h5", model())
        checks[f"check_{sys.argv[2]}"](program)


if __name__ == "__main__":
    main(globals())
