"""The tree that `cmake --install` makes: it works outside of the build folder and contains no path of it.

usage: install_test.py CMAKE BUILD_DIR
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import h5py
import numpy as np

CMAKE, BUILD = sys.argv[1], Path(sys.argv[2]).resolve()
SOURCE = Path(__file__).resolve().parents[2]


def output_of(*command, **options):
    return subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True, **options).stdout


class InstallTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.top = Path(tempfile.mkdtemp(prefix="simclr-install-"))
        cls.addClassCleanup(shutil.rmtree, cls.top)
        cls.prefix = cls.top / "opt"
        output_of(CMAKE, "--install", BUILD, "--prefix", cls.prefix)
        cls.simclr = cls.prefix / "bin" / "simclr"
        cls.share = cls.prefix / "share" / "simclr"

    def test_the_program_finds_its_libraries_without_the_build_folder(self):
        dynamic = output_of("readelf", "-d", self.simclr)
        for path in re.findall(r"(?:RUNPATH|RPATH).*\[(.*)\]", dynamic):
            for folder in path.split(":"):
                self.assertTrue(os.path.isabs(folder), path)  # an empty one means the current folder
                self.assertFalse(Path(folder).is_relative_to(BUILD), path)
        libraries = output_of("ldd", self.simclr)
        self.assertNotIn("not found", libraries)
        self.assertNotIn(str(BUILD), libraries)
        self.assertIn(str(self.top), str(self.simclr))
        self.assertEqual(output_of(self.simclr, "--version", cwd=self.top, env={}),
                         output_of(BUILD / "simclr", "--version"))

    def test_recipes_work_also_from_a_moved_tree(self):
        moved = self.top / "moved"
        shutil.copytree(self.prefix, moved, symlinks=True)
        (self.top / "data").mkdir()
        with h5py.File(self.top / "data" / "d-00000-of-00001.h5", "w") as file:
            file["images"] = np.random.default_rng(1).integers(0, 256, (300, 28, 28, 3), np.uint8)
        recipes = sorted((moved / "share/simclr/configs").rglob("*.cfg"))
        self.assertEqual({r.name for r in recipes}, {r.name for r in (SOURCE / "configs").rglob("*.cfg")})
        recipe = moved / "share/simclr/configs/quickstart.cfg"
        output_of(moved / "bin/simclr", "preview", "--config", recipe, "--data", "data", "--batch-size", 30,
                  "--output", "pairs.png", cwd=self.top)
        self.assertGreater((self.top / "pairs.png").stat().st_size, 1000)

    def test_scripts_and_documents_are_installed(self):
        for name in ("compare_predictions.py",):
            script = self.share / "scripts" / name
            self.assertTrue(os.access(script, os.X_OK))
            self.assertIn("usage: ", output_of(sys.executable, script, "--help"))
        for job in (SOURCE / "jobs").rglob("*"):
            copy = self.share / "jobs" / job.relative_to(SOURCE / "jobs")
            self.assertTrue(copy.exists(), copy)
            self.assertEqual(os.access(copy, os.X_OK), os.access(job, os.X_OK), copy)
        readme = self.prefix / "share/doc/simclr/README.md"
        for picture in re.findall(r"!\[[^]]*\]\(([^)]+)\)", readme.read_text()):
            self.assertTrue((readme.parent / picture).exists(), picture)
        self.assertTrue((readme.parent / "LICENSE").exists())

    def test_the_modulefile_has_this_prefix(self):
        files = list((self.share / "modulefiles" / "simclr").iterdir())
        version = output_of(self.simclr, "--version").split()[1]
        self.assertEqual([f.name for f in files], [version])
        text = files[0].read_text()
        self.assertTrue(text.startswith("#%Module"))
        self.assertNotIn("@", text)
        self.assertIn(f'prepend-path PATH "{self.prefix}/bin"\n', text)
        self.assertIn(f'setenv SIMCLR "{self.simclr}"\n', text)
        self.assertIn(f'setenv SIMCLR_SHARE "{self.share}"\n', text)

    def test_runtime_packages_finds_the_packages_of_all_libraries(self):
        if not shutil.which("dpkg"):
            self.skipTest("this system has no Debian packages")
        packages = output_of(SOURCE / "scripts/runtime_packages.sh", self.simclr).split()
        for name in ("libopenmpi", "libhdf5-openmpi", "libdnnl", "libspdlog", "libpng16", "libstdc++6", "libc6"):
            self.assertTrue([p for p in packages if p.startswith(name)], (name, packages))
        self.assertEqual(packages, sorted(set(packages)))
        self.assertFalse([p for p in packages if p.endswith("-dev")])
        done = subprocess.run([SOURCE / "scripts/runtime_packages.sh", "/nonexistent"], capture_output=True, check=False)
        self.assertEqual(done.returncode, 2)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
