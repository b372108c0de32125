"""Checks jobs/apptainer/simclr.def without Apptainer: stages, sections, shell, names."""

import re
import subprocess
import unittest
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2]
DEFINITION = SOURCE / "jobs" / "apptainer" / "simclr.def"
HEADERS = {"Bootstrap", "From", "Stage"}
SECTIONS = {"files", "post", "environment", "runscript", "startscript", "test", "labels", "help", "setup"}
SHELL = {"post", "environment", "runscript", "test"}


def stages():
    """Returns [(headers, {section line: text})]."""
    found, section = [], None
    for line in DEFINITION.read_text().splitlines():
        header = re.match(r"([A-Za-z]+): (\S+)$", line)
        if header:
            if header[1] == "Bootstrap":
                found.append(({}, {}))
            found[-1][0][header[1]] = header[2]
            section = None
        elif line.startswith("%"):
            section = line[1:]
            found[-1][1][section] = ""
        elif section is not None:
            found[-1][1][section] += line + "\n"
        elif line and not line.startswith("#"):
            raise AssertionError(f"not in a section: {line}")
    return found


class ApptainerTest(unittest.TestCase):
    def test_stages_and_sections_are_known(self):
        earlier = set()
        for headers, sections in stages():
            self.assertEqual(set(headers), HEADERS)
            for name in sections:
                kind, *rest = name.split()
                self.assertIn(kind, SECTIONS)
                self.assertTrue(rest == [] or (kind == "files" and rest[0] == "from" and rest[1] in earlier), name)
                for line in sections[name].splitlines():
                    self.assertRegex(line, r"^(    .*)?$", "text of a section must be indented, since '%' begins a section")
            earlier.add(headers["Stage"])
        self.assertEqual([headers["Stage"] for headers, _ in stages()], ["build", "final"])
        self.assertLessEqual({"post", "environment", "runscript", "test", "labels", "help"}, set(stages()[-1][1]))

    def test_shellcheck_accepts_every_section(self):
        for headers, sections in stages():
            for name in SHELL & set(sections):
                done = subprocess.run(["shellcheck", "--shell=sh", "-"], input=sections[name], text=True,
                                      capture_output=True, check=False)
                self.assertEqual(done.returncode, 0, f"{headers['Stage']} %{name}: {done.stdout}{done.stderr}")

    def test_named_files_and_options_exist(self):
        (_, build), (_, final) = stages()
        scripts = re.findall(r"^\s*(scripts/\S+)", build["post"], re.M)
        self.assertEqual(scripts, ["scripts/install_deps.sh", "scripts/runtime_packages.sh"])
        configs = re.findall(r"/opt/simclr/share/simclr/(configs/\S+)", final["test"])
        self.assertTrue(configs)
        for name in scripts + configs:
            self.assertTrue((SOURCE / name).exists(), name)
        cmake = "".join(p.read_text() for p in [SOURCE / "CMakeLists.txt", *(SOURCE / "cmake").glob("*.cmake")])
        for option in re.findall(r"-D(SIMCLR_\w+)=", DEFINITION.read_text()):
            self.assertRegex(cmake, rf"(set|option)\({option} ", option)
        # Packages come from the scripts' lists; only the launcher is named here.
        self.assertNotIn("apt-get install", build["post"])
        named = re.search(r"--no-install-recommends (.*)\\\n\s*(.*)\n", final["post"])
        self.assertEqual([named[1].strip(), named[2]], ["openmpi-bin", "$(cat /opt/simclr/runtime-packages)"])


if __name__ == "__main__":
    unittest.main()
