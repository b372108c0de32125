#!/usr/bin/env python3
"""Writes the compilation database that clang-tidy reads: one command for a file and architecture.

usage: tidy_commands.py BUILD_DIR OUTPUT_DIR

Sources that several targets compile alike (the CUDA backend for the device and for its emulation,
parts of tests) would be checked several times. Kernels compiled for several instruction sets stay:
each sees other lines of them.
"""
import json
import re
import sys
from pathlib import Path


def chosen(commands):
    """The emulated backend's command where there are several: it needs no CUDA headers."""
    best = {}
    for entry in commands:
        key = (entry["file"], tuple(re.findall(r"-m(?:arch=|avx)\S+", entry["command"])))
        if key not in best or "emulat" in entry["command"] and "emulat" not in best[key]["command"]:
            best[key] = entry
    return list(best.values())


def main():
    build, output = map(Path, sys.argv[1:])
    output.mkdir(exist_ok=True)
    commands = json.loads((build / "compile_commands.json").read_text())
    (output / "compile_commands.json").write_text(json.dumps(chosen(commands), indent=1))


if __name__ == "__main__":
    main()
