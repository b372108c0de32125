"""Writes shard files with h5py alone, as other programs do: write_foreign_shards.py DIRECTORY.

Pixel (row y, column x, channel c) of sample i is (i * 31 + y * 7 + x * 3 + c * 50) % 256.
"""
import io
import os
import sys

import h5py
import numpy as np
from PIL import Image


def pixels(sample, height, width):
    y, x, c = np.ogrid[:height, :width, :3]
    return ((sample * 31 + y * 7 + x * 3 + c * 50) % 256).astype(np.uint8)


def images(first, count, height=5, width=4):
    return np.stack([pixels(i, height, width) for i in range(first, first + count)])


def variable(file, encode, dtype=np.int64):
    samples = [pixels(i, 4 + i % 3, 6 + i % 2) for i in range(9)]
    encoded = [np.frombuffer(encode(s), np.uint8) for s in samples]
    file["bytes"] = np.concatenate(encoded)
    file["offsets"] = np.cumsum([0] + [len(e) for e in encoded]).astype(dtype)
    file["sizes"] = np.array([s.shape[:2] for s in samples], dtype)


def jpeg(array):
    out = io.BytesIO()
    Image.fromarray(array).save(out, "JPEG", quality=95)
    return out.getvalue()


def small_integers(file, bits, offset):
    """Stores 4-bit pixels in bytes whose other bits are set."""
    kind = h5py.h5t.STD_U8LE.copy()
    kind.set_precision(bits)
    kind.set_offset(offset)
    kind.set_pad(h5py.h5t.PAD_ONE, h5py.h5t.PAD_ONE)
    values = images(0, 9) & 15
    dataset = h5py.h5d.create(file.id, b"images", kind, h5py.h5s.create_simple(values.shape))
    dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, values)


def main(root):
    def create(name, part="data.h5"):
        os.makedirs(os.path.join(root, name), exist_ok=True)
        return h5py.File(os.path.join(root, name, part), "w")

    with create("images_only") as f:
        f["images"] = images(0, 9)
    with create("partly_labeled") as f:
        f["images"] = images(0, 9)
        f["labels"] = [-1, 1, 2, -100, 4, 5, 6, 7, 8]
    with create("labeled_by_none") as f:
        f["images"] = images(0, 9)
        f["labels"] = np.full(9, -5, np.int8)
    with create("two_files", "first.h5") as f:
        f["images"] = images(0, 4)
        f["labels"] = np.arange(4, dtype=np.int32) % 3
    with create("two_files", "second.hdf5") as f:
        f["images"] = images(4, 5)
        f["labels"] = np.arange(4, 9, dtype=np.uint8) % 3
    with create("chunked") as f:
        f.create_dataset("images", data=images(0, 9), chunks=(1, 5, 4, 3))
    with create("compressed") as f:
        f.create_dataset("images", data=images(0, 9), chunks=(4, 5, 4, 3), compression="gzip")
    with create("raw_bytes") as f:
        variable(f, lambda a: a.tobytes())
    with create("compressed_bytes") as f:
        variable(f, lambda a: a.tobytes())
        stored = f["bytes"][:]
        del f["bytes"]
        f.create_dataset("bytes", data=stored, chunks=(64,), compression="gzip")
    with create("jpeg_bytes") as f:
        variable(f, jpeg, np.uint32)
        f.attrs["encoding"] = "jpeg"
    with create("jpeg_no_encoding") as f:
        variable(f, jpeg)
    with create("fixed_text") as f:  # numpy's fixed-length strings
        f["images"] = images(0, 9)
        f.attrs["name"] = np.bytes_("foreign")
        f.attrs["class_names"] = np.array([b"cat", b"dog"])

    with create("bool_labels") as f:
        f["images"] = images(0, 9)
        f["labels"] = np.arange(9) % 2 == 1
    for part, first, marks in (("a.h5", 0, np.array([[0, 1, 255]] * 4, np.uint8)), ("b.h5", 4, np.eye(5, 3) == 1)):
        with create("marks", part) as f:
            f["images"] = images(first, len(marks))
            f["labels"] = marks
    with create("column_of_labels") as f:
        f["images"] = images(0, 9)
        f["labels"] = (np.arange(9) % 3).reshape(9, 1).astype(">i2")
    with create("big_endian_bytes") as f:
        f.create_dataset("images", data=images(0, 9), dtype=h5py.h5t.STD_U8BE)
    with create("attributes_of_others") as f:
        f["images"] = images(0, 9)
        f["labels"] = np.arange(9) % 3
        f.attrs["format"] = "NHWC"
        f.attrs["version"] = "1.2"
        f.attrs["name"] = 7
        f.attrs["class_names"] = np.arange(3)
    with create("of_other_program_version") as f:
        f["images"] = images(0, 9)
        f.attrs["version"] = 20
    with create("soft_link") as f:
        f["group/pictures"] = images(0, 9)
        f["images"] = h5py.SoftLink("/group/pictures")

    def sources(name, count=2):
        for part in range(count):
            with create(name, f"part{part}.values") as f:
                f["data"] = images(0 if part == 0 else 4, 4 if part == 0 else 5)
        return [h5py.VirtualSource(f"part{part}.values", "data", shape=(4 + part, 5, 4, 3)) for part in range(2)]

    def virtual(f, parts, last=9):
        layout = h5py.VirtualLayout(shape=(9, 5, 4, 3), dtype=np.uint8)
        layout[:4] = parts[0]
        if last > 4:
            layout[4:last] = parts[1][:last - 4]
        f.create_virtual_dataset("images", layout)

    parts = sources("virtual")
    with create("virtual") as f:
        virtual(f, parts)

    def virtual_of_type(name, dataset, values, kind):
        with create(name, "source.values") as f:
            f["data"] = values
        layout = h5py.VirtualLayout(values.shape, kind)
        layout[...] = h5py.VirtualSource("source.values", "data", values.shape, dtype=values.dtype)
        with create(name) as f:
            if dataset != "images":
                f["images"] = images(0, 9)
            f.create_virtual_dataset(dataset, layout)

    virtual_of_type("virtual_narrower_labels", "labels", (np.arange(9) % 3).astype(">i2"), np.int64)
    virtual_of_type("bad_virtual_real", "images", images(0, 9).astype(np.float32) / 255, np.uint8)
    virtual_of_type("bad_virtual_wide", "images", images(0, 9).astype(np.int16) * 2, np.uint8)
    virtual_of_type("bad_virtual_signed", "images", images(0, 9).astype(np.int8), np.uint8)
    virtual_of_type("bad_virtual_unsigned_labels", "labels", np.arange(9, dtype=np.uint64), np.int64)
    virtual_of_type("bad_virtual_real_labels", "labels", np.arange(9) + 0.7, np.int64)

    def damage(name, byte, **options):
        """Damages the second chunk, samples 2 and 3."""
        with create(name) as f:
            f.create_dataset("images", data=images(0, 9), chunks=(2, 5, 4, 3), **options)
        path = os.path.join(root, name, "data.h5")
        with h5py.File(path) as f:
            chunk = f["images"].id.get_chunk_info(1)
        with open(path, "r+b") as f:
            f.seek(chunk.byte_offset + byte)
            f.write(bytes(20))

    damage("damaged_gzip", 10, compression="gzip")
    damage("damaged_checksum", 0, fletcher32=True)
    with create("damaged_jpeg") as f:  # sample 5 is the one of 6 x 7 pixels
        variable(f, lambda a: jpeg(a)[:-30] if a.shape == (6, 7, 3) else jpeg(a))
        f.attrs["encoding"] = "jpeg"
    with create("no_jpeg") as f:
        variable(f, lambda a: a.tobytes())
        f.attrs["encoding"] = "jpeg"
    with create("empty_jpeg") as f:
        variable(f, lambda a: b"")
        f.attrs["encoding"] = "jpeg"
    for offset in (0, 4):
        with create(f"four_bits_at_{offset}") as f:
            small_integers(f, 4, offset)
    with create("empty_names") as f:
        f["images"] = images(0, 9)
        f.attrs["class_names"] = h5py.Empty(h5py.string_dtype())
        f.attrs["name"] = h5py.Empty("S9")
    with create("no_names") as f:
        f["images"] = images(0, 9)
        f.attrs.create("class_names", np.array([], object), dtype=h5py.string_dtype())
    with create("bad_negative_offset") as f:
        variable(f, lambda a: a.tobytes())
        f["offsets"][0] = -5

    def named(name, **changes):
        """Nine samples with names as bytes and offsets, of which some datasets are replaced; None leaves one out."""
        datasets = {"images": images(0, 9), "names": np.frombuffer("".join(names).encode(), np.uint8),
                    "name_offsets": np.cumsum([0] + [len(n.encode()) for n in names])}
        with create(name) as f:
            for key, values in (datasets | changes).items():
                if values is not None:
                    f[key] = values

    names = [f"kl\u00e4sse/{i}.jpg"[:5 + i] for i in range(9)]
    offsets = np.cumsum([0] + [len(n.encode()) for n in names])
    named("names")
    named("names_big_endian", name_offsets=offsets.astype(">u8"))
    named("names_of_no_length", names=np.zeros(0, np.uint8), name_offsets=np.zeros(10, np.int8))
    named("names_not_utf8", names=np.full(offsets[-1], 0xFF, np.uint8))
    named("texts_called_names", names=names, name_offsets=None)
    named("only_name_offsets", names=None)
    named("bad_names_text", names=names)
    named("bad_names_real", names=np.zeros(99))
    named("bad_names_wide", names=np.zeros(99, np.uint16))
    named("bad_names_signed", names=np.zeros(99, np.int8))
    named("bad_names_scalar", names=np.uint8(1))
    named("bad_names_table", names=np.zeros((9, 20), np.uint8))
    named("bad_name_offsets_real", name_offsets=offsets.astype(float))
    named("bad_name_offsets_short", name_offsets=offsets[:-1])
    named("bad_name_offsets_long", name_offsets=np.append(offsets, offsets[-1]))
    named("bad_name_offsets_table", name_offsets=offsets[:, None])
    named("bad_names_elsewhere", names=h5py.ExternalLink(os.path.join(root, "elsewhere.values"), "data"))
    named("bad_names_unread_descending", name_offsets=offsets[::-1])
    named("bad_names_unread_beyond", name_offsets=offsets * 2)
    named("bad_names_unread_negative", name_offsets=offsets - 3)
    named("bad_names_unread_large", name_offsets=np.append(offsets[:-1], 2**64 - 1).astype(np.uint64))

    os.makedirs(os.path.join(root, "virtual_in_folder/parts"))
    os.makedirs(os.path.join(root, "bad_virtual_missing_in_folder/parts"))
    for name in ("virtual_in_folder", "bad_virtual_missing_in_folder"):
        for part, (first, count) in enumerate(((0, 4), (4, 5))):
            if name.startswith("bad") and part == 1:
                continue
            with h5py.File(os.path.join(root, name, f"parts/p{part}.values"), "w") as f:
                f["data"] = images(first, count)
        with create(name) as f:
            virtual(f, [h5py.VirtualSource(f"parts/p{p}.values", "data", shape=(4 + p, 5, 4, 3)) for p in range(2)])

    elsewhere = os.path.join(root, "elsewhere.values")
    with h5py.File(elsewhere, "w") as f:
        f["data"] = images(0, 9)
    with create("bad_external_link") as f:
        f["images"] = h5py.ExternalLink(elsewhere, "data")
    with create("bad_soft_link_to_external_link") as f:
        f["other"] = h5py.ExternalLink(elsewhere, "/")
        f["images"] = h5py.SoftLink("/other/data")
    with create("bad_external_labels") as f:
        f["images"] = images(0, 9)
        f["labels"] = h5py.ExternalLink(elsewhere, "data")
    os.mkfifo(os.path.join(root, "pipe"))
    with create("bad_link_to_fifo") as f:
        f["images"] = h5py.ExternalLink(os.path.join(root, "pipe"), "data")
    with create("bad_external_storage") as f:
        f.create_dataset("images", (9, 5, 4, 3), np.uint8, external=[("/etc/passwd", 0, 540)])
    parts = sources("bad_virtual_missing", 1)
    with create("bad_virtual_missing") as f:
        virtual(f, parts)
    parts = sources("bad_virtual_gap")
    with create("bad_virtual_gap") as f:
        virtual(f, parts, 8)
    sources("bad_virtual_short")
    with create("bad_virtual_short") as f:
        virtual(f, [h5py.VirtualSource("part0.values", "data", shape=(4, 5, 4, 3)),
                    h5py.VirtualSource("part0.values", "data", shape=(5, 5, 4, 3))])
    with create("bad_virtual_itself") as f:
        layout = h5py.VirtualLayout(shape=(9, 5, 4, 3), dtype=np.uint8)
        layout[:] = h5py.VirtualSource("data.h5", "images", shape=(9, 5, 4, 3))
        f.create_virtual_dataset("images", layout)
    with create("bad_virtual_elsewhere") as f:
        layout = h5py.VirtualLayout(shape=(9, 5, 4, 3), dtype=np.uint8)
        layout[:] = h5py.VirtualSource("../elsewhere.values", "data", shape=(9, 5, 4, 3))
        f.create_virtual_dataset("images", layout)
    with create("bad_filter") as f:
        f.create_dataset("images", data=images(0, 9), chunks=(1, 5, 4, 3), compression="lzf")
    with create("bad_unwritten_chunks") as f:
        f.create_dataset("images", (9, 5, 4, 3), np.uint8, chunks=(1, 5, 4, 3))[:7] = images(0, 7)
    with create("bad_unwritten_compressed") as f:
        f.create_dataset("images", (9, 5, 4, 3), np.uint8, chunks=(1, 5, 4, 3), compression="gzip")[:7] = images(0, 7)
    with create("bad_unwritten") as f:
        f.create_dataset("images", (9, 5, 4, 3), np.uint8)
    with create("bad_height") as f:
        f.create_dataset("images", (1, 2**32 + 1, 1, 3), np.uint8, chunks=(1, 2**20, 1, 3), compression="gzip")
        f["images"][0, :2**20] = 1
    with create("bad_terabytes") as f:
        f.create_dataset("images", (2**20, 1024, 1024, 3), np.uint8, chunks=(64, 1024, 1024, 3), compression="gzip")
    with create("bad_large_labels") as f:
        f["images"] = images(0, 9)
        f["labels"] = np.full(9, 2**63 + 5, np.uint64)
    with create("bad_float") as f:
        f["images"] = images(0, 9).astype(np.float32)
    with create("bad_gray") as f:
        f["images"] = images(0, 9)[..., 0]
    with create("bad_planes") as f:
        f["images"] = images(0, 9).transpose(0, 3, 1, 2)
    with create("bad_nothing") as f:
        f["pictures"] = images(0, 9)
    with create("bad_no_offsets") as f:
        f["bytes"] = np.zeros(10, np.uint8)
    with create("bad_offsets") as f:
        variable(f, lambda a: a.tobytes())
        f["offsets"][3] = 10**9
    with create("bad_sizes") as f:
        variable(f, lambda a: a.tobytes())
        f.attrs["encoding"] = "raw"
        f["sizes"][3] = (1, 1)
    for name, marks in (("bad_marks", np.full((9, 2), 7)), ("bad_negative_marks", np.full((9, 2), -1)),
                        ("bad_rows_of_marks", np.zeros((8, 2), np.uint8)), ("bad_cube_of_labels", np.zeros((9, 2, 2), int))):
        with create(name) as f:
            f["images"] = images(0, 9)
            f["labels"] = marks
    for columns, part in ((2, "a.h5"), (3, "data.h5")):
        with create("bad_columns_of_shards", part) as f:
            f["images"] = images(0, 9)
            f["labels"] = np.zeros((9, columns), np.uint8)
    with create("bad_labels") as f:
        f["images"] = images(0, 9)
        f["labels"] = np.arange(8)
    with create("bad_real_labels") as f:
        f["images"] = images(0, 9)
        f["labels"] = np.zeros(9)
    with create("bad_empty") as f:
        f["images"] = images(0, 9)[:0]
    with create("bad_encoding") as f:
        variable(f, lambda a: a.tobytes())
        f.attrs["encoding"] = "webp"
    with create("bad_version") as f:
        f["images"] = images(0, 9)
        f.attrs["format"] = "simclr-shards"
        f.attrs["version"] = 2
    with create("bad_format") as f:
        f["images"] = images(0, 9)
        f.attrs["format"] = "simclr-checkpoint"


main(sys.argv[1])
