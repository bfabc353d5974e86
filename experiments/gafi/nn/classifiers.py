"""Classifiers by name, and their initial weights as a function of a seed.

Weights are drawn on the host by numpy, so TensorFlow and JAX begin with the same bits, and a search that
trains many candidates with one compiled step needs no second network for another seed.
"""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np

from experiments.gafi.nn.backend import Tensor
from experiments.gafi.nn.resnet import BLOCKS_PER_STAGE, ResNet
from experiments.gafi.nn.simple import SimpleNet
from experiments.gafi.nn.state import ModelState, assign, names_of
from suite.errors import BadInput
from suite.seeds import item_rng

KNOWN = (*BLOCKS_PER_STAGE, "simple")
DTYPES = {"float32": "float32", "mixed_bfloat16": "bfloat16", "mixed_float16": "float16"}  # of feature maps


def build_classifier(
    model: Any, *, num_classes: int, channels: int, image_size: int, seed: int,
    init_sharing: str = "own", precision: str = "float32",
) -> keras.Model:  # fmt: skip
    """The network that `model.name` and `model.width` (section MODEL) ask for, with its initial weights.

    Call: (n,image_size,image_size,channels) float32 in [-1,1] -> LOGITS (n,num_classes) float32; the
    softmax is applied in the loss and in the scores. precision: float32, mixed_bfloat16 or mixed_float16.
    Raises BadInput.
    """
    if model.name not in KNOWN:
        raise BadInput(f"MODEL.name: unknown `{model.name}`", fix=f"choose {', '.join(KNOWN)}")
    if image_size % 4:
        raise BadInput(f"images of {image_size} pixels: a classifier halves them twice", fix="use 16 or 32")
    shape, dtype = (image_size, image_size, channels), DTYPES[precision]
    if model.name == "simple":
        net: keras.Model = SimpleNet(num_classes=num_classes, image_shape=shape, precision=dtype)
    else:
        net = ResNet(
            blocks=BLOCKS_PER_STAGE[model.name], width=model.width, num_classes=num_classes,
            image_shape=shape, name=model.name, precision=dtype,
        )  # fmt: skip
    assign(net, initial_state(net, seed=seed, init_sharing=init_sharing))
    return net


def initial_state(model: keras.Model, *, seed: int, init_sharing: str = "own") -> ModelState:
    """Fresh weights: kernels He normal, cut (last layer of `simple`: Glorot uniform), the rest constant.

    init_sharing: `own` gives every variable its own generator, from (seed, its name); `upstream` gives all
    the same, so that kernels of one shape begin equal, as in the published code.
    """
    names = names_of(model)

    def values(variables: list, names: list[str]) -> list[Tensor]:
        drawn = []
        for variable, name in zip(variables, names, strict=True):
            stream = "gafi.init" if init_sharing == "upstream" else f"gafi.init/{name}"
            value = _draw(name, tuple(variable.shape), item_rng(seed, stream, 0), model.name)
            drawn.append(keras.ops.convert_to_tensor(value, variable.dtype))
        return drawn

    return ModelState(
        values(model.trainable_variables, names.trainable),
        values(model.non_trainable_variables, names.other),
    )


def _draw(name: str, shape: tuple[int, ...], rng: np.random.Generator, net: str) -> np.ndarray:
    kind = name.rpartition("/")[2]
    if kind == "kernel":
        if net == "simple" and name == "dense/kernel":
            limit = math.sqrt(6.0 / (shape[0] + shape[1]))
            return rng.uniform(-limit, limit, shape).astype(np.float32)
        return he_normal(rng, shape)
    if kind in ("gamma", "moving_variance"):
        return np.ones(shape, np.float32)
    if kind == "dropout_key":
        return rng.integers(-(2**31), 2**31, size=shape, dtype=np.int64).astype(np.int32)
    return np.zeros(shape, np.float32)


def he_normal(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Float32 from a normal law cut at two deviations, of variance 2 / fan-in after the cut."""
    draws = rng.standard_normal(shape)
    while (outside := np.abs(draws) > 2).any():
        draws[outside] = rng.standard_normal(int(outside.sum()))
    spread = math.sqrt(2.0 / math.prod(shape[:-1])) / 0.87962566103423978  # deviation of the cut normal law
    return (draws * spread).astype(np.float32)


def apply_features(model: keras.Model, state: ModelState, images: Tensor) -> Tensor:
    """(n,F) float32 features of the network at `state`, in inference; F is 4w for a ResNet."""
    features, _ = model.stateless_call(
        state.trainable, state.other, images, training=False, return_features=True
    )
    return features


def num_parameters(model: keras.Model) -> tuple[int, int]:
    """(trainable, other) numbers of values."""
    return (
        sum(math.prod(v.shape) for v in model.trainable_variables),
        sum(math.prod(v.shape) for v in model.non_trainable_variables),
    )
