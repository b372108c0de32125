"""`--list-options` of every command lists what --help describes, for programs; every bound in it is enforced.

usage: list_options_test.py SIMCLR [unittest arguments]
"""
import json
import math
import re
import subprocess
import sys
import unittest

SIMCLR = sys.argv[1]
KEYS = {"name", "group", "sections", "type", "choices", "default", "range", "min", "max", "may_change_on_resume",
        "help"}
NUMERIC = {"integer", "number", "integers", "numbers"}
TYPES = NUMERIC | {"text", "path", "flag", "choice", "names"}


def run(*arguments):
    return subprocess.run([SIMCLR, *arguments], capture_output=True, text=True, timeout=60, check=False)


def printed(*arguments):
    done = run(*arguments)
    assert (done.returncode, done.stderr) == (0, ""), (arguments, done)
    return done.stdout


def all_commands():
    """Returns every command as words: ["pretrain"], ["bench", "step"], ..."""
    names = re.findall(r"^  ([a-z-]+) ", printed("--help"), re.MULTILINE)
    benchmarks = re.findall(r"^  ([a-z-]+) ", printed("bench", "--help"), re.MULTILINE)
    return [[name] for name in names if name != "bench"] + [["bench", name] for name in benchmarks]


def number(value, whole):
    return str(int(value)) if whole else repr(float(value))


def outside(option):
    """Returns values that the option's bounds exclude."""
    whole = option["type"].startswith("integer")
    for key, sign in (("min", -1), ("max", 1)):
        bound = option[key]
        if bound is None:
            continue
        value = bound["value"]
        if bound["inclusive"]:
            value = value + sign if whole else math.nextafter(value, sign * math.inf)
        yield number(value, whole)
    if not whole:
        yield from ("nan", "inf")


class ListOptionsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.commands = all_commands()
        cls.lists = {" ".join(c): json.loads(printed(*c, "--list-options")) for c in cls.commands}

    def test_every_command_has_a_list(self):
        self.assertGreaterEqual(len(self.lists), 15)
        for name in ("pretrain", "linear-eval", "knn", "quality", "embed", "pack", "inspect", "plan", "preview", "bench step"):
            self.assertIn(name, self.lists)
        self.assertEqual(json.loads(printed("bench", "--list-options")), [])

    def test_the_list_and_the_help_text_name_the_same_options(self):
        for command in self.commands:
            with self.subTest(command=command):
                shown = re.findall(r"^  --([a-z0-9-]+)", printed(*command, "--help"), re.MULTILINE)
                listed = [option["name"] for option in self.lists[" ".join(command)]]
                self.assertEqual(listed, shown)
                self.assertEqual(len(set(listed)), len(listed))
                self.assertGreater(len(listed), 0)

    def test_every_option_is_described(self):
        for command, options in self.lists.items():
            for option in options:
                with self.subTest(command=command, option=option["name"]):
                    self.assertEqual(set(option), KEYS)
                    self.assertIn(option["type"], TYPES)
                    self.assertTrue(option["help"] and option["group"] and option["range"])
                    self.assertIsInstance(option["may_change_on_resume"], bool)
                    if option["type"] == "choice":
                        self.assertGreater(len(option["choices"]), 0)
                        self.assertIn(option["default"], option["choices"] + [""])
                    if option["type"] not in NUMERIC:
                        self.assertIsNone(option["min"] or option["max"])
                    elif option["default"]:
                        self.assert_within(option)

    def assert_within(self, option):
        for value in map(float, option["default"].split(",")):
            for key, sign in (("min", 1), ("max", -1)):
                if option[key]:
                    room = sign * (value - option[key]["value"])
                    self.assertTrue(room > 0 or (room == 0 and option[key]["inclusive"]), option)

    def test_options_that_may_change_on_resume(self):
        may = {option["name"] for option in self.lists["pretrain"] if option["may_change_on_resume"]}
        self.assertEqual(may, {
            "data", "eval-data", "cache", "max-steps", "device", "plan-cache", "threads", "allow-slow-bf16", "collectives",
            "share-device", "timeout-seconds", "loader-threads", "recompute", "run-dir", "log-every",
            "checkpoint-every-epochs", "checkpoint-every-minutes", "checkpoint-steps", "keep", "resume",
            "stop-before-minutes", "hash-every", "divergence-steps", "trace-ops",
            "knn-every-epochs", "knn-bank", "eval-loss-every-epochs", "probe-every-epochs"})

    def test_sections(self):
        for command, sections in (("pretrain", ["pretrain"]), ("knn", ["knn"]), ("plan", ["pretrain", "plan"])):
            for option in self.lists[command]:
                expected = [] if option["name"] == "dry-run" else sections
                self.assertEqual(option["sections"], expected, option["name"])

    def test_values_outside_the_bounds_are_refused_in_the_common_wording(self):
        """Tests each declaration once, although several commands share it; every command has some of its own."""
        cases, seen = [], set()
        for command in self.commands:
            for option in self.lists[" ".join(command)]:
                declaration = json.dumps({**option, "sections": None})
                if option["type"] in NUMERIC and declaration not in seen:
                    seen.add(declaration)
                    cases += [(command, option, value) for value in outside(option)]
        self.assertGreater(len(cases), 100)
        for command, option, value in cases:
            with self.subTest(command=command, option=option["name"], value=value):
                done = run(*command, f"--{option['name']}={value}")
                self.assertEqual(done.returncode, 2, done.stdout + done.stderr)
                self.assertEqual(done.stdout, "")
                self.assertEqual(done.stderr, f"simclr: error: option --{option['name']}: '{value}' is not "
                                              f"accepted; allowed: {option['range']}\n")

    def test_a_value_in_a_file_is_refused_with_its_place(self):
        done = run("pretrain", "--config", "/dev/stdin", "--list-options")
        self.assertEqual(done.returncode, 0)
        done = subprocess.run([SIMCLR, "pretrain", "--config", "/dev/stdin"], input="[pretrain]\nkeep = 0\n",
                              capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 2)
        self.assertEqual(done.stderr, "simclr: error: /dev/stdin:2: option --keep: '0' is not accepted; "
                                      "allowed: a whole number, 1 or more\n")


    def test_help_fits_a_terminal_and_ends_with_an_example_of_known_options(self):
        for command in [[], ["bench"], *self.commands]:
            with self.subTest(command=command):
                text = printed(*command, "--help")
                self.assertLessEqual(max(map(len, text.splitlines())), 80)
                example = re.search(r"^example:\s+(.*?)\n\Z", text, re.MULTILINE | re.DOTALL)
                self.assertTrue(example, text)
                if " ".join(command) in self.lists:
                    words = example[1].replace("\\\n", " ").split()
                    self.assertEqual(words[words.index("simclr") + 1:][:len(command)], command)
                    known = {option["name"] for option in self.lists[" ".join(command)]} | {"config"}
                    self.assertLessEqual({word[2:] for word in words if word.startswith("--")}, known)

    def test_help_marks_required_options(self):
        for command, required in (("pack", {"output"}), ("pretrain", {"data", "run-dir"}), ("export", {"checkpoint"}),
                                  ("embed", {"data", "output", "checkpoint"}), ("knn", {"checkpoint"}),
                                  ("quality", {"data", "checkpoint"})):
            text = printed(command, "--help")
            options = re.split(r"^  --", text.split("\nexample:")[0], flags=re.MULTILINE)[1:]
            marked = {option.split()[0] for option in options if "[required]" in " ".join(option.split())}
            self.assertEqual(marked, required, command)
            done = run(command)
            self.assertEqual(done.returncode, 2)
            self.assertRegex(done.stderr, r"\Asimclr: error: option --[a-z-]+: missing; give [A-Z_]+, .*\n\Z")


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]])
