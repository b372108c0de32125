"""Invalid input to `simclr pretrain` is refused before any work, with exit code 2 and one line that
names it, and nothing is written.

usage: refusals_test.py SIMCLR MPIEXEC [unittest arguments]
"""
import signal
import subprocess

import h5py
import numpy as np

from training_runs import SAMPLES, SIMCLR, TrainingTest, main


def total_memory_bytes():
    with open("/proc/meminfo", encoding="ascii") as f:
        return int(f.readline().split()[1]) * 1024


class RefusalsTest(TrainingTest):
    def files(self):
        """Returns every file below the test's folder with the time when it was last written."""
        return {p: None if p.is_dir() else (p.stat().st_size, p.stat().st_mtime_ns)
                for p in self.top.rglob("*")}

    def refused(self, *culprits, ranks=1, **changed):
        before = self.files()
        self.expect_refusal(*culprits, ranks=ranks, **changed)
        self.assertEqual(self.files(), before)

    def each_refused(self, *cases):
        """Expects a refusal for each case (culprits..., options)."""
        before = self.files()
        for case in cases:
            with self.subTest(case=case):
                self.expect_refusal(*case[:-1], **case[-1])
        self.assertEqual(self.files(), before)

    def expect_refusal(self, *culprits, ranks=1, **changed):
        done = self.pretrain(ranks, expect=2, **changed)
        errors = [line for line in done.stderr.splitlines() if line.startswith("simclr:")]
        self.assertEqual(len(errors), 1, done.stderr)
        if ranks == 1:  # mpirun adds words of its own
            self.assertEqual(done.stderr, errors[0] + "\n")
        self.assertTrue(errors[0].startswith("simclr: error: "), errors[0])
        for culprit in culprits:
            self.assertIn(str(culprit), errors[0])
        self.assertEqual(done.stdout, "")

    def shard(self, directory, index, count):
        return directory / f"data-{index:05d}-of-{count:05d}.h5"

    def write_shards(self, *images):
        """Writes a data set of shards as h5py users would, one for each array."""
        directory = self.run_dir.parent / "shards"
        directory.mkdir()
        for i, part in enumerate(images):
            with h5py.File(self.shard(directory, i, len(images)), "w") as f:
                f["images"] = part
        return directory

    # ---- data ---------------------------------------------------------------------------------------

    def test_missing_directory(self):
        self.refused("nowhere", "No such file or directory", data=self.top / "nowhere")
        self.refused("nowhere", ranks=2, data=self.top / "nowhere")

    def test_empty_directory(self):
        empty = self.run_dir.parent / "empty"
        empty.mkdir()
        self.refused(empty, "no shards", data=empty)
        (empty / "notes.txt").write_text("no shard")
        self.refused(empty, "no shards", data=empty)

    def test_no_data_at_all(self):
        self.refused("--data", data="")

    def test_file_that_is_no_hdf5(self):
        text = self.run_dir.parent / "text.h5"
        text.write_text("not HDF5 at all\n" * 100)
        self.refused(text, "HDF5", data=text)
        self.refused(text, "HDF5", ranks=2, data=text)
        shards = self.write_shards(np.zeros((32, 16, 16, 3), np.uint8))
        self.shard(shards, 0, 1).write_bytes(b"")
        self.refused(self.shard(shards, 0, 1), data=shards)

    def test_hdf5_that_is_no_shard(self):
        self.pretrain(max_steps=1)
        self.refused("simclr-checkpoint", data=self.checkpoint(1), run_dir=self.top / "other")
        shards = self.write_shards(np.zeros((32, 16, 16), np.uint8))
        self.refused(self.shard(shards, 0, 1), "(32,16,16)", data=shards, run_dir=self.top / "other")

    def test_truncated_shard(self):
        shards = self.write_shards(*np.zeros((2, 32, 16, 16, 3), np.uint8))
        second = self.shard(shards, 1, 2)
        whole = second.read_bytes()
        for keep in (len(whole) - 100, len(whole) // 2, 100):
            with self.subTest(keep=keep):
                second.write_bytes(whole[:keep])
                self.refused(second, data=shards)
        self.refused(second, ranks=2, data=shards)

    def test_shards_of_different_shape(self):
        shards = self.write_shards(np.zeros((32, 16, 16, 3), np.uint8), np.zeros((32, 16, 17, 3), np.uint8))
        self.refused(self.shard(shards, 1, 2), "16x17, not 16x16", data=shards)

    def test_missing_shard(self):
        shards = self.write_shards(*np.zeros((3, 32, 16, 16, 3), np.uint8))
        self.shard(shards, 1, 3).unlink()
        self.refused(shards, "data-00001-of-00003.h5 is missing", data=shards)

    def test_parts_of_a_data_set_in_one_directory(self):
        shards = self.write_shards(*np.zeros((2, 32, 16, 16, 3), np.uint8))
        (shards / "val.h5").touch()
        self.refused(shards / "val.h5", "does not belong to the data set of data-00000-of-00002.h5", data=shards)
        for index, name in enumerate(["train.h5", "test.h5"]):
            self.shard(shards, index, 2).rename(shards / name)
        self.refused(shards, "test.h5 and train.h5", data=shards)

    def test_data_larger_than_memory(self):
        """Uses a sparse file twice as large as the machine's memory."""
        directory = self.run_dir.parent / "large"
        directory.mkdir()
        side = 512
        shape = (2 * total_memory_bytes() // (side * side * 3), side, side, 3)
        layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        layout.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        layout.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        with h5py.File(directory / "large.h5", "w") as f:
            h5py.h5d.create(f.id, b"images", h5py.h5t.NATIVE_UINT8, h5py.h5s.create_simple(shape), layout)
        for cache in ("auto", "node", "distributed"):
            for ranks in (1, 2):
                with self.subTest(cache=cache, ranks=ranks):
                    self.refused(directory, "not fit into", "--cache none", ranks=ranks, data=directory, cache=cache)
        # The advice works: read batch by batch, the same set can be trained on.
        self.pretrain(data=directory, cache="none", shuffle="block", batch_size=4, max_steps=1, warmup_epochs=0)

    # ---- batch, ranks and values ----------------------------------------------------------------------

    def test_batch_larger_than_the_data(self):
        self.refused("--batch-size", SAMPLES + 1, f"{SAMPLES} images", batch_size=SAMPLES + 1)

    def test_batch_not_divisible_by_the_ranks(self):
        self.refused("--batch-size", 16, "3 ranks", ranks=3)

    def test_values_that_are_not_positive(self):
        names = ("batch-size", "epochs", "image-size", "width", "temperature", "embedding-dim", "log-every", "keep",
                 "head-layers")
        self.each_refused(*[(f"--{name}", value, {name: value}) for name in names for value in (0, -4)])

    def test_temperature_zero(self):
        self.refused("--temperature", 0, temperature=0)
        self.refused("--temperature", 0, ranks=2, temperature=0)
        self.each_refused(*[("--temperature", value, {"temperature": value})
                            for value in ("nan", "inf", "-0.5", "warm")])

    def test_values_out_of_range(self):
        cases = (("momentum", 1.5), ("learning-rate", -1), ("weight-decay", -1), ("threads", -1),
                 ("bn-group", "some"), ("bn-group", 3), ("mean", "1,2"), ("std", "1,1,0"),
                 ("checkpoint-steps", "0,-5"), ("batch-size", "x4"), ("precision", "fp16"),
                 ("bn-decay", 1), ("bn-decay", -0.1), ("schedule-steps", 0), ("schedule-steps", 2**63 - 1))
        self.each_refused(*[(f"--{name}", {name: value}) for name, value in cases])

    def test_nesterov_without_sgd(self):
        self.refused("--nesterov", "--optimizer sgd", nesterov=True)

    def test_time_limit_that_is_not_known(self):
        self.refused("SLURM_JOB_END_TIME", stop_before_minutes=5)

    # ---- names -------------------------------------------------------------------------------------

    def test_encoder_of_fewer_than_four_channels(self):
        self.refused("--width", "0.02", "0.0625 or more", width=0.02)

    def test_absurdly_large_values(self):
        self.each_refused(*[(f"--{name}", {name: value}) for name, value in
                            (("width", 1e7), ("head-layers", 10**8), ("epochs", 2**63 - 1),
                             ("learning-rate", "inf"), ("weight-decay", "inf"), ("warmup-epochs", "inf"),
                             ("head-width", 2**63 - 1), ("embedding-dim", 2**62), ("threads", 2**31 - 1),
                             ("loader-threads", 2**31 - 1), ("batch-size", 2**62), ("learning-rate", 1e300),
                             ("mean", "nan,0,0"), ("mean", "1e300,0,0"), ("std", "1e-300,1,1"))])

    def test_unknown_encoder(self):
        self.refused("resnt18", "did you mean 'resnet18'?", encoder="resnt18")
        self.refused("resnet51", "did you mean 'resnet50'?", encoder="resnet51")

    def test_selective_kernels_that_an_encoder_cannot_have(self):
        self.each_refused(
            ("option --sk-ratio", "resnet34", {"encoder": "resnet34", "sk_ratio": 0.0625}),
            ("option --sk-ratio", "width 0.3", "0.25", {"encoder": "resnet50", "width": 0.3, "sk_ratio": 0.0625}),
            ("--sk-ratio", {"encoder": "resnet50", "sk_ratio": 1.5}),
            ("--sk-ratio", {"encoder": "resnet50", "sk_ratio": -1}),
            ("option --sk-ratio", {"encoder": "resnet18", "sk_ratio": 0.5, "dry_run": True}))

    def test_unknown_augmentation(self):
        self.refused("colour", "did you mean 'color'?", augment="crop,colour")

    def test_augmentation_lists(self):
        lists = (("blurr", "crop,blurr:0.5"), ("flip is given twice", "flip,crop,flip:0.5"), ("'1.5'", "crop,color:1.5"),
                 ("'-0.1'", "gray:-0.1"), ("'nan'", "gray:nan"), ("''", "gray:"), ("none stands alone", "crop,none"),
                 ("''", ",crop"))
        self.each_refused(*[("--augment", culprit, {"augment": value, **more}) for culprit, value in lists
                            for more in ({}, {"dry-run": True})])
        self.each_refused(*[("--augment-second", culprit, {"augment-second": value}) for culprit, value in lists],
                          ("--augment-second", "same", {"augment-second": "same,crop"}))

    def test_augmentation_parameters(self):
        cases = (("cutout.sise", "did you mean 'cutout.size'?", "cutout.sise=1"), ("cutout.size", "'1.1'", "cutout.size=1.1"),
                 ("solarize.threshold", "'x'", "solarize.threshold=x"), ("given twice", "cutout.fill=0,cutout.fill=1"),
                 ("has no value", "cutout.fill"), ("blur.min-sigma", "blur.max-sigma", "blur.min-sigma=3"))
        self.each_refused(*[("--augment-params", *culprits, {"augment-params": value, **more})
                            for *culprits, value in cases for more in ({}, {"dry-run": True})],
                          ("--augment-semantics", "tf", {"augment-semantics": "tf"}),
                          ("--additive-brightness", "--augment-semantics",
                           {"additive-brightness": True, "augment-semantics": "tf-v2"}))

    def test_unknown_option(self):
        self.refused("--batch-sise", "did you mean 'batch-size'?", batch_sise=4)
        self.refused("--temprature", "did you mean 'temperature'?", ranks=2, temprature=1)

    def test_unknown_choice(self):
        cases = (("optimizer", "larz", "lars"), ("head", "non-linear", "nonlinear"), ("shuffle", "ful", "full"),
                 ("cache", "nodes", "node"), ("device", "gpu", "cpu"))
        self.each_refused(*[(f"--{name}", value, meant, {name: value}) for name, value, meant in cases])

    def test_unknown_command(self):
        for name, meant in (("pretrian", "pretrain"), ("liner-eval", "linear-eval")):
            done = subprocess.run([SIMCLR, name], capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 2)
            self.assertRegex(done.stderr, f"\\Asimclr: error: .*'{name}'; did you mean '{meant}'.*\n\\Z")

    def test_configuration_files(self):
        config = self.run_dir.parent / "c.cfg"
        self.refused("missing.cfg", config="missing.cfg")
        for text, *culprits in (("[pretrian]\nseed = 1\n", "[pretrian]", "'pretrain'"),
                                ("[pretrain]\nsede = 1\n", "'sede'", "'seed'"),
                                ("[pretrain]\nseed = 1\nseed = 2\n", "seed", "twice"),
                                ("bach-size = 1\n", "'bach-size'", "'batch-size'"),
                                ("[pretrain]\nseed = one\n", "--seed", "'one'"),
                                ("[pretrain]\njust words\n", "just words")):
            with self.subTest(text=text):
                config.write_text(text)
                self.refused(config, *culprits, config=config)

    # ---- runs and checkpoints ---------------------------------------------------------------------------

    def test_missing_or_invalid_checkpoint(self):
        self.refused("nothing.h5", resume=self.top / "nothing.h5")
        text = self.run_dir.parent / "text.h5"
        text.write_text("no checkpoint")
        self.refused(text, resume=text)
        self.refused("its format is not 'simclr-checkpoint'", resume=self.shard(self.data, 0, 2))

    def test_checkpoint_of_another_encoder(self):
        self.pretrain(max_steps=1)
        other = self.run_dir.parent / "other"
        for changed in ({"encoder": "resnet34"}, {"width": 0.25}, {"stem": "imagenet"}, {"head_layers": 3}):
            with self.subTest(**changed):
                name = next(iter(changed)).replace("_", "-")
                self.refused(f"--{name}", run_dir=other, resume=self.checkpoint(1), **changed)

    def test_run_directory_of_another_configuration(self):
        self.pretrain(max_steps=1)
        self.refused("--temperature", 0.2, temperature=0.2)
        self.refused("--seed", ranks=2, seed=2)
        self.refused("--encoder", encoder="resnet34")
        self.refused("--data", data=self.write_shards(np.zeros((SAMPLES, 16, 16, 3), np.uint8)))
        self.refused("holds a run", "--resume none", resume="none")
        # Options that may change on resume are accepted.
        self.pretrain(max_steps=2, threads=2, cache="node", recompute="blocks", log_every=2, keep=5)

    def test_checkpoint_of_another_run_in_the_run_directory(self):
        self.pretrain(max_steps=1)
        (self.run_dir / "config.cfg").unlink()
        self.refused("--seed", self.checkpoint(1), seed=2)

    def test_damaged_records_of_a_run(self):
        self.pretrain(max_steps=2)
        metrics, state = self.run_dir / "metrics.jsonl", self.run_dir / "state.json"
        rows, good = metrics.read_text().splitlines(), state.read_text()
        for bad in ("5", "[]", "null", "{}", '{"step": "1"}', '{"step": 1.5}', '{"step": 1, "loss": null}',
                    '{"step": 1, "loss": "low"}', '{"step": 1, "loss": %s}' % ("[" * 60_000 + "]" * 60_000)):
            with self.subTest(row=bad):
                metrics.write_text("\n".join([bad, *rows]) + "\n")
                self.refused(metrics, "line 1", max_steps=3)
        metrics.write_text("\n".join(rows) + "\n")
        for bad in ('{"status": 7}', "5", "[]", '{"status": "running", "restarts": -1}',
                    '{"status": %s}' % ("[" * 60_000 + "]" * 60_000)):
            with self.subTest(state=bad):
                state.write_text(bad)
                self.refused(state, max_steps=3)
        state.write_text(good)
        self.pretrain(max_steps=3)

    def test_run_directory_in_use(self):
        job = {"SLURM_JOB_ID": "55"}  # of which two steps may run at once
        process = self.start(1, environment=job, epochs=1000, log_every=1000)
        self.wait_for_step(process, 1)
        lock = (self.run_dir / "lock").read_bytes()
        for ranks in (1, 2):
            done = self.pretrain(ranks, expect=2, environment=job, epochs=1000)
            errors = [line for line in done.stderr.splitlines() if line.startswith("simclr:")]
            self.assertEqual(len(errors), 1, done.stderr)
            self.assertIn(f"process {process.pid}", errors[0])
        self.assertEqual((self.run_dir / "lock").read_bytes(), lock)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
        self.assertEqual(process.returncode, 75)

    def test_run_directory_that_cannot_be_created(self):
        self.refused("--run-dir", run_dir="")
        self.refused("run-dir", "#", run_dir=f"{self.run_dir}#1")
        self.refused("--run-dir", self.shard(self.data, 0, 2), run_dir=self.shard(self.data, 0, 2) / "run")


if __name__ == "__main__":
    main()
