"""README and docs: every link, file and option in them exists, and the program accepts every command line.

usage: docs_test.py SIMCLR [unittest arguments]
"""
import functools
import json
import re
import shlex
import subprocess
import sys
import unittest
from pathlib import Path

SIMCLR = sys.argv[1]
ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
FILE = re.compile(r"(?<![\w/.$-])(?:scripts|jobs|configs|docs|src|tests|cmake)/[\w./-]*\w")
OPTION = re.compile(r"(?<![\w-])--([a-z][a-z0-9-]+)")
CODE = re.compile(r"```(?:\w*)\n(.*?)```|`([^`\n]+)`", re.DOTALL)
FENCE = re.compile(r"```\n(.*?)```", re.DOTALL)

# Options in the pages that belong to other programs: mpirun, sbatch and srun, cmake, ctest, nsys, fuzz, our scripts.
FOREIGN = {"bind-to", "map-by", "nodes", "time", "ntasks-per-node", "gpus-per-node", "cpus-per-task", "signal", "mpi",
           "batch", "dependency", "cuda-graph-trace", "build", "install", "prefix", "target", "all", "python", "repeats",
           "device", "protocol", "output", "help", "version", "verbose", "config", "list-options", "format", "seconds",
           "inputs", "first", "comment", "quick", "multi-prog"}


def run(*arguments):
    return subprocess.run([SIMCLR, *arguments], capture_output=True, text=True, check=True, timeout=60).stdout


@functools.cache
def commands():
    return re.findall(r"^  ([a-z-]+) ", run("--help"), re.MULTILINE)


@functools.cache
def options_of(*command):
    return {option["name"]: option for option in json.loads(run(*command, "--list-options"))}


@functools.cache
def all_options():
    benchmarks = re.findall(r"^  ([a-z-]+) ", run("bench", "--help"), re.MULTILINE)
    everything = [(name,) for name in commands()] + [("bench", name) for name in benchmarks]
    return set().union(*(options_of(*command) for command in everything))


def command_lines(text):
    """Yields the lines of code blocks; joins continued lines."""
    for block in FENCE.findall(text):
        for line in block.replace("\\\n", " ").splitlines():
            yield line.split(" #")[0].strip()


def parse(words):
    """Returns (command, its arguments) of a line that starts the program or a job script; None for other lines."""
    if "simclr" in words:
        rest = words[words.index("simclr") + 1:]
        size = 2 if rest[:1] == ["bench"] else 1
        return tuple(rest[:size]), rest[size:]
    for word, command in (("submit_pipeline.sh", "pretrain"), ("study.sh", "study"),
                          ("linear_eval.sbatch", "linear-eval"), ("knn.sbatch", "knn"), ("evaluate.sbatch", "evaluate"),
                          ("quality.sbatch", "quality"), ("finetune.sbatch", "finetune"),
                          ("pretrain.sbatch", "pretrain")):
        at = next((i for i, w in enumerate(words) if w.endswith(word)), None)
        if at is not None:
            behind = words[at + 1:]
            return (command,), behind[behind.index("--") + 1:] if "--" in behind else behind
    return None


class DocsTest(unittest.TestCase):
    def each_page(self):
        for page in PAGES:
            with self.subTest(page=page.name):
                yield page, page.read_text(encoding="utf-8")

    def test_linked_files_exist(self):
        for page, text in self.each_page():
            for target in LINK.findall(text):
                if not target.startswith("http"):
                    self.assertTrue((page.parent / target).exists(), target)

    def test_named_files_exist(self):
        found = 0
        for _, text in self.each_page():
            for code in CODE.findall(text):
                for name in FILE.findall("".join(code)):
                    self.assertTrue((ROOT / name).exists(), name)
                    found += 1
        self.assertGreater(found, 20)

    def test_named_options_exist(self):
        for _, text in self.each_page():
            for code in CODE.findall(text):
                unknown = set(OPTION.findall("".join(code))) - all_options() - FOREIGN
                self.assertEqual(unknown, set())

    def test_readme_is_short(self):
        self.assertLessEqual(len(PAGES[0].read_text(encoding="utf-8").splitlines()), 150)

    def test_the_readme_links_every_page(self):
        readme = PAGES[0].read_text(encoding="utf-8")
        for page in PAGES[1:]:
            self.assertIn(f"](docs/{page.name})", readme)

    def test_command_lines_are_accepted(self):
        checked = 0
        for _, text in self.each_page():
            for line in command_lines(text):
                parsed = parse(shlex.split(line)) if line and not line.startswith("#") else None
                if parsed is None or not parsed[1]:
                    continue
                checked += 1
                with self.subTest(line=line):
                    self.accept(*parsed)
        self.assertGreaterEqual(checked, 8)

    def test_the_sample_of_a_plan_looks_like_a_plan(self):
        """Each line of the sample is a line of the plan, but for its numbers, which change with the models of costs."""
        def form(line):
            return re.sub(r"[\d.]+", "#", " ".join(line.split()))

        command, sample = FENCE.findall((ROOT / "docs/plan.md").read_text(encoding="utf-8"))[:2]
        planned = subprocess.run([SIMCLR, *shlex.split(command)[1:]], cwd=ROOT, capture_output=True, text=True, check=True,
                                 timeout=60).stdout
        forms = {form(line) for line in planned.splitlines()}
        self.assertGreater(len(sample.splitlines()), 8)
        for line in sample.splitlines():
            self.assertIn(form(line), forms)

    def accept(self, command, arguments):
        self.assertIn(command[0], commands())
        known = options_of(*command)
        words = iter(arguments)
        for word in words:
            if not word.startswith("--"):
                continue
            name, given, value = word[2:].partition("=")
            if name == "config":
                value = value if given else next(words)
                self.assertTrue((ROOT / value).exists(), value)
                continue
            self.assertIn(name, known)
            option = known[name]
            if option["type"] == "flag" or (option["choices"] and not option["sections"]):
                continue
            value = value if given else next(words)
            if option["choices"] and option["type"] == "choice":
                self.assertIn(value, option["choices"])
            if option["type"] in ("integer", "number"):
                for bound, outside in ((option["min"], float.__lt__), (option["max"], float.__gt__)):
                    self.assertFalse(bound and outside(float(value), float(bound["value"])), word)


if __name__ == "__main__":
    unittest.main(module="__main__", argv=[sys.argv[0], *sys.argv[2:]])
