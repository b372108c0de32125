"""`simclr plan` against runs of the same configuration: memory, checkpoints and steps; and its refusals.

usage: plan_run_test.py SIMCLR MPIEXEC [unittest arguments]
"""
import json
import os
import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import h5py
import numpy as np

SIMCLR, MPIEXEC = sys.argv[1:3]
MACHINE = Path(__file__).with_name("cpu.json")
SAMPLES = 48

SMALL = {"encoder": "resnet18", "width": 0.125, "image-size": 16, "batch-size": 16, "augment": "crop,flip,color"}
# Activations, parameters and checkpoints of some hundreds of megabytes.
MEDIUM = {"encoder": "resnet50", "width": 0.5, "image-size": 64, "batch-size": 24, "stem": "imagenet"}
COMMON = {"epochs": 3, "warmup-epochs": 0.5, "device": "cpu", "threads": 1, "loader-threads": 1}


def arguments(*options):
    """Command-line arguments from several groups of options; later groups take precedence."""
    merged = {name: value for group in options for name, value in group.items()}
    return [f"--{name}={value}" for name, value in merged.items()]


class PlanRunTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        scratch = tempfile.TemporaryDirectory(prefix="simclr-plan-")
        cls.addClassCleanup(scratch.cleanup)
        cls.top = Path(scratch.name)
        cls.data = cls.top / "data"
        cls.data.mkdir()
        with h5py.File(cls.data / "noise-00000-of-00001.h5", "w") as f:
            f["images"] = np.random.default_rng(1).integers(0, 256, (SAMPLES, 72, 72, 3), dtype=np.uint8)
            f["labels"] = np.arange(SAMPLES) % 4

    def setUp(self):
        self.run_dir = Path(tempfile.mkdtemp(dir=self.top)) / "run"

    def run_program(self, *command, expect=0):
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False,
                              timeout=200, env={**os.environ, "CUDA_VISIBLE_DEVICES": ""})
        self.assertEqual(done.returncode, expect, done.stdout + done.stderr)
        return done

    def plan(self, *options, machine=MACHINE, command="pretrain"):
        """The plan as JSON and as text."""
        file = self.top / "plan.json"
        done = self.run_program(SIMCLR, "plan", command, *arguments({"data": self.data, "machine": machine, "json": file},
                                                           COMMON, *options))
        return json.loads(file.read_text()), done.stdout

    def pretrain(self, options, ranks=1, steps=2, command="pretrain"):
        launcher = [MPIEXEC, "-n", ranks] if ranks > 1 else []
        done = self.run_program(*launcher, SIMCLR, command,
                                *arguments({"data": self.data, "run-dir": self.run_dir, "max-steps": steps},
                                           COMMON, options))
        return done.stdout + done.stderr

    def refused(self, *parts, **options):
        done = self.run_program(SIMCLR, "plan", *arguments({"machine": MACHINE, **COMMON, **SMALL, **{
            name.replace("_", "-"): value for name, value in {"data": self.data, **options}.items()
            if value is not None}}), expect=2)
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        self.assertTrue(done.stderr.startswith("simclr: error: "), done.stderr)
        for part in parts:
            self.assertIn(part, done.stderr)
        self.assertEqual(done.stdout, "")

    def check_memory(self, options, ranks, command="pretrain"):
        planned, _ = self.plan(options, {"ranks": ranks, "ranks-per-node": ranks}, command=command)
        output = self.pretrain(options, ranks, command=command)
        peak = float(re.search(r"peak memory a rank: ([\d.]+) MB", output)[1]) * 1e6
        memory = planned["memory"]
        predicted = memory["host_bytes"] + memory["cache_bytes_per_node"]
        self.assertLess(abs(predicted - peak), 0.1 * peak, f"{predicted / 1e6:.1f} MB, not {peak / 1e6:.1f}")
        arena = float(re.search(r"activations ([\d.]+) MB", output)[1]) * 1e6
        self.assertLess(abs(memory["arena_bytes"] - arena), 1e5)

    def test_a_plan_of_a_huge_model_takes_little_memory(self):
        """Neither a model of a trillion parameters nor its parts are there: time and memory do not grow with them."""
        command = [SIMCLR, "plan", *arguments({"samples": 1281167, "machine": MACHINE, "width": 256, "batch-size": 2**20,
                                               "head-layers": 8, "head-width": 100000}, COMMON)]
        with subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as started:
            said = started.stdout.read().decode()
            _, status, usage = os.wait4(started.pid, 0)
            started.returncode = os.waitstatus_to_exitcode(status)
        self.assertEqual(started.returncode, 0, said)
        self.assertIn("all steps", said)
        self.assertLess(usage.ru_maxrss * 1024, 500e6)
        self.assertLess(usage.ru_utime + usage.ru_stime, 20)

    def test_memory_of_a_small_run(self):
        self.check_memory(SMALL, 1)

    def test_memory_of_a_medium_run(self):
        self.check_memory(MEDIUM, 1)

    def test_memory_on_two_ranks(self):
        self.check_memory({**MEDIUM, "recompute": "blocks"}, 2)

    def test_memory_of_supervised_training(self):
        self.check_memory({**MEDIUM, "eval-data": self.data}, 1, "supervised")

    def test_memory_of_fine_tuning_on_two_ranks(self):
        self.pretrain({**MEDIUM, "batch-size": 8}, steps=1)
        checkpoint, self.run_dir = self.run_dir, self.run_dir.with_name("finetune")
        self.check_memory({"checkpoint": checkpoint, "eval-data": self.data, "batch-size": 24, "from-head-layer": 1}, 2,
                          "finetune")

    def test_plans_of_other_commands_without_data(self):
        options = {"encoder": "resnet50", "batch-size": 1024, "ranks": 8, "machine": "h100", "classes": 1000, "samples": 12811}
        for command, more, epochs in (("finetune", {"recipe": "v1"}, 60), ("supervised", {}, 90)):
            file = self.top / "other.json"
            self.run_program(SIMCLR, "plan", command, *arguments(options, more, {"epochs": epochs, "json": file}))
            self.assertEqual(json.loads(file.read_text())["schedule"]["steps"], 12 * epochs)
        done = self.run_program(SIMCLR, "plan", "supervised", "--samples=100", "--machine=h100", expect=2)
        self.assertIn("option --classes: missing", done.stderr)

    def test_fine_tuning_without_data_has_the_batch_of_its_recipe(self):
        file = self.top / "recipe.json"
        common = {"machine": "h100", "classes": 4, "encoder": "resnet18", "width": 0.125, "json": file}

        def refusal(**changed):
            return self.run_program(SIMCLR, "plan", "finetune", *arguments(common, {"image-size": 16, "samples": 500}, changed),
                                    expect=2).stderr

        for size, samples, recipe, batch in ((16, 999, "v1", 64), (16, 1000, "v2", 256), (64, 5000, "v1", 4096), (64, 5000, "v2", 1024), (64, 1000, "v2", 512)):
            self.run_program(SIMCLR, "plan", "finetune", *arguments(common, {"image-size": size, "samples": samples, "recipe": recipe}))
            planned = json.loads(file.read_text())
            self.assertEqual((planned["batch_size"], planned["schedule"]["steps"]), (batch, 30 * (samples // batch)))
        self.assertIn("option --recipe: auto needs weights; give v1 or v2", refusal())
        self.assertIn("--batch-size: 64 cannot be divided among 3 ranks", refusal(recipe="v1", ranks=3))
        # The run of a data set takes the same batch.
        self.pretrain(SMALL, steps=1)
        checkpoint, self.run_dir = self.run_dir, self.run_dir.with_name("finetune")
        self.run_program(SIMCLR, "finetune", *arguments({"checkpoint": checkpoint, "data": self.data, "eval-data": self.data,
                                                         "run-dir": self.run_dir, "max-steps": 0}))
        self.assertIn("batch-size = 32\n", (self.run_dir / "config.cfg").read_text())
        self.run_program(SIMCLR, "plan", "finetune", *arguments(common, {"image-size": 16, "samples": SAMPLES, "recipe": "v1"}))
        self.assertEqual(json.loads(file.read_text())["batch_size"], 32)
        self.assertIn("option --batch-size: 64 is more than the 48 labeled images",
                      refusal(**{"recipe": "v1", "samples": SAMPLES, "batch-size": 64}))

    def test_a_probe_without_data_takes_the_number_of_classes(self):
        probe = {**SMALL, "probe": "on"}
        with_data, _ = self.plan(probe)
        file = self.top / "probe.json"
        common = {"machine": MACHINE, "json": file, "samples": SAMPLES}
        self.run_program(SIMCLR, "plan", *arguments(COMMON, common, probe, {"classes": 4}))
        without = json.loads(file.read_text())
        for key in ("arena_bytes", "parameter_bytes", "input_bytes"):
            self.assertEqual(without["memory"][key], with_data["memory"][key], key)
        self.assertGreater(without["memory"]["parameter_bytes"], self.plan(SMALL)[0]["memory"]["parameter_bytes"])
        self.refused("option --classes: missing; give the number of classes", data=None, samples=SAMPLES, probe="on")
        self.refused("option --classes", "has 4 classes, not 5", probe="on", classes=5)

    def test_steps_rates_and_checkpoints(self):
        options = {**SMALL, "log-every": 1, "keep": 2, "divergence-steps": 0}
        planned, text = self.plan(options)
        self.pretrain(options, steps=9)
        self.assertEqual(planned["schedule"]["steps"], 9)
        self.assertIn("3 per epoch, 9 in total", text)
        rows = [json.loads(line) for line in (self.run_dir / "metrics.jsonl").read_text().splitlines()]
        self.assertEqual(len(rows), 9)
        for step, rate in planned["schedule"]["learning_rate"]:
            self.assertAlmostEqual(rows[step]["learning_rate"], rate, delta=1e-7 * rate + 1e-12)
        files = list((self.run_dir / "checkpoints").iterdir())
        self.assertEqual(planned["checkpoint"]["kept"], len(files))
        for file in files:
            size = file.stat().st_size
            self.assertLess(abs(planned["checkpoint"]["bytes"] - size), 0.01 * size)

    def test_refusals(self):
        self.refused("--batch-size: 16 cannot be divided among 3 ranks", ranks=3)
        self.refused("option --ranks: '0' is not accepted; allowed: a whole number, 1 or more", ranks=0)
        self.refused("--bn-group", ranks=2, bn_group=12)
        self.refused("more than the 48 images", batch_size=64)
        self.refused("--data", "--samples", data=None)
        self.refused("--checkpoint-every-minutes", checkpoint_every_minutes=0, checkpoint_every_epochs=0)
        self.refused("--cache: 'device' is not accepted", cache="device")
        self.refused("fp16 needs a GPU", precision="fp16")
        self.refused("--precision", precision="fp8")
        self.refused("--json", "there is no directory", json=self.top / "nowhere" / "plan.json")
        self.refused("--rnaks", "did you mean 'ranks'", rnaks=3)
        # A node with room for all but a tenth of what depends on the batch, whatever the program itself takes.
        memory = self.plan(SMALL)[0]["memory"]
        need = memory["host_bytes"] + memory["cache_bytes_per_node"] - 0.1 * memory["arena_bytes"]
        self.refused("ranks of a node need", "--batch-size", node_memory_gb=need / 1e9)
        self.refused("ranks of a node need", "no batch fits", node_memory_gb=0.01)
        self.refused("--cache", "--cache none", data=None, samples=10**9, node_memory_gb=1)
        self.refused("--time-limit-minutes", data=None, samples=10**9, time_limit_minutes=1)

    def test_refuses_a_run_directory_of_another_configuration(self):
        self.pretrain(SMALL)
        before = sorted((p, p.stat().st_mtime_ns) for p in self.run_dir.rglob("*"))
        self.refused("--temperature", "a run cannot change it", run_dir=self.run_dir, temperature=0.7)
        self.refused("holds a run", run_dir=self.run_dir, resume="none")
        self.plan(SMALL, {"run-dir": self.run_dir})
        self.assertEqual(sorted((p, p.stat().st_mtime_ns) for p in self.run_dir.rglob("*")), before)

    def test_plans_for_gpus_without_having_one(self):
        planned, text = self.plan({"ranks": 16, "batch-size": 32}, {"device": "auto"}, machine="h100")
        self.assertEqual(planned["precision"], "bf16")
        self.assertEqual(planned["nodes"], 2)
        self.assertIn("not measured on a GPU", text)
        self.assertRegex(text, r"each GPU needs \d+ views/s from the host's cores")
        self.assertTrue(planned["memory"]["workspace_is_allowance"])

    def test_measures_this_machine_and_writes_its_file(self):
        file = self.top / "machine.json"
        measured, _ = self.plan(SMALL, {"write-machine": file}, machine="measured")
        again, _ = self.plan(SMALL, machine=file)
        self.assertEqual(again["machine"]["origin"], str(file))
        self.assertGreater(measured["model"]["seconds_step"], 0)
        # `seconds_step` may differ, since the measured rank may have more cores for its loader.
        for key in ("seconds_compute", "core_seconds_rendering"):
            self.assertAlmostEqual(again["model"][key], measured["model"][key],
                                   delta=1e-6 * measured["model"][key])

    def test_refuses_more_threads_than_the_machine_has(self):
        self.refused("--machine", "--write-machine", machine="measured", threads=4096)


if __name__ == "__main__":
    unittest.main(module="__main__", argv=[sys.argv[0], *sys.argv[3:]])
