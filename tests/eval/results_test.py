"""Runs the evaluation commands and checks what goes beyond accuracy: layers, retrieval, predictions, several protocols
in one call."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np

from jobs_test import CLASSES, SETS, TEST, TRAIN, all_files, close, evaluations, features, knn_by_hand, main
from program import check, striped_images


def check_evaluate(program):
    """One call with several protocols computes features once and writes what the commands write, byte for byte."""
    with open(os.path.join(program.directory, "all.cfg"), "w", encoding="utf-8") as file:
        file.write("threads = 1\ntrain-data = train\n[evaluate]\ntest-data = test\nlayer = head1\n"
                   "[knn]\nneighbors = 9\nretrieval = true\npredictions = knn.h5\n[linear-eval]\nl2 = 0.01\n")
    config = ["--config", "all.cfg", "--checkpoint", "run"]
    for ranks in (0, 2):
        for command in ("knn", "linear-eval"):
            program.run(command, *config, "--test-data", "test", "--layer", "head1", ranks=ranks)
        files = [Path(program.directory, "run/eval", name) for name in evaluations(program)]
        check(len(files) == 2, f"{files}")
        files.append(Path(program.directory, "knn.h5"))
        separate = [file.read_bytes() for file in files]
        for protocols in ("knn,linear-eval", "linear-eval,knn"):
            for file in files:
                file.unlink()
            out, _ = program.run("evaluate", *config, "--protocols", protocols, ranks=ranks)
            check(out.count("features (head1) of") == 2, f"features were computed again: {out}")
            check([file.read_bytes() for file in files] == separate, f"{protocols} on {ranks} ranks writes other results")
    shutil.rmtree(os.path.join(program.directory, "run/eval"))
    os.remove(os.path.join(program.directory, "knn.h5"))
    before = all_files(program.directory)
    out, _ = program.run("evaluate", *config, "--dry-run")
    check([line.split(": ")[1].split(" by ")[1] for line in out.splitlines()] == ["knn", "linear-cached"], out)
    out, _ = program.run("evaluate", *config, "--dry-run=elsewhere")
    check("by knn, linear-eval: " in out, out)
    texts = (("--layer: section [knn] sets 'z'", "[knn]\nlayer = z\n"), ("--temperature", "[knn]\ntemperature = 0\n"),
             ("'neighbours'", "[knn]\nneighbours = 3\n"), ("--l2: goes with", "[linear-eval]\nprotocol = augmented\nl2 = 1\n"),
             ("--neighbors", f"[knn]\nneighbors = {TRAIN + 1}\n"), ("'output'", "[evaluate]\noutput = x.json\n"),
             ("x.json is to hold two results", "[knn]\noutput = x.json\n[linear-eval]\noutput = ./x.json\n"),
             ("x.h5 is to hold two results", "[knn]\npredictions = x.h5\n[linear-eval]\noutput = run/../x.h5\n"))
    cases = [(culprit, ["--config", f"{number}.cfg"]) for number, (culprit, _) in enumerate(texts)]
    cases += [("--protocols: 'knm'", ["--protocols", "knm"]), ("did you mean 'knn'", ["--protocols", "knn,knm"]),
              ("each once", ["--protocols", "knn,knn"]), ("--protocols", ["--protocols", ""]), ("--neighbors", ["--neighbors", 3])]
    for number, (_, text) in enumerate(texts):
        Path(program.directory, f"{number}.cfg").write_text(text, encoding="utf-8")
    before = all_files(program.directory)
    for culprit, words in cases:
        for dry in ([], ["--dry-run"]):
            out, err = program.run("evaluate", "--checkpoint", "run", *SETS, *words, *dry, code=2)
            check(culprit in err and len(err.splitlines()) == 1 and "features" not in out, f"{words}: {out}{err}")
    check(all_files(program.directory) == before, "a refused evaluation wrote something")


def retrieval_by_hand(features, labels):
    """recall@1, 5, 10, mAP@R, queries and samples left out, by sorting all others of the set."""
    unit = features.astype(np.float64) / np.linalg.norm(features.astype(np.float64), axis=1, keepdims=True)
    hits, precisions, alone = [], [], 0
    for i, row in enumerate(unit @ unit.T):
        others = np.delete(np.arange(len(labels)), i)
        same = labels[others[np.argsort(-row[others], kind="stable")]] == labels[i]
        r = same.sum()
        if r == 0:
            alone += 1
            continue
        hits.append([same[:k].any() for k in (1, 5, 10)])
        precisions.append(np.sum((np.cumsum(same) / np.arange(1, len(same) + 1))[:r] * same[:r]) / r)
    return [*np.mean(hits, axis=0), np.mean(precisions), len(hits), alone]


def check_retrieval(program):
    images, labels = striped_images(TEST, 16, CLASSES - 1, 2)
    labels[[3, 40]] = CLASSES - 1, CLASSES  # the only samples of their classes
    program.write_shards("alone", images, labels)
    program.write_shards("more", *striped_images(TRAIN, 16, CLASSES + 1, 1))
    keys = ["recall_at_1", "recall_at_5", "recall_at_10", "map_at_r", "retrieval_queries", "retrieval_left_out"]
    by_hand = retrieval_by_hand(*features(program, "alone"))
    knn = ["knn", "--checkpoint", "run", "--train-data", "more", "--neighbors", 20]
    program.run(*knn, "--test-data", "alone", "--output", "without.json")
    for ranks in (0, 2, 3):
        program.run(*knn, "--test-data", "alone", "--retrieval", "--output", "with.json", ranks=ranks)
        result = program.result("with.json")
        # Where f32 and f64 order two samples differently, a hit moves by a place.
        for key, expected, tolerance in zip(keys, by_hand, (1.5 / TEST,) * 3 + (2e-3, 0, 0)):
            close(result[key], expected, tolerance, f"{key} on {ranks} ranks")
        check(result["retrieval_left_out"] == 2 and result["recall_at_1"] > 0.3, f"{result}")
        close(result["top1"], program.result("without.json")["top1"], 1.5 / TEST, "top-1 with and without --retrieval")
    check(not set(keys) & set(program.result("without.json")), "retrieval without --retrieval")
    program.write_shards("single", images[:4], range(4))
    for dry in ([], ["--dry-run"]):
        _, err = program.run(*knn, "--test-data", "single", "--retrieval", "--output", "single.json", *dry, code=2)
        check("--retrieval" in err and len(err.splitlines()) == 1, err)


def check_layers(program):
    """knn and linear-eval take the layer that embed writes; results of several layers stand side by side."""
    def of_layer(data, layer):
        program.run("embed", "--checkpoint", "run", "--data", data, "--output", "layer.h5", "--layer", layer)
        with h5py.File(os.path.join(program.directory, "layer.h5"), "r") as file:
            return file[layer][:], file["labels"][:]

    check(of_layer("test", "z")[0].shape == (TEST, 32), "channels of z")
    for layer, channels in (("layer1", 8), ("head1", 64)):
        by_hand = knn_by_hand(*of_layer("train", layer), *of_layer("test", layer), 20, 0.1)
        check(of_layer("test", layer)[0].shape == (TEST, channels), f"channels of {layer}")
        for ranks in (0, 2):
            program.run("knn", "--checkpoint", "run", *SETS, "--neighbors", 20, "--layer", layer, "--output", f"{layer}{ranks}.json", ranks=ranks)
            close(program.result(f"{layer}{ranks}.json")["top1"], by_hand, 1.5 / TEST, f"knn on {layer}")
    for layer in ("h", "layer2"):
        program.run("linear-eval", "--checkpoint", "run", *SETS, "--layer", layer)
    files = ["linear-cached-step-0000000000-layer-layer2.json", "linear-cached-step-0000000000.json"]
    check(evaluations(program) == files, f"{evaluations(program)}")
    results = [program.result(f"run/eval/{file}") for file in files]
    check([result["layer"] for result in results] == ["layer2", "h"], "the layer of the results")
    check(results[0]["train_loss"] != results[1]["train_loss"], "both layers have the same loss")
    # A result of a version without the option is one of h.
    program.write_result(f"run/eval/{files[1]}", {**results[1], "top1": 0, "options": {
        name: value for name, value in results[1]["options"].items() if name not in ("layer", "predictions")}})
    program.run("linear-eval", "--checkpoint", "run", *SETS)
    check(evaluations(program) == files and program.result(f"run/eval/{files[1]}") == results[1], "an earlier result")


def predictions(program, path):
    with h5py.File(os.path.join(program.directory, path), "r") as file:
        return dict(file.attrs), {name: file[name][:] for name in file}


def check_predictions(program):
    """--predictions holds the test set in its order, on any number of ranks, and what the result counts."""
    images, labels = striped_images(TEST, 16, CLASSES, 2)
    stored = np.insert(labels, [0, 50], -1)
    program.write_shards("partly", np.insert(images, [0, 50], 0, axis=0), stored)
    sets = ["--train-data", "train", "--test-data", "partly"]
    for command in (["knn", "--neighbors", 20], ["linear-eval"],
                    ["linear-eval", "--protocol", "augmented", "--epochs", 3, "--batch-size", 30]):
        results = []
        name = f"result-{'-'.join(map(str, command))}"
        result_file, file = f"{name}.json", f"new/{name}.h5"
        for ranks in (0, 2, 3):
            program.run(*command, "--checkpoint", "run", *sets, "--output", result_file, "--predictions", file, ranks=ranks)
            result = program.result(result_file)
            attributes, found = predictions(program, file)
            check({name: (found[name].dtype, found[name].shape) for name in found} ==
                  {"label": (np.int64, (TEST,)), "sample": (np.int64, (TEST,)), "top5": (np.int32, (TEST, 5)),
                   "scores": (np.float32, (TEST, CLASSES))}, f"{found}")
            check((found["sample"] == np.flatnonzero(stored >= 0)).all() and (found["label"] == labels).all(), "samples")
            check((found["top5"] == np.argsort(-found["scores"], axis=1, kind="stable")[:, :5]).all(), "top5")
            check(result["top1"] == np.mean(found["top5"][:, 0] == labels), "top-1 of the predictions")
            check(result["top5"] == np.mean((found["top5"] == labels[:, None]).any(1)), "top-5 of the predictions")
            for key in ("protocol", "checkpoint_hash", "test_data_hash", "classes"):
                check(attributes[key] == result[key], f"{key}: {attributes[key]}")
            results.append(found["scores"])
        for scores in results[1:]:
            check(np.allclose(scores, results[0], rtol=1e-3, atol=1e-3 * np.abs(results[0]).max()), f"{command}: scores depend on the ranks")
    script = os.path.join(os.path.dirname(__file__), "..", "..", "scripts", "compare_predictions.py")
    program.run("knn", "--checkpoint", "run", *sets, "--neighbors", 1, "--output", "one.json", "--predictions", "one.h5")
    compared = subprocess.run([sys.executable, script, file, "one.h5"], cwd=program.directory, capture_output=True, text=True, check=True)
    check(f"B: top-1 {100 * program.result('one.json')['top1']:.2f} %" in compared.stdout, compared.stdout)
    # The same evaluation may replace its file; the option does not make it another evaluation.
    program.run("knn", "--checkpoint", "run", *sets, "--neighbors", 1, "--output", "one.json", "--predictions", "one.h5")
    program.run("knn", "--checkpoint", "run", *sets, "--neighbors", 1, "--output", "one.json")
    before = all_files(program.directory)
    for dry in ([], ["--dry-run"]):
        _, err = program.run("knn", "--checkpoint", "run", *sets, "--output", "one.json", "--neighbors", 1, "--predictions", file, *dry, code=2)
        check("it exists and is of another evaluation" in err, err)
    for file in ("test/test-00000-of-00001.h5", "run/checkpoints/step-0000000000.h5", "one.json", "test", "one.h5/p.h5"):
        for dry in ([], ["--dry-run"], ["--dry-run=elsewhere"]):
            out, err = program.run("knn", "--checkpoint", "run", *sets, "--output", "one.json", "--neighbors", 1, "--predictions", file, *dry, code=2)
            check("features of" not in out and len(err.splitlines()) == 1 and "--predictions" in err, f"{file}: {out}{err}")
    check(all_files(program.directory) == before, "a refused evaluation wrote something")


def check_many_classes(program):
    """With more than 100 classes the confusion matrix is in the predictions file."""
    images, labels = striped_images(TEST, 16, CLASSES, 2)
    for name, values in (("many-train", striped_images(TRAIN, 16, CLASSES, 1)), ("many-test", (images, labels))):
        program.write_shards(name, values[0], 20 * values[1])
    program.run("knn", "--checkpoint", "run", "--train-data", "many-train", "--test-data", "many-test", "--output", "many.json",
                "--predictions", "many.h5", ranks=2)
    result = program.result("many.json")
    _, found = predictions(program, "many.h5")
    check(result["classes"] == 101 and "confusion" not in result and len(result["per_class_accuracy"]) == 101, f"{result}")
    confusion = np.zeros((101, 101), int)
    np.add.at(confusion, (found["label"], found["top5"][:, 0]), 1)
    check((found["confusion"] == confusion).all() and confusion.sum() == TEST, "confusion")
    check(np.trace(confusion) / TEST == result["top1"], "top-1 of the confusion")


if __name__ == "__main__":
    main(globals())
