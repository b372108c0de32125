"""SimCLR's augmentation of a whole batch by tensor operations, as one would write it in PyTorch for a GPU.

The same work as simclr's, image by image: the crop is resampled with antialiasing (two matrix products with a band of
weights for each image), and every image has its own factors and its own order of the colour operations. Nothing waits
for the device, and all shapes are fixed: it can be compiled, and captured in a CUDA graph.
"""

import math

import torch
from torch.nn import functional

ALL = ("crop", "flip", "color", "gray", "blur")


def draw_crops(count, height, width, device):
    """Of each image (count,): top, left, height, width. Area U(0.08, 1), log aspect U(log 3/4, log 4/3), rounded to
    pixels; the first of ten tries that fits, else the central crop of the nearest allowed aspect."""
    area = (0.08 + 0.92 * torch.rand(count, 10, device=device)) * (height * width)
    aspect = torch.exp(math.log(4 / 3) * (2 * torch.rand(count, 10, device=device) - 1))
    heights, widths = (area / aspect).sqrt().round(), (area * aspect).sqrt().round()
    fits = (heights > 0) & (heights <= height) & (widths > 0) & (widths <= width)
    # The central crop is an eleventh try, which fits.
    heights = functional.pad(heights, (0, 1), value=min(height, round(width * 4 / 3)))
    widths = functional.pad(widths, (0, 1), value=min(width, round(height * 4 / 3)))
    first = functional.pad(fits.float(), (0, 1), value=1).argmax(1, keepdim=True)
    crop_height, crop_width = heights.gather(1, first)[:, 0], widths.gather(1, first)[:, 0]
    free_rows, free_columns = height - crop_height, width - crop_width
    central = first[:, 0] == 10
    place = lambda free: torch.where(  # noqa: E731
        central, (free / 2).floor(), torch.minimum((torch.rand(count, device=device) * (free + 1)).floor(), free))
    return place(free_rows), place(free_columns), crop_height, crop_width


def draw(count, height, width, strength, device):
    """Everything random about the views of `count` images."""
    chance = lambda p: torch.rand(count, device=device) < p  # noqa: E731
    between = lambda low, high: low + (high - low) * torch.rand(count, device=device)  # noqa: E731
    reach, low = 0.8 * strength, max(0.0, 1 - 0.8 * strength)
    return {
        "crop": draw_crops(count, height, width, device), "flip": chance(0.5), "jitter": chance(0.8),
        # brightness, contrast, saturation, hue
        "factors": torch.stack([between(low, 1 + reach) for _ in range(3)]
                               + [between(-0.2 * strength, 0.2 * strength)], 1),
        "order": torch.rand(count, 4, device=device).argsort(1),
        "gray": chance(0.2), "blur": chance(0.5), "sigma": between(0.1, 2.0),
    }


def weights_of(first, size, pixels, outputs, mirrored):
    """(N,outputs,pixels): antialiased bicubic (a = -0.5) from [first, first + size) of `pixels`, each (N,)."""
    index = torch.arange(outputs, device=first.device).expand(len(first), outputs)
    index = torch.where(mirrored[:, None], outputs - 1 - index, index)
    scale = (size / outputs)[:, None]
    centres = first[:, None] + scale * (index + 0.5)
    at = torch.arange(pixels, device=first.device) + 0.5
    d = ((at - centres[:, :, None]) / scale.clamp(min=1)[:, :, None]).abs()
    weights = torch.where(d < 1, (1.5 * d - 2.5) * d * d + 1,
                          torch.where(d < 2, ((-0.5 * d + 2.5) * d - 4) * d + 2, torch.zeros_like(d)))
    inside = (at > first[:, None]) & (at < (first + size)[:, None])
    weights = weights * inside[:, None]
    return weights / weights.sum(2, keepdim=True)


def crop(images, size, box, flip):
    """images (N,3,H,W) -> (N,3,size,size)"""
    top, left, height, width = box
    rows = weights_of(top, height, images.shape[2], size, torch.zeros_like(flip))
    columns = weights_of(left, width, images.shape[3], size, flip)
    return (rows[:, None] @ images @ columns[:, None].transpose(2, 3)).clamp(0, 1)


def luma(images):
    r, g, b = images.split(1, 1)
    return 0.2989 * r + 0.587 * g + 0.114 * b


def turn_hue(images, shift):
    """Hue turned by `shift` (N,1,1,1) of a circle."""
    value, chroma = images.amax(1), images.amax(1) - images.amin(1)
    safe = torch.where(chroma > 0, chroma, torch.ones_like(chroma))
    r, g, b = images.unbind(1)
    angle = torch.where(value == r, (g - b) / safe,
                        torch.where(value == g, (b - r) / safe + 2, (r - g) / safe + 4))
    angle = torch.remainder(angle + 6 * shift[:, 0], 6)
    k = torch.remainder(torch.stack([angle + 5, angle + 3, angle + 1], 1), 6)
    return value[:, None] - chroma[:, None] * torch.minimum(k, 4 - k).clamp(0, 1)


def jitter(images, factors, order):
    """The four colour operations of each image in its own order (N,4), as torchvision numbers them."""
    for which in order.split(1, 1):
        factor = factors.gather(1, which)[:, :, None, None]
        which = which[:, :, None, None]
        gray = luma(images)
        # Brightness, contrast and saturation blend with black, with the mean luma and with the luma.
        other = torch.where(which == 1, gray.mean((2, 3), keepdim=True), gray) * (which > 0)
        blended = (factor * images + (1 - factor) * other).clamp(0, 1)
        images = torch.where(which == 3, turn_hue(images, factor), blended)
    return images


def blur(images, sigma):
    """Gaussian as wide as 10 % of the side (made odd), with sigma (N,)."""
    count, _, side, _ = images.shape
    radius = (side // 10 // 2 * 2 + 1) // 2
    taps = torch.exp(-0.5 * (torch.arange(-radius, radius + 1, device=images.device) / sigma[:, None]) ** 2)
    taps = (taps / taps.sum(1, keepdim=True)).repeat_interleave(3, 0)
    flat = functional.pad(images.reshape(1, count * 3, side, side), [radius] * 4, mode="reflect")
    flat = functional.conv2d(flat, taps[:, None, :, None], groups=count * 3)
    flat = functional.conv2d(flat, taps[:, None, None, :], groups=count * 3)
    return flat.reshape(images.shape)


def render(images, size, random, ops=ALL):
    """images (N,3,H,W) in [0,1] -> views (N,3,size,size), as draw() has decided."""
    chosen = lambda name: random[name][:, None, None, None]  # noqa: E731
    flip = random["flip"] if "flip" in ops else torch.zeros_like(random["flip"])
    views = crop(images, size, random["crop"], flip)
    if "color" in ops:
        views = torch.where(chosen("jitter"), jitter(views, random["factors"], random["order"]), views)
    if "gray" in ops:
        views = torch.where(chosen("gray"), luma(views).expand_as(views), views)
    if "blur" in ops:
        views = torch.where(chosen("blur"), blur(views, random["sigma"]), views)
    return views


def two_views(stored, size, strength, ops=ALL):
    """stored u8 (N,3,H,W) -> (2N,3,size,size): view v of image i at row v*N + i."""
    images = (stored.float() / 255).repeat(2, 1, 1, 1)
    return render(images, size, draw(len(images), *images.shape[2:], strength, images.device), ops)
