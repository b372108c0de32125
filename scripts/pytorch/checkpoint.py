"""Reads simclr's checkpoints into a PyTorch model, and writes a trained model as a checkpoint.

A written checkpoint is a copy of the one that training started from, with new weights, running statistics,
step and checksums (see include/simclr/io/checkpoint.hpp).
"""

import os
import shutil

import h5py
import numpy as np
import torch
import xxhash

SECTIONS = ("parameters", "running", "optimizer/momentum", "optimizer/second_moment")


def _names(file, section):
    return [name.decode() if isinstance(name, bytes) else name
            for name in file.attrs.get(f"order:{section}", [])]


def _text(value):
    return value.decode() if isinstance(value, bytes) else str(value)


def _to_torch(array):
    """Filters are stored (K, R, S, C); PyTorch has (K, C, R, S)."""
    return np.transpose(array, (0, 3, 1, 2)) if array.ndim == 4 else array


def _from_torch(array):
    return np.ascontiguousarray(np.transpose(array, (0, 2, 3, 1)) if array.ndim == 4 else array, "<f4")


def read_state(path, model):
    """Loads every parameter and running statistic of the checkpoint into the model; fails if one does not fit."""
    state = model.state_dict()
    with h5py.File(path) as file:
        for section in ("parameters", "running"):
            for name in _names(file, section):
                value = torch.tensor(_to_torch(file[section][name][:]).copy())
                if name not in state or state[name].shape != value.shape:
                    raise ValueError(f"{path}: {name} {tuple(value.shape)} does not fit this model")
                state[name].copy_(value)


def _checksum(data):
    return f"{xxhash.xxh3_64_intdigest(data):016x}"


def write_state(template, path, model, step):
    """Writes the model's weights as a checkpoint at `step`; copies everything else from the template."""
    partial = f"{path}.partial-{os.getpid()}"
    shutil.copyfile(template, partial)
    state = model.state_dict()
    with h5py.File(partial, "r+") as file:
        file.attrs.modify("step", np.int64(step))
        digest = "simclr-checkpoint {}\nstep {}\nepoch {}\nseed {}\n{}\n{}\n".format(
            int(file.attrs["version"]), step, int(file.attrs["epoch"]),
            int(np.ravel(file.attrs["seed"])[0]), _text(file.attrs["configuration"]),
            _text(file.attrs["model"]))
        for section in SECTIONS:
            for name in _names(file, section):
                dataset = file[section][name]
                if section in ("parameters", "running"):
                    dataset[...] = _from_torch(state[name].detach().float().cpu().numpy())
                checksum = _checksum(np.ascontiguousarray(dataset[:]).tobytes())
                _set_text(dataset.attrs, "checksum", checksum)
                shape = ",".join(map(str, dataset.shape))
                digest += f"{section}/{name} ({shape}) {checksum}\n"
        _set_text(file.attrs, "checksum", _checksum(digest.encode()))
    os.replace(partial, path)


def _set_text(attributes, name, text):
    """Sets a text attribute and keeps its stored type."""
    attributes.modify(name, text.encode() if isinstance(attributes[name], bytes) else text)
