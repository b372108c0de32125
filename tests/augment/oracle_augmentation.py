"""Compares the program's views with torchvision's functional ops on the same pixels and parameters.

    oracle_augmentation.py [EMULATOR...] RENDER_CASES

Every op alone, the composite, both interpolations, the semantics of TensorFlow, every instruction set this processor
runs, and sizes from upscaling to extreme aspects. Bounds are on float pixels in [0, 1]; ops that are defined on bytes
must agree in every bit.
"""

import os
import subprocess
import sys
import tempfile

import numpy as np
import torch
import torchvision.transforms.functional as F
from PIL import Image, ImageOps
from torchvision.transforms import InterpolationMode

import reference_ops as ref

torch.set_num_threads(1)
ALONE = 4e-6  # a single op
WORST = 1e-5  # several
MEAN = 1e-6
NO_BOX = (0, 0, 0, 0)
NEUTRAL = dict(crop=NO_BOX, b=1.0, c=1.0, s=1.0, h=0.0, order="0123", sigma=1.0, cutout=NO_BOX, turns=0,
               noise_sigma=0.0, noise=(0, 0, 0, 0), threshold=0.5)


def make_image(rng, height, width):
    """Smooth color waves, hard edges, noise, and saturated and gray patches."""
    y, x = np.mgrid[0:height, 0:width]
    image = np.stack([127 + 127 * np.sin(x * a + y * b) for a, b in rng.uniform(-0.6, 0.6, (3, 2))], -1)
    image += rng.normal(0, 12, image.shape)
    image[: height // 4, : width // 3] = rng.integers(0, 2, 3) * 255
    image[-(height // 4) :, : width // 3] = rng.integers(0, 256)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


class Cases:
    def __init__(self, program):
        self.program, self.lines, self.images, self.checks, self.offset = program, [], [], [], 0

    def add(self, name, image, side, interpolation, tail, expected, kernels=0, semantics="torchvision", additive=0,
            strength=1.0, worst=WORST):
        """expected: function of the parameters used -> (3, S, S) tensor."""
        self.lines.append(f"{self.offset} {image.shape[0]} {image.shape[1]} {side} {interpolation} {semantics} "
                          f"{additive} {strength} {kernels} {tail}")
        self.images.append(image.tobytes())
        self.offset += image.size
        self.checks.append((name, side, expected, worst))

    def run(self):
        with tempfile.TemporaryDirectory() as folder:
            paths = [os.path.join(folder, n) for n in ("cases", "pixels", "views", "parameters")]
            open(paths[0], "w").write("\n".join(self.lines) + "\n")
            open(paths[1], "wb").write(b"".join(self.images))
            subprocess.run([*self.program, *paths], check=True)
            views = np.fromfile(paths[2], np.float32)
            parameters = open(paths[3]).read().split("\n")[:-1]
        assert views.size == sum(side * side * 3 for _, side, _, _ in self.checks), "a view is missing"
        assert len(parameters) == len(self.checks)
        return views, parameters

    def compare(self):
        views, parameters = self.run()
        at, worst_by_name = 0, {}
        for (name, side, expected, bound), line in zip(self.checks, parameters):
            view = views[at : at + side * side * 3].reshape(side, side, 3)
            at += view.size
            want = expected(parse(line) if line else None)
            error = np.abs(view - want.permute(1, 2, 0).numpy())
            largest, mean = error.max(), error.mean(dtype=np.float64)
            old = worst_by_name.get(name, (0, 0.0, 0.0))
            worst_by_name[name] = (old[0] + 1, max(old[1], largest), max(old[2], mean))
            if not (largest <= bound and mean <= MEAN):
                sys.exit(f"{name} (side {side}; {line}): worst {largest:.3g}, mean {mean:.3g}")
        for name, (count, largest, mean) in worst_by_name.items():
            print(f"{name:28s} {count:4d} views  worst {largest:.2e}  mean {mean:.2e}")


def parse(line):
    words = line.split()
    boxes = {name: tuple(map(int, words[at : at + 4])) for name, at in (("base", 1), ("crop", 6), ("cutout", 16))}
    b, c, s, h = map(float, words[10:14])
    return dict(has_base=int(words[0]), ops=words[5].split(",") if words[5] != "none" else [], b=b, c=c, s=s, h=h,
                order=words[14], sigma=float(words[15]), turns=int(words[20]), noise_sigma=float(words[21]),
                noise=tuple(map(int, words[22:26])), threshold=float(words[26]), **boxes)


def given(p):
    text = lambda *values: " ".join(map(str, values))  # noqa: E731
    return text("given", 1, *p["base"], ",".join(p["ops"]) or "none", *p["crop"], p["b"], p["c"], p["s"], p["h"],
                p["order"], p["sigma"], *p["cutout"], p["turns"], p["noise_sigma"], *p["noise"], p["threshold"])


def to_tensor(image):
    return torch.from_numpy(image).permute(2, 0, 1).float() / 255


def reference_view(image, side, interpolation, p, semantics="torchvision", additive=False):
    view = to_tensor(image)
    if not p["has_base"]:
        raise AssertionError("these cases begin with a box")
    same = p["base"][2:] == (side, side)
    if same or semantics == "torchvision":
        view = ref.torchvision_resize(view, p["base"], side, interpolation)
    else:
        view = ref.tf_resize(view, p["base"], side, semantics, interpolation)
    for op in p["ops"]:
        if semantics == "torchvision":
            view = ref.torchvision_op(op, view, p, interpolation, additive)
        else:
            view = ref.tf_op(op, view, p, semantics, interpolation, additive or semantics == "tf-v1")
    return view


def torchvision_evaluation(image, side):
    view = to_tensor(image)
    if image.shape[:2] == (side, side) and side <= 32:
        return view
    view = F.resize(view, [round(side * 256 / 224)], InterpolationMode.BICUBIC, antialias=True)
    return F.center_crop(view, [side, side]).clamp(0, 1)


def add_given(cases, name, image, side, interpolation, kernels, ops=(), base=None, semantics="torchvision",
              worst=ALONE, **changes):
    p = {**NEUTRAL, **changes, "ops": list(ops), "base": base or (0, 0, *image.shape[:2])}
    cases.add(name, image, side, interpolation, given(p),
              lambda used: reference_view(image, side, interpolation, used, semantics), kernels, semantics, worst=worst)


def images_of(rng, side):
    """Random, constant, gray, and of one pixel's width, which becomes a view of equal columns."""
    gray = make_image(rng, side, side)[:, :, :1].repeat(3, 2)
    return [make_image(rng, side, side), np.full((side, side, 3), 77, np.uint8), gray, make_image(rng, side, 1)]


def add_colors(cases, rng, kernels, semantics):
    for side in (28, 32, 64, 224):
        image = make_image(rng, side, side)
        color = lambda name, **p: add_given(cases, f"{name} {semantics}", image, side, "bicubic", kernels,  # noqa: E731
                                            ["color"], semantics=semantics, **p)
        off = {"b": 0.0} if semantics == "tf-v1" else {}
        for factor in (0.0, 0.2, 1.0, 1.8):
            color("brightness", b=factor - 0.9 if semantics == "tf-v1" else factor)
            color("contrast", c=factor, **off)
            color("saturation", s=factor, **off)
        for turn in (-0.5, -0.2, -0.01, 0.0, 0.1, 0.2, 0.5):
            color("hue", h=turn, **off)
        for sigma in (0.1, 0.3, 0.7, 1.3, 2.0):
            add_given(cases, f"blur {semantics}", image, side, "bicubic", kernels, ["blur"], semantics=semantics,
                      sigma=sigma)


def add_single_ops(cases, rng, kernels):
    for semantics in ("torchvision", "tf-v1", "tf-v2"):
        add_colors(cases, rng, kernels, semantics)
    for side in (8, 28, 33, 64, 224):
        half = side // 2
        for image in images_of(rng, side):
            op = lambda name, worst=ALONE, **p: add_given(  # noqa: E731
                cases, name, image, side, "bicubic", kernels, [name], worst=worst, **p)
            exact = 0 if image.shape[:2] == (side, side) else ALONE
            add_given(cases, "identity", image, side, "bicubic", kernels, worst=exact)
            op("flip", exact)
            op("gray")
            op("crop", crop=(side // 3, side // 4, half, half + 1))
            for turns in (1, 2, 3):
                op("rotate", exact, turns=turns)
            for box in ((0, 0, half, half), (-half // 2, half, half, half), (half, -3, side, 5), (2, 3, 1, 1)):
                op("cutout", exact, cutout=box)
            op("sobel")
            op("noise", noise_sigma=0.17, noise=(2**40 + 5, 25, 7, side))
            for threshold in (0.0, 0.3, 0.5, 0.9):
                op("solarize", exact, threshold=threshold)
            op("equalize", exact)


def check_bytes(cases, rng, kernels):
    """Solarize and equalize of PIL on bytes, bit by bit."""
    for side in (8, 16, 33, 64, 224):
        for image in images_of(rng, side)[:3]:
            for op, pil in (("solarize", lambda im: ImageOps.solarize(im, 128)), ("equalize", ImageOps.equalize)):
                wanted = to_tensor(np.array(pil(Image.fromarray(image))))
                # 1 - x of floats rounds otherwise than (255 - byte) / 255, by less than a level.
                worst = 0 if op == "equalize" else 1e-7
                p = {**NEUTRAL, "ops": [op], "base": (0, 0, side, side), "threshold": 0.5}
                cases.add(f"{op} as PIL", image, side, "bicubic", given(p), lambda _, w=wanted: w, kernels, worst=worst)


def add_resizes(cases, rng, kernels):
    shapes = [((28, 28), 28), ((32, 32), 32), ((64, 64), 64), ((375, 500), 224), ((500, 375), 224),
              ((20, 24), 64), ((3, 5), 32), ((1, 40), 32), ((40, 1), 28), ((600, 30), 64), ((16, 900), 64),
              ((2, 2), 8), ((97, 113), 96)]
    for (height, width), side in shapes:
        image = make_image(rng, height, width)
        for semantics in ("torchvision", "tf-v1", "tf-v2"):
            for interpolation in ("bicubic", "bilinear"):
                name = f"{semantics} {interpolation}"
                add_given(cases, f"resize {name}", image, side, interpolation, kernels, semantics=semantics, worst=WORST)
                for _ in range(4 if semantics == "torchvision" else 2):
                    h, w = rng.integers(1, height + 1), rng.integers(1, width + 1)
                    base = (rng.integers(0, height - h + 1), rng.integers(0, width - w + 1), h, w)
                    add_given(cases, f"crop+resize {name}", image, side, interpolation, kernels,
                              ["flip"] if rng.integers(0, 2) else [], base, semantics, WORST)


LISTS = ["crop,flip,color,gray,blur", "crop,color,noise,cutout", "crop,blur:1,color:1,rotate,gray", "crop,sobel,rotate,flip",
         "crop,noise,blur:1,flip:1,cutout", "crop,rotate,color:1,sobel,blur:1"]


def add_sampled(cases, rng, kernels):
    for (height, width), side, strength, count in [((32, 32), 32, 0.5, 60), ((28, 28), 28, 1.0, 60),
                                                   ((64, 64), 64, 1.0, 60), ((375, 500), 224, 1.0, 16)]:
        image = make_image(rng, height, width)
        for i in range(count):
            interpolation = "bilinear" if i % 4 == 0 else "bicubic"
            additive = int(i % 5 == 0)
            ops = LISTS[i // 2 % len(LISTS)]
            semantics = ("torchvision", "torchvision", "tf-v1", "tf-v2")[i % 4]
            additive = int(additive and semantics != "tf-v2")
            tail = f"sampled {ops} {1000 + side} {i // 2} {rng.integers(0, 2**32)} {i % 2}"
            cases.add(f"composite {semantics}", image, side, interpolation, tail,
                      lambda used, im=image, sd=side, n=interpolation, a=additive, sm=semantics:
                      reference_view(im, sd, n, used, sm, a), kernels, semantics, additive, strength)


def add_evaluations(cases, rng, kernels):
    for (height, width), side in [((32, 32), 32), ((28, 28), 28), ((28, 28), 32), ((32, 32), 28), ((64, 64), 64),
                                  ((375, 500), 224), ((500, 333), 224), ((256, 256), 224), ((100, 37), 64)]:
        image = make_image(rng, height, width)
        cases.add("evaluation", image, side, "bilinear", "evaluation",
                  lambda used, im=image, s=side: torchvision_evaluation(im, s), kernels)


def main():
    cases, rng = Cases(sys.argv[1:]), np.random.default_rng(5)
    for kernels in range(3):
        add_single_ops(cases, rng, kernels)
        check_bytes(cases, rng, kernels)
        add_resizes(cases, rng, kernels)
        add_sampled(cases, rng, kernels)
        add_evaluations(cases, rng, kernels)
    cases.compare()


if __name__ == "__main__":
    main()
