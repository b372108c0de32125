"""A run knows its data by what they hold: it goes on with a copy at any place and refuses other data by name.

usage: data_identity_test.py SIMCLR MPIEXEC [unittest arguments]
"""
import shutil
import subprocess

import h5py
import numpy as np

from training_runs import MPIEXEC, SIMCLR, TrainingTest, main

SAMPLES = 48


def stripes(seed=0):
    x = np.mgrid[0:16, 0:16][1]
    waves = [128 + 100 * np.sin(x / (2 + k % 4) + k)[..., None] * np.array([1, .8, .5]) for k in range(SAMPLES)]
    noise = np.random.default_rng(seed).normal(0, 10, (SAMPLES, 16, 16, 3))
    return np.clip(np.stack(waves) + noise, 0, 255).astype(np.uint8)


class DataIdentityTest(TrainingTest):
    def write(self, name, images, labels=None, file="d.h5"):
        """Writes a shard as h5py users would, without checksums."""
        directory = self.run_dir.parent / name
        directory.mkdir(exist_ok=True)
        with h5py.File(directory / file, "w") as f:
            f["images"] = images
            if labels is not None:
                f["labels"] = labels
        return directory

    def refused(self, *culprits, **changed):
        before = {path: path.stat().st_mtime_ns for path in self.run_dir.rglob("*")}
        for where in ({}, {"dry-run": "here"}, {"dry-run": "elsewhere"}):
            error = self.pretrain(expect=2, **changed, **where).stderr
            for culprit in culprits:
                self.assertIn(str(culprit), error)
        self.assertEqual({path: path.stat().st_mtime_ns for path in self.run_dir.rglob("*")}, before)

    def test_the_same_data_at_another_place(self):
        labels = np.arange(SAMPLES) % 4
        here = self.write("here", stripes(), labels)
        self.pretrain(data=here, max_steps=1)
        self.pretrain(data=f"{here}/", max_steps=2)
        there = here.parent / "there"
        shutil.copytree(here, there)
        (there / "d.h5").rename(there / "other-name.h5")
        shutil.rmtree(here)
        self.pretrain(ranks=2, data=there, max_steps=3)
        link = here.parent / "link"
        link.symlink_to(there)
        self.pretrain(data=link, max_steps=4)
        halves = self.write("halves", stripes()[:20], labels[:20], "a.h5")
        self.write("halves", stripes()[20:], labels[20:].astype(np.uint8), "b.h5")
        self.pretrain(data=halves, max_steps=5)
        self.assertIn(f"data = {halves}", (self.run_dir / "config.cfg").read_text())
        self.assertEqual([row["step"] for row in self.rows()], [1, 2, 3, 4, 5])
        # Later starts know the new place, and evaluations may lie anywhere.
        self.pretrain(data=halves, eval_data=there, max_steps=6)

    def test_a_moved_run_goes_on_at_its_own_place(self):
        self.pretrain(max_steps=1)
        moved = self.run_dir.parent / "moved"
        self.run_dir.rename(moved)
        command = [SIMCLR, "pretrain", "--config", moved / "config.cfg"]
        self.assertEqual(subprocess.run([*command, "--max-steps=2"], check=False).returncode, 0)
        self.assertEqual([row["step"] for row in self.rows(moved)], [1, 2])
        self.assertFalse(self.run_dir.exists())
        self.assertIn(f"run-dir = {moved}\n", (moved / "config.cfg").read_text())
        # A directory that is named counts more than the file's place.
        self.assertEqual(subprocess.run([*command, "--max-steps=1", "--run-dir", self.run_dir], check=False).returncode, 0)
        self.assertEqual([row["step"] for row in self.rows()], [1])

    def test_other_data_at_the_same_place(self):
        here = self.write("here", stripes(), np.arange(SAMPLES) % 4)
        self.pretrain(data=here, max_steps=1)
        refused = [f"option --data: {here}", self.checkpoint(1)]
        self.write("here", 255 - stripes(), np.arange(SAMPLES) % 4)
        self.refused(*refused, "other pixels", data=here)
        self.write("here", np.concatenate([stripes(), stripes()]), np.arange(2 * SAMPLES) % 4)
        self.refused(*refused, f"samples {SAMPLES} -> {2 * SAMPLES}", data=here)
        self.write("here", stripes(), np.arange(SAMPLES) % 3)
        self.refused(*refused, "other labels", data=here)
        self.write("here", stripes())
        self.refused(*refused, "labels removed", data=here)
        self.write("here", stripes()[:, :12], np.arange(SAMPLES) % 4)
        self.refused(*refused, "images raw 16x16 -> raw 12x16", data=here)
        self.refused("other", "images raw 16x16 -> raw 12x16", data=here, run_dir=self.run_dir.parent / "other",
                     resume=self.checkpoint(1))
        self.write("here", stripes(), np.arange(SAMPLES) % 4)
        self.pretrain(data=here, max_steps=2)

    def test_copies_that_differ_between_ranks(self):
        """Two ranks find two directories by the same relative name, as on node-local disks."""
        places = [self.run_dir.parent / f"node{rank}" for rank in range(2)]
        for rank, place in enumerate(places):
            place.mkdir()
            self.write(f"node{rank}/set", stripes(seed=rank))
        command = self.command(1, data="set")
        self.assertIn("--data=set", command)

        def start():
            each = [["-n", "1", "-wdir", str(place), *command] for place in places]
            return subprocess.run([MPIEXEC, *each[0], ":", *each[1]], capture_output=True, text=True,
                                  timeout=120, check=False)

        done = start()
        self.assertEqual(done.returncode, 2, done.stdout + done.stderr)
        self.assertRegex(done.stderr, "option --data: set .*rank 1 on .*other pixels")
        self.assertFalse(self.run_dir.exists())
        shutil.rmtree(places[1] / "set")
        done = start()
        self.assertEqual(done.returncode, 2, done.stdout + done.stderr)
        self.assertRegex(done.stderr, "option --data: set .*rank 1 on .*cannot read set: No such file or directory")

    def test_images_that_are_all_the_same(self):
        black = self.write("black", np.zeros((SAMPLES, 16, 16, 3), np.uint8))
        done = self.pretrain(2, data=black, max_steps=3)
        self.assertEqual(done.stderr.count("all embeddings are equal"), 1, done.stderr)
        self.assertIn("step 1: ", done.stderr)
        for row in self.rows():
            self.assertEqual(row["contrastive_top1"], 0)
        done = self.pretrain(run_dir=self.run_dir.parent / "healthy", max_steps=3)
        self.assertNotIn("all embeddings are equal", done.stderr)

    def test_a_single_image_has_nothing_to_be_compared_with(self):
        done = self.pretrain(expect=2, batch_size=1)
        self.assertIn("option --batch-size: '1' is not accepted", done.stderr)


if __name__ == "__main__":
    main()
