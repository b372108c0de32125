"""Every error is one clear line that names the file: missing files, directories in place of files, files without
permission, empty ones, outputs that cannot be written, too little memory.

usage: words_test.py SIMCLR [unittest arguments]
"""
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import h5py
import numpy as np

SIMCLR = str(Path(sys.argv[1]).resolve())
ROOT = Path(__file__).resolve().parents[2]
NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
# Words of the standard library and of other libraries, which say nothing to a user.
RAW = re.compile(r"bad_alloc|std::|filesystem error|basic_|vector::|stoi|stoul|terminate called|json\.exception|what\(\)|"
                 r"boost|H5[A-Z]|internal error|Assertion|errno|0x[0-9a-f]{6}")
TRAINING = ["--encoder=resnet18", "--width=0.0625", "--image-size=16", "--batch-size=8", "--epochs=1", "--warmup-epochs=0",
            "--max-steps=1", "--threads=1", "--loader-threads=1"]


class WordsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.top = Path(tempfile.mkdtemp(prefix="simclr-words-"))
        cls.addClassCleanup(shutil.rmtree, cls.top)
        cls.top.chmod(0o755)
        cls.data = cls.top / "data"
        cls.data.mkdir()
        values = np.random.default_rng(1)
        with h5py.File(cls.data / "few-00000-of-00001.h5", "w") as f:
            f["images"] = values.integers(0, 256, (16, 16, 16, 3), np.uint8)
            f["labels"] = np.arange(16) % 2
        cls.run_dir = cls.top / "run"
        subprocess.run([SIMCLR, "pretrain", f"--data={cls.data}", f"--run-dir={cls.run_dir}", *TRAINING], check=True,
                       capture_output=True)
        cls.checkpoint = cls.run_dir / "checkpoints" / "step-0000000001.h5"
        cls.empty = cls.top / "empty.h5"
        cls.empty.touch()
        cls.secret = cls.top / "secret"  # a directory that only root may enter
        shutil.copytree(cls.run_dir, cls.secret / "run")
        shutil.copytree(cls.data, cls.secret / "data")
        cls.secret.chmod(0o700)
        cls.locked = cls.top / "locked.h5"  # a file that only root may read
        shutil.copy(cls.checkpoint, cls.locked)
        cls.locked.chmod(0o600)
        cls.writable = cls.top / "writable"
        cls.sessions = cls.top / "sessions"  # MPI's own files, of any user
        for folder in (cls.writable, cls.sessions):
            folder.mkdir()
            folder.chmod(0o777)

    def start(self, command, user, expect, limits):
        words = [str(word) for word in command]
        done = subprocess.run([*(NOBODY if user else []), SIMCLR, *words], capture_output=True, text=True, timeout=60,
                              check=False, cwd="/", preexec_fn=limits,
                              env={**os.environ, "HOME": "/nonexistent", "OMPI_MCA_orte_tmpdir_base": str(self.sessions)})
        self.assertIn(done.returncode, [1, 2] if expect is None else [expect], done.stdout + done.stderr)
        lines = [line for line in done.stderr.splitlines() if not line.startswith("simclr: warning: ")]
        self.assertEqual(len(lines), 1, done.stderr)
        self.assertRegex(lines[0], r"\Asimclr: error: .")
        self.assertIsNone(RAW.search(done.stderr), done.stderr)
        return lines[0]

    def refused(self, *command, says=(), user=False, expect=2, limits=None):
        line = self.start(command, user, expect, limits)
        for text in says:
            self.assertIn(str(text), line)

    def readers(self, path):
        """Every way to read this path as a checkpoint, a data set or a configuration."""
        out = self.writable / "out"
        evaluation = ["--train-data", self.data, "--test-data", self.data]
        yield ["inspect", path]
        yield ["export", path, f"--output={out}.safetensors"]
        yield ["report", path, f"--output={out}.html"]
        yield ["knn", "--checkpoint", path, *evaluation]
        yield ["quality", "--checkpoint", path, "--data", self.data]
        yield ["quality", "--checkpoint", self.checkpoint, "--data", path]
        yield ["linear-eval", "--checkpoint", path, *evaluation]
        yield ["embed", "--checkpoint", path, "--data", self.data, f"--output={out}.h5"]
        yield ["embed", "--checkpoint", self.checkpoint, "--data", path, f"--output={out}.h5"]
        yield ["knn", "--checkpoint", self.checkpoint, "--train-data", path, "--test-data", self.data, "--neighbors=1"]
        yield ["knn", "--checkpoint", self.checkpoint, "--train-data", self.data, "--test-data", path, "--neighbors=1"]
        yield ["pretrain", "--data", path, f"--run-dir={out}", *TRAINING]
        yield ["pretrain", "--data", self.data, f"--run-dir={out}", f"--resume={path}", *TRAINING]
        yield ["preview", "--data", path, f"--output={out}.png", *TRAINING]
        yield ["plan", "--data", path, "--machine=h100", *TRAINING]
        yield ["pretrain", "--config", path]
        yield ["pack", "--from=folder", f"--input={path}", f"--output={out}"]
        yield ["pack", "--from=idx", f"--input={path}", f"--output={out}"]
        yield ["pack", "--from=idx", f"--images={path}", f"--output={out}"]
        yield ["pack", "--from=cifar-bin", f"--input={path}", f"--output={out}"]
        yield ["plan", "--samples=16", f"--machine={path}", *TRAINING]

    def each(self, path, without=lambda command: False, **expected):
        for command in self.readers(path):
            if without([str(word) for word in command]):
                continue
            with self.subTest(command=[str(word) for word in command]):
                self.refused(*command, **expected)
        self.assertEqual(list(self.writable.iterdir()), [])

    def test_what_is_missing_is_named(self):
        self.each(self.top / "missing", says=["missing"])

    def test_empty_files_are_named(self):
        # An empty configuration is one without settings.
        self.each(self.empty, without=lambda command: "--config" in command, says=["empty.h5"])

    def test_directories_without_what_is_looked_for_are_named(self):
        void = self.top / "void"
        void.mkdir(exist_ok=True)
        self.each(void, says=["void"])

    def test_a_missing_permission_is_called_that(self):
        if os.geteuid() != 0 or not shutil.which("setpriv"):
            self.skipTest("needs root, to become a user without permissions")
        for path in (self.secret / "run", self.secret / "data"):
            self.each(path, says=[path, "Permission denied"], user=True)
        # A directory is no configuration and no IDX file, and a file no directory, whoever may read it.
        self.each(self.secret, lambda command: "--config" in command or any("--images=" in word for word in command),
                  says=[self.secret, "Permission denied"], user=True)
        self.each(self.locked, lambda command: command[0] == "report" or any("--input=" in word for word in command),
                  says=[self.locked, "Permission denied"], user=True)

    def test_verify_distinguishes_the_file_from_older_checkpoints_of_the_run(self):
        run = self.top / "two checkpoints"
        shutil.copytree(self.run_dir, run)
        older = run / "checkpoints" / "step-0000000000.h5"
        with h5py.File(self.checkpoint) as file:
            place = file["parameters/conv1.weight"].id.get_offset()
        damaged = bytearray(self.checkpoint.read_bytes())
        damaged[place] ^= 1
        older.write_bytes(damaged)
        self.refused("inspect", run, "--verify", says=[older], expect=1)
        self.refused("inspect", older, "--verify", says=[older], expect=2)
        self.assertEqual(subprocess.run([SIMCLR, "inspect", run], capture_output=True, check=False).returncode, 0)

    def test_outputs_that_cannot_be_written(self):
        nowhere = self.top / "no" / "folder"
        writers = (
            lambda path: ["export", self.run_dir, f"--output={path}.safetensors"],
            lambda path: ["report", self.run_dir, f"--output={path}.html"],
            lambda path: ["embed", "--checkpoint", self.run_dir, "--data", self.data, f"--output={path}.h5"],
            lambda path: ["preview", "--data", self.data, f"--output={path}.png", *TRAINING],
            lambda path: ["preview", "--data", self.data, f"--output={path}.h5", "--steps=0:1", *TRAINING],
            lambda path: ["plan", "--samples=16", "--machine=h100", f"--json={path}.json", *TRAINING],
        )
        for writer in writers:
            self.refused(*writer(nowhere), says=[nowhere])
        if os.geteuid() == 0 and shutil.which("setpriv"):
            for writer in writers:
                line = self.start(writer(self.top / "out"), True, None, None)
                self.assertIn("Permission denied", line)
                self.assertIn(str(self.top / "out"), line)
            self.refused("pretrain", "--data", self.data, f"--run-dir={self.top}/new", *TRAINING, user=True,
                         says=[self.top, "Permission denied"])

    def test_a_full_device_is_named(self):
        for command in (["--help"], ["--version"], ["inspect", self.data], ["knn", "--list-options"]):
            with open("/dev/full", "w", encoding="ascii") as full:
                done = subprocess.run([SIMCLR, *map(str, command)], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
            self.assertEqual(done.returncode, 1)
            self.assertEqual(done.stderr, "simclr: error: cannot write to the standard output: No space left on device\n")

    def test_too_little_memory(self):
        def limits():
            resource.setrlimit(resource.RLIMIT_AS, (3 << 29, 3 << 29))
        for large in ({"width": 64}, {"batch-size": 16, "image-size": 2048}, {"head-width": 1000000}):
            options = dict(word[2:].split("=") for word in TRAINING)
            options.update(large)
            line = self.start(["pretrain", "--data", self.data, f"--run-dir={self.top}/large",
                               *[f"--{name}={value}" for name, value in options.items()]], False, None, limits)
            self.assertRegex(line, "memory|MB|GB")
            shutil.rmtree(self.top / "large", ignore_errors=True)

    def test_version_lists_libraries(self):
        done = subprocess.run([SIMCLR, "--version", "--verbose"], capture_output=True, text=True, check=True)
        self.assertEqual(done.stderr, "")
        lines = done.stdout.splitlines()
        self.assertEqual([lines[0]], subprocess.run([SIMCLR, "--version"], capture_output=True, text=True,
                                                    check=True).stdout.splitlines())
        found = {line[2:18].strip(): line[18:].strip() for line in lines[1:]}
        self.assertEqual(sorted(found), sorted(["compiler", "MPI", "HDF5", "CPU library", "CUDA", "processor",
                                                "instruction set"]))
        self.assertTrue(all(found.values()), found)
        self.assertRegex(found["CPU library"], r"oneDNN v?\d")
        self.assertRegex(found["HDF5"], r"\d+\.\d+\.\d+")
        self.assertIn(found["instruction set"], ("baseline", "x86-64-v3", "x86-64-v4", "x86-64-v4-bf16"))
        self.refused("--version", "--verbos", says=["--verbose"])

    def test_refusals_begin_with_the_option_or_the_file(self):
        refusals = re.compile(r'\brefuse\(\s*((?:"(?:[^"\\]|\\.)*"\s*)+)')
        begins = re.compile(r"(\{\})?(option --[\w{}-]+|options --[\w{}-]+ and --[\w{}-]+): ")
        found = 0
        for file in sorted(ROOT.glob("src/**/*.cpp")):
            for literals in refusals.findall(file.read_text(encoding="utf-8")):
                message = "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', literals))
                found += 1
                with self.subTest(file=file.name, message=message):
                    if "option --" in message.replace("unknown option --", "") or message.startswith(("--", "{}--", "options")):
                        self.assertRegex(message, begins)
                    self.assertIsNone(re.search(r"cannot be (read|opened|listed):|[Nn]o such (file|dir)", message))
        self.assertGreater(found, 150)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]])
