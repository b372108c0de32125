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
            self.assertFalse(os.path.exists(self.path("out")))
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

    def test_nothing_is_left_when_all_images_are_damaged(self):
        for i in range(4):
            self.write(b"no image", "in", f"{i}.jpg")
        for ranks in [0, 2]:
            result = simclr("pack", *self.into("--skip-damaged"), ranks=ranks)
            self.assertEqual(result.returncode, 2, result.stderr)
            self.assertIn("4 of 4 images cannot be read", result.stderr)
            self.assertFalse(os.path.exists(self.path("out")))
        os.makedirs(self.path("out"))
        self.refused(*self.into("--skip-damaged"), naming="4 of 4 images")
        self.assertTrue(os.path.exists(self.path("out")))

    def test_zeros_within_a_jpeg_are_said(self):
        """They are valid codes: what shows the damage is only that bytes are left over."""
        noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        self.save(noise, "in", "a.jpg", quality=95)
        whole = contents(self.path("in", "a.jpg"))
        half = len(whole) // 2
        self.write(whole[:half] + bytes(200) + whole[half + 200:], "in", "a.jpg")
        self.assertIn("come from damage that made its pixels wrong", self.pack(*self.into()).stderr)

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
        self.refused(*self.into("--resize-short", 224), naming="line.png (with --resize-short 224: 672000 x 224 pixels;")
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

    def test_cifar_class_names_are_a_file_of_ten_lines(self):
        cifar = ["--from", "cifar-bin", "--split", "test", *self.into("--force")]
        self.write(self.record(3) * 2, "in", "test_batch.bin")
        names = [f"class {i}" for i in range(10)]
        path = self.path("in", "batches.meta.txt")
        for lines in [names[:2], names + ["more"], names * 20]:
            self.write("\n".join(lines).encode(), "in", "batches.meta.txt")
            self.refused(*cifar, naming=f"batches.meta.txt: has {len(lines)} names, but CIFAR-10 has 10 classes")
        self.write("\n".join(names[:9] + ["x" * 3000000]).encode(), "in", "batches.meta.txt")
        self.refused(*cifar, naming="batches.meta.txt: line 10 has 3000000 bytes, which is no class name")
        os.unlink(path)
        for make in [os.mkdir, os.mkfifo]:
            make(path)
            self.refused(*cifar, naming="batches.meta.txt: is not a file")
            os.rmdir(path) if make is os.mkdir else os.unlink(path)
        self.write("\r\n".join(names).encode() + b"\n\n", "in", "batches.meta.txt")
        self.pack(*cifar)
        self.assertEqual(self.class_names(), names)

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
