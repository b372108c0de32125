"""What CMake decides when a user configures the project: warnings, and which HDF5 belongs to which MPI.

usage: configure_test.py CMAKE
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

CMAKE = sys.argv[1]
SOURCE = Path(__file__).resolve().parents[2]
OPENMPI, MPICH = (shutil.which(f"mpicc.{name}") for name in ("openmpi", "mpich"))
HAS_MPICH_HDF5 = subprocess.run(["pkg-config", "--exists", "hdf5-mpich"], check=False).returncode == 0


class ConfigureTest(unittest.TestCase):
    def configure(self, *options, expect=0):
        """Configures a new folder; returns it and what CMake says."""
        build = Path(tempfile.mkdtemp(prefix="simclr-configure-"))
        self.addCleanup(shutil.rmtree, build)
        done = subprocess.run([CMAKE, "-S", SOURCE, "-B", build, "-DSIMCLR_TESTS=OFF", "-DSIMCLR_CUDA=OFF", *options],
                              capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C"})
        said = done.stdout + done.stderr
        self.assertEqual(done.returncode == 0, expect == 0, said)
        return build, " ".join(said.split())

    def test_warnings_are_errors_for_developers_only(self):
        build, _ = self.configure()
        commands = json.loads((build / "compile_commands.json").read_text())
        self.assertTrue(all("-Wall" in entry["command"] for entry in commands))
        self.assertFalse([entry for entry in commands if "-Werror" in entry["command"]])
        presets = json.loads((SOURCE / "CMakePresets.json").read_text())["configurePresets"]
        strict = {preset["name"]: preset["cacheVariables"].get("SIMCLR_WERROR") for preset in presets}
        self.assertEqual(strict, {"release": None, "debug": "ON", "asan": "ON", "lint": "ON"})
        self.assertIn("-DSIMCLR_WERROR=ON", (SOURCE / "scripts/test.sh").read_text())

    @unittest.skipUnless(OPENMPI and MPICH and HAS_MPICH_HDF5, "Open MPI and MPICH are not both installed with HDF5")
    def test_hdf5_of_another_mpi_is_refused(self):
        for wrapper, hdf5, own, other in ((MPICH, "hdf5-openmpi", "libmpich.so", "libmpi.so"),
                                          (OPENMPI, "hdf5-mpich", "libmpi.so", "libmpich.so")):
            with self.subTest(hdf5=hdf5):
                _, said = self.configure(f"-DMPI_C_COMPILER={wrapper}", f"-DSIMCLR_HDF5={hdf5}", expect=1)
                self.assertIn("HDF5 and MPI do not belong together", said)
                self.assertRegex(said, rf"The MPI of {wrapper} is {own}\.\d+, but {hdf5} \(\S+libhdf5\.so\) was built with {other}\.\d")
                self.assertIn("-DSIMCLR_HDF5=NAME", said)

    @unittest.skipUnless(OPENMPI and MPICH and HAS_MPICH_HDF5, "Open MPI and MPICH are not both installed with HDF5")
    def test_wrappers_as_compilers_count_as_well(self):
        wrappers = ["-DCMAKE_C_COMPILER=mpicc.mpich", "-DCMAKE_CXX_COMPILER=mpicxx.mpich"]
        _, said = self.configure(*wrappers)
        self.assertIn("MPI: libmpich.so.12; HDF5: hdf5-mpich", said)
        _, said = self.configure(*wrappers, "-DSIMCLR_HDF5=hdf5-openmpi", expect=1)
        self.assertIn("HDF5 and MPI do not belong together", said)
        _, said = self.configure(wrappers[1], "-DMPI_C_COMPILER=mpicc.openmpi", expect=1)
        self.assertRegex(said, r"mpicxx\.mpich and MPI_C_COMPILER=\S+openmpi belong to different MPIs")

    @unittest.skipUnless(MPICH and HAS_MPICH_HDF5, "MPICH is not installed with HDF5")
    def test_mpich_is_found_with_its_hdf5_and_its_launcher(self):
        build, said = self.configure("-DMPI_CXX_COMPILER=mpicxx.mpich")
        self.assertIn("MPI: libmpich.so.12; HDF5: hdf5-mpich", said)
        self.assertRegex((build / "CMakeCache.txt").read_text(), r"(?m)^MPIEXEC_EXECUTABLE:\w+=/\S*/mpiexec\.mpich$")

    def test_a_missing_hdf5_is_named(self):
        _, said = self.configure("-DSIMCLR_HDF5=no-such-hdf5", expect=1)
        self.assertIn("pkg-config finds no HDF5 under the names no-such-hdf5", said)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]])
