"""Drives `simclr preview` on shards that h5py wrote: the audit file, the picture, and bad input.

    preview_test.py SIMCLR MPIEXEC
"""

import os
import subprocess
import sys
import tempfile

import h5py
import numpy as np
from PIL import Image

SIMCLR, MPIEXEC = sys.argv[1:3]
SAMPLES, SIDE, CHANNELS = 150, 20, 3


def run(*arguments, ranks=None):
    command = [SIMCLR, "preview", *map(str, arguments)]
    if ranks:
        command = [MPIEXEC, "-n", str(ranks), *command]
    return subprocess.run(command, capture_output=True, text=True)


def preview(*arguments, ranks=None):
    done = run(*arguments, ranks=ranks)
    assert done.returncode == 0, done.stderr


def audit(output, *arguments, ranks=None):
    preview("--output", output, *arguments, ranks=ranks)
    with h5py.File(output) as file:
        views, index = file["views"], file["sample_index"]
        assert views.dtype == np.float32 and index.dtype == np.int64
        assert views.shape[:3] == (index.shape[0], 2, index.shape[1])
        return views[...], index[...]


def make_shards():
    rng = np.random.default_rng(3)
    images = rng.integers(0, 256, (SAMPLES, SIDE, SIDE, CHANNELS), np.uint8)
    os.mkdir("data")
    for shard, rows in enumerate(np.split(images, [100])):
        with h5py.File(f"data/random-0000{shard}-of-00002.h5", "w") as file:
            file["images"] = rows
    return images


def check_unaugmented(images):
    views, index = audit("none.h5", "--data", "data", "--image-size", SIDE, "--augment", "none", "--batch-size", 30,
                         "--steps", "0:7", "--seed", 5)
    assert views.shape == (7, 2, 30, SIDE, SIDE, CHANNELS)
    stored = images[index].astype(np.float32) / np.float32(255)
    assert (views == stored[:, None]).all(), "unaugmented views are the stored pixels"
    assert sorted(index[:5].ravel()) == list(range(SAMPLES)), "an epoch visits every sample once"
    assert len(np.unique(index[5:])) == 60 and (index[5:7] != index[0:2]).any(), "the next epoch has its own order"

    scaled, _ = audit("scaled.h5", "--data", "data", "--image-size", SIDE, "--augment", "none", "--batch-size", 30,
                      "--steps", "0:1", "--seed", 5, "--mean", "0.5,0.4,0.3", "--std", "0.2,0.25,0.5")
    mean, std = np.float32([0.5, 0.4, 0.3]), np.float32([0.2, 0.25, 0.5])
    assert (scaled[0] == (stored[0] - mean) / std).all(), "mean and std are applied last"


def check_same_everywhere():
    common = ["--data", "data", "--image-size", 32, "--batch-size", 20, "--seed", 7]
    views, index = audit("one.h5", *common, "--steps", "0:9", "--threads", 1)
    assert np.isfinite(views).all() and (views[:, 0] != views[:, 1]).any(axis=(2, 3, 4)).all(), "two views differ"
    for name, ranks, threads in [("threads", None, 3), ("two", 2, 1), ("four", 4, 2)]:
        again, again_index = audit(f"{name}.h5", *common, "--steps", "0:9", "--threads", threads, ranks=ranks)
        assert (again == views).all() and (again_index == index).all(), name
    part, part_index = audit("part.h5", *common, "--steps", "6:8")
    assert (part == views[6:8]).all() and (part_index == index[6:8]).all(), "steps can be asked for singly"
    other, other_index = audit("other.h5", *common[:-1], 8, "--steps", "0:1")
    assert (other_index != index[:1]).any() and (other != views[:1]).any(), "the seed matters"
    in_config = "[pretrain]\ndata = data\nimage-size = 32\nbatch-size = 20\nseed = 7\n"
    open("run.cfg", "w").write(in_config)
    configured, _ = audit("configured.h5", "--config", "run.cfg", "--steps", "0:2")
    assert (configured == views[:2]).all(), "a configuration's [pretrain] section is read"


def check_branches():
    common = ["--data", "data", "--image-size", 32, "--batch-size", 20, "--steps", "0:2", "--seed", 7, "--device", "cpu",
              "--precision", "fp32", "--base-crop", "on"]
    base, index = audit("base.h5", *common, "--augment", "none")
    assert (base[:, 0] == base[:, 1]).all(), "both views share the base crop"
    views, again = audit("branches.h5", *common, "--augment", "noise,rotate,blur:1", "--augment-second", "none", ranks=2)
    assert (again == index).all() and (views[:, 1] == base[:, 1]).all(), "the identity branch is the base crop"
    assert (views[:, 0] != base[:, 0]).any(axis=(2, 3, 4)).all(), "the other one is not"
    swapped, _ = audit("swapped.h5", *common, "--augment", "none", "--augment-second", "rotate,noise")
    assert (swapped[:, 0] == base[:, 0]).all() and (swapped[:, 1] != base[:, 1]).any(axis=(2, 3, 4)).all()


def rounded_to_bf16(views):
    bits = views.view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000).astype(np.uint32).view(np.float32)


def check_rounding():
    common = ["--data", "data", "--image-size", 32, "--batch-size", 20, "--steps", "0:2"]
    views, index = audit("fp32.h5", *common, "--device", "cpu")
    cases = {"bf16": (rounded_to_bf16(views), ["--precision", "bf16"]),
             "fp16": (views.astype(np.float16).astype(np.float32), ["--precision", "fp16"]),
             "auto": (rounded_to_bf16(views), ["--precision", "auto", "--device", "cuda"]),
             "asked": (views, ["--precision", "fp32", "--device", "cuda"])}
    for name, (wanted, options) in cases.items():
        got, got_index = audit(f"{name}.h5", *common, *options, ranks=2 if name == "bf16" else None)
        assert (got == wanted).all() and (got_index == index).all(), name


def check_large_batches_are_written_in_parts():
    # 150 samples of 224 pixels are 181 MB of views: more than is made at a time.
    common = ["--data", "data", "--image-size", 224, "--shuffle", "off", "--augment", "crop,flip"]
    preview(*common, "--batch-size", 150, "--steps", "0:1", "--output", "large.h5")
    preview(*common, "--batch-size", 30, "--steps", "0:5", "--output", "small.h5")
    with h5py.File("large.h5") as large, h5py.File("small.h5") as small:
        assert (large["sample_index"][0] == np.arange(150)).all()
        for step in range(5):
            rows = slice(step * 30, (step + 1) * 30)
            assert (large["views"][0, :, rows] == small["views"][step]).all(), step
    os.remove("large.h5")
    os.remove("small.h5")


def check_picture(images):
    common = ["--data", "data", "--image-size", SIDE, "--shuffle", "off", "--samples", 4]
    preview(*common, "--augment", "none", "--output", "plain.png")
    picture = np.asarray(Image.open("plain.png"))
    scale, gap, margin = 5, 6, 22  # 20 pixels are enlarged to 100
    cell = SIDE * scale
    group = 3 * cell + 2 * gap
    assert picture.shape == (margin + 2 * (cell + margin), margin + 3 * (group + margin), 3), picture.shape
    for i in range(4):
        top, left = margin + i // 3 * (cell + margin), margin + i % 3 * (group + margin)
        for place in range(3):
            x = left + place * (cell + gap)
            shown = picture[top : top + cell, x : x + cell]
            assert (shown == images[i].repeat(scale, 0).repeat(scale, 1)).all(), (i, place)
    preview(*common, "--output", "views.png")
    augmented = np.asarray(Image.open("views.png"))
    first = np.s_[margin : margin + cell, margin : margin + cell]
    assert (augmented[first] == picture[first]).all() and (augmented != picture).any()


def check_refusals():
    cases = [
        (["--data", "data"], "--output"),
        (["--output", "x.png"], "--data"),
        (["--data", "data", "--output", "x.jpg"], "x.jpg"),
        (["--data", "data", "--output", "x.h5"], "--steps"),
        (["--data", "data", "--output", "x.png", "--steps", "0:1"], "--steps"),
        (["--data", "data", "--output", "nowhere/x.png"], "nowhere"),
        (["--data", "nodata", "--output", "x.png"], "nodata"),
        (["--data", "data", "--output", "x.png", "--samples", "0"], "--samples"),
        (["--data", "data", "--output", "x.png", "--augment", "crop,flop"], "flop"),
        (["--data", "data", "--output", "x.png", "--color-strength", "3"], "color-strength"),
        (["--data", "data", "--output", "x.h5", "--steps", "0:1", "--batch-size", "151"], "151"),
    ]
    cases += [(["--data", "data", "--output", "x.h5", "--steps", steps], f"'{steps}'")
              for steps in ("3", "3:3", "4:3", "a:b", "0:1x", "-1:2", ":2")]
    for arguments, culprit in cases:
        # "--name=value", so that a value may begin with a dash
        joined = [f"{name}={value}" for name, value in zip(arguments[::2], arguments[1::2])]
        done = run(*joined)
        assert done.returncode == 2, (arguments, done.returncode, done.stderr)
        lines = done.stderr.strip().split("\n")
        assert len(lines) == 1 and culprit in lines[0], (arguments, done.stderr)
    assert not [name for name in os.listdir(".") if name.startswith("x.")], "nothing was written"


def main():
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        images = make_shards()
        check_unaugmented(images)
        check_same_everywhere()
        check_branches()
        check_rounding()
        check_large_batches_are_written_in_parts()
        check_picture(images)
        check_refusals()


if __name__ == "__main__":
    main()
