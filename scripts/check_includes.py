#!/usr/bin/env python3
"""Checks #include lines: folders may depend only on lower ones, and only some folders may use a library.

usage: check_includes.py [DIRECTORY]

Prints one line per violation and exits 1 if there is any.
"""

import re
import sys
from pathlib import Path

# Folder -> the folders whose public headers (include/simclr/<folder>/) it may include.
FOLDERS = {
    "core": set(),
    "tensor": {"core"},
    "augment": {"core", "tensor"},
    "comm": {"core", "tensor"},
    "program": {"core", "tensor", "comm"},
    "backend": {"core", "tensor", "comm", "program"},
    "optim": {"core", "tensor", "program"},
    "nn": {"core", "tensor", "program", "optim"},
    "io": {"core", "tensor", "comm"},
    "data": {"core", "augment", "tensor", "comm", "io"},
}
FOLDERS["train"] = set(FOLDERS)
FOLDERS["plan"] = set(FOLDERS)
FOLDERS["eval"] = set(FOLDERS)
FOLDERS["report"] = set(FOLDERS)
FOLDERS["study"] = set(FOLDERS)
FOLDERS["bench"] = set(FOLDERS)
FOLDERS["app"] = set(FOLDERS)

# Library -> pattern of its headers, and the folders of src/ that may include them.
LIBRARIES = {
    "MPI": (re.compile(r"^mpi\.h$"), ("comm", "io")),
    "HDF5": (re.compile(r"^(hdf5|H5\w*|hdf5_hl)\.h$"), ("io",)),
    "oneDNN": (re.compile(r"^(oneapi/dnnl/|dnnl)"), ("backend/cpu",)),
    "CUDA": (re.compile(r"^(cuda\.|cuda_|cudnn|cublas|nccl|cub/|curand|nvtx)"), ("backend/cuda",)),
    "ProgramOptions": (re.compile(r"^boost/program_options"), ("core",)),
}

INCLUDE = re.compile(r'^\s*#\s*include\s+([<"])([^>"]+)[>"]', re.MULTILINE)
SOURCES = {".hpp", ".cpp", ".h", ".cu", ".cuh", ".inl"}


def place_of(path, root):
    """'backend/cpu' for src/backend/cpu/conv.cpp, 'core' for include/simclr/core/log.hpp."""
    parts = path.relative_to(root).parts
    start = 1 if parts[0] == "src" else 2
    return "/".join(parts[start:-1])


def check_file(path, root, used_by):
    place = place_of(path, root)
    folder = place.split("/")[0]
    text = path.read_text(encoding="utf-8")
    for match in INCLUDE.finditer(text):
        quote, header = match.groups()
        line = text.count("\n", 0, match.start(2)) + 1
        where = f"{path.relative_to(root)}:{line}"
        for library, (pattern, places) in LIBRARIES.items():
            if pattern.match(header) and not any((place + "/").startswith(p + "/") for p in places):
                yield f"{where}: only {' and '.join('src/' + p for p in places)} may use {library}"
        if header.startswith("simclr/"):
            target = header.split("/")[1]
            is_public = path.relative_to(root).parts[0] == "include"
            used_by.setdefault(header, set()).add("a public header" if is_public else folder)
            if not (root / "include" / header).exists():
                yield f"{where}: {header} does not exist"
            if target != folder and target not in FOLDERS.get(folder, set()):
                yield f"{where}: {folder} may not depend on {target}"
        elif quote == '"':
            near = [path.parent / header, root / "src" / folder / header]
            found = next((p.resolve() for p in near if p.exists()), None)
            if found is None:
                yield f"{where}: {header} is neither a public header nor one of src/{folder}"
            elif root / "src" / folder not in found.parents:
                yield f"{where}: {header} is private to another folder"
            elif path.relative_to(root).parts[0] == "include":
                yield f"{where}: a public header includes the private {header}"


def check(root):
    used_by = {}
    for top in ("src", "include/simclr"):
        for path in sorted((root / top).rglob("*")):
            if path.suffix in SOURCES:
                folder = place_of(path, root).split("/")[0]
                if folder not in FOLDERS:
                    yield f"{path.relative_to(root)}: unknown folder {folder!r}"
                yield from check_file(path, root, used_by)
    for path in (root / "tests").rglob("*.?pp"):
        for _, header in INCLUDE.findall(path.read_text(encoding="utf-8")):
            used_by.setdefault(header, set()).add("a test")
    for path in sorted((root / "include").rglob("*.hpp")):
        header = str(path.relative_to(root / "include"))
        if not used_by.get(header, set()) - {header.split("/")[1]}:
            yield f"include/{header}: no other folder and no test includes it; move it to its source's folder"


def main():
    root = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent.parent).resolve()
    violations = list(check(root))
    for violation in violations:
        print(violation)
    print(f"check_includes: {len(violations)} violations")
    return 1 if violations else 0


if __name__ == "__main__":
    if {"-h", "--help"} & set(sys.argv[1:]):
        sys.exit(print(__doc__))
    sys.exit(main())
