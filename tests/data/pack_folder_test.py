"""Folders that `simclr pack` reads, and the set that it writes: nothing is left out or replaced without a word.

usage: pack_folder_test.py SIMCLR MPIEXEC
"""
import os
import subprocess
import sys
import unittest

import h5py
import numpy as np

from pack_case import SIMCLR, PackCase, contents, digests, names, shards, simclr, smooth


class PackFolderTest(PackCase):
    # ---- what a folder holds ----

    def test_files_of_other_kinds_are_counted(self):
        self.make_classes(count=2)
        for name, form in [("a.webp", "WEBP"), ("b.WebP", "WEBP"), ("c.bmp", "BMP"), ("d.gif", "GIF")]:
            self.save(smooth(9, 9), "in", "bee", name, format=form)
        self.write(b"notes", "in", "bee", "README")
        self.write(b"a,b", "in", "table.csv")
        os.mkfifo(self.path("in", "cow", "pipe.jpg"))
        result = self.pack(*self.into())
        self.assertEqual(len(self.labels()), 6)
        self.assertEqual(result.stderr.count("\n"), 1, result.stderr)
        self.assertIn("left out: 2 .webp, 1 .bmp, 1 .csv, 1 .gif, 1 FIFO, socket or device, 1 without extension",
                      result.stderr)
        self.assertIn(".jpg .jpeg .jpe .jfif .png", result.stderr)

    def test_a_folder_of_other_kinds_is_refused_with_their_count(self):
        for i in range(3):
            self.save(smooth(9, 9), "in", f"{i}.webp")
        self.refused(*self.into(), naming="holds no JPEG or PNG images (left out: 3 .webp)")

    def test_images_are_known_by_their_first_bytes(self):
        for name in ["a.jfif", "b.jpe", "c", "d.image"]:
            self.save(smooth(24, 20), "in", "x", name, format="JPEG")
        self.save(smooth(24, 20), "in", "x", "e.dat", format="PNG")
        result = self.pack(*self.into())
        self.assertEqual(len(self.labels()), 5)
        self.assertEqual(result.stderr, "")

    def test_hidden_files_and_folders_are_skipped_everywhere(self):
        self.make_classes(count=2)
        whole = self.path("in", "ant", "0.jpg")
        for parts in [(".git", "x.jpg"), ("ant", "._0.jpg"), ("ant", ".ipynb_checkpoints", "0.jpg"), (".DS_Store",)]:
            self.write(contents(whole), "in", *parts)
        os.symlink("/nowhere", self.path("in", "ant", ".link.jpg"))
        result = self.pack(*self.into())
        self.assertEqual(self.labels(), [0, 0, 1, 1, 2, 2])
        self.assertEqual(result.stderr, "")
        self.assertIn("left out: 5 hidden", result.stdout)

    def test_shards_among_the_images_are_refused(self):
        self.make_classes(count=1)
        for output in ("in", "in/shards", "in/../in/ant/deep"):
            self.refused("--input", self.path("in"), "--output", self.path(output), naming="is inside --input")
        self.pack("--input", self.path("in"), "--output", self.path("in-shards"))

    def test_links_that_lead_nowhere_are_refused(self):
        self.make_classes(count=4)
        os.rename(self.path("in"), self.path("store"))
        os.makedirs(self.path("in", "ant"))
        for i in range(4):
            target = self.path("store", "ant", "0.jpg") if i == 0 else f"/old/ant/{i}.jpg"
            os.symlink(target, self.path("in", "ant", f"{i}.jpg"))
        os.symlink("/old/bee", self.path("in", "bee"))
        os.symlink(self.path("store", "cow"), self.path("in", "cow"))
        self.refused(*self.into(), naming="in/ant/3.jpg and 1 more: links to files that do not exist")
        os.unlink(self.path("in", "bee"))
        for i in range(1, 4):
            os.unlink(self.path("in", "ant", f"{i}.jpg"))
        self.pack(*self.into())
        self.assertEqual(self.labels(), [0, 1, 1, 1, 1])

    def test_links_in_a_circle_are_refused(self):
        self.make_classes(count=1)
        os.symlink(self.path("in", "ant"), self.path("in", "ant", "again"))
        self.refused(*self.into(), naming="in/ant/again: is a link to a folder above it")
        os.unlink(self.path("in", "ant", "again"))
        os.symlink("b.jpg", self.path("in", "ant", "a.jpg"))
        os.symlink("a.jpg", self.path("in", "ant", "b.jpg"))
        self.refused(*self.into(), naming="in/ant/a.jpg, ")

    def test_empty_classes_keep_their_numbers_only_if_asked(self):
        self.make_classes(count=2)
        os.makedirs(self.path("in", "bat", "sub"))
        self.refused(*self.into(), naming="in/bat: class folders without JPEG or PNG images")
        self.pack(*self.into("--allow-empty-classes"))
        self.assertEqual(self.labels(), [0, 0, 2, 2, 3, 3])
        self.assertEqual(self.class_names(), ["ant", "bat", "bee", "cow"])

    def test_folders_of_parts_are_no_classes(self):
        for part in ["train2017", "val2017"]:
            self.save(smooth(9, 9), "in", part, "x", "0.png")
        self.refused(*self.into(), naming="train2017 and val2017 are parts of a data set, not classes")
        os.rename(self.path("in", "val2017"), self.path("in", "test_tube"))
        self.pack(*self.into())
        self.assertEqual(self.class_names(), ["test_tube", "train2017"])
        os.rename(self.path("in", "test_tube"), self.path("in", "test_set"))
        os.rename(self.path("in", "train2017"), self.path("in", "training_set"))
        self.refused(*self.into("--force"), naming="test_set and training_set are parts of a data set, not classes")
        os.makedirs(self.path("whole"))
        os.rename(self.path("in"), self.path("whole", "in"))
        self.refused("--input", self.path("whole"), "--output", self.path("out"), "--force",
                     naming="whole/in: test_set and training_set")

    def test_many_links_to_the_same_folders_are_refused(self):
        """14 folders, each with two links to the next one, are 16384 paths; a path of more than 20 links may be refused by the kernel."""
        for level in range(14):
            os.makedirs(self.path("levels", str(level)))
            for link in ["p", "q"]:
                os.symlink(self.path("levels", str(level + 1)), self.path("levels", str(level), link))
        self.save(smooth(9, 9), "levels", "14", "0.png")
        os.makedirs(self.path("in", "ant"))
        os.symlink(self.path("levels", "0"), self.path("in", "ant", "all"))
        self.refused(*self.into(), naming="links lead to the same folders more than 10000 times")
        os.unlink(self.path("in", "ant", "all"))
        os.symlink(self.path("levels", "10"), self.path("in", "ant", "some"))
        self.pack(*self.into())
        self.assertEqual(len(self.labels()), 2**4)

    def test_deep_folders_are_read_or_refused(self):
        deep = self.path("in", "ant", *["dddd"] * 400)
        os.makedirs(deep)
        self.save(smooth(9, 9), deep, "0.png")
        self.pack(*self.into())
        self.assertEqual(self.labels(), [0])
        here = os.getcwd()
        self.addCleanup(os.chdir, here)
        os.chdir(deep)
        for _ in range(10):  # longer than a path may be
            os.mkdir("e" * 250)
            os.chdir("e" * 250)
        os.chdir(here)
        self.refused(*self.into("--force"), naming="File name too long")

    def test_files_that_may_not_be_read_are_refused_whatever_their_name(self):
        user = {"user": 65534} if os.geteuid() == 0 else {}
        self.make_classes(count=2)
        os.rename(self.path("in", "bee", "1.png"), self.path("in", "bee", "1"))
        for name in ["0.jpg", "1"]:
            os.chmod(self.path("in", "bee", name), 0)
        os.makedirs(self.path("out"))
        os.makedirs(self.path("scratch"))
        for path in [self.root, self.path("out"), self.path("scratch")]:
            os.chmod(path, 0o777)
        environment = {**os.environ, "TMPDIR": self.path("scratch"), "OMPI_MCA_orte_tmpdir_base": self.path("scratch")}
        command = [SIMCLR, "pack", *self.into()]
        try:
            result = subprocess.run(command, capture_output=True, text=True, env=environment, **user)
        except PermissionError:
            self.skipTest("another user may not start the program")
        self.assertEqual(result.returncode, 2, result.stderr)
        self.assertIn("2 of 6 images cannot be read", result.stderr)
        self.assertIn("bee/1 (cannot read", result.stderr)
        self.assertEqual(os.listdir(self.path("out")), [])

    # ---- the set that is written ----

    def test_names_of_sets_are_plain_file_names(self):
        self.make_classes(count=1)
        for name, reason in [(".x", "begins with a dot"), ("../esc", "begins with a dot"), ("a/b", "has a slash"),
                             ("/a", "has a slash"), ("x" * 181, "has more than 180 bytes"), ("a\nb", "control")]:
            self.refused(*self.into("--name", name), naming=reason)
        self.refused("--input", self.path("in"), "--output", self.path(".hid"), naming="give one with --name")
        self.assertEqual(os.listdir(self.root), ["in"])
        self.pack("--input", self.path("in"), "--output", self.path(".hid"), "--name", "x" * 180)
        self.assertEqual(simclr("inspect", self.path(".hid")).returncode, 0)

    def test_force_replaces_only_its_own_set(self):
        self.make_classes(count=1)
        self.pack(*self.into("--shards", 3))
        for name in ["precious.h5", "precious.HDF5", "other-00000-of-00001.h5", "out-1-of-2.h5"]:
            self.write(b"precious", "out", name)
            before = sorted(os.listdir(self.path("out")))
            self.refused(*self.into("--force"), naming=f"out/{name} is no shard of the data set out")
            self.assertEqual(sorted(os.listdir(self.path("out"))), before)
            os.unlink(self.path("out", name))
        self.write(b"mine", "out", "README")
        for name in ["out", "new"]:  # the set may get another name
            self.pack(*self.into("--force", "--shards", 2, "--name", name))
            self.assertEqual(sorted(os.listdir(self.path("out"))),
                             ["README", f"{name}-00000-of-00002.h5", f"{name}-00001-of-00002.h5"])

    def test_names_of_samples_are_paths_within_the_folder(self):
        """Whatever bytes they have, on any number of ranks, and also where damaged images are left out."""
        self.make_classes(count=2)
        for name in (b"M\xfcller 1.jpg", "\u00e4\n.jpg".encode(), b"-x.jpg"):
            os.link(os.fsencode(self.path("in", "ant", "0.jpg")), os.path.join(os.fsencode(self.path("in", "bee")), name))
        self.save(smooth(24, 20), "in", "bee", "deep", "er", "0.jpg")
        bee = sorted([b"-x.jpg", b"0.jpg", b"1.png", b"M\xfcller 1.jpg", b"deep/er/0.jpg", "\u00e4\n.jpg".encode()])
        expected = [b"ant/0.jpg", b"ant/1.png", *(b"bee/" + n for n in bee), b"cow/0.jpg", b"cow/1.png"]
        self.pack(*self.into("--shards", 4))
        self.assertEqual(names(self.path("out")), expected)
        shown = simclr("inspect", self.path("out"), "--verify").stdout
        self.assertIn("names          ant/0.jpg to cow/1.png\n", shown)
        self.pack("--input", self.path("in"), "--output", self.path("three"), "--name", "out", "--shards", 4, ranks=3)
        self.assertEqual(digests(self.path("three")), digests(self.path("out")))
        self.pack(*self.into("--force", "--encoding", "jpeg"))
        self.assertEqual(names(self.path("out")), expected)
        self.pack(*self.into("--force", "--classes-of", self.path("three")))
        self.assertEqual(names(self.path("out")), expected)
        self.write(b"no image", "in", "bee", "0.jpg")
        self.pack(*self.into("--force", "--skip-damaged"))
        self.assertEqual(names(self.path("out")), [n for n in expected if n != b"bee/0.jpg"])

    def test_names_of_a_flat_folder(self):
        for i in range(3):
            self.save(smooth(9, 9), "in", f"{i}.png")
        self.pack(*self.into("--shards", 1))
        self.assertEqual(names(self.path("out")), [b"0.png", b"1.png", b"2.png"])
        with h5py.File(shards(self.path("out"))[0]) as f:
            self.assertEqual((f["names"].dtype, f["name_offsets"].dtype), (np.uint8, np.uint64))

    def test_many_long_class_names_are_read_again(self):
        self.save(smooth(4, 4), "in", "0.png")
        image = contents(self.path("in", "0.png"))
        os.unlink(self.path("in", "0.png"))
        names = [f"{i:05}_" + "Animalia_Arthropoda_Insecta_Lepidoptera_" * 4 for i in range(7000)]
        for name in names:
            self.write(image, "in", name, "0.png")
        self.pack(*self.into("--shards", 2))
        self.assertGreater(sum(map(len, names)), 1 << 20)
        self.assertEqual(self.class_names(), names)
        self.assertIn("7000 classes", simclr("inspect", self.path("out")).stdout)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[3:])
