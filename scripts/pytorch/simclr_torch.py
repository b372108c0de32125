"""SimCLR in PyTorch, written from the paper's formulas, as an independent reference for simclr.

Has the encoder (torchvision's ResNet v1.5 blocks, width multiplier, CIFAR stem; SimCLRv2's selective kernels with
ResNet-D's stem and shortcuts), projection head, NT-Xent, LARS and the learning-rate schedule. Parameter names are
those of `simclr export`. Neither calls nor copies the program.
"""

import json
import math
import struct

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torchvision.models.resnet import BasicBlock, Bottleneck

BLOCKS = {
    "resnet18": (BasicBlock, (2, 2, 2, 2)),
    "resnet34": (BasicBlock, (3, 4, 6, 3)),
    "resnet50": (Bottleneck, (3, 4, 6, 3)),
    "resnet101": (Bottleneck, (3, 4, 23, 3)),
    "resnet152": (Bottleneck, (3, 8, 36, 3)),
    "resnet200": (Bottleneck, (3, 24, 36, 3)),
}


class SelectiveKernel(nn.Module):
    """Weighs two streams, the halves of the channels, by the mean over pixels of their sum."""

    def __init__(self, channels, ratio):
        super().__init__()
        reduced = max(int(channels * ratio), 32)
        self.conv1 = nn.Conv2d(channels, reduced, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(reduced)
        self.conv2 = nn.Conv2d(reduced, 2 * channels, 1, bias=False)

    def forward(self, x):
        streams = torch.stack(x.chunk(2, dim=1), dim=1)
        mean = streams.sum(dim=1).mean(dim=(2, 3), keepdim=True)
        logits = self.conv2(functional.relu(self.bn1(self.conv1(mean))))
        weights = torch.stack(logits.chunk(2, dim=1), dim=1).softmax(dim=1)
        return (weights * streams).sum(dim=1)


class SelectiveBottleneck(nn.Module):
    """A bottleneck block whose 3x3 convolution has two streams."""

    expansion = 4

    def __init__(self, inputs, planes, stride, shortcut, ratio):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, planes, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, 2 * planes, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(2 * planes)
        self.sk = SelectiveKernel(planes, ratio)
        self.conv3 = nn.Conv2d(planes, 4 * planes, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * planes)
        self.downsample = shortcut

    def forward(self, x):
        shortcut = x if self.downsample is None else self.downsample(x)
        x = functional.relu(self.bn1(self.conv1(x)))
        x = self.sk(functional.relu(self.bn2(self.conv2(x))))
        return functional.relu(self.bn3(self.conv3(x)) + shortcut)


def averaging_shortcut(inputs, outputs, stride):
    """ResNet-D's shortcut with TensorFlow's padding: zeros count if the stride is 2, and not if it is 1."""
    pad = nn.ReplicationPad2d((0, 1, 0, 1)) if stride == 1 else nn.ZeroPad2d((0, 1, 0, 1))
    return nn.Sequential(nn.Sequential(pad, nn.AvgPool2d(2, stride)),
                         nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs))


class HeadLayer(nn.Module):
    def __init__(self, inputs, outputs, last):
        super().__init__()
        self.linear = nn.Linear(inputs, outputs, bias=False)
        nn.init.normal_(self.linear.weight, std=0.01)
        self.bn = nn.BatchNorm1d(outputs)
        self.last = last
        if last:  # the last batch normalization has a scale and no shift
            self.bn.bias.requires_grad_(False)

    def forward(self, x):
        x = self.bn(self.linear(x))
        return x if self.last else functional.relu(x)


class SimClr(nn.Module):
    """views (V, 3, S, S) -> h (V, C), z (V, D)."""

    def __init__(self, encoder="resnet50", width=1.0, cifar_stem=False, head_layers=2, embedding=128,
                 pool_padding="torchvision", sk_ratio=0.0):
        super().__init__()
        block, counts = BLOCKS[encoder]
        self.sk_ratio = sk_ratio
        channels = [max(1, math.floor(base * width + 0.5)) for base in (64, 128, 256, 512)]
        kernel, stride = (3, 1) if cifar_stem else (7, 2)
        if sk_ratio > 0 and not cifar_stem:
            half = channels[0] // 2
            self.conv1 = nn.Sequential(
                nn.Conv2d(3, half, 3, 2, 1, bias=False), nn.BatchNorm2d(half), nn.ReLU(),
                nn.Conv2d(half, half, 3, 1, 1, bias=False), nn.BatchNorm2d(half), nn.ReLU(),
                nn.Conv2d(half, channels[0], 3, 1, 1, bias=False))
        else:
            self.conv1 = nn.Conv2d(3, channels[0], kernel, stride, kernel // 2, bias=False)
        self.bn1 = nn.BatchNorm2d(channels[0])
        if cifar_stem:
            self.maxpool = nn.Identity()
        elif pool_padding == "torchvision":
            self.maxpool = nn.MaxPool2d(3, 2, 1)
        else:  # TensorFlow's "same" of an even number of pixels
            self.maxpool = nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.MaxPool2d(3, 2))
        inputs = channels[0]
        for group, (outputs, count) in enumerate(zip(channels, counts), start=1):
            layer, inputs = self._group(block, inputs, outputs, count, 1 if group == 1 else 2)
            setattr(self, f"layer{group}", layer)
        sizes = [inputs] * head_layers + [embedding]
        self.projection_head = nn.ModuleList(
            HeadLayer(sizes[i], sizes[i + 1], i + 1 == head_layers) for i in range(head_layers))
        self._initialize()

    def _group(self, block, inputs, planes, count, stride):
        outputs = planes * block.expansion
        if self.sk_ratio > 0:
            shortcut = averaging_shortcut(inputs, outputs, stride)
            blocks = [SelectiveBottleneck(inputs, planes, stride, shortcut, self.sk_ratio)]
            blocks += [SelectiveBottleneck(outputs, planes, 1, None, self.sk_ratio) for _ in range(count - 1)]
            return nn.Sequential(*blocks), outputs
        shortcut = None
        if stride != 1 or inputs != outputs:
            shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False),
                                     nn.BatchNorm2d(outputs))
        # torchvision's Bottleneck computes its inner width from base_width; the default of 64 gives `planes`.
        blocks = [block(inputs, planes, stride, shortcut)]
        blocks += [block(outputs, planes) for _ in range(count - 1)]
        return nn.Sequential(*blocks), outputs

    def _initialize(self):
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                fan_in = module.weight[0].numel()
                deviation = math.sqrt(1.0 / fan_in) / 0.87962566103423978
                nn.init.trunc_normal_(module.weight, std=deviation, a=-2 * deviation, b=2 * deviation)
            if isinstance(module, BasicBlock):
                nn.init.zeros_(module.bn2.weight)
            if isinstance(module, (Bottleneck, SelectiveBottleneck)):
                nn.init.zeros_(module.bn3.weight)

    def features(self, x):
        x = self.maxpool(functional.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return x.mean(dim=(2, 3))

    def forward(self, x):
        h = self.features(x)
        z = h
        for layer in self.projection_head:
            z = layer(z)
        return h, z


def nt_xent(z, temperature):
    """Mean over all 2N views of -log softmax of the partner's similarity; row v*N + i is view v of sample i."""
    u = functional.normalize(z, dim=1)
    logits = u @ u.t() / temperature
    logits = logits.masked_fill(torch.eye(len(z), dtype=torch.bool, device=z.device), -math.inf)
    partner = torch.arange(len(z), device=z.device).roll(len(z) // 2)
    return functional.cross_entropy(logits, partner)


def contrastive_loss(z, loss="nt-xent", temperature=0.1, negatives="both", margin=0.0, normalize="on", semi_hard="off",
                     labels=None):
    """A loss of the family for both views' z (2N,D), by the whole matrix of similarities. labels (N,): for supcon."""
    u = functional.normalize(z, dim=1) if normalize == "on" else z
    s, views = u @ u.t(), len(u)
    view = torch.arange(views)
    partner = (view + views // 2) % views
    is_other = view[None] != view[:, None]
    if loss == "supcon":
        both = labels.repeat(2)
        is_positive = is_other & (both[None] == both[:, None])
        attraction = (s * is_positive).sum(1) / is_positive.sum(1) / temperature
        return (torch.logsumexp((s / temperature).masked_fill(~is_other, -math.inf), 1) - attraction).mean()
    is_negative = is_other & (view[None] != partner[:, None])
    if negatives == "one":
        first = view < views // 2
        is_negative &= first[None] != first[:, None]
    positive = s[view, partner]
    if semi_hard == "on":
        is_negative &= s < positive[:, None]
        if loss == "margin":
            is_negative &= s > positive[:, None] - margin
        nearest = s.masked_fill(~is_negative, -math.inf).argmax(1)
        is_negative &= view[None] == nearest[:, None]
    weights = is_negative.to(s.dtype) / is_negative.sum(1, keepdim=True).clamp(min=1)
    if loss == "nt-logistic":
        return (functional.softplus(-positive / temperature) + (functional.softplus(s / temperature) * weights).sum(1)).mean()
    if loss == "margin":
        return ((s - positive[:, None] + margin).clamp(min=0) * weights).sum(1).mean()
    counts = is_negative.clone()
    if loss == "nt-xent":
        counts[view, partner] = True
    return (torch.logsumexp((s / temperature).masked_fill(~counts, -math.inf), 1) - positive / temperature).mean()


def learning_rate(step, peak, warmup_steps, total_steps):
    """Rises linearly from 0 during the warm-up, then falls to 0 along half a cosine; step counts from 0."""
    if step < warmup_steps:
        return peak * step / warmup_steps
    return 0.5 * peak * (1 + math.cos(math.pi * (step - warmup_steps) / (total_steps - warmup_steps)))


class Lars:
    """g = grad + wd w; v = m v + lr trust g; w -= v; trust = eta |w| / |g|, or 1 if a norm is 0.

    Vectors (batch-norm parameters, biases) have neither weight decay nor a trust ratio.
    """

    def __init__(self, parameters, momentum=0.9, weight_decay=1e-6, eta=0.001):
        self.parameters = [p for p in parameters if p.requires_grad]
        self.velocity = [torch.zeros_like(p) for p in self.parameters]
        self.momentum, self.weight_decay, self.eta = momentum, weight_decay, eta

    @torch.no_grad()
    def step(self, rate):
        """Updates all parameters with PyTorch's multi-tensor operations, which need few kernel launches."""
        matrices = [p for p in self.parameters if p.dim() > 1]
        decayed = torch._foreach_add([p.grad for p in matrices], matrices, alpha=self.weight_decay)
        trusted = iter(torch._foreach_mul(decayed, self._trust_ratios(matrices, decayed)))
        gradients = [next(trusted) if p.dim() > 1 else p.grad for p in self.parameters]
        torch._foreach_mul_(self.velocity, self.momentum)
        torch._foreach_add_(self.velocity, gradients, alpha=rate)
        torch._foreach_sub_(self.parameters, self.velocity)

    def _trust_ratios(self, weights, gradients):
        of_weights = torch.stack(torch._foreach_norm(weights))
        of_gradients = torch.stack(torch._foreach_norm(gradients))
        trust = torch.where((of_weights > 0) & (of_gradients > 0), self.eta * of_weights / of_gradients,
                            torch.ones_like(of_weights))
        return list(trust.unbind())

    def zero_grad(self):
        for parameter in self.parameters:
            parameter.grad = None


def read_safetensors(path):
    """Returns {name: numpy array} and the file's metadata."""
    with open(path, "rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(size))
        data = file.read()
    metadata = header.pop("__metadata__", {})
    tensors = {}
    for name, entry in header.items():
        assert entry["dtype"] == "F32", f"{name} is {entry['dtype']}"
        begin, end = entry["data_offsets"]
        tensors[name] = np.frombuffer(data[begin:end], dtype="<f4").reshape(entry["shape"])
    return tensors, metadata


def load_exported(model, tensors):
    """Loads the output of `simclr export`; only the shift of the last head layer, which is 0, may be missing."""
    state = {name: torch.tensor(np.array(value)) for name, value in tensors.items()}
    missing, unexpected = model.load_state_dict(state, strict=False)
    last_shift = f"projection_head.{len(model.projection_head) - 1}.bn.bias"
    missing = [name for name in missing
               if not name.endswith("num_batches_tracked") and name != last_shift]
    if missing or unexpected:
        raise ValueError(f"export and model differ: missing {missing}, unexpected {unexpected}")
