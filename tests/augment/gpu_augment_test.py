"""PyTorch's side of the GPU comparisons does torchvision's work, image by image, with the recipe's decisions.

    gpu_augment_test.py SCRIPTS_DIR
"""

import sys
from pathlib import Path

import torch
import torchvision.transforms.functional as F
from torchvision.transforms import InterpolationMode

sys.path.insert(0, str(Path(sys.argv[1]) / "pytorch"))
import gpu_augment  # noqa: E402

torch.set_num_threads(1)
torch.manual_seed(3)
WORST = 5e-5  # measured about 1e-5
ADJUST = [F.adjust_brightness, F.adjust_contrast, F.adjust_saturation, F.adjust_hue]


def torchvision_view(image, size, random, i):
    top, left, height, width = (int(side[i]) for side in random["crop"])
    view = F.resized_crop(image, top, left, height, width, [size, size], InterpolationMode.BICUBIC,
                          antialias=True).clamp(0, 1)
    if random["flip"][i]:
        view = F.hflip(view)
    if random["jitter"][i]:
        for which in random["order"][i]:
            view = ADJUST[which](view, float(random["factors"][i, which]))
    if random["gray"][i]:
        view = F.rgb_to_grayscale(view, 3)
    if random["blur"][i]:
        kernel = size // 10 + (size // 10 % 2 == 0)
        view = F.gaussian_blur(view, [kernel, kernel], [float(random["sigma"][i])] * 2)
    return view


for size, height, width, count in [(32, 32, 32, 64), (47, 60, 41, 48), (224, 256, 256, 8)]:
    wave = torch.rand(count, 3, 1, 1) * 6 + torch.arange(width) * 0.2 + torch.arange(height)[:, None] * 0.1
    images = ((wave.sin() + 1) / 2 * 0.8 + 0.2 * torch.rand(count, 3, height, width)).clamp(0, 1)
    random = gpu_augment.draw(count, height, width, 1.0, "cpu")
    views = gpu_augment.render(images, size, random)
    wanted = torch.stack([torchvision_view(image, size, random, i) for i, image in enumerate(images)])
    error = (views - wanted).abs().amax((1, 2, 3))
    print(f"{size} from {height} x {width}: at most {error.max():.1e}")
    assert bool((error < WORST).all()), (size, error)

# What is drawn: the recipe's ranges and chances, each image for itself.
count, height, width, strength = 20000, 60, 200, 0.5
random = gpu_augment.draw(count, height, width, strength, "cpu")
top, left, crop_height, crop_width = random["crop"]
assert bool(((top >= 0) & (top + crop_height <= height) & (left >= 0) & (left + crop_width <= width)).all())
assert bool(((crop_height >= 1) & (crop_width >= 1)).all())
share, aspect = crop_height * crop_width / (height * width), crop_width / crop_height
assert 0.07 < share.min() < 0.09 and share.max() > 0.39, share  # 60 x 80 is the largest crop of this image
assert 0.7 < aspect.min() < 0.8 and 1.3 < aspect.max() < 1.4, aspect
for name, chance in [("flip", 0.5), ("jitter", 0.8), ("gray", 0.2), ("blur", 0.5)]:
    assert abs(random[name].float().mean() - chance) < 0.02, name
for which, (low, high) in enumerate([(0.6, 1.4)] * 3 + [(-0.1, 0.1)]):
    factor = random["factors"][:, which]
    assert low <= factor.min() < low + 0.01 * (high - low) and high >= factor.max() > high - 0.01 * (high - low), which
orders, counts = random["order"].unique(dim=0, return_counts=True)
assert orders.shape == (24, 4) and bool((orders.sort(1).values == torch.arange(4)).all())
assert bool((abs(counts / count - 1 / 24) < 0.01).all()), counts
assert 0.1 <= random["sigma"].min() < 0.12 and 1.98 < random["sigma"].max() <= 2.0

# Both views of every image, and only the operations that are asked for.
stored = torch.randint(0, 256, (3, 3, 40, 40), dtype=torch.uint8)
views = gpu_augment.two_views(stored, 36, 0.5, ("crop",))
assert views.shape == (6, 3, 36, 36) and bool(((views >= 0) & (views <= 1)).all())
torch.manual_seed(5)
random = gpu_augment.draw(6, 40, 40, 0.5, "cpu")
random.update({name: torch.zeros(6, dtype=torch.bool) for name in ("flip", "jitter", "gray", "blur")})
expected = torch.stack([torchvision_view(stored[i % 3] / 255, 36, random, i) for i in range(6)])
torch.manual_seed(5)
assert (gpu_augment.two_views(stored, 36, 0.5, ("crop",)) - expected).abs().max() < WORST
