"""scripts/test_ports.sh without the programs that it needs, and with wrong arguments. usage: test_ports_test.py"""

import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "test_ports.sh"
TOOLS = ("bash", "cat", "dirname", "mktemp", "nproc", "rm", "tee", "touch")


class TestPortsTest(unittest.TestCase):
    def run_script(self, *arguments):
        """Runs it where there is neither a compiler nor an MPI."""
        with tempfile.TemporaryDirectory() as tools:
            for name in TOOLS:
                (Path(tools) / name).symlink_to(shutil.which(name))
            return subprocess.run([SCRIPT, *arguments], capture_output=True, text=True, check=False, timeout=60,
                                  env={"PATH": tools})

    def test_what_is_missing_is_named_and_skipped(self):
        for port, program in (("clang", "clang++-16"), ("mpich", "mpicc.mpich"), ("aarch64", "aarch64-linux-gnu-g++")):
            done = self.run_script(port, "--no-install")
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn(f"skipped: {port}: there is no {program} (scripts/install_deps.sh --all)", done.stdout)
            self.assertEqual(done.stdout.splitlines()[-1], "0 passed, 0 failed, 1 skipped")

    def test_wrong_arguments_are_refused(self):
        for arguments in ((), ("riscv",), ("clang", "mpich"), ("clang", "--no-install", "mpich")):
            done = self.run_script(*arguments)
            self.assertEqual(done.returncode, 2, arguments)
            self.assertIn("usage: scripts/test_ports.sh clang|mpich|aarch64", done.stderr)


if __name__ == "__main__":
    unittest.main()
