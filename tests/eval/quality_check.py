"""Compares what `quality` measures with NumPy on the features that `embed` writes and the views of `preview`."""

import json
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np

from program import Program, check, model, striped_images

SAMPLES = 90
TRAINING = ["--encoder", "resnet18", "--width", 0.125, "--stem", "cifar", "--image-size", 16, "--embedding-dim", 32,
            "--warmup-epochs", 0, "--learning-rate", 2]
KEYS = ("feature_std", "uniformity", "alignment", "rankme_h", "rankme_z")


def unit(rows):
    rows = rows.astype(np.float64)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def rank_me(rows):
    singular = np.linalg.svd(rows.astype(np.float64), compute_uv=False)
    p = singular / singular.sum() + 1e-7
    return np.exp(-(p * np.log(p)).sum())


def uniformity(u):
    pairs = np.triu_indices(len(u), 1)
    return np.log(np.mean(np.exp(-2 * ((u[pairs[0]] - u[pairs[1]]) ** 2).sum(1))))


def read(program, name, *datasets):
    with h5py.File(os.path.join(program.directory, name)) as file:
        return [file[d][:] for d in datasets]


def embed(program, run, data):
    program.run("embed", "--checkpoint", run, "--data", data, "--with-z", "--output", "features.h5")
    return read(program, "features.h5", "h", "z")


def view_distance(program, run):
    """Mean |u - u'|^2 over the views of all samples in epoch 0, each written as an image of its own: the encoder takes
    the same pixels, up to 8 bits."""
    program.run("preview", "--config", f"{run}/config.cfg", "--data", "data", "--shuffle", "off", "--batch-size", SAMPLES,
                "--steps", "0:1", "--output", "views.h5")
    views, index = read(program, "views.h5", "views", "sample_index")
    check((index[0] == np.arange(SAMPLES)).all(), "order of the views")
    z = []
    for v in range(2):
        program.write_shards(f"views{v}", np.round(views[0, v] * 255).astype(np.uint8))
        z.append(unit(embed(program, run, f"views{v}")[1]))
    return ((z[0] - z[1]) ** 2).sum(1).mean()


def close(found, expected, tolerance, what):
    check(abs(found - expected) <= tolerance * abs(expected), f"{what}: {found}, not {expected}")


def measure(program, run, *options, ranks=0, data="data"):
    program.run("quality", "--checkpoint", run, "--data", data, "--output", "quality.json", *options, ranks=ranks)
    result = program.result("quality.json")
    os.unlink(os.path.join(program.directory, "quality.json"))
    return result


def check_quality(program):
    images, _ = striped_images(SAMPLES, 16, 6, 1)
    program.write_shards("data", images)
    program.run("pretrain", "--data", "data", "--run-dir", "run", *TRAINING, "--batch-size", 30, "--epochs", 2, "--seed", 5)
    h, z = embed(program, "run", "data")
    expected = dict(feature_std=unit(h).std(0).mean(), uniformity=uniformity(unit(h)), rankme_h=rank_me(h),
                    rankme_z=rank_me(z))
    out, _ = program.run("quality", "--checkpoint", "run", "--data", "data")
    result = program.result("run/eval/quality-step-0000000006.json")
    check("quality: feature std" in out.splitlines()[-1], out)
    check(result["protocol"] == "quality" and result["samples"] == SAMPLES and result["step"] == 6, f"{result}")
    for key, value in expected.items():
        close(result[key], value, 1e-6, key)
    # The views that are compared with were rounded to 8 bits.
    close(result["alignment"], view_distance(program, "run"), 5e-3, "alignment")
    for ranks, cache in ((1, "none"), (2, "distributed"), (4, "node")):
        # Batches that the ranks do not share equally, and a last one that is not full.
        of_ranks = measure(program, "run", "--feature-batch", 7, "--cache", cache, ranks=ranks)
        for key in KEYS:
            close(of_ranks[key], result[key], 1e-6, f"{key} on {ranks} ranks")
    # The page is written again by the command, and has the result.
    page = Path(program.directory, "run/report.html").read_text(encoding="utf-8")
    shown = json.loads(re.search(r'<script[^>]* id="data"[^>]*>(.*?)</script>', page, re.DOTALL)[1])["runs"][0]
    check(shown["unreadable"] == [] and shown["evaluations"] == [] and len(shown["qualities"]) == 1, f"{shown['unreadable']}")
    for key in (*KEYS, "samples", "data", "checkpoint"):
        check(shown["qualities"][0][key] == result[key], f"{key} of the page")


def check_quality_refusals(program):
    images, labels = striped_images(12, 16, 6, 3)
    program.write_shards("data", images)
    program.write_shards("labeled", images, labels)
    program.write_shards("single", images[:1])
    program.write_shards("equal", np.repeat(images[:1], 20, axis=0))
    for head in ("nonlinear", "none"):
        program.run("pretrain", "--data", "data", "--run-dir", head, *TRAINING, "--batch-size", 6, "--epochs", 1, "--head",
                    head)
    result = measure(program, "none")
    check(result["rankme_h"] == result["rankme_z"], "z is h without a head")
    close(measure(program, "none", data="labeled")["uniformity"], result["uniformity"], 1e-9, "labels")
    result = measure(program, "nonlinear", data="equal")
    check(result["feature_std"] < 1e-7 and abs(result["uniformity"]) < 1e-5, f"equal images: {result}")
    check(1 <= result["rankme_h"] < 1.001 and 1 <= result["rankme_z"] < 1.001, f"equal images: {result}")

    program.make_checkpoint("loose.h5", model())
    before = sorted(Path(program.directory).rglob("*"))
    run = ["quality", "--checkpoint", "nonlinear"]
    for culprit, command in (
            ("--data", run),
            ("single image", [*run, "--data", "single"]),
            ("missing", [*run, "--data", "missing"]),
            ("--checkpoint", ["quality", "--data", "data"]),
            ("loose.h5: is not in a run directory", ["quality", "--checkpoint", "loose.h5", "--data", "data"]),
            ("--output", [*run, "--data", "data", "--output", "/dev/null/x.json"]),
            ("--feature-batch", [*run, "--data", "data", "--feature-batch", 0])):
        for dry in ([], ["--dry-run"]):
            _, err = program.run(*command, *dry, code=2)
            check(culprit.split("/")[0] in err and len(err.splitlines()) == 1, f"{culprit}: {err}")
    for ranks in (0, 2):
        out, _ = program.run(*run, "--data", "data", "--dry-run", ranks=ranks)
        check(out.startswith("dry run: would measure the quality of nonlinear/checkpoints/step-0000000002.h5 on 12 images, on ")
              and out.rstrip().endswith("eval/quality-step-0000000002.json") and len(out.splitlines()) == 1, out)
    out, _ = program.run("quality", "--checkpoint", "not-yet", "--data", "data", "--dry-run=elsewhere")
    check(out.startswith("dry run: would measure the quality of not-yet on 12 images; "), out)
    check(sorted(Path(program.directory).rglob("*")) == before, "a dry run or a refusal wrote something")

    _, err = program.run("quality", "--checkpoint", "loose.h5", "--data", "data", "--output", "loose.json")
    check("alignment is left out" in err and program.result("loose.json")["alignment"] is None, err)
    for data, name in (("data", ""), ("equal", "-equal"), ("data", "")):
        program.run(*run, "--data", data)
        check(Path(program.directory, f"nonlinear/eval/quality-step-0000000002{name}.json").exists(), f"result of {data}")
    check(len(list(Path(program.directory, "nonlinear/eval").iterdir())) == 2, "one result for each data set")
    shutil.copy(Path(program.directory, "loose.h5"), Path(program.directory, "other.json"))
    _, err = program.run(*run, "--data", "data", "--output", "other.json", code=2)
    check("other.json exists and is not the result of this evaluation" in err, err)


def main():
    with tempfile.TemporaryDirectory() as directory:
        globals()[f"check_{sys.argv[2]}"](Program(sys.argv[1], directory))


main()
