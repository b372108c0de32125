"""Checks jobs/spack/spack.yaml without Spack: its form, and that no package is missing."""

import re
import unittest
from pathlib import Path

import yaml

SOURCE = Path(__file__).resolve().parents[2]
SPEC = re.compile(r"^[a-z0-9-]+(@[0-9.]*:?[0-9.]*)?( ([+~][a-z0-9_-]+|[a-z_]+=[a-z0-9,]+))*$")

# Debian's package of scripts/install_deps.sh -> Spack's.
PACKAGES = {
    "g++": None,  # Spack uses a compiler of the system
    "git": None,  # Spack itself needs git
    "cmake": "cmake", "ninja-build": "ninja", "pkg-config": "pkgconf", "openmpi-bin": "openmpi",
    "libopenmpi-dev": "openmpi", "libhdf5-openmpi-dev": "hdf5", "libdnnl-dev": "onednn",
    "libeigen3-dev": "eigen",
    "libboost-program-options-dev": "boost", "libspdlog-dev": "spdlog", "nlohmann-json3-dev": "nlohmann-json",
    "libxxhash-dev": "xxhash", "libjpeg-dev": "libjpeg-turbo", "libpng-dev": "libpng", "zlib1g-dev": "zlib",
}


class SpackTest(unittest.TestCase):
    def setUp(self):
        self.text = (SOURCE / "jobs" / "spack" / "spack.yaml").read_text()
        self.environment = yaml.safe_load(self.text)["spack"]
        self.names = [re.match(r"[a-z0-9-]+", spec)[0] for spec in self.environment["specs"]]

    def test_is_a_valid_environment(self):
        self.assertEqual(list(yaml.safe_load(self.text)), ["spack"])
        self.assertEqual(set(self.environment), {"specs", "concretizer", "view"})
        self.assertEqual(self.environment["concretizer"], {"unify": True})
        self.assertIs(self.environment["view"], True)
        optional = re.findall(r"^    # - '(.*)'$", self.text, re.M)
        for spec in self.environment["specs"] + optional:
            self.assertRegex(spec, SPEC)
        self.assertEqual(len(self.names), len(set(self.names)))
        self.assertEqual([re.match(r"[a-z]+", spec)[0] for spec in optional], ["cuda", "cudnn", "nccl"])

    def test_has_the_counterparts_of_debians_packages(self):
        script = (SOURCE / "scripts" / "install_deps.sh").read_text()
        build = re.search(r"^build=\(\n(.*?)^\)", script, re.M | re.S)[1]
        packages = re.findall(r'^  "([^:]+):', build, re.M)
        self.assertEqual(set(packages), set(PACKAGES))
        self.assertLessEqual({PACKAGES[p] for p in packages} - {None}, set(self.names))
        self.assertIn("hdf5@1.10.8:1.10 +mpi", self.environment["specs"])

    def test_named_cmake_options_exist(self):
        cmake = "".join(p.read_text() for p in [SOURCE / "CMakeLists.txt", *(SOURCE / "cmake").glob("*.cmake")])
        options = re.findall(r"-D(SIMCLR_\w+)=", self.text)
        self.assertTrue(options)
        for option in options:
            self.assertRegex(cmake, rf"(set|option)\({option} ")


if __name__ == "__main__":
    unittest.main()
