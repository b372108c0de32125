"""scripts/check_includes.py finds each kind of wrong include, and none in a clean tree."""

import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

CHECKER = Path(__file__).resolve().parents[2] / "scripts" / "check_includes.py"

CLEAN = {
    "include/simclr/core/log.hpp": "#pragma once\n",
    "include/simclr/io/shards.hpp": '#include "simclr/core/log.hpp"\n',
    "src/io/shards.cpp": '#include "simclr/io/shards.hpp"\n#include <mpi.h>\n#include "hdf5_handles.hpp"\n',
    "src/io/hdf5_handles.hpp": "#include <hdf5.h>\n",
    "src/data/store.cpp": '#include "simclr/io/shards.hpp"\n#include <vector>\n',
}


def violations(extra):
    with tempfile.TemporaryDirectory() as folder:
        for name, text in {**CLEAN, **extra}.items():
            path = Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        done = subprocess.run([sys.executable, CHECKER, folder], capture_output=True, text=True, check=False)
        lines = done.stdout.splitlines()[:-1]
        assert done.returncode == (1 if lines else 0), done
        return lines


class CheckIncludes(unittest.TestCase):
    def expect(self, extra, text):
        lines = violations(extra)
        self.assertEqual(len(lines), 1, lines)
        self.assertIn(text, lines[0])

    def test_clean_tree(self):
        self.assertEqual(violations({}), [])

    def test_upward_dependency(self):
        self.expect({"src/core/log.cpp": '#include "simclr/io/shards.hpp"\n'}, "core may not depend on io")

    def test_library_outside_its_folder(self):
        self.expect({"src/data/x.cpp": "#include <hdf5.h>\n"}, "src/data/x.cpp:1: only src/io may use HDF5")
        self.expect({"src/nn/x.cpp": "\n#include <mpi.h>\n"}, "src/nn/x.cpp:2: only src/comm and src/io may use MPI")
        self.expect({"src/backend/x.cpp": "#include <oneapi/dnnl/dnnl.hpp>\n"}, "may use oneDNN")
        self.expect({"src/backend/cpu/x.cpp": "#include <cuda_runtime.h>\n"}, "may use CUDA")

    def test_private_header_of_another_folder(self):
        self.expect({"src/data/x.cpp": '#include "../io/hdf5_handles.hpp"\n'}, "private to another folder")

    def test_missing_headers(self):
        self.expect({"src/data/x.cpp": '#include "simclr/io/gone.hpp"\n'}, "does not exist")
        self.expect({"src/data/x.cpp": '#include "gone.hpp"\n'}, "neither a public header")

    def test_public_header_without_a_user(self):
        self.expect({"include/simclr/io/lonely.hpp": "#pragma once\n"}, "move it to its source's folder")


if __name__ == "__main__":
    unittest.main()
