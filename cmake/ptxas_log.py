#!/usr/bin/env python3
"""Compiler launcher: runs the command and writes ptxas's reports on kernels to <object>.ptxas, not to the terminal."""

import subprocess
import sys


def main():
    command = sys.argv[1:]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
    from_ptxas, others, in_report = [], [], False
    for line in done.stderr.splitlines(keepends=True):
        in_report = line.startswith("ptxas info") or (in_report and line.startswith("    "))
        (from_ptxas if in_report else others).append(line)
    sys.stderr.write("".join(others))
    if from_ptxas and "-o" in command and done.returncode == 0:
        with open(command[command.index("-o") + 1] + ".ptxas", "w", encoding="utf-8") as log:
            log.writelines(from_ptxas)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
