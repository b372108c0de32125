"""scripts/tidy_commands.py keeps one command a file and instruction set."""

import json
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "tidy_commands.py"


def kept(*commands):
    with tempfile.TemporaryDirectory() as build:
        entries = [{"directory": "/", "file": file, "command": command} for file, command in commands]
        Path(build, "compile_commands.json").write_text(json.dumps(entries))
        subprocess.run([sys.executable, SCRIPT, build, f"{build}/tidy"], check=True)
        return [e["command"] for e in json.loads(Path(build, "tidy", "compile_commands.json").read_text())]


class TidyCommandsTest(unittest.TestCase):
    def test_a_file_of_several_targets_is_checked_once(self):
        self.assertEqual(kept(("a.cpp", "c++ -o x/a.o"), ("b.cpp", "c++ -o x/b.o"), ("a.cpp", "c++ -o y/a.o")),
                         ["c++ -o x/a.o", "c++ -o x/b.o"])

    def test_instruction_sets_stay(self):
        commands = [("k.cpp", f"c++ {flags} -o k.o")
                    for flags in ("", "-march=x86-64-v3", "-march=x86-64-v4", "-march=x86-64-v4 -mavx512bf16")]
        self.assertEqual(kept(*commands), [command for _, command in commands])

    def test_the_emulated_backend_stands_for_the_device(self):
        self.assertEqual(kept(("d.cpp", "c++ -I/cuda"), ("d.cpp", "c++ -Itests/cuda_emulation/include")),
                         ["c++ -Itests/cuda_emulation/include"])


if __name__ == "__main__":
    unittest.main()
