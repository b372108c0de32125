#!/usr/bin/env python3
"""Lists the registers, shared memory, stack and spills of a build's CUDA kernels.

usage: scripts/check_kernels.py BUILD_DIR [src/backend/cuda]

Reads the reports of ptxas (<object>.ptxas, written by cmake/ptxas_log.py) and prints a table. Exits 1 if a kernel
spills registers, uses more than its launch bounds allow, has no launch bounds, or was not compiled.
"""

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

REGISTERS_PER_MULTIPROCESSOR = 65536
REGISTER_GRANULARITY = 8  # registers of a thread are allocated in multiples of 8

ENTRY = re.compile(r"Compiling entry function '(\w+)' for '(\w+)'")
FRAME = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
USED = re.compile(r"Used (\d+) registers(?:.*?(\d+) bytes smem)?")

KERNEL = re.compile(
    r"__global__\s+[^;{(]*?(?:__launch_bounds__\((?P<bounds>[^()]*)\)\s*)?(?P<name>\w+)\s*\(")
CONSTANT = re.compile(r"constexpr\s+(?:int|unsigned|std::\w+)\s+(\w+)\s*=\s*([^;{]+);")
COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)


@dataclass
class Usage:
    kernel: str
    arch: str
    registers: int = 0
    shared: int = 0
    stack: int = 0
    spill: int = 0


def read_log(text):
    """Returns a Usage for every kernel and architecture; called functions count for their kernel."""
    usages = []
    for line in text.splitlines():
        if entry := ENTRY.search(line):
            usages.append(Usage(*entry.groups()))
        elif frame := FRAME.search(line):
            if usages:
                stack, stores, loads = map(int, frame.groups())
                usages[-1].stack = max(usages[-1].stack, stack)
                usages[-1].spill += stores + loads
        elif used := USED.search(line):
            if usages:
                usages[-1].registers = int(used.group(1))
                usages[-1].shared = int(used.group(2) or 0)
    return usages


def demangle(names):
    """Returns sum_kernel for the mangled simclr::cuda::(anonymous)::sum_kernel(float*)."""
    done = subprocess.run(["c++filt", "-p"], input="\n".join(names), capture_output=True, text=True, check=True)
    enclosing = re.compile(r"simclr::cuda::|_GLOBAL__N__\w+::|\(anonymous namespace\)::")
    return [enclosing.sub("", name) for name in done.stdout.split("\n")]


def evaluate(expression, constants):
    """Evaluates an integer expression of literals and named constants; None for others (template parameters)."""
    while re.search(r"[A-Za-z_]", expression):
        before = expression
        for name in re.findall(r"[A-Za-z_]\w*", before):
            expression = re.sub(rf"\b{name}\b", f"({constants.get(name, name)})", expression)
        if len(expression) > 1000 or any(name not in constants for name in re.findall(r"[A-Za-z_]\w*", expression)):
            return None
    if not re.fullmatch(r"[\d\s()*+/-]+", expression):
        return None
    return int(eval(expression.replace("/", "//")))  # digits and operators only


def kernels_in(path):
    """Yields (kernel, threads x blocks of its launch bounds): 0 without bounds, None if they are not constants."""
    text = COMMENT.sub("", path.read_text(encoding="utf-8"))
    constants = {}
    for near in sorted(path.parent.glob("*.cuh")) + [path]:
        constants.update(CONSTANT.findall(COMMENT.sub("", near.read_text(encoding="utf-8"))))
    for kernel in KERNEL.finditer(text):
        bounds = kernel["bounds"]
        if bounds is None:
            yield kernel["name"], 0
            continue
        factors = [evaluate(part, constants) for part in bounds.split(",")[:2]]
        yield kernel["name"], None if None in factors else factors[0] * (factors[1] if len(factors) > 1 else 1)


def compiled_sources(folder):
    """Returns the .cu files that sources.cmake lists."""
    text = (folder / "sources.cmake").read_text(encoding="utf-8")
    return [folder / "kernels" / name for name in re.findall(r"\$\{kernels_dir\}/(\S+\.cu)\b", text)]


def check(build, folder):
    """Returns (rows of the table, violations)."""
    usages, violations, promised = [], [], {}
    for source in compiled_sources(folder):
        logs = sorted(build.rglob(source.name + ".o.ptxas"))
        if not logs:
            violations.append(f"{source.name}: {build} has no ptxas report of it")
        for log in logs:
            found = read_log(log.read_text(encoding="utf-8"))
            if not found:
                violations.append(f"{source.name}: its ptxas report names no kernel")
            usages += found
    for source in sorted((folder / "kernels").glob("*.cu*")):
        for kernel, threads in kernels_in(source):
            if threads == 0:
                violations.append(f"{source.name}: {kernel} has no __launch_bounds__")
            promised[kernel] = threads if promised.get(kernel, threads) == threads else None

    rows = [("kernel", "arch", "registers", "shared", "stack", "spill")]
    names = demangle([usage.kernel for usage in usages]) if usages else []
    for name, usage in sorted(zip(names, usages), key=lambda pair: (pair[0], pair[1].arch)):
        rows.append((name, usage.arch, usage.registers, usage.shared, usage.stack, usage.spill))
        if usage.spill:
            violations.append(f"{name} ({usage.arch}) spills {usage.spill} bytes")
        threads = promised.get(re.sub(r"<.*", "", name).split()[-1])
        allocated = -(-usage.registers // REGISTER_GRANULARITY) * REGISTER_GRANULARITY
        if threads and allocated * threads > REGISTERS_PER_MULTIPROCESSOR:
            violations.append(f"{name} ({usage.arch}) uses {usage.registers} registers: too many for {threads} threads")
    return rows, violations


def print_table(rows):
    widths = [max(len(str(row[i])) for row in rows) for i in range(len(rows[0]))]
    for kernel, *cells in rows:
        print("  ".join([kernel.ljust(widths[0])] + [str(cell).rjust(width) for cell, width in zip(cells, widths[1:])]))


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    folder = Path(sys.argv[2]) if len(sys.argv) == 3 else Path(__file__).parent.parent / "src" / "backend" / "cuda"
    rows, violations = check(Path(sys.argv[1]), folder)
    print_table(rows)
    for violation in violations:
        print(violation)
    print(f"check_kernels: {len(rows) - 1} kernels, {len(violations)} violations")
    return 1 if violations else 0


if __name__ == "__main__":
    if {"-h", "--help"} & set(sys.argv[1:]):
        sys.exit(print(__doc__))
    sys.exit(main())
