"""Each augmentation operation by itself, in torchvision, PyTorch, NumPy or PIL, on (3, S, S) float tensors in [0, 1].

`torchvision_op` follows torchvision; `tf_op` is a NumPy port of what differs in Google's SimCLR code and TensorFlow.
"""

import math

import numpy as np
import torch
import torchvision.transforms.functional as F
from torchvision.transforms import InterpolationMode

# ---- Philox 4x32-10, a block of four words for each counter --------------------------------------


def philox(seed, counters):
    """counters: (n, 4) uint32. Returns (n, 4) uint32."""
    c = counters.astype(np.uint64)
    key = [np.uint64(seed & 0xFFFFFFFF), np.uint64(seed >> 32)]
    low, shift = np.uint64(0xFFFFFFFF), np.uint64(32)
    for _ in range(10):
        p0, p1 = np.uint64(0xD2511F53) * c[:, 0], np.uint64(0xCD9E8D57) * c[:, 2]
        c = np.stack([(p1 >> shift) ^ c[:, 1] ^ key[0], p1 & low, (p0 >> shift) ^ c[:, 3] ^ key[1], p0 & low], 1)
        key = [(key[0] + np.uint64(0x9E3779B9)) & low, (key[1] + np.uint64(0xBB67AE85)) & low]
    return c.astype(np.uint32)


def normal_noise(side, seed, purpose, a, b):
    """N(0, 1) a pixel and channel, (3, S, S), by Box and Muller in double precision."""
    counters = np.empty((side * side, 4), np.uint32)
    counters[:, 0] = np.arange(1, side * side + 1)
    counters[:, 1:] = purpose, a, b
    words = philox(seed, counters) >> np.uint32(8)

    def pair(first, second):
        radius = np.sqrt(-2 * np.log((first + 1.0) / 2**24))
        angle = 2 * np.pi * second / 2**24
        return radius * np.cos(angle), radius * np.sin(angle)

    red, green = pair(words[:, 0].astype(np.float64), words[:, 1].astype(np.float64))
    blue, _ = pair(words[:, 2].astype(np.float64), words[:, 3].astype(np.float64))
    return np.stack([red, green, blue]).reshape(3, side, side)


# ---- operations that are the same in all semantics ------------------------------------------------


def cutout(view, box, fill=0.5):
    top, left, height, width = box
    side = view.shape[-1]
    t, l = max(top, 0), max(left, 0)
    h, w = min(top + height, side) - t, min(left + width, side) - l
    return F.erase(view, t, l, h, w, torch.tensor(fill)) if h > 0 and w > 0 else view


def sobel(view):
    smooth, difference = torch.tensor([1.0, 2.0, 1.0]), torch.tensor([-1.0, 0.0, 1.0])
    padded = torch.nn.functional.pad(view[None], (1, 1, 1, 1), mode="reflect")

    def apply(kernel):
        return torch.nn.functional.conv2d(padded, kernel.expand(3, 1, 3, 3), groups=3)[0]

    gx, gy = apply(torch.outer(smooth, difference)), apply(torch.outer(difference, smooth))
    return torch.clamp(torch.sqrt(gx**2 + gy**2) / 4, max=1)


def equalize(view):
    levels = torch.floor(255 * view + 0.5).to(torch.uint8)
    mapped = F.equalize(levels)
    changed = (mapped != levels).flatten(1).any(1)[:, None, None]
    return torch.where(changed, mapped.float() / 255, view)


def common_op(op, view, p):
    if op == "flip":
        return F.hflip(view)
    if op == "gray":
        return F.rgb_to_grayscale(view, 3)
    if op == "cutout":
        return cutout(view, p["cutout"])
    if op == "rotate":
        return torch.rot90(view, p["turns"], (1, 2))
    if op == "noise":
        noise = normal_noise(view.shape[-1], *p["noise"])
        return (view.double() + p["noise_sigma"] * torch.from_numpy(noise)).clamp(0, 1).float()
    if op == "sobel":
        return sobel(view)
    if op == "solarize":
        return torch.where(view >= p["threshold"], 1 - view, view)
    if op == "equalize":
        return equalize(view)
    raise ValueError(op)


# ---- torchvision ----------------------------------------------------------------------------------


def torchvision_resize(view, box, side, interpolation):
    return F.resized_crop(view, *box, [side, side], InterpolationMode(interpolation), antialias=True).clamp(0, 1)


def torchvision_color(view, p, additive):
    for op in p["order"]:
        if op == "0":
            view = (view + p["b"]).clamp(0, 1) if additive else F.adjust_brightness(view, p["b"])
        elif op == "1":
            view = F.adjust_contrast(view, p["c"])
        elif op == "2":
            view = F.adjust_saturation(view, p["s"])
        else:
            view = F.adjust_hue(view, p["h"])
    return view


def torchvision_blur(view, sigma):
    side = view.shape[-1]
    kernel = side // 10 + (side // 10 % 2 == 0)
    return F.gaussian_blur(view, [kernel, kernel], [sigma, sigma])


def torchvision_op(op, view, p, interpolation, additive):
    if op == "crop":
        return torchvision_resize(view, p["crop"], view.shape[-1], interpolation)
    if op == "color":
        return torchvision_color(view, p, additive)
    if op == "blur":
        return torchvision_blur(view, p["sigma"])
    return common_op(op, view, p)


# ---- TensorFlow: NumPy ports in double precision ---------------------------------------------------


def tf_weights(length, side, semantics, interpolation):
    """(side, length): the resize kernels of TensorFlow, legacy and with half-pixel centers, without their table."""
    weights = np.zeros((side, length))
    a = -0.75 if semantics == "tf-v1" else -0.5

    def cubic(d):
        d = abs(d)
        if d < 1:
            return ((a + 2) * d - (a + 3)) * d * d + 1
        return ((a * d - 5 * a) * d + 8 * a) * d - 4 * a if d < 2 else 0.0

    kernel = cubic if interpolation == "bicubic" else lambda d: max(0.0, 1 - abs(d))
    scale = np.float32(length) / np.float32(side)
    for i in range(side):
        # In single precision, as TensorFlow's scalers.
        place = float(np.float32(i if semantics == "tf-v1" else i + 0.5) * scale) - (semantics != "tf-v1") * 0.5
        for sample in range(math.floor(place) - 1, math.floor(place) + 3):
            if semantics == "tf-v1":  # clamped to the edges
                weights[i, min(max(sample, 0), length - 1)] += kernel(sample - place)
            elif 0 <= sample < length:
                weights[i, sample] += kernel(sample - place)
    return weights / weights.sum(1, keepdims=True)


def tf_resize(view, box, side, semantics, interpolation):
    top, left, height, width = box
    part = view[:, top : top + height, left : left + width].double().numpy()
    rows = tf_weights(height, side, semantics, interpolation)
    columns = tf_weights(width, side, semantics, interpolation)
    return torch.from_numpy(np.clip(rows @ part @ columns.T, 0, 1)).float()


def tf_hsv(view):
    r, g, b = view
    v, chroma = view.max(0), view.max(0) - view.min(0)
    s = np.divide(chroma, v, out=np.zeros_like(v), where=v > 0)
    norm = np.divide(1, 6 * chroma, out=np.zeros_like(v), where=chroma > 0)
    h = np.where(r == v, norm * (g - b), np.where(g == v, norm * (b - r) + 1 / 3, norm * (r - g) + 2 / 3))
    return np.where(chroma > 0, h % 1, 0), s, v


def tf_rgb(h, s, v):
    dh = h * 6
    parts = [np.clip(np.abs(dh - 3) - 1, 0, 1), np.clip(2 - np.abs(dh - 2), 0, 1), np.clip(2 - np.abs(dh - 4), 0, 1)]
    return np.stack([((1 - s) + s * part) * v for part in parts])


def tf_color(view, p, additive):
    x = view.double().numpy()
    for op in p["order"]:
        if op == "0":
            x = x + p["b"] if additive else x * p["b"]
        elif op == "1":
            mean = x.mean((1, 2), keepdims=True)
            x = (x - mean) * p["c"] + mean
        else:
            h, s, v = tf_hsv(x)
            x = tf_rgb(h, np.clip(s * p["s"], 0, 1), v) if op == "2" else tf_rgb((h + p["h"]) % 1, s, v)
        x = np.clip(x, 0, 1)
    return torch.from_numpy(x).float()


def tf_blur(view, sigma):
    """Google's gaussian_blur: a kernel of 2 int((S // 10) / 2) + 1 taps, zero padding."""
    radius = view.shape[-1] // 10 // 2
    taps = np.exp(-(np.arange(-radius, radius + 1.0) ** 2) / (2 * sigma**2))
    taps /= taps.sum()
    blur = np.zeros_like(view.double().numpy())
    padded = np.pad(view.double().numpy(), ((0, 0), (radius, radius), (radius, radius)))
    side = view.shape[-1]
    for dy, wy in enumerate(taps):
        for dx, wx in enumerate(taps):
            blur += wy * wx * padded[:, dy : dy + side, dx : dx + side]
    return torch.from_numpy(blur).float()


def tf_op(op, view, p, semantics, interpolation, additive):
    if op == "crop":
        return tf_resize(view, p["crop"], view.shape[-1], semantics, interpolation)
    if op == "color":
        return tf_color(view, p, additive)
    if op == "blur":
        return tf_blur(view, p["sigma"])
    return common_op(op, view, p)
