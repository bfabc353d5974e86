"""Folders of detectors: what is written comes back, and anything else is one line."""

import importlib.util
import json

import numpy as np
import pytest

from experiments.imaginarynet.detectors import api
from experiments.imaginarynet.detectors.api import HEADER, KINDS, MODEL, Found, read_header, surest
from suite.errors import BadInput
from tests.imaginarynet.detectors.fakes import BlobDetector, LocatingDetector

needs_torch = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="needs torch")


def saved(folder, **changes):
    import torch

    facts = {"kind": "oicr", "class_names": ("mug", "lemon"), "settings": {"width": 8}}
    state = {"a.weight": torch.arange(6.0).reshape(2, 3).t(), "steps": torch.tensor(7)}
    api.save_detector(folder, **{**facts, "state": state, "extra": {"step": 3}, **changes})
    return folder


@needs_torch
def test_a_saved_detector_comes_back_with_its_header_and_the_same_tensors(tmp_path):
    folder = saved(tmp_path / "new" / "folder")
    header = read_header(folder)
    assert (header["kind"], header["class_names"]) == ("oicr", ["mug", "lemon"])
    assert (header["settings"], header["extra"]) == ({"width": 8}, {"step": 3})
    state = api.read_state(folder)
    assert state["a.weight"].tolist() == [[0.0, 3.0], [1.0, 4.0], [2.0, 5.0]]
    assert state["steps"].item() == 7


@needs_torch
def test_the_header_holds_no_setting_that_no_result_depends_on(tmp_path):
    run_only = {"workers": 2, "save_every": 5, "checkpoint_every": 7}
    assert read_header(saved(tmp_path, settings={"width": 8, **run_only}))["settings"] == {"width": 8}


@needs_torch
def test_tensors_that_share_storage_are_kept_each(tmp_path):
    import torch

    tensor = torch.ones(3)
    assert set(api.read_state(saved(tmp_path, state={"a": tensor, "b": tensor[:2]}))) == {"a", "b"}


@needs_torch
def test_the_kind_decides_what_loads_it_and_gets_the_folder_the_header_and_the_device(tmp_path, monkeypatch):
    calls = []

    class Module:
        @staticmethod
        def load(*args):
            calls.append(args)
            return BlobDetector()

    monkeypatch.setattr(api, "import_module", lambda name: calls.append(name) or Module)
    folder = saved(tmp_path, kind="soft-teacher")
    assert isinstance(api.load_detector(folder, "cpu"), BlobDetector)
    assert calls == [KINDS["soft-teacher"], (folder, read_header(folder), "cpu")]


@needs_torch
def test_a_network_that_the_tensors_do_not_fit_is_one_line(tmp_path):
    import torch

    with pytest.raises(BadInput, match=r"model\.safetensors: does not fit the network") as told:
        api.load_state(torch.nn.Linear(2, 2), saved(tmp_path))
    assert "\n" not in str(told.value)


@needs_torch
@pytest.mark.parametrize("damage", ["missing", "cut"])
def test_tensors_that_are_missing_or_cut_are_one_line(tmp_path, damage):
    path = saved(tmp_path) / MODEL
    path.unlink() if damage == "missing" else path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(BadInput, match=r"model\.safetensors"):
        api.read_state(tmp_path)


def test_an_unknown_kind_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(ValueError, match="yolo"):
        api.save_detector(tmp_path / "a", kind="yolo", class_names=("a",), settings={}, state={})
    assert not (tmp_path / "a").exists()


GOOD = {"schema": 1, "kind": "oicr", "class_names": ["a"], "settings": {}}


@pytest.mark.parametrize(
    ("tree", "said"),
    [
        (None, "no folder of a detector"),
        ([], "no header"),
        ({**GOOD, "class_names": []}, "no header"),
        ({**GOOD, "class_names": "ab"}, "no header"),
        ({**GOOD, "settings": None}, "no header"),
        ({**GOOD, "kind": "yolo"}, "kind 'yolo' is unknown"),
        ({**GOOD, "schema": 2}, "schema 2 is not 1"),
    ],
)
def test_a_header_that_is_none_is_one_line(tmp_path, tree, said):
    if tree is not None:
        (tmp_path / HEADER).write_text(json.dumps(tree))
    with pytest.raises(BadInput, match=said) as told:
        read_header(tmp_path)
    assert str(tmp_path / HEADER) in str(told.value)


def test_a_header_without_extra_has_an_empty_one(tmp_path):
    (tmp_path / HEADER).write_text(json.dumps(GOOD))
    assert read_header(tmp_path)["extra"] == {}


# --- Found ---


def test_found_has_the_promised_types_whatever_it_is_given():
    found = Found([[0, 0, 2, 3]], [1], [0.0])
    assert (found.boxes.dtype, found.scores.dtype, found.labels.dtype) == (np.float32, np.float32, np.int64)
    assert (len(found), len(Found.nothing())) == (1, 0)


@pytest.mark.parametrize(
    "parts", [([[0, 0, 1]], [1], [0]), ([[0, 0, 1, 1]], [1, 2], [0]), ([[0, 0, 1, 1]], [1], [[0]])]
)
def test_arrays_that_do_not_fit_together_are_refused(parts):
    with pytest.raises(ValueError, match="do not fit together"):
        Found(*parts)


def test_the_surest_of_each_label_is_the_highest_score_and_of_equals_the_first():
    boxes = np.arange(20).reshape(5, 4)
    best = surest(Found(boxes, [0.5, 0.7, 0.7, 0.1, 0.6], [2, 0, 0, 2, 2]))
    assert best.labels.tolist() == [0, 2]
    assert best.boxes.tolist() == boxes[[1, 4]].tolist()
    assert len(surest(Found.nothing())) == 0


def test_who_can_locate_is_told_apart():
    assert isinstance(LocatingDetector(), api.Locates)
    assert not isinstance(BlobDetector(), api.Locates)
