"""scripts/check_kernels.py finds each kind of bad kernel, and none in a clean build."""

import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

CHECKER = Path(__file__).resolve().parents[2] / "scripts" / "check_kernels.py"

SOURCES = "set(SIMCLR_CUDA_KERNELS\n  ${kernels_dir}/sum.cu\n  ${kernels_dir}/scale.cu)\n"
SUM = """
constexpr int kWarp = 32;
constexpr int kThreads = kWarp * 16;
/// A __global__ void comment(int) is not a kernel.
template <class T>
__global__ void __launch_bounds__(kThreads)
    sum_kernel(const T* from, T* to);
"""
SCALE = "__global__ void __launch_bounds__(256, 2) scale_kernel(float* values);\n"
NAMES = {
    "sum_kernel": "_ZN6simclr4cuda38_GLOBAL__N__030b6491_7_sum_cu_c516e4e510sum_kernelEPKfPf",
    "scale_kernel": "_ZN6simclr4cuda12scale_kernelEPf",
}


def ptxas_report(kernel, arch="sm_90", registers=32, stores=0, loads=0):
    """Returns ptxas's report of a kernel."""
    name = NAMES[kernel]
    return (f"ptxas info    : 0 bytes gmem\n"
            f"ptxas info    : Compiling entry function '{name}' for '{arch}'\n"
            f"ptxas info    : Function properties for {name}\n"
            f"    {stores + loads} bytes stack frame, {stores} bytes spill stores, {loads} bytes spill loads\n"
            f"ptxas info    : Used {registers} registers, used 1 barriers, 4096 bytes smem, 392 bytes cmem[0]\n")


CLEAN = {
    "source/sources.cmake": SOURCES,
    "source/kernels/sum.cu": SUM,
    "source/kernels/scale.cu": SCALE,
    "build/kernels/sum.cu.o.ptxas": ptxas_report("sum_kernel", "sm_80") + ptxas_report("sum_kernel", registers=128),
    "build/kernels/scale.cu.o.ptxas": ptxas_report("scale_kernel"),
}


def run(changes):
    """Returns the output lines; leaves out files that `changes` maps to None."""
    with tempfile.TemporaryDirectory() as folder:
        for name, text in {**CLEAN, **changes}.items():
            if text is None:
                continue
            path = Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        done = subprocess.run([sys.executable, CHECKER, f"{folder}/build", f"{folder}/source"],
                              capture_output=True, text=True, check=False)
        lines = done.stdout.splitlines()
        assert done.returncode == (0 if lines[-1].endswith(" 0 violations") else 1), done
        return lines


class CheckKernels(unittest.TestCase):
    def expect(self, changes, text):
        lines = run(changes)
        self.assertIn(" 1 violations", lines[-1], lines)
        self.assertIn(text, lines[-2])

    def test_clean_build(self):
        lines = run({})
        self.assertEqual(lines[-1], "check_kernels: 3 kernels, 0 violations")
        self.assertEqual([line.split() for line in lines[1:-1]], [
            ["scale_kernel", "sm_90", "32", "4096", "0", "0"],
            ["sum_kernel", "sm_80", "32", "4096", "0", "0"],
            ["sum_kernel", "sm_90", "128", "4096", "0", "0"]])

    def test_spills(self):
        log = "build/kernels/scale.cu.o.ptxas"
        self.expect({log: ptxas_report("scale_kernel", stores=8)}, "scale_kernel (sm_90) spills 8 bytes")
        self.expect({log: ptxas_report("scale_kernel", loads=4)}, "scale_kernel (sm_90) spills 4 bytes")

    def test_spills_in_a_function_that_a_kernel_calls(self):
        called = ("ptxas info    : Function properties for helper\n"
                  "    16 bytes stack frame, 12 bytes spill stores, 12 bytes spill loads\n")
        self.expect({"build/kernels/scale.cu.o.ptxas": ptxas_report("scale_kernel") + called}, "spills 24 bytes")

    def test_more_registers_than_the_bounds_allow(self):
        # 512 threads, or two blocks of 256, have 128 registers each; 121 are allocated as 128.
        self.expect({"build/kernels/sum.cu.o.ptxas": ptxas_report("sum_kernel", registers=129)}, "too many for 512 threads")
        self.expect({"build/kernels/scale.cu.o.ptxas": ptxas_report("scale_kernel", registers=130)}, "too many for 512")
        fits = run({"build/kernels/scale.cu.o.ptxas": ptxas_report("scale_kernel", registers=121)})
        self.assertIn(" 0 violations", fits[-1])

    def test_no_launch_bounds(self):
        self.expect({"source/kernels/scale.cu": "__global__ void scale_kernel(float* values);\n"},
                    "scale.cu: scale_kernel has no __launch_bounds__")

    def test_bounds_that_only_the_compiler_knows(self):
        self.assertIn(" 0 violations", run({
            "source/kernels/sum.cu": "template <int kN> __global__ void __launch_bounds__(kN) sum_kernel(float*);\n",
            "build/kernels/sum.cu.o.ptxas": ptxas_report("sum_kernel", registers=255)})[-1])

    def test_missing_and_empty_logs(self):
        self.expect({"build/kernels/sum.cu.o.ptxas": None}, "has no ptxas report of it")
        self.expect({"build/kernels/sum.cu.o.ptxas": "ptxas info    : 0 bytes gmem\n"},
                    "sum.cu: its ptxas report names no kernel")


if __name__ == "__main__":
    unittest.main()
