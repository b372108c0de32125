"""`simclr finetune` and `supervised` on real images: labels, weights, restarts, ranks, results, refusals.

usage: classifier_test.py SIMCLR MPIEXEC [unittest arguments]
"""
import json
import math
import os
import subprocess

import h5py
import numpy as np

from training_runs import MPIEXEC, SIMCLR, TrainingTest, main

PRETRAINING = {"image-size": 16, "encoder": "resnet18", "width": 0.125, "stem": "cifar", "batch-size": 16,
               "head-layers": 3, "embedding-dim": 16, "epochs": 4, "warmup-epochs": 0, "learning-rate": 0.1,
               "lr-scaling": "none", "mean": "0.5,0.5,0.5", "std": "0.25,0.25,0.25", "threads": 1, "loader-threads": 1,
               "augment": "crop,flip", "interpolation": "bilinear"}
OPTIONS = {"batch-size": 16, "epochs": 3, "log-every": 1, "checkpoint-every-epochs": 0, "threads": 1, "loader-threads": 1}


def run(*words, expect=0):
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == expect, done.stdout + done.stderr
    return done


def write_shard(path, like, copies=1, **changed):
    """A shard with the images of another one."""
    path.mkdir()
    with h5py.File(sorted(like.glob("*.h5"))[0]) as old, h5py.File(path / f"{path.name}-00000-of-00001.h5", "w") as new:
        new["images"] = np.tile(old["images"][:], (copies, 1, 1, 1))
        for name, values in changed.items():
            new[name] = values


class ClassifierTest(TrainingTest):
    COMMAND, OPTIONS = "finetune", OPTIONS

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.pretrained = cls.top / "pretrained"
        run(SIMCLR, "pretrain", "--data", cls.data, "--run-dir", cls.pretrained, "--max-steps", 4,
            *(f"--{name}={value}" for name, value in PRETRAINING.items()))
        shards = sorted(cls.data.glob("*.h5"))
        labels = []
        for shard in shards:
            with h5py.File(shard) as file:
                labels.append(file["labels"][:])
        cls.labels = np.concatenate(labels)

    def command(self, ranks, run_dir=None, **changed):
        options = {"checkpoint": self.pretrained, "eval_data": self.data}
        if changed.pop("command", self.COMMAND) == "supervised":
            options = {"eval_data": self.data}
        options.update(changed)
        return super().command(ranks, run_dir, **{k: v for k, v in options.items() if v is not None})

    def result(self, run_dir=None, protocol="finetune"):
        files = sorted(((run_dir or self.run_dir) / "eval").glob(f"{protocol}-step-*.json"))
        return json.loads(files[-1].read_text())

    def drawn(self, run_dir=None):
        return [int(line) for line in ((run_dir or self.run_dir) / "labels.txt").read_text().split()]

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
            self.assertFalse(self.run_dir.exists(), list(self.run_dir.rglob("*")) if self.run_dir.exists() else "")

    def test_a_run_begins_with_the_weights_and_takes_model_and_preprocessing_from_them(self):
        done = self.pretrain(checkpoint_steps="0", max_steps=2)
        with h5py.File(self.checkpoint(0)) as own, h5py.File(self.pretrained / "checkpoints/step-0000000004.h5") as source:
            for group in ("parameters", "running"):
                shared = [name for name in own[group] if not name.startswith("classifier")]
                self.assertTrue(all(not name.startswith("projection_head") for name in shared), shared)
                self.assertGreater(len(shared), 39)
                for name in shared:
                    np.testing.assert_array_equal(own[group][name][:], source[group][name][:], name)
            self.assertFalse(own["parameters/classifier.weight"][:].any())
            self.assertEqual(own["parameters/classifier.weight"].shape, (10, 64))
        first = self.rows()[0]
        self.assertEqual(list(first)[3:7], ["loss", "top1", "top5", "learning_rate"])
        self.assertAlmostEqual(first["loss"], math.log(10), places=5)
        stored = self.stored()
        for name in ("width", "mean", "std", "interpolation", "image-size", "head-layers"):
            self.assertEqual(stored[name], str(PRETRAINING[name]), name)
        self.assertEqual(stored["recipe"], "v1")
        result = self.result()
        self.assertEqual(result["labels"], 96)
        self.assertIn("finetune: top-1", done.stdout + done.stderr)

    def test_the_recipes(self):
        self.pretrain(max_steps=0, recipe="v1")
        v1 = self.stored()
        self.pretrain(max_steps=0, recipe="v2", run_dir=self.run_dir.parent / "v2")
        v2 = self.stored(self.run_dir.parent / "v2")
        names = ("optimizer", "nesterov", "learning-rate", "lr-scaling", "weight-decay", "momentum", "warmup-epochs")
        self.assertEqual([v1[n] for n in names], ["sgd", "true", "0.05", "linear", "0", "0.9", "0"])
        self.assertEqual([v2[n] for n in names], ["lars", "false", "0.005", "sqrt", "0", "0.9", "0"])
        run(SIMCLR, "supervised", "--data", self.data, "--eval-data", self.data, "--run-dir", self.run_dir.parent / "s", "--batch-size=32",
            "--encoder=resnet18", "--width=0.125", "--image-size=16", "--max-steps=0", "--threads=1", "--loader-threads=1")
        supervised = self.stored(self.run_dir.parent / "s")
        self.assertEqual([supervised[n] for n in names], ["sgd", "true", "0.1", "linear", "0.0001", "0.9", "0"])
        self.assertEqual((supervised["epochs"], supervised["augment"]), ("90", "crop,flip"))

    def test_a_smaller_batch_and_more_epochs_are_the_default_of_few_labels_on_small_images(self):
        run(SIMCLR, "finetune", "--checkpoint", self.pretrained, "--data", self.data, "--eval-data", self.data,
            "--run-dir", self.run_dir, "--max-steps=0", "--threads=1", "--loader-threads=1")
        self.assertEqual((self.stored()["batch-size"], self.stored()["epochs"]), ("64", "30"))
        for command, more in (("finetune", ["--checkpoint", self.pretrained]), ("supervised", ["--image-size=16"])):
            few = self.run_dir.parent / f"few-{command}"
            run(SIMCLR, command, *more, "--data", self.data, "--eval-data", self.data, "--run-dir", few, "--max-steps=0",
                "--label-fraction=0.25", "--encoder=resnet18", "--width=0.125", "--stem=cifar", "--threads=1")
            self.assertEqual(self.stored(few)["batch-size"], "16")

    def test_restarts_change_no_bit(self):
        for ranks, options in ((1, {}), (2, {"from_head_layer": 1, "label_fraction": 0.5, "freeze": 1})):
            with self.subTest(ranks=ranks):
                directories = [self.run_dir.parent / f"{name}{ranks}" for name in ("straight", "restarted")]
                for directory, stops in zip(directories, ((6,), (2, 6))):
                    for stop in stops:
                        # A run that has begun needs neither its weights nor options that are not given.
                        self.pretrain(ranks, run_dir=directory, max_steps=stop, **(options if stop == stops[0] else {}),
                                      **({} if stop == stops[0] else {"checkpoint": None, "batch_size": 16}))
                self.assertEqual(*(self.checkpoint(6, directory).read_bytes() for directory in directories))
                self.assertEqual(*(self.result(directory)["top1"] for directory in directories))

    def test_one_two_and_four_ranks_compute_the_same(self):
        losses, results = {}, {}
        for ranks in (1, 2, 4):
            directory = self.run_dir.parent / f"ranks{ranks}"
            self.pretrain(ranks, run_dir=directory, label_fraction=0.5, max_steps=3, recipe="v2", from_head_layer=2)
            losses[ranks], results[ranks] = self.losses(directory), self.result(directory)
            self.assertEqual(self.drawn(directory), self.drawn(self.run_dir.parent / "ranks1"))
        for ranks in (2, 4):
            self.assert_close(losses[ranks], losses[1], 1e-4)
            self.assertLessEqual(abs(results[ranks]["top1"] - results[1]["top1"]), 2 / 96)

    def test_drawn_labels_are_balanced_nested_and_independent_of_the_cache(self):
        drawn = {}
        for name, options in {"4": {"labels_per_class": 4, "cache": "none"}, "2": {"labels_per_class": 2},
                              "other": {"labels_per_class": 2, "label_seed": 5},
                              "half": {"label_fraction": 0.5, "cache": "distributed"}}.items():
            directory = self.run_dir.parent / name
            self.pretrain(run_dir=directory, max_steps=1, **options)
            drawn[name] = self.drawn(directory)
            result = self.result(directory)
            counts = np.bincount(self.labels[drawn[name]], minlength=10)
            self.assertEqual([result["labels"], result["labels_per_class"]],
                             [len(drawn[name]), [int(counts.min()), int(counts.max())]])
        np.testing.assert_array_equal(np.bincount(self.labels[drawn["4"]]), 4)
        self.assertEqual(len(drawn["half"]), 48)
        self.assertLess(set(drawn["2"]), set(drawn["4"]))
        self.assertNotEqual(drawn["2"], drawn["other"])

    def test_the_run_trains_on_the_chosen_samples_only(self):
        views = self.top / f"{self.run_dir.parent.name}.h5"
        run(SIMCLR, "preview", "finetune", "--output", views, "--steps=0:4", *self.command(1, labels_per_class=2)[2:])
        with h5py.File(views) as file:
            samples, labels = file["sample_index"][:], file["labels"][:]
            self.assertEqual(file["views"].shape, (4, 1, 16, 16, 16, 3))
        self.pretrain(labels_per_class=2, max_steps=0)
        chosen = np.array(self.drawn())
        np.testing.assert_array_equal(self.labels[chosen[samples]], labels)

    def test_frozen_layers_stay_and_the_others_move(self):
        expected = {0: ("conv1", "bn1"), 2: ("conv1", "bn1", "layer1", "layer2"),
                    4: ("conv1", "bn1", "layer1", "layer2", "layer3", "layer4", "projection_head")}
        for freeze, frozen in expected.items():
            directory = self.run_dir.parent / f"freeze{freeze}"
            self.pretrain(run_dir=directory, freeze=freeze, from_head_layer=1, checkpoint_steps="0", max_steps=3)
            with h5py.File(self.checkpoint(0, directory)) as before, h5py.File(self.checkpoint(3, directory)) as after:
                for group in ("parameters", "running"):
                    for name in before[group]:
                        same = np.array_equal(before[group][name][:], after[group][name][:])
                        self.assertEqual(same, name.split(".")[0] in frozen, f"{group} {name} with --freeze {freeze}")

    def test_the_head_layer_decides_what_is_in_the_model(self):
        for layer, width, layers in ((0, 64, 0), (1, 64, 1), (2, 64, 2), (3, 16, 3), (-1, 16, 3)):
            directory = self.run_dir.parent / f"layer{layer}"
            self.pretrain(run_dir=directory, from_head_layer=layer, max_steps=1)
            with h5py.File(self.checkpoint(1, directory)) as file:
                self.assertEqual(file["parameters/classifier.weight"].shape, (10, width))
                head = {name.split(".")[1] for name in file["parameters"] if name.startswith("projection_head")}
            self.assertEqual(head, {str(i) for i in range(layers)})
            self.assertEqual(self.result(directory)["from_head_layer"], layer)
            # Other commands read such a checkpoint, too.
            run(SIMCLR, "knn", "--checkpoint", directory, "--neighbors=5", "--threads=1")
            run(SIMCLR, "inspect", self.checkpoint(1, directory), "--verify")

    def test_a_model_has_the_layers_below_its_classifier(self):
        self.pretrain(from_head_layer=1, max_steps=1)
        sets = ["--train-data", self.data, "--test-data", self.data]
        commands = [["knn", *sets], ["linear-eval", *sets], ["evaluate", *sets, "--dry-run"],
                    ["embed", "--data", self.data, "--output", self.run_dir / "features.h5"]]
        of_run = ["--checkpoint", self.run_dir, "--threads=1"]
        for command in commands:
            for layer in ("head2", "z"):
                done = run(SIMCLR, *command, *of_run, "--layer", layer, expect=2)
                self.assertIn(f"option --layer: '{layer}' is not accepted; allowed: h, layer1, layer2, layer3, layer4, head1 "
                              "(the checkpoint's head has 1 layer; a classifier", done.stderr)
                self.assertNotIn("features", done.stdout)
        done = run(SIMCLR, *commands[-1], *of_run, "--with-z", expect=2)
        self.assertIn(f"option --with-z: {self.checkpoint(1)} has no z", done.stderr)
        self.assertNotIn("features", done.stdout)
        for layer, width in (("layer1", 8), ("head1", 64)):
            run(SIMCLR, *commands[-1], *of_run, "--layer", layer)
            with h5py.File(self.run_dir / "features.h5") as file:
                self.assertEqual(file[layer].shape, (96, width))
        run(SIMCLR, *commands[0], *of_run, "--layer=head1", "--neighbors=5")
        run(SIMCLR, "quality", *of_run, "--data", self.data)
        quality = self.result(protocol="quality")
        self.assertIsNone(quality["rankme_z"])
        self.assertGreater(quality["rankme_h"], 1)
        # Weights without the layers are no better to begin with.
        start, self.run_dir = self.run_dir, self.run_dir.parent / "next"
        for layer in (2, -1):
            self.assert_refused(f"option --from-head-layer: {layer} is beyond", "has 1 layer; a classifier",
                                checkpoint=start, recipe="v1", from_head_layer=layer)
        self.pretrain(checkpoint=start, recipe="v1", from_head_layer=1, max_steps=0)
        # Behind the last layer, a classifier takes no layer away.
        self.run_dir = self.run_dir.parent / "whole"
        self.pretrain(from_head_layer=-1, max_steps=1)
        run(SIMCLR, "embed", "--data", self.data, "--output", self.run_dir / "z.h5", "--checkpoint", self.run_dir, "--with-z")
        with h5py.File(self.run_dir / "z.h5") as file:
            self.assertEqual(file["z"].shape, (96, 16))

    def test_the_recipe_of_weights_that_were_fine_tuned_is_not_guessed(self):
        self.pretrain(max_steps=1)
        exported = self.top / f"{self.run_dir.parent.name}.safetensors"
        run(SIMCLR, "export", self.run_dir, "--output", exported)
        for name, weights in (("run", {"checkpoint": self.run_dir}), ("file", {"checkpoint": None, "weights": exported})):
            self.run_dir = self.run_dir.parent / name / "second"
            self.assert_refused("option --recipe: auto goes by the weight decay of pretraining", "give v1 or v2", **weights)
            self.pretrain(recipe="v2", max_steps=0, **weights)
            self.assertEqual((self.stored()["recipe"], self.stored()["optimizer"]), ("v2", "lars"))

    def test_exported_weights_begin_the_same_run(self):
        exported = self.top / f"{self.run_dir.parent.name}.safetensors"
        run(SIMCLR, "export", "--checkpoint", self.pretrained, "--output", exported)
        self.pretrain(max_steps=2)
        other = self.run_dir.parent / "exported"
        self.pretrain(run_dir=other, checkpoint=None, weights=exported, max_steps=2)
        self.assertEqual(self.losses(), self.losses(other))
        self.assertEqual(self.stored(other)["recipe"], "v1")
        run(SIMCLR, "export", "--checkpoint", self.pretrained, "--encoder-only", "--output", exported)
        third = self.run_dir.parent / "third"
        done = self.pretrain(run_dir=third, checkpoint=None, weights=exported, from_head_layer=1, expect=2)
        self.assertIn("projection_head.0", done.stderr)

    def test_a_signal_stops_all_ranks_with_a_checkpoint_and_the_run_goes_on(self):
        step = self.stop_by_signal(ranks=2, epochs=1000)
        done = run(SIMCLR, "finetune", "--run-dir", self.run_dir, "--max-steps", step + 1)
        self.assertEqual(self.result()["step"], step + 1, done.stdout)

    def test_a_signal_during_the_last_measurement_leaves_it_for_the_next_start(self):
        many = self.top / "many"
        write_shard(many, self.data, labels=np.tile(self.labels[:48], 400), copies=400)
        self.stop_by_signal(ranks=2, max_steps=1, eval_data=many)
        self.assertFalse((self.run_dir / "eval").exists())
        done = run(SIMCLR, "finetune", "--run-dir", self.run_dir, "--dry-run")
        self.assertIn("nothing is left to do but to measure its accuracy; a --max-steps above 1 goes on", done.stdout)
        run(SIMCLR, "finetune", "--run-dir", self.run_dir)
        self.assert_state(status="finished", cause="max-steps")
        self.assertEqual(self.result()["samples"], 400 * 48)

    def test_predictions_agree_with_the_result(self):
        file = self.run_dir.parent / "predictions.h5"
        self.pretrain(2, max_steps=1, predictions=file)
        with h5py.File(file) as predictions:
            top5, label = predictions["top5"][:], predictions["label"][:]
            np.testing.assert_array_equal(label, self.labels)
            np.testing.assert_array_equal(predictions["scores"][:].argmax(1), top5[:, 0])
        result = self.result()
        self.assertAlmostEqual(result["top1"], (top5[:, 0] == label).mean())
        self.assertAlmostEqual(result["top5"], (top5 == label[:, None]).any(1).mean())

    def test_plan_and_dry_run_know_the_commands(self):
        done = self.pretrain(dry_run=True, label_fraction=0.5)
        self.assertIn("steps 0 to 9, 3 an epoch", done.stdout)
        plan = self.top / f"{self.run_dir.parent.name}.json"
        run(SIMCLR, "plan", "finetune", "--json", plan, "--machine=h100", *self.command(1, label_fraction=0.5)[2:])
        planned = json.loads(plan.read_text())
        self.assertEqual(planned["schedule"]["steps"], 9)

    def test_refusals(self):
        few = self.top / "few.txt"
        few.write_text("0\n1\n")
        unlabeled, strangers = self.top / "unlabeled", self.top / "strangers"
        if not unlabeled.exists():
            write_shard(unlabeled, self.data)
            write_shard(strangers, self.data, labels=np.full(48, 10, np.int64))
        self.assert_refused("--eval-data", "no labels", eval_data=unlabeled)
        self.assert_refused("--data", "no labels", data=unlabeled)
        self.assert_refused("--eval-data", "11 classes", eval_data=strangers)
        self.assert_refused("--eval-data: missing", eval_data=None)
        self.assert_refused("options --label-fraction and --labels-per-class: both choose", label_fraction=0.5, labels_per_class=1)
        self.assert_refused("--label-fraction", "without any", label_fraction=0.05)
        self.assert_refused("--labels-per-class", labels_per_class=90)
        self.assert_refused("--batch-size: 64", "at most 48", label_fraction=0.5, batch_size=64)
        self.assert_refused("--from-head-layer: 4", "3 layers", from_head_layer=4)
        self.assert_refused("--checkpoint: missing", checkpoint=None)
        done = self.pretrain(expect=2, checkpoint=None, dry_run="elsewhere")
        self.assertIn("--checkpoint: missing", done.stderr)
        self.assert_refused("--checkpoint and --weights", weights=few)
        self.assert_refused(few.name, checkpoint=None, weights=few)
        self.assert_refused("--mean: '0.1,0.2,0.3'", "trained with", mean="0.1,0.2,0.3", std="1,1,1")
        self.assert_refused("--width", "leave the option out", width=0.25)
        self.assert_refused("--classes: 9", classes=9)
        self.assert_refused("--nesterov", optimizer="lars", nesterov=True)
        self.assert_refused("--labels-file", "hash", labels_file=few, labels_hash="00", batch_size=2)

    def test_a_run_of_another_command_is_refused(self):
        for command, run_dir in (("finetune", self.pretrained), ("supervised", self.pretrained)):
            done = run(SIMCLR, command, "--run-dir", run_dir, expect=2)
            self.assertIn(f"config.cfg is of a run of 'pretrain', not of '{command}'", done.stderr)
        self.pretrain(max_steps=1)
        for dry in ((), ("--dry-run",), ("--dry-run=elsewhere",)):
            done = run(SIMCLR, "pretrain", "--data", self.data, "--run-dir", self.run_dir, *dry, expect=2)
            self.assertIn("is of a run of 'finetune', not of 'pretrain'", done.stderr)

    def test_no_result_or_checkpoint_is_replaced_by_another(self):
        other = self.top / "other-data"
        if not other.exists():
            write_shard(other, self.data, labels=self.labels[:48])
        self.pretrain(max_steps=1)
        self.pretrain(max_steps=1, eval_data=other)
        names = sorted(file.name for file in (self.run_dir / "eval").iterdir())
        self.assertEqual(names, ["finetune-step-0000000001-other-data.json", "finetune-step-0000000001.json"])
        for folder in ("checkpoints", "eval"):
            done = self.pretrain(expect=2, max_steps=1, predictions=self.run_dir / folder / "finetune-step-0000000001.json")
            self.assertIn(f"option --predictions: {self.run_dir / folder}", done.stderr)

    def test_a_new_run_resumes_from_a_file_without_the_weights(self):
        self.pretrain(max_steps=2)
        new = self.run_dir.parent / "new"
        for steps in (2, 3):
            self.pretrain(run_dir=new, checkpoint=None, resume=self.checkpoint(2), max_steps=steps)
            self.assertEqual(self.result(new)["step"], steps)

    def test_what_fails_after_training_is_no_refusal(self):
        if os.geteuid() != 0:
            self.skipTest("only root seems to be allowed to write into /proc, which refuses it later")
        self.run_dir.mkdir()
        (self.run_dir / "eval").symlink_to("/proc")
        self.assertIn("eval", self.pretrain(expect=1, max_steps=1).stderr)
        self.assert_state(status="failed", cause="io")

    def test_a_file_in_place_of_the_results_is_refused_before_training(self):
        self.run_dir.mkdir()
        (self.run_dir / "eval").write_text("in the way")
        for dry in ({}, {"dry_run": True}):
            done = self.pretrain(expect=2, max_steps=1, **dry)
            self.assertIn(f"{self.run_dir / 'eval'}: is not a directory", done.stderr)
            self.assertEqual([path.name for path in self.run_dir.iterdir()], ["eval"])

    def test_what_is_in_place_of_a_file_is_refused_before_any_is_written(self):
        for name in ("labels.txt", "environment.json"):
            directory = self.run_dir.parent / name / "run"
            (directory / name).mkdir(parents=True)
            for dry in ({}, {"dry_run": True}):
                done = self.pretrain(expect=2, run_dir=directory, **dry)
                self.assertIn(f"option --run-dir: {directory / name} is not a plain file", done.stderr)
                self.assertEqual([path.name for path in directory.iterdir()], [name])

    def test_predictions_of_another_evaluation_are_not_replaced(self):
        file = self.run_dir.parent / "predictions.h5"
        evaluation = [SIMCLR, "knn", "--checkpoint", self.pretrained, "--train-data", self.data, "--test-data", self.data,
                      "--threads", 1, "--predictions", file]
        run(*evaluation, "--neighbors", 5)
        before = file.read_bytes()
        words = f"option --predictions: cannot write {file}: it exists and is of another evaluation"
        self.assertIn(words, self.pretrain(expect=2, max_steps=1, predictions=file).stderr)
        self.assertIn(words, run(*evaluation, "--neighbors", 6, expect=2).stderr)
        self.assertEqual(file.read_bytes(), before)
        run(*evaluation, "--neighbors", 5)
        file.unlink()
        for steps in (1, 2):
            self.pretrain(max_steps=steps, predictions=file)
        self.assertIn(words, self.pretrain(expect=2, run_dir=self.run_dir.parent / "other", predictions=file).stderr)

    def test_classes_without_a_labeled_sample_are_named(self):
        named = self.top / "named"
        if not named.exists():
            write_shard(named, self.data, labels=self.labels[:48])
            with h5py.File(next(named.iterdir()), "a") as shard:
                shard.attrs["class_names"] = [f"class {label}" for label in range(12)]
        done = self.pretrain(data=named, eval_data=named, max_steps=1)
        self.assertIn("no labeled sample of 2 classes (class 10, class 11)", done.stdout + done.stderr)
        self.assertEqual(self.result()["labels_per_class"][0], 0)

    def test_a_run_that_goes_on_takes_no_second_choice_of_samples(self):
        self.pretrain(label_fraction=0.5, max_steps=1)
        done = run(SIMCLR, "finetune", "--run-dir", self.run_dir, "--labels-file", self.run_dir / "labels.txt", expect=2)
        self.assertIn("options --labels-file and --label-fraction: both choose the samples to train on; give one of them, "
                      "and none to go on with a run", done.stderr)

    def test_a_run_keeps_its_labels_and_weights(self):
        chosen = self.top / f"{self.run_dir.parent.name}.txt"
        chosen.write_text("\n".join(map(str, range(32))))
        self.pretrain(max_steps=1, labels_file=chosen)
        chosen.write_text("\n".join(map(str, range(1, 33))))
        done = self.pretrain(expect=2, max_steps=2, labels_file=chosen)
        self.assertRegex(done.stderr, "option --labels-file: chooses other samples")
        chosen.write_text("\n".join(map(str, range(32))))
        done = self.pretrain(expect=2, max_steps=2, labels_file=chosen, from_head_layer=1)
        self.assertRegex(done.stderr, "option --from-head-layer: this run was started with '0'")
        self.pretrain(2, max_steps=2, labels_file=chosen)
        chosen.unlink()
        own = self.run_dir / "labels.txt"
        go_on = SIMCLR, "finetune", "--run-dir", self.run_dir, "--max-steps", 3
        self.assertIn(f"option --labels-file: there is no {chosen} any more; {own} lists", run(*go_on, expect=2).stderr)
        run(*go_on, "--labels-file", own)
        done = run(*go_on, "--checkpoint", self.run_dir, expect=2)
        self.assertIn(f"option --checkpoint: this run was started with '{self.pretrained}'", done.stderr)
        self.assertIn("needs neither", run(*go_on, "--weights", own, expect=2).stderr)


if __name__ == "__main__":
    main()
