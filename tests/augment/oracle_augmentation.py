"""Compares the program's views with torchvision's functional ops on the same pixels and parameters.

    oracle_augmentation.py [EMULATOR...] RENDER_CASES

Every op alone, the composite, both interpolations, every instruction set this processor runs, and
sizes from upscaling to extreme aspects. Bounds are on float pixels in [0, 1].
"""

import math
import os
import subprocess
import sys
import tempfile

import numpy as np
import torch
import torchvision.transforms.functional as F
from torchvision.transforms import InterpolationMode

torch.set_num_threads(1)
WORST = 1e-5  # the promise is 2/255; measured about 3e-6
MEAN = 1e-6
NEUTRAL = dict(flip=0, jitter=0, b=1.0, c=1.0, s=1.0, h=0.0, order="0123", gray=0, blur=0, sigma=1.0)


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

    def add(self, name, image, side, interpolation, tail, expected, kernels=0):
        """expected: function of the parameters used -> (3, S, S) tensor."""
        self.lines.append(f"{self.offset} {image.shape[0]} {image.shape[1]} {side} {interpolation} {kernels} {tail}")
        self.images.append(image.tobytes())
        self.offset += image.size
        self.checks.append((name, side, expected))

    def run(self):
        with tempfile.TemporaryDirectory() as folder:
            paths = [os.path.join(folder, n) for n in ("cases", "pixels", "views", "parameters")]
            open(paths[0], "w").write("\n".join(self.lines) + "\n")
            open(paths[1], "wb").write(b"".join(self.images))
            subprocess.run([*self.program, *paths], check=True)
            views = np.fromfile(paths[2], np.float32)
            parameters = open(paths[3]).read().split("\n")[:-1]
        assert views.size == sum(side * side * 3 for _, side, _ in self.checks), "a view is missing"
        assert len(parameters) == len(self.checks)
        return views, parameters

    def compare(self):
        views, parameters = self.run()
        at, worst_by_name = 0, {}
        for (name, side, expected), line in zip(self.checks, parameters):
            view = views[at : at + side * side * 3].reshape(side, side, 3)
            at += view.size
            want = expected(parse(line) if line else None)
            error = np.abs(view - want.permute(1, 2, 0).numpy())
            largest, mean = error.max(), error.mean(dtype=np.float64)
            old = worst_by_name.get(name, (0, 0.0, 0.0))
            worst_by_name[name] = (old[0] + 1, max(old[1], largest), max(old[2], mean))
            if not (largest <= WORST and mean <= MEAN):
                sys.exit(f"{name} (side {side}; {line}): worst {largest:.3g}, mean {mean:.3g}")
        for name, (count, largest, mean) in worst_by_name.items():
            print(f"{name:28s} {count:4d} views  worst {largest:.2e}  mean {mean:.2e}")


def parse(line):
    top, left, height, width, flip, jitter, b, c, s, h, order, gray, blur, sigma = line.split()
    return dict(crop=tuple(map(int, (top, left, height, width))), flip=int(flip), jitter=int(jitter),
                b=float(b), c=float(c), s=float(s), h=float(h), order=order, gray=int(gray),
                blur=int(blur), sigma=float(sigma))


def to_tensor(image):
    return torch.from_numpy(image).permute(2, 0, 1).float() / 255


def torchvision_view(image, side, interpolation, p, additive=False):
    view = F.resized_crop(to_tensor(image), *p["crop"], [side, side], InterpolationMode(interpolation),
                          antialias=True).clamp(0, 1)
    if p["flip"]:
        view = F.hflip(view)
    if p["jitter"]:
        for op in p["order"]:
            if op == "0":
                view = (view + p["b"]).clamp(0, 1) if additive else F.adjust_brightness(view, p["b"])
            elif op == "1":
                view = F.adjust_contrast(view, p["c"])
            elif op == "2":
                view = F.adjust_saturation(view, p["s"])
            else:
                view = F.adjust_hue(view, p["h"])
    if p["gray"]:
        view = F.rgb_to_grayscale(view, 3)
    if p["blur"]:
        kernel = side // 10 + (side // 10 % 2 == 0)
        view = F.gaussian_blur(view, [kernel, kernel], [p["sigma"], p["sigma"]])
    return view


def torchvision_evaluation(image, side):
    view = to_tensor(image)
    if image.shape[:2] == (side, side) and side <= 32:
        return view
    view = F.resize(view, [round(side * 256 / 224)], InterpolationMode.BICUBIC, antialias=True)
    return F.center_crop(view, [side, side]).clamp(0, 1)


def add_given(cases, name, image, side, interpolation, kernels, crop=None, **changes):
    p = {**NEUTRAL, **changes}
    crop = crop or (0, 0, *image.shape[:2])
    tail = "given {} {} {} {} {flip} {jitter} {b} {c} {s} {h} {order} {gray} {blur} {sigma}".format(*crop, **p)
    cases.add(name, image, side, interpolation, tail,
              lambda used: torchvision_view(image, side, interpolation, used), kernels)


def add_single_ops(cases, rng, kernels):
    for side in (28, 32, 64, 224):
        image = make_image(rng, side, side)
        for interpolation in ("bicubic", "bilinear"):
            add_given(cases, "identity", image, side, interpolation, kernels)
        add_given(cases, "flip", image, side, "bicubic", kernels, flip=1)
        for factor in (0.0, 0.2, 1.0, 1.8):
            add_given(cases, "brightness", image, side, "bicubic", kernels, jitter=1, b=factor)
            add_given(cases, "contrast", image, side, "bicubic", kernels, jitter=1, c=factor)
            add_given(cases, "saturation", image, side, "bicubic", kernels, jitter=1, s=factor)
        for turn in (-0.5, -0.2, -0.01, 0.0, 0.1, 0.2, 0.5):
            add_given(cases, "hue", image, side, "bicubic", kernels, jitter=1, h=turn)
        add_given(cases, "grayscale", image, side, "bicubic", kernels, gray=1)
        for sigma in (0.1, 0.3, 0.7, 1.3, 2.0):
            add_given(cases, "blur", image, side, "bicubic", kernels, blur=1, sigma=sigma)


def add_resizes(cases, rng, kernels):
    shapes = [((28, 28), 28), ((32, 32), 32), ((64, 64), 64), ((375, 500), 224), ((500, 375), 224),
              ((20, 24), 64), ((3, 5), 32), ((1, 40), 32), ((40, 1), 28), ((600, 30), 64), ((16, 900), 64),
              ((2, 2), 8), ((97, 113), 96)]
    for (height, width), side in shapes:
        image = make_image(rng, height, width)
        for interpolation in ("bicubic", "bilinear"):
            add_given(cases, f"resize {interpolation}", image, side, interpolation, kernels)
            for _ in range(4):
                h, w = rng.integers(1, height + 1), rng.integers(1, width + 1)
                crop = (rng.integers(0, height - h + 1), rng.integers(0, width - w + 1), h, w)
                add_given(cases, f"crop+resize {interpolation}", image, side, interpolation, kernels,
                          crop=crop, flip=int(rng.integers(0, 2)))


def add_sampled(cases, rng, kernels):
    for (height, width), side, strength, count in [((32, 32), 32, 0.5, 60), ((28, 28), 28, 1.0, 60),
                                                   ((64, 64), 64, 1.0, 40), ((375, 500), 224, 1.0, 16)]:
        image = make_image(rng, height, width)
        for i in range(count):
            interpolation = "bilinear" if i % 4 == 0 else "bicubic"
            additive = int(i % 5 == 0)
            tail = f"sampled cfjgb {strength} {additive} {1000 + side} {i // 2} {rng.integers(0, 2**32)} {i % 2}"
            cases.add("composite", image, side, interpolation, tail,
                      lambda used, im=image, s=side, n=interpolation, a=additive:
                      torchvision_view(im, s, n, used, a), kernels)


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
        add_resizes(cases, rng, kernels)
        add_sampled(cases, rng, kernels)
        add_evaluations(cases, rng, kernels)
    cases.compare()


if __name__ == "__main__":
    main()
