from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from experiments.imaginarynet.vqgan.config import (
    EMBEDDED,
    F16_16384,
    VQGANConfig,
    config_from_json,
    config_to_json,
    count_decoder,
    count_encoder,
    count_parameters,
    read_config,
)
from suite.errors import BadInput

ORACLE = VQGANConfig(
    ch=32, ch_mult=(1, 2, 2), num_res_blocks=1, attn_resolutions=(8,), resolution=32, z_channels=32,
    embed_dim=32, n_embed=64,
)  # fmt: skip


def test_the_formula_gives_the_parameters_of_the_published_class_at_a_tiny_size():
    assert count_encoder(ORACLE) == 397_888
    assert count_decoder(ORACLE) == 636_867
    assert count_parameters(ORACLE) == 1_038_915


def test_the_formula_gives_the_parameters_of_f16_16384():
    assert count_parameters(F16_16384) == 76_073_859
    assert (F16_16384.factor, F16_16384.grid, F16_16384.num_codes) == (16, 16, 256)


def test_a_larger_codebook_adds_its_entries_alone():
    larger = replace(ORACLE, n_embed=ORACLE.n_embed + 7)
    assert count_parameters(larger) - count_parameters(ORACLE) == 7 * ORACLE.embed_dim


def test_the_order_of_attention_changes_no_parameters():
    assert count_parameters(replace(F16_16384, repeated_attention=False)) == count_parameters(F16_16384)


@pytest.mark.parametrize("config", [ORACLE, F16_16384, EMBEDDED])
def test_a_config_survives_its_json(config):
    assert config_from_json(json.loads(json.dumps(config_to_json(config))), where="here") == config


def test_the_hubs_settings_mean_32_groups_and_the_attention_of_the_published_code():
    hub = {
        "ch": 128, "ch_mult": [1, 1, 2, 2, 4], "num_res_blocks": 2, "attn_resolutions": [16], "dropout": 0.0,
        "resolution": 256, "z_channels": 256, "embed_dim": 256, "n_embed": 16384, "double_z": False,
        "resamp_with_conv": True, "give_pre_end": False, "num_resolutions": 5,
    }  # fmt: skip
    assert config_from_json(hub, where="config.json") == F16_16384


@pytest.mark.parametrize(
    "change, told",
    [
        ({"ch": 24}, "no multiple of num_groups"),
        ({"ch": 0}, "ch is 0"),
        ({"ch": True}, "ch is True"),
        ({"ch_mult": ()}, "ch_mult is empty"),
        ({"ch_mult": (1, 0)}, "ch_mult"),
        ({"resolution": 30}, "cannot be halved 2 times"),
        ({"n_embed": "64"}, "n_embed is '64'"),
    ],
)
def test_a_network_that_cannot_be_built_is_refused_by_name(change, told):
    with pytest.raises(BadInput, match=told):
        replace(ORACLE, **change)


def test_a_kind_that_is_not_computed_is_refused(tmp_path: Path):
    (tmp_path / "config.json").write_text(json.dumps(config_to_json(ORACLE) | {"double_z": True}))
    with pytest.raises(BadInput, match="config.json: VQGAN with double_z True"):
        read_config(tmp_path)


@pytest.mark.parametrize("text, told", [("{", "is no JSON"), ("[1]", "is no table"), ("{}", "no `ch`")])
def test_a_damaged_config_is_one_line_with_the_file(tmp_path: Path, text: str, told: str):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(BadInput, match=f"config.json: {told}"):
        read_config(tmp_path)


def test_a_missing_config_is_one_line_with_the_file(tmp_path: Path):
    with pytest.raises(BadInput, match="config.json: no such file"):
        read_config(tmp_path)
