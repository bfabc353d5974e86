"""Folders of pipelines: damaged, foreign and missing parts are told in one line with their file."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from experiments.imaginarynet.diffusion.folder import has_checker, read_parts
from experiments.imaginarynet.diffusion.pipeline import Diffusion
from suite.errors import BadInput, Missing
from tests.imaginarynet.diffusion.tiny_pipeline import change_json, settings

UNET = "unet/diffusion_pytorch_model.safetensors"


@pytest.fixture
def copy(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "copy")


def read(folder):
    return read_parts(folder, dtype=torch.float32, checker=False)


def load(folder):
    return Diffusion.load(settings(folder), batch=1, device="cpu")


def test_parts_tell_factor_text_length_and_size(folder):
    parts = read(folder)
    assert (parts.factor, parts.text_length, parts.native_size) == (4, 16, 32)
    assert not has_checker(folder)
    assert all(not p.requires_grad for p in parts.unet.parameters())


@pytest.mark.parametrize("name", [UNET, "model_index.json", "text_encoder/model.safetensors"])
def test_a_missing_file_ends_in_exit_3_that_names_it(copy, name):
    (copy / name).unlink()
    with pytest.raises(Missing, match=name) as caught:
        load(copy)
    assert caught.value.exit_code == 3


def test_pickled_weights_are_no_weights(copy):
    (copy / UNET).unlink()
    torch.save({}, copy / "unet/diffusion_pytorch_model.bin")
    with pytest.raises(Missing):
        load(copy)


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
def test_a_cut_off_file_ends_in_exit_2_that_names_it(copy, part):
    path = next((copy / part).glob("*.safetensors"))
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(BadInput, match=path.name) as caught:
        load(copy)
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)


def test_lacking_weights_are_not_filled_up_with_random_ones(copy):
    tensors = load_file(copy / UNET)
    del tensors["conv_out.weight"]
    save_file(tensors, copy / UNET, metadata={"format": "pt"})
    with pytest.raises(BadInput, match="conv_out.weight"):
        read(copy)


def test_weights_of_another_shape_are_refused(copy):
    tensors = load_file(copy / UNET)
    tensors["conv_out.bias"] = torch.zeros(7)
    save_file(tensors, copy / UNET, metadata={"format": "pt"})
    with pytest.raises(BadInput, match="unet"):
        read(copy)


def test_parts_of_different_models_are_refused(copy):
    change_json(copy / "unet/config.json", cross_attention_dim=24)
    with pytest.raises(BadInput, match="unet"):
        read(copy)


@pytest.mark.parametrize("text", ["{}", "[1]", "nonsense", json.dumps({"_class_name": "FluxPipeline"})])
def test_another_class_of_pipeline_is_refused(copy, text):
    (copy / "model_index.json").write_text(text)
    with pytest.raises(BadInput, match="not StableDiffusionPipeline"):
        read(copy)


def test_classes_that_the_index_names_are_not_imported(copy):
    change_json(copy / "model_index.json", unet=["os", "system"])
    (copy / "unet" / "os.py").write_text("raise SystemExit('was run')")
    assert read(copy).factor == 4


@pytest.mark.parametrize("name", ["unet/config.json", "vae/config.json", "scheduler/scheduler_config.json"])
def test_settings_that_are_no_json_end_in_one_line(copy, name):
    (copy / name).write_text("{")
    with pytest.raises(BadInput, match=name.split("/")[0]) as caught:
        read(copy)
    assert "\n" not in str(caught.value)


def test_half_precision_files_are_found_by_their_name(copy, folder):
    for part in ("unet", "vae", "text_encoder"):
        path = next((copy / part).glob("*.safetensors"))
        path.rename(path.with_name(path.name.replace(".safetensors", ".fp16.safetensors")))
    one, other = read(copy).unet.state_dict(), read(folder).unet.state_dict()
    assert all(torch.equal(one[name], other[name]) for name in other)
