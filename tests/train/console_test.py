"""What a user at a terminal does and sees: going on with a run by its directory alone, Ctrl-C, the live line, and the
lines that say what to do next.

usage: console_test.py SIMCLR MPIEXEC [unittest arguments]
"""
import fcntl
import os
import pty
import re
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
import types
from pathlib import Path

import h5py
import numpy as np

from training_runs import BATCH, SAMPLES, SIMCLR, TrainingTest, main

TIME = r"\[\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d\] "
STEPS_PER_EPOCH = SAMPLES // BATCH


class RunDirectoryAloneTest(TrainingTest):
    def go_on(self, *options, expect=0, run_dir=None):
        done = subprocess.run([SIMCLR, "pretrain", "--run-dir", run_dir or self.run_dir, *options], capture_output=True,
                              text=True, timeout=120, check=False)
        self.assertEqual(done.returncode, expect, done.stdout + done.stderr)
        return done

    def test_goes_on_with_the_stored_options(self):
        straight = self.run_dir.parent / "straight"
        self.pretrain(run_dir=straight, max_steps=6)
        # --resume none and the time limit belong to the first start only.
        self.pretrain(max_steps=3, resume="none", stop_before_minutes=1,
                      environment={"SLURM_JOB_END_TIME": str(int(time.time()) + 3600)})
        self.go_on("--max-steps", "6")
        self.assertEqual(self.checkpoint(6).read_bytes(), self.checkpoint(6, straight).read_bytes())

    def test_a_finished_run_says_so(self):
        self.pretrain(max_steps=2)
        before = self.checkpoint(2).stat().st_mtime_ns
        done = self.go_on()
        self.assertRegex(done.stdout, f"{TIME}{self.run_dir} is at step 2 of 24: nothing is left to do; a --max-steps above 2 goes on")
        self.assertEqual(self.checkpoint(2).stat().st_mtime_ns, before)
        self.assertIn("nothing is left to do", self.go_on("--dry-run").stdout)
        done = self.go_on("--max-steps", "0")
        self.assertIn("steps 2 to 2,", done.stdout)
        self.assertIn("is at step 2 of 24: nothing is left to do", done.stdout)

    def test_a_moved_run_goes_on_at_its_new_place(self):
        self.pretrain(max_steps=2)
        moved = self.run_dir.parent / "moved here"
        shutil.move(self.run_dir, moved)
        self.go_on("--max-steps", "3", run_dir=moved)
        self.assertTrue(self.checkpoint(3, moved).exists())
        self.assertFalse(self.run_dir.exists())

    def test_goes_on_with_data_that_were_moved(self):
        self.pretrain(max_steps=2)
        moved = self.run_dir.parent / "moved data"
        shutil.copytree(self.data, moved)
        self.go_on("--data", moved, "--max-steps", "3")
        self.assertIn(f"data = {moved}\n", (self.run_dir / "config.cfg").read_text())
        self.assertEqual([row["step"] for row in self.rows()], [1, 2, 3])
        other = self.run_dir.parent / "other data"
        other.mkdir()
        with h5py.File(other / "a.h5", "w") as file:
            file["images"] = np.zeros((SAMPLES, 16, 16, 3), np.uint8)
        # Other data are refused.
        self.assertIn("does not hold the data", self.go_on("--data", other, expect=2).stderr)

    def test_the_rules_of_resuming_hold(self):
        self.pretrain(max_steps=2)
        self.assertIn("option --seed: this run was started with '1'", self.go_on("--seed", "2", expect=2).stderr)

    def test_a_directory_without_a_run_needs_data(self):
        done = self.go_on(expect=2)
        self.assertRegex(done.stderr, r"\Asimclr: error: option --data: missing; give DIR, [^\n]*\n\Z")
        self.assertFalse(self.run_dir.exists())


class CtrlCTest(TrainingTest):
    def interrupted(self):
        """Returns a run that has got one Ctrl-C while it is stopped, so that it has not reacted yet."""
        process = self.start(1, epochs=1000, log_every=1)
        self.wait_for_step(process, 2)
        process.send_signal(signal.SIGINT)
        return process

    def test_writes_a_checkpoint_and_ends_with_75(self):
        process = self.interrupted()
        out, err = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 75, out + err)
        self.assert_state(status="stopped-early", cause="signal", reason="signal SIGINT", resubmit=True)
        self.assertTrue(self.checkpoint(self.state()["step"]).exists())
        self.assertIn("Ctrl-C again ends at once", err)
        self.assertIn(f"to go on: simclr pretrain --run-dir {self.run_dir}", out)

    def test_a_second_one_ends_at_once(self):
        process = self.start(1, epochs=1000, log_every=1)
        self.wait_for_step(process, 2)
        process.send_signal(signal.SIGSTOP)  # so that both arrive before the program reacts
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGCONT)
        deadline = time.monotonic() + 5
        while process.poll() is None and time.monotonic() < deadline:
            process.send_signal(signal.SIGINT)
            time.sleep(0.001)
        self.assertEqual(process.wait(5), -signal.SIGINT)
        self.assertEqual(self.state()["status"], "running")


class LiveLineTest(TrainingTest):
    def watch(self, columns, **changed):
        """Runs on a pseudo-terminal of this width, with stderr there as well, and returns what it printed."""
        controller, terminal = pty.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        process = subprocess.Popen(self.command(1, **changed), stdout=terminal, stderr=terminal)
        self.addCleanup(process.kill)
        os.close(terminal)
        text = b""
        while True:
            try:
                part = os.read(controller, 65536)
            except OSError:  # the program has closed the terminal
                break
            text += part
        os.close(controller)
        self.assertEqual(process.wait(60), 0, text)
        return text.decode()

    def screen(self, text):
        """What stays on the screen: carriage returns go to the beginning of a line, ESC[K erases the rest of it."""
        lines = []
        for line in text.replace("\r\n", "\n").split("\n"):
            shown, column = "", 0
            for part in re.split(r"(\r|\x1b\[K)", line):
                if part == "\r":
                    column = 0
                elif part == "\x1b[K":
                    shown = shown[:column]
                else:
                    shown = shown[:column] + part + shown[column + len(part):]
                    column += len(part)
            lines.append(shown)
        return lines

    def test_fits_the_terminal_and_never_sticks_to_log_lines(self):
        for columns in (40, 200):
            with self.subTest(columns=columns):
                text = self.watch(columns, max_steps=6, run_dir=self.run_dir.parent / str(columns),
                                  checkpoint_steps="0,1,2,3,4,5", log_every=100)
                live = re.findall(r"(epoch [^\r\x1b]*)\x1b\[K\r", text)
                self.assertGreater(len(live), 0, text)
                self.assertLess(max(map(len, live)), columns)
                self.assertEqual("images/s" in live[0], columns == 200)
                for line in self.screen(text):
                    self.assertFalse(re.search(r".epoch |left\[|.simclr: ", line), line)
                    if line.startswith("["):
                        self.assertRegex(line, f"^{TIME}")

    def test_a_failure_stays_apart_from_the_live_line(self):
        controller, terminal = pty.openpty()
        process = subprocess.Popen(self.command(1, optimizer="sgd", learning_rate=1e30, warmup_epochs=0),
                                   stdout=terminal, stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.kill)
        os.close(terminal)
        err = process.stderr.read()
        process.stderr.close()
        os.close(controller)
        self.assertEqual(process.wait(60), 1)
        self.assertRegex(err, r"(?m)^simclr: error: ")


class NextStepTest(TrainingTest):
    def test_pretraining_says_where_the_report_is_and_how_to_evaluate(self):
        run = self.run_dir.parent / "my run"
        out = self.pretrain(run_dir=run, max_steps=1, eval_data=self.data).stdout
        self.assertRegex(out.splitlines()[-1], TIME)
        self.assertTrue(out.endswith(f"report: {run}/report.html; to evaluate: simclr linear-eval --checkpoint '{run}' "
                                     f"--train-data {self.data} --test-data {self.data}\n"), out)
        self.assertTrue((run / "report.html").exists())
        command = out.splitlines()[-1].split("to evaluate: ")[1]
        done = subprocess.run(command.replace("simclr", SIMCLR, 1) + " --dry-run", shell=True, capture_output=True,
                              text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_export_says_what_the_weights_expect(self):
        for changed, expected in (({}, "RGB in [0, 1], not normalized; it was trained on 16 x 16 pixels"),
                                  ({"mean": "0.5,0.5,0.5", "std": "0.25,0.25,0.25"},
                                   "RGB in [0, 1], normalized by mean 0.5,0.5,0.5 and standard deviation 0.25,0.25,0.25")):
            run = self.run_dir.parent / str(len(changed))
            self.pretrain(run_dir=run, max_steps=1, **changed)
            done = subprocess.run([SIMCLR, "export", run], capture_output=True, text=True, check=True)
            self.assertIn(f"the encoder expects {expected}", done.stdout)
            self.assertIn("torchvision has no such encoder (width 0.125)", done.stdout)

    def test_the_lines_of_python_load_the_encoder(self):
        try:
            import torch  # pylint: disable=import-outside-toplevel
            sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts" / "pytorch"))
            from simclr_torch import read_safetensors  # pylint: disable=import-outside-toplevel
        except ImportError:
            self.skipTest("needs PyTorch")
        # Stands in for the package safetensors, which the tests do not need otherwise.
        package, module = types.ModuleType("safetensors"), types.ModuleType("safetensors.torch")
        package.torch = module
        module.load_file = lambda path: {name: torch.tensor(v) for name, v in read_safetensors(path)[0].items()}
        sys.modules.update({"safetensors": package, "safetensors.torch": module})
        for stem in ("cifar", "imagenet"):
            run = self.run_dir.parent / stem
            self.pretrain(run_dir=run, max_steps=0, width=1, stem=stem, image_size=32)
            done = subprocess.run([SIMCLR, "export", run, "--output", run / "e.safetensors"], capture_output=True,
                                  text=True, check=True)
            code = "\n".join(line.strip() for line in done.stdout.splitlines() if line.startswith("  "))
            self.assertIn("load_state_dict", code)
            names = {}
            exec(code, names)  # pylint: disable=exec-used
            with torch.no_grad():
                self.assertEqual(tuple(names["encoder"].eval()(torch.zeros(1, 3, 32, 32)).shape), (1, 512))


if __name__ == "__main__":
    main()
