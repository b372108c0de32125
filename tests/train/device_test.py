"""Tests on which device a command computes, on a machine without a GPU.

usage: device_test.py SIMCLR MPIEXEC [unittest arguments]
"""
import json
import os
import subprocess

from training_runs import SIMCLR, TrainingTest, main

# Hide all devices, from a driver and from the emulation of one.
os.environ.update(CUDA_VISIBLE_DEVICES="", SIMCLR_EMULATED_DEVICES="0")


class DeviceTest(TrainingTest):
    def refused(self, *command):
        done = subprocess.run([SIMCLR, *map(str, command)], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 2, done.stdout + done.stderr)
        self.assertRegex(done.stderr, r"^simclr: error: option --device: cuda: [^\n]+\n$")
        self.assertEqual(done.stdout, "")
        return done

    def test_cuda_is_refused_in_one_line(self):
        for ranks in (1, 2):
            done = self.pretrain(ranks, expect=2, device="cuda", max_steps=1)
            lines = [line for line in done.stderr.splitlines() if line.startswith("simclr:")]
            self.assertEqual(len(lines), 1, done.stderr)
            self.assertRegex(lines[0], "option --device: cuda: .*(no CUDA backend|no CUDA device|driver)")
            self.assertFalse(self.run_dir.exists())
        for name in ("step", "op", "loss"):
            self.refused("bench", name, "--device", "cuda")

    def test_gpu_only_options_are_refused(self):
        done = self.pretrain(expect=2, max_steps=1, precision="fp16")
        self.assertRegex(done.stderr, r"^simclr: error: option --precision: [^\n]+\n$")
        self.assertFalse(self.run_dir.exists())

    def test_slow_bf16_works_or_is_refused_before_work(self):
        done = subprocess.run(self.command(1, max_steps=1, precision="bf16", allow_slow_bf16=True), capture_output=True,
                              text=True, check=False)
        if done.returncode != 0:
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertRegex(done.stderr, r"^simclr: error: option --precision: bf16: [^\n]*AVX-512[^\n]*use fp32\n$")
            self.assertFalse(self.run_dir.exists())

    def test_auto_computes_on_the_cpu_and_says_why(self):
        done = self.pretrain(max_steps=1)
        line = r"--device auto: computing on the CPU: .*(no CUDA backend|no CUDA device|driver)"
        self.assertRegex(done.stdout, line)
        self.assertNotRegex(self.pretrain(max_steps=2, device="cpu").stdout, line)
        environment = json.loads((self.run_dir / "environment.json").read_text())
        self.assertEqual(environment["ranks"][0]["device"], "cpu")
        self.assertRegex(environment["libraries"]["compute"], r"oneDNN \d")

    def test_the_configuration_states_the_precision_that_auto_meant(self):
        self.pretrain(max_steps=1)
        self.assertIn("\nprecision = fp32\n", (self.run_dir / "config.cfg").read_text())
        self.pretrain(max_steps=2)
        self.pretrain(max_steps=3, precision="fp32")
        self.pretrain(expect=2, max_steps=4, precision="bf16", allow_slow_bf16=True)

    def test_a_restart_says_what_has_changed(self):
        self.pretrain(max_steps=1)
        self.assertNotIn("bit for bit", self.pretrain(max_steps=2).stdout)
        done = self.pretrain(2, max_steps=3)
        self.assertIn("ranks 1 -> 2: the run goes on, but not bit for bit", done.stdout)
        # The run keeps the plans of a GPU.
        file = self.run_dir / "environment.json"
        plans = {"model": "a GPU", "libraries": "its libraries", "choices": {"forward": "engine 3"}}
        file.write_text(json.dumps({**json.loads(file.read_text()), "convolution_plans": plans}))
        self.pretrain(2, max_steps=4)
        self.assertEqual(json.loads(file.read_text())["convolution_plans"], plans)
        # An older version wrote less about the environment.
        file.write_text('{"version": "0.0.1"}')
        self.pretrain(2, max_steps=5)

    def test_a_resumed_run_may_not_change_tf32(self):
        self.pretrain(max_steps=1)
        done = self.pretrain(expect=2, max_steps=2, allow_tf32=True)
        self.assertIn("--allow-tf32", done.stderr)
        self.pretrain(max_steps=2, collectives="mpi", share_device=True, timeout_seconds=30, plan_cache="none")


if __name__ == "__main__":
    main()
