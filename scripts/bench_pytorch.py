#!/usr/bin/env python3
"""Times one SimCLR training step in PyTorch: forward, NT-Xent, backward and LARS on prepared views.

Uses channels_last and automatic mixed precision; eager, compiled, or captured in a CUDA graph. The counterpart of
`simclr bench step`; scripts/bench_step.py compares both. On Debian use /usr/bin/python3, for which python3-torch is
installed.
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
    parser.add_argument("--precision", default="bf16", choices=["fp32", "bf16", "fp16"])
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--mode", default="eager", choices=["eager", "compile", "compile-graph", "graph"],
                        help="compile: torch.compile (PyTorch 2), -graph: its mode reduce-overhead; "
                             "graph: the step as one CUDA graph")
    parser.add_argument("--threads", type=int, default=0, help="0: PyTorch's default")
    parser.add_argument("--warmup", type=int, default=2, help="steps before timing starts")
    parser.add_argument("--repeats", type=int, default=5, help="timed steps; the median is reported")
    parser.add_argument("--json", action="store_true", help="print one JSON line instead of text")
    return parser.parse_args()


def compiled(function, mode):
    how = {"compile": "default", "compile-graph": "reduce-overhead"}
    return torch.compile(function, mode=how[mode]) if mode in how else function


def make_views(options, device):
    size = options.image_size
    views = torch.rand(2 * options.batch_size, 3, size, size, device=device)
    return views.contiguous(memory_format=torch.channels_last)


def make_step(options):
    device = torch.device(options.device)
    model = SimClr(options.encoder, options.width, options.stem == "cifar", options.head_layers)
    model = model.to(device).to(memory_format=torch.channels_last).train()
    optimizer = Lars(model.parameters())
    forward = compiled(model, options.mode)
    views = make_views(options, device)
    kind = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(options.precision)
    # fp16 training would also need a gradient scaler; leaving it out makes PyTorch faster.
    precision = contextlib.nullcontext if kind is None else lambda: torch.autocast(options.device, kind)

    def step():
        optimizer.zero_grad()
        with precision():
            _, z = forward(views)
        loss = nt_xent(z.float(), options.temperature)
        loss.backward()
        optimizer.step(0.1)
        return loss

    return capture(step, options.warmup) if options.mode == "graph" else step


def capture(step, warmup):
    """Captures the step as one CUDA graph after some ordinary steps on a side stream."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(max(warmup, 3)):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        loss = step()

    def replay():
        graph.replay()
        return loss

    return replay


def wait(options):
    if options.device == "cuda":
        torch.cuda.synchronize()


def main():
    options = parse_arguments()
    if options.mode.endswith("graph") and options.device != "cuda":
        sys.exit(f"bench_pytorch: --mode {options.mode} needs --device cuda")
    torch.manual_seed(0)
    if options.threads:
        torch.set_num_threads(options.threads)
    if options.device == "cuda":
        torch.backends.cudnn.benchmark = True
        torch.backends.cudnn.allow_tf32 = False  # as for matrix products, and as simclr's default
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
        "mode": options.mode, "threads": torch.get_num_threads(),
        "seconds_per_step": median, "seconds_fastest": min(seconds),
        "views_per_second": 2 * options.batch_size / median,
    }
    if options.json:
        print(json.dumps(result))
    else:
        print(f"PyTorch {torch.__version__}, {options.encoder} width {options.width:g}, "
              f"{2 * options.batch_size} views of {options.image_size} px, {options.precision}, {options.mode}: "
              f"{median:.4f} s per step, {result['views_per_second']:.1f} views/s")


if __name__ == "__main__":
    main()
