import json

import pytest

from experiments.imaginarynet.dallebart.config import (
    MEGA,
    MINI,
    PRESETS,
    DalleBartConfig,
    from_tree,
    read_config,
    write_config,
)
from suite.errors import BadInput, Missing
from tests.imaginarynet.tiny_models import CONFIG

# Counted on the published class, which was built with these sizes.
SMALL = DalleBartConfig(
    width=64, heads=4, encoder_layers=2, decoder_layers=2, glu_width=96, text_vocab=300, image_vocab=64,
    text_length=16, image_length=16, decoder_start=64,
)  # fmt: skip
MICRO = DalleBartConfig(
    width=256, heads=2, encoder_layers=2, decoder_layers=2, glu_width=256, text_vocab=50264,
    image_vocab=16391, text_length=64, image_length=256, decoder_start=16384,
)  # fmt: skip


@pytest.mark.parametrize(
    ("config", "count"),
    [(SMALL, 203_776), (MICRO, 23_709_696), (MINI, 437_833_712), (MEGA, 2_587_521_024)],
)
def test_parameters_are_as_many_as_published(config, count):
    assert config.count_parameters() == count


@pytest.mark.parametrize("config", [SMALL, MICRO, MINI, MEGA, PRESETS["tiny"]])
def test_the_formula_counts_the_tree(config):
    import jax

    from experiments.imaginarynet.dallebart.model import init_params

    tree = jax.eval_shape(lambda: init_params(config, jax.random.key(0)))
    assert sum(leaf.size for leaf in jax.tree.leaves(tree)) == config.count_parameters()


def test_a_written_config_is_read_back(tmp_path):
    write_config(MEGA, tmp_path)
    assert read_config(tmp_path) == MEGA


def test_codes_are_the_ids_below_the_start():
    assert (MEGA.codebook, MINI.codebook, CONFIG.codebook) == (16384, 16384, 64)


def test_a_config_without_a_start_id_starts_above_the_codes():
    tree = {
        "d_model": 64, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 4,
        "decoder_attention_heads": 4, "encoder_ffn_dim": 8, "decoder_ffn_dim": 8, "encoder_vocab_size": 50,
        "image_vocab_size": 32, "image_length": 4, "max_text_length": 8,
    }  # fmt: skip
    config = from_tree(tree, where="config.json")
    assert config.decoder_start == 32 and config.init_std == 0.02


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"use_glu": False}, "use_glu"),
        ({"ln_positions": "swinv2"}, "ln_positions"),
        ({"decoder_ffn_dim": 5}, "differ"),
        ({"d_model": None}, "d_model"),
        ({"d_model": 30}, "no multiple"),
        ({"decoder_start_token_id": 70}, "outside"),
        ({"image_length": 0}, "image_length"),
    ],
)
def test_a_network_of_another_kind_is_refused_by_name(tmp_path, change, told):
    path = write_config(CONFIG, tmp_path)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(BadInput, match=told):
        read_config(tmp_path)


@pytest.mark.parametrize("text", ["{", "[1, 2]", ""])
def test_a_damaged_config_is_bad_input(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(BadInput, match="config.json"):
        read_config(tmp_path)


def test_a_missing_config_is_missing(tmp_path):
    with pytest.raises(Missing, match="config.json"):
        read_config(tmp_path)
