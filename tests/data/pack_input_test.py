"""Strange input to `simclr pack`: what is left out is said, what cannot be right is refused by name.

usage: pack_input_test.py SIMCLR MPIEXEC
"""
import gzip
import os
import pty
import resource
import struct
import subprocess
import sys
import time
import unittest
import zlib

import h5py
import numpy as np

from pack_case import SIMCLR, PackCase, contents, digests, read, rewrite, shards, simclr, smooth


def png(width, height, depth=8, color=2, data=bytes(1000)):
    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) +
            chunk(b"IEND", b""))


def idx(extents, values=b""):
    return struct.pack(f">{1 + len(extents)}I", 0x800 + len(extents), *extents) + values


class PackInputTest(PackCase):
    def into(self, *more):
        return ["--input", self.path("in"), "--output", self.path("out"), *more]

    def write(self, data, *parts):
        os.makedirs(os.path.dirname(self.path(*parts)), exist_ok=True)
        rewrite(self.path(*parts), data)

    def labels(self):
        return list(read(self.path("out"), "labels"))

    def class_names(self):
        return list(h5py.File(shards(self.path("out"))[0]).attrs["class_names"])

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

    # ---- damaged images ----

    def damage(self):
        """Makes three classes of 8 images and damages four of them: two show it in their headers."""
        self.make_classes(count=8)
        self.write(b"<html>404</html>", "in", "ant", "3.png")
        self.write(b"", "in", "bee", "0.jpg")
        cut = {"bee/7.png": 0.6, "cow/2.jpg": 0.6}
        for name, keep in cut.items():
            whole = contents(self.path("in", name))
            self.write(whole[: int(len(whole) * keep)], "in", name)
        return ["ant/3.png", "bee/0.jpg", *cut]

    def test_all_damaged_images_are_named_before_the_refusal(self):
        damaged = self.damage()
        for ranks in [0, 2]:
            result = simclr("pack", *self.into(), ranks=ranks)
            self.assertEqual(result.returncode, 2, result.stderr)
            self.assertIn("4 of 24 images cannot be read", result.stderr)
            for name in damaged:
                self.assertIn(self.path("in", name), result.stderr)
            self.assertIn("--skip-damaged", result.stderr)
            self.assertIn(self.path("out.damaged.txt"), result.stderr)
            self.assertEqual(os.listdir(self.path("out")), [])
            lines = contents(self.path("out.damaged.txt")).decode().splitlines()
            self.assertEqual([line.split("\t")[0] for line in lines], [self.path("in", n) for n in damaged])
            os.unlink(self.path("out.damaged.txt"))

    def test_the_first_twenty_damaged_images_are_named(self):
        for i in range(25):
            self.write(b"no image", "in", f"{i:02}.jpg")
        self.save(smooth(9, 9), "in", "99.jpg")
        self.refused(*self.into(), naming="25 of 26 images cannot be read")
        self.refused(*self.into(), naming="in/19.jpg (neither a JPEG nor a PNG image) and 5 more;")
        self.assertEqual(len(contents(self.path("out.damaged.txt")).splitlines()), 25)

    def test_packing_without_damaged_images_equals_packing_the_others(self):
        damaged = self.damage()
        for ranks in [0, 1, 2, 4]:
            output = self.path(f"out{ranks}")
            result = self.pack("--input", self.path("in"), "--output", output, "--name", "set", "--skip-damaged",
                               "--shards", 3, ranks=ranks)
            self.assertIn("left out: 4 of 24 images cannot be read", result.stderr)
            self.assertIn("20 images", result.stdout)
            lines = contents(os.path.join(output, "damaged.txt")).decode().splitlines()
            self.assertEqual([line.split("\t")[0] for line in lines], [self.path("in", n) for n in damaged])
        for name in damaged:
            os.unlink(self.path("in", name))
        self.pack("--input", self.path("in"), "--output", self.path("clean"), "--name", "set", "--shards", 3)
        for ranks in [0, 1, 2, 4]:
            self.assertEqual(digests(self.path(f"out{ranks}")), digests(self.path("clean")))
        # A later pack into the directory does not keep the list.
        self.pack("--input", self.path("in"), "--output", self.path("out0"), "--force")
        self.assertFalse(os.path.exists(self.path("out0", "damaged.txt")))

    def test_a_damaged_image_of_another_size_does_not_make_sizes_differ(self):
        self.make_classes(count=2)
        self.save(smooth(50, 50), "in", "cow", "odd.png")
        whole = contents(self.path("in", "cow", "odd.png"))
        self.write(whole[: len(whole) // 2], "in", "cow", "odd.png")
        self.pack(*self.into("--skip-damaged"))
        self.assertEqual(read(self.path("out"), "images").shape, (6, 24, 20, 3))

    def test_a_class_of_damaged_images_is_refused_or_empty(self):
        self.make_classes(count=2)
        for i, extension in enumerate(["jpg", "png"]):
            self.write(b"gone", "in", "bee", f"{i}.{extension}")
        self.refused(*self.into("--skip-damaged"), naming="class bee: all of its images are damaged")
        self.pack(*self.into("--skip-damaged", "--allow-empty-classes"))
        self.assertEqual(self.labels(), [0, 0, 2, 2])
        self.assertEqual(self.class_names(), ["ant", "bee", "cow"])

    def test_an_unreadable_image_is_listed(self):
        self.make_classes(count=2)
        os.chmod(self.path("in", "bee", "0.jpg"), 0)
        if os.access(self.path("in", "bee", "0.jpg"), os.R_OK):
            self.skipTest("this user may read every file")
        self.refused(*self.into(), naming="bee/0.jpg (Permission denied)")

    def test_jpegs_that_end_early_are_damaged_and_extra_bytes_are_said(self):
        self.save(smooth(64, 64), "in", "a.jpg", quality=95)
        self.save(smooth(64, 64), "in", "b.jpg", quality=95)
        whole = contents(self.path("in", "b.jpg"))
        self.write(whole[:-2] + bytes(40) + whole[-2:], "in", "b.jpg")
        result = self.pack(*self.into())
        self.assertIn("1 of 2 images were decoded with a warning, first", result.stderr)
        self.assertRegex(result.stderr, r"b\.jpg: Corrupt JPEG data: \d+ extraneous bytes before marker 0xd9")
        self.write(whole[: len(whole) * 3 // 4] + b"\xff\xd9", "in", "b.jpg")  # cut, but with an end marker
        self.refused(*self.into("--force"), naming="b.jpg (damaged JPEG: Corrupt JPEG data: premature end")

    def test_a_live_line_shows_progress(self):
        self.save(smooth(1500, 1500), "in", "0.jpg", quality=98)
        for i in range(1, 40):
            self.write(contents(self.path("in", "0.jpg")), "in", f"{i}.jpg")
        master, terminal = pty.openpty()
        process = subprocess.Popen([SIMCLR, "pack", *self.into("--resize-short", "64")], stdout=terminal)
        os.close(terminal)
        shown = b""
        try:
            while part := os.read(master, 4096):
                shown += part
        except OSError:  # the terminal's other end is closed
            pass
        os.close(master)
        self.assertEqual(process.wait(), 0)
        self.assertRegex(shown.decode(), r"packing: \d+ of 40 images, \d+ %, [\d.]+ images/s\x1b\[K\r")

    # ---- absurd sizes ----

    def refused_with_little_memory(self, *arguments, naming):
        """Expects a refusal within seconds and less memory than the sizes in the headers need."""
        start = time.monotonic()
        self.refused(*arguments, naming=naming)
        self.assertLess(time.monotonic() - start, 20)
        self.assertLess(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, 1 << 20, "kB")

    def test_images_of_absurd_size_are_refused(self):
        self.save(smooth(9, 9), "in", "a.jpg")
        jpeg = contents(self.path("in", "a.jpg"))
        at = jpeg.index(b"\xff\xc0") + 5
        cases = [("x.png", png(1000000, 1000000), "1000000 x 1000000 pixels"),
                 ("x.png", png(2**31 - 1, 2**31 - 1), "2147483647 x 2147483647 pixels"),
                 ("x.png", png(50000, 50000), "50000 x 50000 pixels"),
                 ("x.png", png(70000, 1), "70000 x 1 pixels"),
                 ("x.png", png(15000, 15000), "15000 x 15000 pixels cannot be in"),
                 ("x.jpg", jpeg[:at] + struct.pack(">HH", 65500, 65500) + jpeg[at + 4:], "65500 x 65500 pixels"),
                 ("x.jpg", jpeg[:at] + struct.pack(">HH", 10000, 20000) + jpeg[at + 4:],
                  "20000 x 10000 pixels cannot be in")]
        for name, data, size in cases:
            self.write(data, "in", name)
            self.refused_with_little_memory(*self.into(), naming=f"{name} (")
            self.refused_with_little_memory(*self.into(), naming=size)
            os.unlink(self.path("in", name))

    def test_large_photographs_pass(self):
        """A blank scan of 120 megapixels in a few kB is no bomb."""
        self.write(png(12000, 10000, depth=1, color=0, data=bytes(10000 * 1501)), "in", "scan.png")
        self.pack(*self.into("--resize-short", 8))
        self.assertEqual(read(self.path("out"), "images").shape, (1, 8, 9, 3))

    def test_resizing_to_absurd_sizes_is_refused(self):
        self.save(smooth(1, 3000), "in", "line.png")
        self.refused(*self.into("--resize-short", 224), naming="line.png (672000 x 224 pixels;")
        self.refused(*self.into("--resize-short", 70000), naming="--resize-short")

    def test_idx_headers_are_compared_with_the_file(self):
        labels = idx([2], bytes([0, 1]))
        images = idx([2, 3, 4], bytes(24))
        self.write(labels, "in", "train-labels-idx1-ubyte")
        cases = [(idx([0xFFFFFFFF, 0xFFFF, 0xFFFF], bytes(100)), "its header says 4294967295 x 65535 x 65535 values"),
                 (idx([60000, 400, 500]), "its header says 60000 x 400 x 500 values, more than its 16 bytes"),
                 (idx([2**31, 2**31, 4], bytes(16)), "its header says"),
                 (idx([1, 70000, 1], bytes(70000)), "1 x 70000 pixels"),
                 (idx([0, 28, 28]), "holds no images"),
                 (images[:-1], "more than its 39 bytes"),
                 (images[:9], "truncated"),
                 (images + b"\0", "longer than its header says")]
        for data, reason in cases:
            for packed in [False, True]:
                name = "train-images-idx3-ubyte" + (".gz" if packed else "")
                self.write(gzip.compress(data) if packed else data, "in", name)
                wanted = reason.replace("more than its 39 bytes", "truncated") if packed else reason
                if "400 x 500" in reason and packed:
                    wanted = "can plausibly unpack to"
                self.refused_with_little_memory("--from", "idx", *self.into(), naming=name)
                self.refused_with_little_memory("--from", "idx", *self.into(), naming=wanted)
                os.unlink(self.path("in", name))
        whole = gzip.compress(images)
        for data in [whole[:-4], whole[:-8] + b"1234" + whole[-4:], whole[:-12]]:
            self.write(data, "in", "train-images-idx3-ubyte.gz")
            self.refused("--from", "idx", *self.into(), naming="train-images-idx3-ubyte.gz")

    def test_a_compressed_bomb_is_not_unpacked(self):
        self.write(idx([2], bytes([0, 1])), "in", "train-labels-idx1-ubyte")
        megabytes = zlib.compressobj(9, zlib.DEFLATED, 31)
        data = megabytes.compress(idx([3000, 1000, 1000]))
        data += b"".join(megabytes.compress(bytes(1 << 20)) for _ in range(300)) + megabytes.flush()
        self.write(data, "in", "train-images-idx3-ubyte.gz")
        self.refused_with_little_memory("--from", "idx", *self.into(), naming="can plausibly unpack to")

    def test_unpacked_idx_files_are_preferred(self):
        for name, data in [("train-images-idx3-ubyte", idx([2, 3, 4], bytes([7] * 24))),
                           ("train-labels-idx1-ubyte", idx([2], bytes([0, 1])))]:
            self.write(data, "in", name)
            self.write(b"older", "in", name + ".gz")
            self.write(b"mac", "in", "._" + name)
        result = self.pack("--from", "idx", *self.into())
        self.assertIn("in/train-images-idx3-ubyte, not train-images-idx3-ubyte.gz beside it", result.stdout)
        self.assertEqual(read(self.path("out"), "images").shape, (2, 3, 4, 3))
        self.write(idx([2, 3, 4], bytes(24)), "in", "train-images-idx3-ubyte-old")
        self.refused("--from", "idx", *self.into("--force"), naming="name one with --images")
        os.unlink(self.path("in", "train-images-idx3-ubyte-old"))
        os.unlink(self.path("in", "train-labels-idx1-ubyte"))
        os.unlink(self.path("in", "train-labels-idx1-ubyte.gz"))
        os.symlink("/nowhere", self.path("in", "train-labels-idx1-ubyte"))
        self.refused("--from", "idx", *self.into("--force"), naming="train-labels-idx1-ubyte: is a link to a file that does not exist")

    # ---- CIFAR ----

    def record(self, *labels):
        return bytes(labels) + bytes(range(256)) * 12

    def test_cifar_needs_all_batches_and_its_own_labels(self):
        cifar = ["--from", "cifar-bin", *self.into("--force")]
        for k in [1, 2, 4, 5]:
            self.write(self.record(k) * 3, "in", f"data_batch_{k}.bin")
        self.write(self.record(1), "in", "._data_batch_3.bin")
        self.refused(*cifar, naming="in: data_batch_3.bin is missing")
        os.symlink("/nowhere", self.path("in", "data_batch_3.bin"))
        self.refused(*cifar, naming="data_batch_3.bin: is a link to a file that does not exist")
        os.unlink(self.path("in", "data_batch_3.bin"))
        self.write((self.record(3) * 2)[:-1], "in", "data_batch_3.bin")
        self.refused(*cifar, naming="data_batch_3.bin: its size of 6145 bytes")
        self.write(self.record(3) + self.record(10), "in", "data_batch_3.bin")
        self.refused(*cifar, naming="data_batch_3.bin: record 1 has label 10, but CIFAR-10 has 0 to 9")
        self.write(self.record(3) * 2, "in", "data_batch_3.bin")
        result = self.pack(*cifar)
        self.assertEqual(len(self.labels()), 14)
        self.assertIn("data_batch_3.bin: has 2 images, unlike the 3", result.stdout)
        self.write(self.record(1), "in", "data_batch_6.bin")
        self.refused(*cifar, naming="data_batch_6.bin: is none of the 5 batches")
        os.unlink(self.path("in", "data_batch_6.bin"))
        self.write(self.record(1, 1), "in", "train.bin")
        self.refused(*cifar, naming="keep each in a directory of its own")

    def test_cifar_100_refuses_labels_that_it_does_not_have(self):
        cifar = ["--from", "cifar-bin", *self.into()]
        for labels, naming in [((20, 0), "record 1 has coarse label 20"), ((0, 100), "record 1 has fine label 100")]:
            self.write(self.record(19, 99) + self.record(*labels), "in", "train.bin")
            self.refused(*cifar, naming=f"train.bin: {naming}")

    # ---- pixels that are not what they seem ----

    def test_16_bit_samples_are_said_once_with_their_range(self):
        values = np.linspace(0, 4095, 64 * 64).reshape(64, 64).astype(">u2")
        data = png(64, 64, depth=16, color=0, data=b"".join(b"\0" + row.tobytes() for row in values))
        for i in range(3):
            self.write(data, "in", f"{i}.png")
        self.save(smooth(64, 64), "in", "8.png")
        result = self.pack(*self.into(), ranks=2)
        self.assertEqual(result.stderr.count("16-bit samples"), 1, result.stderr)
        self.assertIn("3 of 4 images have 16-bit samples, of which the upper 8 bits are kept", result.stderr)
        self.assertIn("from 0 to 4095: as these are values of 12 bits", result.stderr)
        np.testing.assert_array_equal(read(self.path("out"), "images")[0, ..., 1], values >> 8)

    def test_enlarged_images_are_counted(self):
        for i, size in enumerate([(40, 50), (20, 70), (30, 31), (90, 32)]):
            self.save(smooth(*size), "in", f"{i}.png")
        result = self.pack(*self.into("--resize-short", 32), ranks=2)
        self.assertEqual(result.stderr.count("enlarged"), 1, result.stderr)
        self.assertIn("2 of 4 images are smaller than --resize-short 32 and were enlarged", result.stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[3:])
