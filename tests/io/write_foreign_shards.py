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


def main(root):
    def create(name, part="data.h5"):
        os.makedirs(os.path.join(root, name), exist_ok=True)
        return h5py.File(os.path.join(root, name, part), "w")

    with create("images_only") as f:
        f["images"] = images(0, 9)
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
    with create("bad_labels") as f:
        f["images"] = images(0, 9)
        f["labels"] = np.arange(8)
    with create("bad_negative_labels") as f:
        f["images"] = images(0, 9)
        f["labels"] = np.full(9, -1)
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
        f.attrs["version"] = 2
    with create("bad_format") as f:
        f["images"] = images(0, 9)
        f.attrs["format"] = "simclr-checkpoint"


main(sys.argv[1])
