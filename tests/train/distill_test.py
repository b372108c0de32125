"""`simclr distill` on real images: what it takes from the teacher, restarts, ranks, results, refusals.

usage: distill_test.py SIMCLR MPIEXEC [unittest arguments]
"""
import json
import math
import subprocess

import h5py
import numpy as np

from training_runs import SIMCLR, TrainingTest, main

MODEL = {"image-size": 16, "encoder": "resnet18", "width": 0.125, "mean": "0.5,0.5,0.5", "std": "0.25,0.25,0.25",
         "interpolation": "bilinear"}
OPTIONS = {"batch-size": 16, "epochs": 3, "warmup-epochs": 0, "learning-rate": 0.1, "log-every": 1, "checkpoint-every-epochs": 0,
           "threads": 1, "loader-threads": 1}


def run(*words):
    subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=120, check=True)


def write_shard(path, like, **changed):
    """A shard with the images of another one, and no labels unless they are given."""
    path.mkdir()
    with h5py.File(sorted(like.glob("*.h5"))[0]) as old, h5py.File(path / f"{path.name}-00000-of-00001.h5", "w") as new:
        new["images"] = old["images"][:]
        for name, values in changed.items():
            new[name] = values


class DistillTest(TrainingTest):
    COMMAND, OPTIONS = "distill", OPTIONS

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.teacher = cls.top / "teacher"
        run(SIMCLR, "supervised", "--data", cls.data, "--eval-data", cls.data, "--run-dir", cls.teacher, "--epochs=4",
            "--batch-size=16", "--threads=1", "--loader-threads=1", *(f"--{name}={value}" for name, value in MODEL.items()))
        cls.unlabeled = cls.top / "unlabeled"
        write_shard(cls.unlabeled, cls.data)

    def command(self, ranks, run_dir=None, **changed):
        options = {"teacher": self.teacher, "eval_data": self.data}
        options.update(changed)
        return super().command(ranks, run_dir, **{k: v for k, v in options.items() if v is not None})

    def result(self, run_dir=None):
        return json.loads(sorted(((run_dir or self.run_dir) / "eval").glob("distill-step-*.json"))[-1].read_text())

    def stored(self, run_dir=None):
        lines = ((run_dir or self.run_dir) / "config.cfg").read_text().splitlines()
        return dict(line.split(" = ", 1) for line in lines if " = " in line)

    def assert_refused(self, *parts, **changed):
        """By the start and by a dry run, in the same words, and nothing is written."""
        for dry in ({}, {"dry_run": True}):
            done = self.pretrain(expect=2, **changed, **dry)
            lines = [line for line in done.stderr.splitlines() if line.startswith("simclr: error: ")]
            self.assertEqual(len(lines), 1, done.stderr)
            for part in parts:
                self.assertIn(part, lines[0])
            self.assertFalse(self.run_dir.exists())

    def test_the_student_is_like_the_teacher_unless_another_encoder_is_named(self):
        self.pretrain(max_steps=2, checkpoint_steps="0")
        stored = self.stored()
        for name, value in MODEL.items():
            self.assertEqual(stored[name], str(value), name)
        with h5py.File(self.checkpoint(0)) as student, h5py.File(sorted((self.teacher / "checkpoints").glob("*.h5"))[-1]) as teacher:
            self.assertEqual(set(student["parameters"]), set(teacher["parameters"]))  # and none of the teacher's own
            self.assertNotEqual(student["parameters/conv1.weight"][:].tobytes(), teacher["parameters/conv1.weight"][:].tobytes())
        first = self.rows()[0]
        self.assertEqual(list(first)[3:7], ["loss", "teacher_top1", "top1", "learning_rate"])
        self.assertLess(abs(first["loss"] - math.log(10)), 0.5)
        result = self.result()
        self.assertEqual((result["protocol"], result["labels"], result["label_weight"], result["classes"]), ("distill", 0, 0, 10))
        self.assertEqual(result["teacher_hash"], stored["teacher-hash"])
        other = self.run_dir.parent / "narrow"
        self.pretrain(run_dir=other, max_steps=0, encoder="resnet18", width=0.0625)
        self.assertEqual((self.stored(other)["width"], self.stored(other)["mean"]), ("0.0625", MODEL["mean"]))

    def test_images_without_labels(self):
        self.pretrain(data=self.unlabeled, max_steps=3)
        self.assertNotIn("top1", self.rows()[0])

    def test_labels_take_part(self):
        losses = []
        for weight in (0, 0.5, 1):
            directory = self.run_dir.parent / f"weight-{weight}"
            self.pretrain(run_dir=directory, max_steps=1, label_weight=weight)
            losses.append(self.rows(directory)[0]["loss"])
        self.assertAlmostEqual(losses[1], (losses[0] + losses[2]) / 2, places=6)
        self.assertGreater(abs(losses[0] - losses[2]), 1e-4)
        self.assertGreater(self.result(self.run_dir.parent / "weight-0.5")["labels"], 0)

    def test_restarts_change_no_bit(self):
        for ranks, options in ((1, {}), (2, {"distill_temperature": 0.1, "label_weight": 0.25, "width": 0.0625, "encoder": "resnet18"})):
            with self.subTest(ranks=ranks):
                directories = [self.run_dir.parent / f"{name}{ranks}" for name in ("straight", "restarted")]
                for directory, stops in zip(directories, ((6,), (2, 6))):
                    for stop in stops:
                        self.pretrain(ranks, run_dir=directory, max_steps=stop, **options)
                self.assertEqual(*(self.checkpoint(6, directory).read_bytes() for directory in directories))
                self.assertEqual(*(self.result(directory)["top1"] for directory in directories))

    def test_one_two_and_four_ranks_compute_the_same(self):
        losses = {}
        for ranks in (1, 2, 4):
            directory = self.run_dir.parent / f"ranks{ranks}"
            self.pretrain(ranks, run_dir=directory, max_steps=4, label_weight=0.25)
            losses[ranks] = [(row["loss"], row["teacher_top1"], row["top1"]) for row in self.rows(directory)]
        np.testing.assert_allclose(losses[2], losses[1], rtol=1e-4)
        np.testing.assert_allclose(losses[4], losses[1], rtol=1e-4)

    def test_plans_with_and_without_data(self):
        """The teacher says how many classes there are, which encoder the student has and how large images are."""
        plans = []
        samples = 0
        for shard in self.data.glob("*.h5"):
            with h5py.File(shard) as file:
                samples += len(file["images"])
        for of_images in (("--data", self.data), ("--samples", samples)):
            file = self.top / "plan.json"
            run(SIMCLR, "plan", "distill", "--teacher", self.teacher, *of_images, "--machine=h100", "--ranks=2", "--json", file)
            plans.append(json.loads(file.read_text()))
        for what in ("batch_size", "schedule", "model"):
            self.assertEqual(plans[0][what], plans[1][what])
        done = subprocess.run([SIMCLR, "plan", "distill", "--samples=100", "--machine=h100"], capture_output=True, text=True,
                              timeout=120, check=False)
        self.assertEqual(done.returncode, 2)
        self.assertIn("option --teacher: missing", done.stderr)

    def test_refusals(self):
        self.assert_refused("option --teacher: missing", teacher=None)
        self.assert_refused("option --mean", "0.5,0.5,0.5", mean="0,0,0", std="1,1,1")
        self.assert_refused("option --image-size", "16", image_size=20)
        self.assert_refused("option --label-weight", "no labels", data=self.unlabeled, label_weight=0.5)
        self.assert_refused("--label-weight", label_weight=1.5)
        self.assert_refused("--distill-temperature", distill_temperature=0)
        self.assert_refused(str(self.top / "nowhere"), teacher=self.top / "nowhere")

    def test_teachers_without_classifier_are_refused(self):
        pretrained = self.top / "pretrained"
        run(SIMCLR, "pretrain", "--data", self.data, "--run-dir", pretrained, "--max-steps=0", "--encoder=resnet18", "--width=0.125",
            "--image-size=16", "--batch-size=16", "--epochs=1", "--warmup-epochs=0", "--threads=1", "--loader-threads=1")
        self.assert_refused("option --teacher", "no classifier", "simclr finetune", teacher=pretrained)

    def test_classes_that_the_teacher_does_not_know(self):
        more = self.top / "more"
        with h5py.File(sorted(self.data.glob("*.h5"))[0]) as file:
            count = len(file["images"])
        write_shard(more, self.data, labels=np.arange(count) % 12)
        self.assert_refused("option --label-weight", "12 classes", data=more, eval_data=more, label_weight=0.5)
        self.assert_refused("option --eval-data", "12 classes", data=self.unlabeled, eval_data=more)

    def test_another_teacher_is_refused(self):
        self.pretrain(max_steps=1)
        run(SIMCLR, "supervised", "--data", self.data, "--eval-data", self.data, "--run-dir", self.top / "other", "--epochs=1", "--seed=9",
            "--batch-size=16", "--threads=1", "--loader-threads=1", *(f"--{name}={value}" for name, value in MODEL.items()))
        done = self.pretrain(expect=2, max_steps=2, teacher=self.top / "other")
        self.assertIn("option --teacher", done.stderr)


if __name__ == "__main__":
    main()
