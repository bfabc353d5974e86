"""ImageNet weights of the backbones, from files that the user puts into a folder. Nothing is downloaded.

    mobilenet     mobilenet_1_0_224_tf_no_top.h5                            Keras's published file
    resnet50      resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5      Keras's published file
    mobilenetv2   mobilenetv2_imagenet.npz                                  made by convert_mobilenetv2.py

Each layer's name and each array's shape must fit, and nothing may be left over. ResNet-50's file must also
have the MD5 digest that Keras states in its source; for MobileNet Keras states none, so names and shapes are
all that is checked. Where `weights` is a file instead of a folder, no digest is asked for.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import h5py
import numpy as np

from suite.arrays import read_arrays
from suite.errors import BadInput, Missing

# isort: split
import keras

FILES = {
    "mobilenet": "mobilenet_1_0_224_tf_no_top.h5",
    "resnet50": "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5",
    "mobilenetv2": "mobilenetv2_imagenet.npz",
}
MD5 = {"resnet50": "4d473c1dd8becc155b73f8504c6f6626"}
HEAD = "head"  # begin of the names of the layers that are not the backbone's

Arrays = dict[str, dict[str, np.ndarray]]  # layer -> variable (kernel, gamma, ...) -> values


def load_backbone(model: keras.Model, arch: str, weights: str | Path | None) -> None:
    """Write the ImageNet weights into the backbone's variables; the heads stay as they are.

    weights: a folder with the file that FILES names, or such a file. Raises Missing where it is not there,
    BadInput where it cannot be read or is of another architecture.
    """
    if arch not in FILES:
        raise BadInput(f"there are no ImageNet weights for {arch}", fix="use init: random")
    path = find_weights(arch, weights)
    assign_backbone(model, read_npz(path) if path.suffix == ".npz" else read_keras_h5(path), path)


def find_weights(arch: str, weights: str | Path | None) -> Path:
    """The weights' file; the digest is checked where it is known and `weights` is a folder."""
    name = FILES[arch]
    if weights is None:
        what = f"no folder with ImageNet weights for {arch} is given"
        raise Missing(what, fix=f"name one that has {name}, or use init: random")
    path = Path(weights)
    if path.is_file():
        return path
    path = path / name
    if not path.is_file():
        raise Missing("there is no such file", file=path, fix="put it there, or use init: random")
    if arch in MD5:
        digest = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
        if digest != MD5[arch]:
            what = f"its MD5 digest is {digest}, the published file's {MD5[arch]}"
            raise BadInput(what, file=path, fix="get the file anew")
    return path


def read_keras_h5(path: Path) -> Arrays:
    """A Keras weights file (.h5, attributes `layer_names` and `weight_names`), without its empty layers."""
    try:
        with h5py.File(path, "r") as file:
            root = file["model_weights"] if "model_weights" in file else file
            return _read_layers(root)
    except (OSError, KeyError, AttributeError) as error:
        raise BadInput(f"is no Keras weights file ({error})", file=path, fix="get the file anew") from error


def _read_layers(root: h5py.Group) -> Arrays:
    arrays: Arrays = {}
    for layer in root.attrs["layer_names"]:
        group = root[_text(layer)]
        names = [_text(name) for name in group.attrs["weight_names"]]
        if names:
            arrays[_text(layer)] = {_variable(name): np.asarray(group[name]) for name in names}
    return arrays


def _text(name: str | bytes) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)


def _variable(name: str) -> str:
    """`conv1/kernel:0` -> `kernel`; Keras 2 calls that of a depth-wise convolution `depthwise_kernel`."""
    return name.rpartition("/")[2].partition(":")[0].removeprefix("depthwise_")


def read_npz(path: Path) -> Arrays:
    """A file of arrays named `layer/variable`, as convert_mobilenetv2.py writes it."""
    arrays: Arrays = {}
    for name, array in read_arrays(path, fix="convert it anew").items():
        layer, _, variable = name.partition("/")
        arrays.setdefault(layer, {})[variable] = array
    return arrays


def assign_backbone(model: keras.Model, arrays: Arrays, path: Path) -> None:
    """Write `arrays` into the layers below the heads; BadInput and nothing written if they do not fit."""
    below = (layer for layer in model.layers if layer.weights and not layer.name.startswith(HEAD))
    layers = {layer.name: layer for layer in below}
    wanted = {
        f"{name}/{variable.name}": tuple(variable.shape)
        for name, layer in layers.items()
        for variable in layer.weights
    }
    given = {f"{name}/{key}": value.shape for name, found in arrays.items() for key, value in found.items()}
    for name, problem in _differences(wanted, given):
        raise BadInput(
            f"{name} {problem}: weights of another architecture than {model.name}", file=path,
            fix=f"give {FILES.get(model.name, 'the right file')}",
        )  # fmt: skip
    for name, layer in layers.items():
        for variable in layer.weights:
            variable.assign(arrays[name][variable.name])


def _differences(wanted: dict[str, tuple], given: dict[str, tuple]) -> list[tuple[str, str]]:
    """(array, what is wrong with it) for all that do not fit."""
    found = [(name, "is missing") for name in wanted if name not in given]
    found += [(name, "does not belong") for name in given if name not in wanted]
    return found + [
        (name, f"has shape {given[name]}, not {shape}")
        for name, shape in wanted.items()
        if name in given and given[name] != shape
    ]
