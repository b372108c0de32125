#!/usr/bin/env python3
"""Compiles the basic folders and all vector code for 64-bit ARM: check_aarch64.py BUILD_DIRECTORY

Takes the commands from the compile_commands.json of a build, for another compiler. Nothing is linked, and nothing
runs: NEON code is only known to compile. Exits with 77 (skipped) where the compiler is missing.
"""

import json
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

COMPILER = "aarch64-linux-gnu-g++"
OBJECT = re.compile(r"^src/(core|tensor|augment|backend/cpu/kernels)/.*\.o$")


def commands(build, objects):
    """The command of each object of those folders, without what is compiled for a set of x86-64."""
    for entry in json.loads((build / "compile_commands.json").read_text(encoding="utf-8")):
        words = shlex.split(entry["command"])
        output = words.index("-o") + 1
        if not OBJECT.match(words[output]) or any(word.startswith("-march=") for word in words):
            continue
        words[output] = str(Path(objects) / words[output].replace("/", "_"))
        compiler = next(i for i, word in enumerate(words) if re.search(r"(c|g|clang)\+\+[-\d.]*$", word))
        launcher = ["ccache"] if shutil.which("ccache") else []
        yield [*launcher, COMPILER, *words[compiler + 1:]]


def main():
    build = Path(sys.argv[1])
    if shutil.which(COMPILER) is None:
        print(f"check_aarch64: skipped: there is no {COMPILER} (scripts/install_deps.sh --with-tests)")
        return 77
    compiled = failed = 0
    with tempfile.TemporaryDirectory() as objects:
        for words in commands(build, objects):
            done = subprocess.run(words, cwd=build, capture_output=True, text=True, check=False)
            compiled += done.returncode == 0
            failed += done.returncode != 0
            print(done.stderr, end="")
    print(f"check_aarch64: {compiled} objects compiled, {failed} failed")
    return 0 if compiled > 0 and failed == 0 else 1


if __name__ == "__main__":
    if {"-h", "--help"} & set(sys.argv[1:]):
        sys.exit(print(__doc__))
    sys.exit(main())
