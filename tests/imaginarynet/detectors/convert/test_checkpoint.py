"""Reading checkpoints of others: tensors by name, and a reason for what is refused."""

import pickle
from collections import OrderedDict

import numpy as np
import pytest
import torch

from experiments.imaginarynet.detectors.convert.checkpoint import read_checkpoint
from suite.errors import BadInput

STATE = {"a.weight": torch.ones(2, 3), "a.bias": torch.zeros(2)}


class Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return (open, (self.path, "w"))


def saved(path, tree, **options):
    torch.save(tree, path, **options)
    return path


@pytest.mark.parametrize("key", [None, "model", "state_dict"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_tensors_are_found_where_trainings_keep_them(tmp_path, key, prefix):
    state = OrderedDict((prefix + name, value) for name, value in STATE.items())
    found = read_checkpoint(saved(tmp_path / "c.pth", state if key is None else {key: state, "step": 3}))
    assert list(found.tensors) == list(STATE)
    assert torch.equal(found.tensors["a.weight"], STATE["a.weight"])
    assert found.left_out == (() if key is None else ("step: no part of the network",))


def test_the_state_of_an_optimizer_is_told_and_left_out(tmp_path):
    optimizer = {"state": {0: {"momentum_buffer": torch.ones(2)}}, "param_groups": [{"lr": 0.1}]}
    found = read_checkpoint(saved(tmp_path / "c.pth", {"model": STATE, "optimizer": optimizer}))
    assert found.left_out == ("optimizer: 1 tensors, no part of the network",)


def test_files_of_old_pytorch_and_safetensors_are_read(tmp_path):
    from safetensors.torch import save_file

    old = saved(tmp_path / "old.pth", STATE, _use_new_zipfile_serialization=False)
    save_file(STATE, str(tmp_path / "new.safetensors"))
    for path in (old, tmp_path / "new.safetensors"):
        assert sorted(read_checkpoint(path).tensors) == sorted(STATE)


def test_a_file_with_code_in_it_is_refused_with_the_reason_and_the_code_does_not_run(tmp_path):
    path = saved(tmp_path / "c.pth", {"model": STATE, "config": Trap(tmp_path / "ran")})
    with pytest.raises(BadInput, match=r"c.pth: holds \S*open, which only unpickling could read"):
        read_checkpoint(path)
    assert not (tmp_path / "ran").exists()


def test_pickles_of_arrays_are_refused_by_name(tmp_path):
    path = tmp_path / "R-50.pkl"
    path.write_bytes(pickle.dumps({"model": {"w": np.zeros(3)}}))
    with pytest.raises(BadInput, match=r"\.pkl is a pickle"):
        read_checkpoint(path)
    with pytest.raises(BadInput, match="R-50.pth"):
        read_checkpoint(path.rename(tmp_path / "R-50.pth"))


@pytest.mark.parametrize("size", [0, 1, 300])
@pytest.mark.parametrize("name", ["c.pth", "c.safetensors"])
def test_a_file_cut_short_is_one_line(tmp_path, name, size):
    whole = saved(tmp_path / "whole.pth", STATE).read_bytes()
    (tmp_path / name).write_bytes(whole[:size])
    with pytest.raises(BadInput, match=name) as caught:
        read_checkpoint(tmp_path / name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("tree", [[torch.ones(1)], {"step": 1}, {"model": {}}, torch.ones(2)])
def test_a_file_without_named_tensors_is_one_line(tmp_path, tree):
    with pytest.raises(BadInput, match="no named tensors"):
        read_checkpoint(saved(tmp_path / "c.pth", tree))


@pytest.mark.parametrize("name", ["gone.pth", "gone.safetensors"])
def test_a_missing_file_is_one_line(tmp_path, name):
    with pytest.raises(BadInput, match="no such file"):
        read_checkpoint(tmp_path / name)
