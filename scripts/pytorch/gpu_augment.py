"""SimCLR's augmentation of a whole batch by tensor operations, as PyTorch users run it on a GPU.

Every image has its own parameters; the colour operations come in one order a batch and the crop is resampled
without antialiasing, as in the libraries that do this in PyTorch: less work than simclr's, not more.
"""

import math

import torch
from torch.nn import functional


def random_crops(images, size, generator=None):
    """images (N,3,H,W) in [0,1] -> (N,3,size,size): area U(0.08, 1), log aspect U(log 3/4, log 4/3), flipped or not."""
    count, device = len(images), images.device
    uniform = lambda: torch.rand(count, device=device, generator=generator)  # noqa: E731
    area = 0.08 + 0.92 * uniform()
    aspect = torch.exp(math.log(4 / 3) * (2 * uniform() - 1))
    width = (area * aspect).sqrt().clamp(max=1)
    height = (area / aspect).sqrt().clamp(max=1)
    x = (2 * uniform() - 1) * (1 - width)
    y = (2 * uniform() - 1) * (1 - height)
    mirror = torch.where(uniform() < 0.5, -1.0, 1.0)
    zero = torch.zeros_like(x)
    affine = torch.stack([torch.stack([mirror * width, zero, x], 1), torch.stack([zero, height, y], 1)], 1)
    grid = functional.affine_grid(affine, (count, 3, size, size), align_corners=False)
    return functional.grid_sample(images, grid, mode="bicubic", padding_mode="reflection",
                                  align_corners=False).clamp(0, 1)


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


def jitter(images, strength, generator=None):
    shape = (len(images), 1, 1, 1)
    factor = lambda low, high: low + (high - low) * torch.rand(  # noqa: E731
        shape, device=images.device, generator=generator)
    reach, low = 0.8 * strength, max(0.0, 1 - 0.8 * strength)
    jittered = (images * factor(low, 1 + reach)).clamp(0, 1)
    amount = factor(low, 1 + reach)
    jittered = (amount * jittered + (1 - amount) * luma(jittered).mean((2, 3), keepdim=True)).clamp(0, 1)
    amount = factor(low, 1 + reach)
    jittered = (amount * jittered + (1 - amount) * luma(jittered)).clamp(0, 1)
    jittered = turn_hue(jittered, factor(-0.2 * strength, 0.2 * strength))
    images = torch.where(factor(0, 1) < 0.8, jittered, images)
    return torch.where(factor(0, 1) < 0.2, luma(images).expand_as(images), images)


def blur(images, generator=None):
    """Gaussian of 10 % of the side (made odd), sigma U(0.1, 2), on half of the images."""
    count, _, side, _ = images.shape
    radius = (side // 10 // 2 * 2 + 1) // 2
    sigma = 0.1 + 1.9 * torch.rand((count, 1), device=images.device, generator=generator)
    taps = torch.exp(-0.5 * (torch.arange(-radius, radius + 1, device=images.device) / sigma) ** 2)
    taps = (taps / taps.sum(1, keepdim=True)).repeat_interleave(3, 0)
    flat = functional.pad(images.reshape(1, count * 3, side, side), [radius] * 4, mode="reflect")
    flat = functional.conv2d(flat, taps[:, None, :, None], groups=count * 3)
    flat = functional.conv2d(flat, taps[:, None, None, :], groups=count * 3)
    chosen = torch.rand((count, 1, 1, 1), device=images.device, generator=generator) < 0.5
    return torch.where(chosen, flat.reshape(images.shape), images)


def two_views(stored, size, strength, with_blur, generator=None):
    """stored u8 (N,3,H,W) -> (2N,3,size,size): view v of image i at row v*N + i."""
    images = (stored.float() / 255).repeat(2, 1, 1, 1)
    views = jitter(random_crops(images, size, generator), strength, generator)
    return blur(views, generator) if with_blur else views
