from __future__ import annotations

import json
import pickle
from pathlib import Path

import jax
import numpy as np
import pytest
import safetensors.numpy
from flax import serialization

from experiments.imaginarynet.vqgan import checkpoint
from experiments.imaginarynet.vqgan.config import config_to_json
from experiments.imaginarynet.vqgan.params import flatten
from suite.errors import BadInput, Missing
from tests.imaginarynet.vqgan.test_model import CONFIG, random_params


@pytest.fixture
def params():
    return random_params(CONFIG)


def _same(one, other) -> bool:
    one, other = flatten(one), flatten(other)
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


def test_float32_weights_survive_the_file(tmp_path: Path, params):
    checkpoint.save(tmp_path, CONFIG, params, dtype=np.float32)
    config, found = checkpoint.load(tmp_path)
    assert config == CONFIG and _same(found, params)


def test_half_precision_weights_are_the_rounded_ones_and_computed_with_in_float32(tmp_path: Path, params):
    checkpoint.save(tmp_path, CONFIG, params)
    _, found = checkpoint.load(tmp_path)
    assert {leaf.dtype for leaf in flatten(found).values()} == {np.dtype(np.float32)}
    assert _same(found, jax.tree.map(lambda leaf: leaf.astype(np.float16).astype(np.float32), params))


def test_equal_weights_give_equal_bytes(tmp_path: Path, params):
    for name in ("one", "other"):
        checkpoint.save(tmp_path / name, CONFIG, params)
    for file in ("config.json", "model.safetensors"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "other" / file).read_bytes()


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_folder_of_the_hub_is_read(tmp_path: Path, params, wrapped: bool):
    tree = {"params": params} if wrapped else params
    (tmp_path / "flax_model.msgpack").write_bytes(serialization.msgpack_serialize(tree))
    (tmp_path / "config.json").write_text(json.dumps(config_to_json(CONFIG)))
    config, found = checkpoint.load(tmp_path)
    assert config == CONFIG and _same(found, params)


def test_a_folder_without_weights_says_what_to_put_there(tmp_path: Path):
    with pytest.raises(Missing, match=r"model.safetensors or the published flax_model.msgpack"):
        checkpoint.load(tmp_path)


@pytest.mark.parametrize("name", ["model.safetensors", "flax_model.msgpack"])
@pytest.mark.parametrize("keep", [0, 7, 200, -1])
def test_a_cut_file_is_one_line_with_its_name(tmp_path: Path, params, name: str, keep: int):
    checkpoint.save(tmp_path, CONFIG, params)
    whole = (tmp_path / "model.safetensors").read_bytes()
    if name != "model.safetensors":
        whole = serialization.msgpack_serialize(params)
        (tmp_path / "model.safetensors").unlink()
    (tmp_path / name).write_bytes(whole[:keep])
    with pytest.raises(BadInput, match=name):
        checkpoint.load(tmp_path)


def test_a_pickle_is_not_loaded(tmp_path: Path, params):
    checkpoint.save(tmp_path, CONFIG, params)
    for name in ("model.safetensors", "flax_model.msgpack"):
        (tmp_path / "model.safetensors").unlink(missing_ok=True)
        (tmp_path / name).write_bytes(pickle.dumps({"a": [1.0]}))
        with pytest.raises(BadInput, match=name):
            checkpoint.load(tmp_path)


@pytest.mark.parametrize(
    "change, told",
    [
        (lambda flat: flat.pop("quant_conv/bias"), "no `quant_conv/bias`"),
        (lambda flat: flat.update({"quant_conv/bias": np.zeros(9)}), "`quant_conv/bias` is 9, not 4"),
        (lambda flat: flat.update(extra=np.zeros(2)), "surplus `extra`"),
    ],
)
def test_weights_of_another_network_are_refused_by_the_parameter(tmp_path: Path, params, change, told: str):
    checkpoint.save(tmp_path, CONFIG, params)
    flat = flatten(params)
    change(flat)
    (tmp_path / "model.safetensors").write_bytes(safetensors.numpy.save(flat))
    with pytest.raises(BadInput, match=told):
        checkpoint.load(tmp_path)
