"""scripts/install_deps.sh on simulated systems: what it would install, refuses, and leaves behind.

Fake package tools record their calls.
"""

import os
import subprocess
import tempfile
import unittest
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "install_deps.sh"


class InstallDepsTest(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.top = Path(directory.name)
        self.policy = self.top / "usr/sbin/policy-rc.d"
        for folder in ("etc", "bin", "usr/sbin"):
            (self.top / folder).mkdir(parents=True)
        self.log = self.top / "calls"
        self.tool("apt-get", f'echo "apt-get $*" >>{self.log}; [ "$1" = update ] || cat {self.policy} >>{self.log}')
        self.tool("sudo", 'exec "$@"')
        self.tool("cmake", "echo cmake version 3.28.3")
        self.installed()

    def tool(self, name, script):
        path = self.top / "bin" / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def installed(self, *names):
        """Makes the fake dpkg-query report exactly these packages as installed."""
        cases = "".join(f"{name}) printf 'ii ';; " for name in names)
        self.tool("dpkg-query", f'for last; do :; done; case "$last" in {cases}*) exit 1;; esac')

    def run_script(self, system, *arguments, expect=0):
        name, version = system.split()
        (self.top / "etc/os-release").write_text(f'ID={name}\nVERSION_ID="{version}"\n')
        done = subprocess.run([SCRIPT, *arguments], capture_output=True, text=True, check=False, env={
            **os.environ, "SIMCLR_INSTALL_ROOT": str(self.top), "PATH": f"{self.top}/bin:{os.environ['PATH']}"})
        self.assertEqual(done.returncode, expect, done.stdout + done.stderr)
        return done

    def installs(self):
        """Returns the packages that apt-get was told to install, and the policy on services that it saw."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        calls = [line.split() for line in lines if line.startswith("apt-get")]
        self.assertIn([call[1] for call in calls], ([], ["update", "install"]))
        return ([word for word in calls[1][2:] if not word.startswith("-")] if calls else []), lines[2:]

    def test_installs_missing_packages_and_starts_no_services(self):
        self.installed("git", "cmake")
        self.run_script("debian 12", "--with-tests")
        names, policy = self.installs()
        self.assertNotIn("git", names)
        for name in ("g++", "libdnnl-dev", "slurmctld", "slurmd", "munge", "bc", "python3-torch"):
            self.assertIn(name, names)
        self.assertNotIn("shellcheck", names)
        self.assertNotIn("chromium", names)
        self.assertEqual(len(names), len(set(names)))
        self.assertEqual(policy, ["#!/bin/sh", "exit 101"])
        self.assertFalse(self.policy.exists(), "the script must remove its policy")

    def test_all_includes_all_groups_and_a_browser(self):
        self.run_script("debian 12", "--all")
        names, _ = self.installs()
        for name in ("g++", "python3-torch", "dataset-fashion-mnist", "shellcheck", "chromium", "mpich", "qemu-user"):
            self.assertEqual(names.count(name), 1, name)
        self.log.unlink()
        done = self.run_script("ubuntu 24.04", "--all")
        self.assertIn("this system has no such package: chromium: exists only as a snap", done.stdout)
        self.assertNotIn("chromium", self.installs()[0])

    def test_keeps_a_policy_of_the_system(self):
        self.policy.write_text("theirs\n")
        self.run_script("debian 12")
        self.assertEqual(self.installs()[1], ["theirs"])
        self.assertEqual(self.policy.read_text(), "theirs\n")

    def test_a_failed_installation_fails_and_leaves_no_policy(self):
        self.tool("apt-get", '[ "$1" = update ]')
        self.run_script("debian 12", expect=1)
        self.assertFalse(self.policy.exists())

    def test_lists_without_installing(self):
        for system in ("debian 12", "ubuntu 24.04", "ubuntu 22.04"):
            done = self.run_script(system, "--list", "--dev")
            for text in ("libhdf5-openmpi-dev", "parallel HDF5", "clang-tidy-16"):
                self.assertIn(text, done.stdout)
        self.assertEqual(self.installs()[0], [])

    def test_names_packages_that_a_system_lacks_and_does_not_request_them(self):
        done = self.run_script("ubuntu 24.04", "--with-tests", "--dev")
        self.assertIn("this system has no such package: python3-torch: for the oracle tests", done.stdout)
        names, _ = self.installs()
        self.assertNotIn("python3-torchvision", names)
        self.assertIn("cmake", names)
        self.log.unlink()
        done = self.run_script("ubuntu 22.04")
        self.assertIn("this system has no such package: cmake: version 3.22 is too old", done.stdout)
        self.assertNotIn("clang-tidy-16", done.stdout)
        self.assertNotIn("cmake", self.installs()[0])

    def test_an_old_cmake_is_an_error(self):
        self.tool("cmake", "echo cmake version 3.22.1")
        done = self.run_script("ubuntu 22.04", expect=1)
        self.assertIn("3.25 or newer is needed, found 3.22.1", done.stderr)
        self.tool("cmake", "exit 127")
        self.assertIn("found none", self.run_script("debian 12", expect=1).stderr)

    def test_refuses_other_systems_and_lists_the_packages(self):
        for system in ("debian 11", "ubuntu 20.04", "fedora 40"):
            done = self.run_script(system, "--with-tests", expect=2)
            self.assertIn(system, done.stderr)
            self.assertIn("  libdnnl-dev: oneDNN", done.stderr)
            self.assertIn("  slurmd: ", done.stderr)
        self.assertEqual(self.installs()[0], [])

    def test_refuses_unknown_options(self):
        self.assertIn("unknown option --every", self.run_script("debian 12", "--every", expect=2).stderr)


if __name__ == "__main__":
    unittest.main()
