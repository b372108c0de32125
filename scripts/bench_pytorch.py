#!/usr/bin/env python3
"""Times one SimCLR training step in PyTorch: forward, NT-Xent, backward, LARS, on views that are ready.

The counterpart of `simclr bench step`; scripts/bench_step.py runs the two side by side.
On Debian use /usr/bin/python3, the interpreter that python3-torch belongs to.
"""

import argparse
import contextlib
import json
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "pytorch"))

import torch  # noqa: E402
from simclr_torch import BLOCKS, Lars, SimClr, nt_xent  # noqa: E402


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--encoder", default="resnet50", choices=sorted(BLOCKS))
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--stem", default="imagenet", choices=["imagenet", "cifar"])
    parser.add_argument("--head-layers", type=int, default=2)
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--batch-size", type=int, default=8, help="images; a step sees twice as many views")
    parser.add_argument("--temperature", type=float, default=0.1)
    parser.add_argument("--precision", default="bf16", choices=["fp32", "bf16"])
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--compile", action="store_true", help="torch.compile (PyTorch 2 or newer)")
    parser.add_argument("--threads", type=int, default=0, help="0: PyTorch's own choice")
    parser.add_argument("--warmup", type=int, default=2, help="steps before timing starts")
    parser.add_argument("--repeats", type=int, default=5, help="timed steps; the median is reported")
    parser.add_argument("--json", action="store_true", help="one JSON line instead of text")
    return parser.parse_args()


def make_step(options):
    device = torch.device(options.device)
    model = SimClr(options.encoder, options.width, options.stem == "cifar", options.head_layers)
    model = model.to(device).to(memory_format=torch.channels_last).train()
    optimizer = Lars(model.parameters())
    forward = torch.compile(model) if options.compile else model
    size = options.image_size
    views = torch.rand(2 * options.batch_size, 3, size, size, device=device)
    views = views.contiguous(memory_format=torch.channels_last)
    precision = contextlib.nullcontext
    if options.precision == "bf16":
        precision = lambda: torch.autocast(options.device, torch.bfloat16)  # noqa: E731

    def step():
        optimizer.zero_grad()
        with precision():
            _, z = forward(views)
        loss = nt_xent(z.float(), options.temperature)
        loss.backward()
        optimizer.step(0.1)
        return loss

    return step


def wait(options):
    if options.device == "cuda":
        torch.cuda.synchronize()


def main():
    options = parse_arguments()
    torch.manual_seed(0)
    if options.threads:
        torch.set_num_threads(options.threads)
    if options.device == "cuda":
        torch.backends.cudnn.benchmark = True
    step = make_step(options)
    for _ in range(options.warmup):
        step()
    seconds = []
    for _ in range(options.repeats):
        wait(options)
        start = time.perf_counter()
        loss = step()
        wait(options)
        seconds.append(time.perf_counter() - start)
    if not torch.isfinite(loss):
        sys.exit("bench_pytorch: the loss is not finite")
    median = statistics.median(seconds)
    result = {
        "framework": "pytorch", "version": torch.__version__, "encoder": options.encoder,
        "width": options.width, "stem": options.stem, "image_size": options.image_size,
        "batch_size": options.batch_size, "precision": options.precision, "device": options.device,
        "compiled": options.compile, "threads": torch.get_num_threads(),
        "seconds_per_step": median, "seconds_fastest": min(seconds),
        "views_per_second": 2 * options.batch_size / median,
    }
    if options.json:
        print(json.dumps(result))
    else:
        print(f"PyTorch {torch.__version__}, {options.encoder} width {options.width:g}, "
              f"{2 * options.batch_size} views of {options.image_size} px, {options.precision}: "
              f"{median:.4f} s a step, {result['views_per_second']:.1f} views/s")


if __name__ == "__main__":
    main()
