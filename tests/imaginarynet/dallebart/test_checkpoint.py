from dataclasses import replace

import jax
import numpy as np
import pytest
from flax.serialization import msgpack_serialize
from flax.traverse_util import flatten_dict

from experiments.imaginarynet.dallebart import checkpoint
from experiments.imaginarynet.dallebart.config import write_config
from suite.errors import BadInput, Missing
from tests.imaginarynet.tiny_models import CONFIG, params

PARAMS = params()


def is_same(first, second):
    return jax.tree.all(
        jax.tree.map(lambda a, b: bool((np.asarray(a) == np.asarray(b)).all()), first, second)
    )


def write_published(folder, *, stacked, tree=None):
    write_config(CONFIG, folder)
    tree = tree or checkpoint.to_published(PARAMS, CONFIG, stacked=stacked)
    (folder / checkpoint.PUBLISHED).write_bytes(msgpack_serialize(tree))
    return folder


def test_a_saved_model_is_loaded_back(tmp_path):
    checkpoint.save_model(tmp_path, CONFIG, PARAMS, dtype="float32")
    config, loaded = checkpoint.load_model(tmp_path)
    assert config == CONFIG and is_same(loaded, PARAMS)


def test_equal_models_give_equal_files(tmp_path):
    first, second = (checkpoint.save_model(tmp_path / name, CONFIG, PARAMS) for name in "ab")
    assert first.read_bytes() == second.read_bytes()


def test_half_precision_files_are_computed_in_the_dtype_asked_for(tmp_path):
    checkpoint.save_model(tmp_path, CONFIG, PARAMS)
    for dtype in ("float32", "float16", "bfloat16"):
        _, loaded = checkpoint.load_model(tmp_path, dtype)
        assert {str(leaf.dtype) for leaf in jax.tree.leaves(loaded)} == {dtype}


@pytest.mark.parametrize("stacked", [True, False])
def test_published_parameters_are_read_in_both_layouts(tmp_path, stacked):
    _, loaded = checkpoint.load_model(write_published(tmp_path, stacked=stacked))
    assert is_same(loaded, PARAMS)


def test_published_names_are_those_of_the_published_class():
    names = {"/".join(path) for path in flatten_dict(checkpoint.to_published(PARAMS, CONFIG, stacked=True))}
    assert len(names) == 42  # arrays of the published class with stacked layers
    assert "model/decoder/layers/FlaxBartDecoderLayers/FlaxBartAttention_1/q_proj/kernel" in names
    assert "model/encoder/layers/FlaxBartEncoderLayers/GLU_0/LayerNorm_1/bias" in names
    assert {
        "lm_head/kernel",
        "model/decoder/final_ln/bias",
        "model/encoder/embed_positions/embedding",
    } <= names


def test_no_weights_tell_which_file_goes_where(tmp_path):
    write_config(CONFIG, tmp_path)
    with pytest.raises(
        Missing, match=r"flax_model\.msgpack: no such file; put it or model\.safetensors there"
    ):
        checkpoint.load_model(tmp_path)


@pytest.mark.parametrize("keep", [0, 5, 1000])
def test_a_cut_off_safetensors_file_is_bad_input(tmp_path, keep):
    path = checkpoint.save_model(tmp_path, CONFIG, PARAMS)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(BadInput, match=r"model\.safetensors: is no whole"):
        checkpoint.load_model(tmp_path)


@pytest.mark.parametrize("damage", [b"", b"\x80\x04\x95", b"\xff" * 50])
def test_a_damaged_msgpack_file_is_bad_input(tmp_path, damage):
    write_published(tmp_path, stacked=True)
    (tmp_path / checkpoint.PUBLISHED).write_bytes(damage)
    with pytest.raises(BadInput, match=r"flax_model\.msgpack"):
        checkpoint.load_model(tmp_path)


def test_a_cut_off_msgpack_file_is_bad_input(tmp_path):
    path = write_published(tmp_path, stacked=True) / checkpoint.PUBLISHED
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(BadInput, match=r"flax_model\.msgpack"):
        checkpoint.load_model(tmp_path)


def test_parameters_of_other_sizes_are_named(tmp_path):
    checkpoint.save_model(tmp_path, CONFIG, PARAMS)
    write_config(replace(CONFIG, glu_width=40), tmp_path)
    with pytest.raises(
        BadInput, match=r"`decoder\.layers\.0\.glu\.in` is \(32, 96\), by config\.json \(32, 80\)"
    ):
        checkpoint.load_model(tmp_path)
    write_config(replace(CONFIG, decoder_layers=3), tmp_path)
    with pytest.raises(BadInput, match=r"holds no `decoder\.layers\.2"):
        checkpoint.load_model(tmp_path)
    write_config(replace(CONFIG, decoder_layers=1), tmp_path)
    with pytest.raises(BadInput, match=r"no place for"):
        checkpoint.load_model(tmp_path)


def test_another_network_under_the_published_name_is_bad_input(tmp_path):
    write_published(tmp_path, stacked=True, tree={"params": {"dense": np.zeros(3)}})
    with pytest.raises(BadInput, match="lm_head"):
        checkpoint.load_model(tmp_path)
