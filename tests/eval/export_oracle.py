"""Loads exported weights into torchvision's models (float64) and compares their features with those of `embed`."""

import json
import os
import sys
import tempfile

import h5py
import numpy as np
import torch
import torchvision

from program import Program, check, model, striped_images


def read_safetensors(path):
    with open(path, "rb") as file:
        data = file.read()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8:8 + length])
    metadata = header.pop("__metadata__")
    tensors = {}
    for name, entry in header.items():
        check(entry["dtype"] == "F32", f"{name} is {entry['dtype']}")
        begin, end = entry["data_offsets"]
        values = np.frombuffer(data[8 + length + begin:8 + length + end], np.float32)
        tensors[name] = torch.from_numpy(values.reshape(entry["shape"]).copy())
    return metadata, tensors


def torch_encoder(description, tensors):
    """Returns torchvision's model with these weights; all but the classifier's must be there."""
    encoder = getattr(torchvision.models, description["encoder"])()
    if description["stem"] == "cifar":
        encoder.conv1 = torch.nn.Conv2d(3, 64, 3, 1, 1, bias=False)
        encoder.maxpool = torch.nn.Identity()
    missing, unexpected = encoder.load_state_dict(tensors, strict=False)
    check(set(missing) == {"fc.weight", "fc.bias"}, f"missing {missing}")
    check(all(name.startswith("projection_head.") for name in unexpected),
          f"unexpected {unexpected}")
    encoder.fc = torch.nn.Identity()
    return encoder.eval()


def torch_head(tensors, layers, h, count):
    """Returns the output of the first `count` of the head's layers."""
    z = h
    for i in range(count):
        prefix = f"projection_head.{i}."
        z = torch.nn.functional.linear(z, tensors[prefix + "linear.weight"])
        z = torch.nn.functional.batch_norm(
            z, tensors[prefix + "bn.running_mean"], tensors[prefix + "bn.running_var"],
            tensors[prefix + "bn.weight"], tensors.get(prefix + "bn.bias"), eps=1e-5)
        z = z if i + 1 == layers else torch.relu(z)
    check("projection_head.%d.bn.bias" % (layers - 1) not in tensors, "the last BN has a beta")
    return z


def torch_layers(description, encoder, tensors, x):
    """Returns the output of every layer of --layer by its name: hooks on torchvision's groups, then the head."""
    outputs = {}
    for name in ("layer1", "layer2", "layer3", "layer4"):
        getattr(encoder, name).register_forward_hook(lambda _m, _i, out, name=name: outputs.update({name: out.mean((2, 3))}))
    outputs["h"] = encoder(x)
    for count in range(1, description["head_layers"] + 1):
        outputs[f"head{count}"] = torch_head(tensors, description["head_layers"], outputs["h"], count)
    outputs["z"] = outputs[f"head{description['head_layers']}"]
    return outputs


def compare(name, found, expected):
    """Allows a difference of 1e-5 of the norm, and of 2e-3 of the deviation between images."""
    check(found.shape == expected.shape, f"{name}: shape {found.shape}, not {expected.shape}")
    distance = np.linalg.norm(found - expected)
    error = distance / np.linalg.norm(expected)
    error_between = distance / np.linalg.norm(expected - expected.mean(0))
    print(f"{name}: difference {error:.1e} of the norm, {error_between:.1e} of the deviation between images")
    check(error <= 1e-5 and error_between <= 2e-3, f"{name} differs by {error}, {error_between}")


def run_case(program, description, images):
    program.make_checkpoint("checkpoint.h5", description)
    program.run("export", "checkpoint.h5", "--output", "weights.safetensors")
    program.write_shards("images", images)
    program.run("embed", "--checkpoint", "checkpoint.h5", "--data", "images", "--output",
                "features.h5", "--with-z", "--feature-batch", "4")
    metadata, tensors = read_safetensors(os.path.join(program.directory, "weights.safetensors"))
    check(metadata["encoder"] == description["encoder"], "metadata names another encoder")

    x = torch.from_numpy(images).permute(0, 3, 1, 2) / 255
    if description["mean"]:
        x = torchvision.transforms.functional.normalize(x, description["mean"], description["std"])
    if images.shape[1] > 32:  # short side to S*256/224, then the center
        size = description["image_size"]
        x = torchvision.transforms.functional.resize(
            x, round(size * 256 / 224), torchvision.transforms.InterpolationMode.BICUBIC,
            antialias=True).clamp(0, 1)
        x = torchvision.transforms.functional.center_crop(x, size)
    with torch.no_grad():
        tensors = {name: tensor.double() for name, tensor in tensors.items()}
        expected = torch_layers(description, torch_encoder(description, tensors).double(), tensors, x.double())
    with h5py.File(os.path.join(program.directory, "features.h5"), "r") as file:
        for name in ("h", "z"):
            compare(f"{name} of {description['encoder']}", file[name][:], expected[name].numpy())
        check("labels" not in file, "unlabeled images got labels")
        check((file["sample_index"][:] == np.arange(len(images))).all(), "sample_index")
    for name, features in expected.items():
        program.run("embed", "--checkpoint", "checkpoint.h5", "--data", "images", "--output", "layer.h5", "--layer", name)
        with h5py.File(os.path.join(program.directory, "layer.h5"), "r") as file:
            check(set(file) == {name, "sample_index"} and file.attrs["layer"] == name, f"{set(file)}")
            compare(f"--layer {name} of {description['encoder']}", file[name][:], features.numpy())


def main():
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as directory:
        program = Program(sys.argv[1], directory)
        small, _ = striped_images(6, 32, 4, 1)
        run_case(program, model(width=1, image_size=32, mean=[0.5, 0.4, 0.3], std=[0.2, 0.25, 0.3]),
                 small)
        large, _ = striped_images(6, 80, 4, 2)
        run_case(program, model(encoder="resnet50", width=1, stem="imagenet", image_size=64,
                                head_layers=3), large)


main()
