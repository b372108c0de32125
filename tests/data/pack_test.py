"""`simclr pack` and `simclr inspect` against PIL, h5py and the files themselves.

usage: pack_test.py SIMCLR MPIEXEC
"""
import glob
import gzip
import io
import itertools
import os
import struct
import sys
import unittest
import zlib
from pathlib import Path

import h5py
import numpy as np
from PIL import Image, ImageOps

from pack_case import PackCase, contents, digests, read, read_variable, rewrite, shards, simclr, smooth

FASHION = "/usr/share/datasets/fashion-mnist"


class PackTest(PackCase):
    # ---- folders ----

    def test_class_folders_with_images_of_one_size(self):
        self.make_classes()
        self.pack("--from", "folder", "--input", self.path("in"), "--output", self.path("out"),
                  "--shards", 4)
        images, labels = read(self.path("out"), "images"), read(self.path("out"), "labels")
        files = sorted(glob.glob(self.path("in", "*", "*")))
        self.assertEqual(images.shape, (15, 24, 20, 3))
        np.testing.assert_array_equal(labels, np.repeat([0, 1, 2], 5))
        for image, file in zip(images, files):
            np.testing.assert_array_equal(image, np.asarray(Image.open(file)), file)
        attributes = dict(h5py.File(shards(self.path("out"))[0]).attrs)
        self.assertEqual(attributes["format"], "simclr-shards")
        self.assertEqual(attributes["version"], 1)
        self.assertEqual(list(attributes["class_names"]), ["ant", "bee", "cow"])
        self.assertEqual(os.path.basename(shards(self.path("out"))[1]), "out-00001-of-00004.h5")
        result = simclr("inspect", self.path("out"), "--verify")
        self.assertEqual(result.returncode, 0)
        self.assertIn("ant, bee, cow", result.stdout)
        self.assertIn("15 in 4 shards: out-00000-of-00004.h5, out-00001-of-00004.h5, ", result.stdout)

    def test_classes_are_numbered_as_in_another_data_set(self):
        self.make_classes()
        self.pack("--input", self.path("in"), "--output", self.path("train"), "--shards", 1)
        for name in ("cow", "bee"):
            for i in range(2):
                self.save(smooth(24, 20, phase=i), "test", name, f"{i}.png")
        self.pack("--input", self.path("test"), "--output", self.path("out"), "--classes-of", self.path("train"),
                  "--shards", 2, ranks=2)
        np.testing.assert_array_equal(read(self.path("out"), "labels"), [1, 1, 2, 2])
        self.assertEqual(list(h5py.File(shards(self.path("out"))[0]).attrs["class_names"]), ["ant", "bee", "cow"])
        self.save(smooth(24, 20), "test", "dog", "0.png")
        self.refused("--input", self.path("test"), "--output", self.path("none"), "--classes-of", self.path("train"),
                     naming="class 'dog' is not among the 3")
        self.save(smooth(24, 20), "flat", "0.png")
        self.refused("--input", self.path("flat"), "--output", self.path("none"), "--classes-of", self.path("train"),
                     naming="--classes-of: the images to pack have no class names")
        self.pack("--input", self.path("flat"), "--output", self.path("unnamed"))
        self.refused("--input", self.path("test"), "--output", self.path("none"), "--classes-of", self.path("unnamed"),
                     naming="names no classes")

    def test_flat_folder_of_many_sizes(self):
        sizes = [(10, 12), (30, 7), (16, 16)]
        for i, size in enumerate(sizes):
            self.save(smooth(*size, phase=i), "in", f"{i}.png")
        self.pack("--input", self.path("in"), "--output", self.path("out"), "--shards", 2)
        for i, (data, size) in enumerate(read_variable(self.path("out"))):
            self.assertEqual(size, sizes[i])
            np.testing.assert_array_equal(data.reshape(*size, 3), smooth(*sizes[i], phase=i))
        self.assertNotIn("labels", h5py.File(shards(self.path("out"))[0]))
        self.assertEqual(simclr("inspect", self.path("out"), "--verify").returncode, 0)

    def test_every_kind_of_file_becomes_rgb(self):
        base = Image.fromarray(smooth(40, 32))
        alpha = base.copy()
        alpha.putalpha(Image.fromarray(smooth(40, 32)[..., 0]))
        deep = np.arange(40 * 32, dtype=np.uint16).reshape(40, 32) * 51
        self.save(base.convert("L"), "in", "a_gray.jpg")
        self.save(base.convert("L"), "in", "b_gray.png")
        self.save(base.quantize(16), "in", "c_palette.png")
        self.save(alpha, "in", "d_alpha.png")
        self.save(base.convert("1"), "in", "e_bits.png")
        self.save(base.convert("CMYK"), "in", "f_cmyk.jpg", quality=95)
        self.save(base, "in", "g_progressive.JPEG", progressive=True, quality=90)
        self.save(Image.fromarray(deep), "in", "h_deep.png")
        self.save(alpha.convert("LA"), "in", "i_gray_alpha.png")
        self.save(base, "in", "j_jpeg_called.png", format="JPEG")
        self.pack("--input", self.path("in"), "--output", self.path("out"), "--shards", 1)
        images = read(self.path("out"), "images")
        for image, file in zip(images, sorted(glob.glob(self.path("in", "*")))):
            expected = np.asarray(Image.open(file).convert("RGB")).astype(int)
            if "deep" in file:
                expected = np.repeat((deep >> 8)[..., None], 3, -1).astype(int)
            worst = np.abs(image - expected).max()
            self.assertLessEqual(worst, 1 if "cmyk" in file else 0, file)

    def test_exif_orientation(self):
        for orientation in range(1, 9):
            exif = Image.Exif()
            exif[0x0112] = orientation
            self.save(smooth(20, 30), "in", f"{orientation}.jpg", exif=exif, quality=95)
            self.save(smooth(20, 30), "in", f"png{orientation}.png", exif=exif)
            whole = contents(self.path("in", f"png{orientation}.png"))
            for name, value in [("LONG", struct.pack(">HII", 4, 1, orientation)),
                                ("short", struct.pack(">HIHH", 3, 1, orientation, 0))]:
                tiff = b"MM\0*" + struct.pack(">IHH", 8, 1, 0x0112) + value + bytes(4)
                jpeg = contents(self.path("in", f"{orientation}.jpg"))
                at = jpeg.index(b"\xff\xe1")
                rest = jpeg[at + 2 + struct.unpack(">H", jpeg[at + 2:at + 4])[0]:]
                segment = struct.pack(">HH", 0xFFE1, 8 + len(tiff)) + b"Exif\0\0" + tiff
                rewrite(self.path("in", f"big{name}{orientation}.jpg"), jpeg[:at] + segment + rest)
                # An eXIf chunk behind the pixels.
                plain = whole[:whole.index(b"eXIf") - 4] + whole[whole.index(b"IDAT") - 4:]
                chunk = struct.pack(">I", len(tiff)) + b"eXIf" + tiff + struct.pack(">I", zlib.crc32(b"eXIf" + tiff))
                rewrite(self.path("in", f"late{name}{orientation}.png"), plain[:-12] + chunk + plain[-12:])
        self.pack("--input", self.path("in"), "--output", self.path("raw"), "--shards", 1)
        self.pack("--input", self.path("in"), "--output", self.path("jpeg"), "--shards", 1,
                  "--encoding", "jpeg")
        files = sorted(glob.glob(self.path("in", "*")))
        self.assertEqual(len(files), 6 * 8)
        for file, raw, jpeg in zip(files, read_variable(self.path("raw")),
                                   read_variable(self.path("jpeg"))):
            upright = np.asarray(ImageOps.exif_transpose(Image.open(file)))
            self.assertEqual(raw[1], upright.shape[:2])
            np.testing.assert_array_equal(raw[0].reshape(upright.shape), upright, file)
            self.assertEqual(jpeg[1], upright.shape[:2])
            if file.endswith("jpg"):
                self.assertEqual(jpeg[0].tobytes(), contents(file))

    def test_xmp_orientation(self):
        def with_packet(image, packet):
            """The bytes of an image with XMP, at the beginning of a JPEG or the end of a PNG."""
            if image.startswith(b"\xff\xd8"):
                content = b"http://ns.adobe.com/xap/1.0/\0" + packet
                return image[:2] + struct.pack(">HH", 0xFFE1, 2 + len(content)) + content + image[2:]
            chunk = b"iTXtXML:com.adobe.xmp\0\0\0\0\0" + packet
            return image[:-12] + struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) + image[-12:]

        turns = {2: Image.FLIP_LEFT_RIGHT, 3: Image.ROTATE_180, 4: Image.FLIP_TOP_BOTTOM, 5: Image.TRANSPOSE,
                 6: Image.ROTATE_270, 7: Image.TRANSVERSE, 8: Image.ROTATE_90}
        forms = (b'<d tiff:Orientation="%d"/>', b"<d tiff:Orientation = '%d' />", b"<tiff:Orientation>\n%d </tiff:Orientation>")
        expected = {}
        for form, in_xmp, kind, tags in itertools.product(forms, (*range(10), 16), ("jpg", "png"),
                                                          ({}, {0x010F: "maker"}, {0x0112: 1}, {0x0112: 3})):
            exif = Image.Exif()
            exif.update(tags)
            file = self.path("in", f"{len(expected):03}.{kind}")
            self.save(smooth(10, 16), "in", os.path.basename(file), **({"exif": exif} if tags else {}))
            stored = Image.open(file)
            turn = turns.get(tags.get(0x0112, in_xmp))
            expected[file] = np.asarray(stored if turn is None else stored.transpose(turn))
            rewrite(file, with_packet(contents(file), form % in_xmp))
        self.pack("--input", self.path("in"), "--output", self.path("out"), "--shards", 1)
        samples = read_variable(self.path("out"))
        self.assertEqual(len(samples), len(expected))
        for file, (pixels, size) in zip(sorted(expected), samples):
            self.assertEqual(size, expected[file].shape[:2], file)
            np.testing.assert_array_equal(pixels.reshape(expected[file].shape), expected[file], file)

    def test_resize_short(self):
        for i, size in enumerate([(90, 61), (50, 200), (20, 31), (64, 64)]):
            self.save(smooth(*size), "in", f"{i}.png")
        self.pack("--input", self.path("in"), "--output", self.path("out"), "--resize-short", 32)
        for i, (data, size) in enumerate(read_variable(self.path("out"))):
            image = Image.open(self.path("in", f"{i}.png"))
            short = min(image.size)
            expected = tuple(int(32 * side / short) for side in (image.height, image.width))
            self.assertEqual(size, expected)
            resized = np.asarray(image.resize(size[::-1], Image.BICUBIC)).astype(int)
            self.assertLessEqual(np.abs(data.reshape(resized.shape) - resized).max(), 1)

    def test_jpeg_encoding_and_resize(self):
        self.make_classes(size=(64, 48))
        self.pack("--input", self.path("in"), "--output", self.path("out"), "--encoding", "jpeg",
                  "--resize-short", 24, "--jpeg-quality", 98)
        samples = read_variable(self.path("out"))
        self.assertEqual(len(samples), 15)
        for (data, size), file in zip(samples, sorted(glob.glob(self.path("in", "*", "*")))):
            self.assertEqual(size, (32, 24))
            decoded = np.asarray(Image.open(io.BytesIO(data.tobytes()))).astype(int)
            resized = np.asarray(Image.open(file).resize((24, 32), Image.BICUBIC)).astype(int)
            self.assertLess(np.abs(decoded - resized).mean(), 2)
        self.assertEqual(simclr("inspect", self.path("out"), "--verify").returncode, 0)

    def test_same_bytes_on_any_number_of_ranks(self):
        self.make_classes(count=7)
        self.save(smooth(11, 13), "in", "cow", "odd.png")
        for encoding in ["raw", "jpeg"]:
            expected = None
            for ranks in [0, 1, 2, 4]:
                output = self.path(f"{encoding}{ranks}")
                self.pack("--input", self.path("in"), "--output", output, "--name", "set",
                          "--encoding", encoding, "--shards", 3, ranks=ranks)
                expected = expected or digests(output)
                self.assertEqual(digests(output), expected)
                self.assertEqual(len(os.listdir(output)), 3)

    # ---- published formats ----

    def test_fashion_mnist(self):
        if not os.path.isdir(FASHION):
            self.skipTest("needs Debian's package dataset-fashion-mnist")
        for split, prefix, count in [("train", "train", 60000), ("test", "t10k", 10000)]:
            output = self.path(split)
            self.pack("--from", "idx", "--input", FASHION, "--output", output, "--split", split)
            raw = gzip.open(f"{FASHION}/{prefix}-images-idx3-ubyte.gz").read()
            pixels = np.frombuffer(raw, np.uint8, offset=16).reshape(count, 28, 28, 1)
            raw = gzip.open(f"{FASHION}/{prefix}-labels-idx1-ubyte.gz").read()
            np.testing.assert_array_equal(read(output, "images"), np.repeat(pixels, 3, -1))
            labels = np.frombuffer(raw, np.uint8, offset=8)
            np.testing.assert_array_equal(read(output, "labels"), labels)
            self.assertEqual(simclr("inspect", output, "--verify").returncode, 0)

    def test_small_sets_have_few_shards(self):
        for samples, count in ((1, 1), (1000, 1), (1001, 2), (9000, 8)):
            with open(self.path("pictures"), "wb") as f:
                f.write(struct.pack(">4i", 2051, samples, 2, 3) + bytes(6 * samples))
            self.pack("--from", "idx", "--images", self.path("pictures"), "--output", self.path(f"out{samples}"))
            self.assertEqual(len(shards(self.path(f"out{samples}"))), count)

    def test_plain_idx_by_name(self):
        pixels = np.random.default_rng(1).integers(0, 256, (6, 5, 4), np.uint8)
        with open(self.path("pictures"), "wb") as f:
            f.write(struct.pack(">4I", 0x803, 6, 5, 4) + pixels.tobytes())
        self.pack("--from", "idx", "--images", self.path("pictures"), "--output", self.path("out"))
        np.testing.assert_array_equal(read(self.path("out"), "images")[..., 1], pixels)
        with open(self.path("pictures"), "ab") as f:
            f.truncate(100)
        self.refused("--from", "idx", "--images", self.path("pictures"), "--output",
                     self.path("cut"), naming="pictures: its header says 6 x 5 x 4 values, more than its 100 bytes hold: truncated")

    def test_cifar(self):
        random = np.random.default_rng(2)
        os.makedirs(self.path("ten"))
        os.makedirs(self.path("hundred"))
        planes = random.integers(0, 256, (15, 3, 32, 32), np.uint8)
        labels = random.integers(0, 10, 15, np.uint8)
        for part in range(5):
            with open(self.path("ten", f"data_batch_{part + 1}.bin"), "wb") as f:
                for i in range(3 * part, 3 * part + 3):
                    f.write(labels[i : i + 1].tobytes() + planes[i].tobytes())
        with open(self.path("ten", "batches.meta.txt"), "w") as f:
            f.write("\n".join("abcdefghij") + "\n\n")
        with open(self.path("hundred", "test.bin"), "wb") as f:
            for i in range(15):
                f.write(bytes([19, labels[i]]) + planes[i].tobytes())
        self.pack("--from", "cifar-bin", "--input", self.path("ten"), "--output", self.path("a"))
        self.pack("--from", "cifar-bin", "--input", self.path("hundred"), "--output",
                  self.path("b"), "--split", "test")
        for output in "ab":
            np.testing.assert_array_equal(read(self.path(output), "images"),
                                          planes.transpose(0, 2, 3, 1))
            np.testing.assert_array_equal(read(self.path(output), "labels"), labels)
        names = h5py.File(shards(self.path("a"))[0]).attrs["class_names"]
        self.assertEqual(list(names), list("abcdefghij"))
        self.refused("--from", "cifar-bin", "--input", self.path("ten"), "--output",
                     self.path("c"), "--split", "test", naming="test_batch.bin")
        with open(self.path("ten", "batches.meta.txt"), "w") as f:
            f.write("\n".join("abcdefghi"))
        self.refused("--from", "cifar-bin", "--input", self.path("ten"), "--output", self.path("c"),
                     naming="batches.meta.txt: has 9 names, but CIFAR-10 has 10 classes")

    # ---- refusals and damage ----

    def test_names_a_damaged_image_and_leaves_no_output(self):
        self.make_classes()
        for name, keep in [("ant/2.jpg", 0.6), ("bee/1.png", 0.6), ("cow/0.jpg", 0.02)]:
            path = self.path("in", name)
            whole = contents(path)
            rewrite(path, whole[: int(len(whole) * keep)])
            for encoding in ["raw", "jpeg"]:
                self.refused("--input", self.path("in"), "--output", self.path("out"),
                             "--encoding", encoding, naming=name)
                self.assertEqual(glob.glob(self.path("out", "*")), [])
            rewrite(path, whole)

    def test_refusals(self):
        self.make_classes()
        out = ["--output", self.path("out")]
        into = ["--input", self.path("in"), *out]
        self.refused("--input", self.path("nowhere"), *out, naming="nowhere")
        self.refused(*out, naming="--input")
        self.refused("--input", self.path("in"), naming="--output")
        self.refused(*into, "--shards", 16, naming="option --shards: 16 is more than the")
        self.refused(*into, "--shards", -1, naming="option --shards: '-1' is not accepted; allowed: a whole number, 0 or more")
        self.refused(*into, "--resize-short", -4, naming="option --resize-short: '-4' is not accepted")
        self.refused(*into, "--encoding", "jpg", naming="jpeg")
        self.refused(*into, "--encoding", "jpeg", "--jpeg-quality", 0, naming="1 or more, at most 100")
        self.refused("--from", "idx", *into, naming="images")
        os.makedirs(self.path("empty"))
        self.refused("--input", self.path("empty"), *out, naming="no JPEG or PNG")
        os.makedirs(self.path("in", "dog"))
        self.refused(*into, naming="dog")
        os.rmdir(self.path("in", "dog"))
        self.save(smooth(9, 9), "in", "stray.png")
        self.refused(*into, naming="stray.png")

    def test_replaces_output_only_with_force(self):
        self.make_classes()
        into = ["--input", self.path("in"), "--output", self.path("out")]
        self.pack(*into, "--shards", 3)
        before = digests(self.path("out"))
        self.refused(*into, "--shards", 2, naming="not empty")
        self.assertEqual(digests(self.path("out")), before)
        # What killed writers have left goes, too.
        for name in ("a.h5.tmp-0123456789abcdef", "a.h5.spool.tmp-0123456789abcdef", "a.h5.partial-77"):
            Path(self.path("out"), name).touch()
        self.pack(*into, "--shards", 2, "--force")
        self.assertEqual(len(shards(self.path("out"))), 2)
        self.assertEqual(len(os.listdir(self.path("out"))), 2)

    def test_verify_names_shard_and_block(self):
        for i in range(80):
            self.save(smooth(8, 8, phase=i), "in", f"{i:02d}.png")
        self.pack("--input", self.path("in"), "--output", self.path("out"), "--shards", 1)
        shard = shards(self.path("out"))[0]
        with h5py.File(shard) as f:
            offset = f["images"].id.get_offset()
        with open(shard, "r+b") as f:
            f.seek(offset + 70 * 192)
            byte = f.read(1)
            f.seek(-1, 1)
            f.write(bytes([byte[0] ^ 4]))
        result = simclr("inspect", self.path("out"), "--verify")
        self.assertEqual(result.returncode, 1)
        self.assertIn(os.path.basename(shard), result.stderr)
        self.assertIn("block 1 (samples 64 to 79)", result.stderr)
        self.assertEqual(simclr("inspect", self.path("out")).returncode, 0)
        self.refused(self.path("nothing"), command="inspect", naming="nothing")
        rewrite(shard, b"text")
        self.refused(shard, command="inspect", naming="not an HDF5 file")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[3:])
