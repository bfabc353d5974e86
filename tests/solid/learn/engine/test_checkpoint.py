import pickle
import random

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from experiments.solid.learn.engine.checkpoint import (
    NormStatistics,
    load_checkpoint,
    load_model_tensors,
    save_checkpoint,
    save_model,
)
from experiments.solid.learn.engine.setup import generator_states, seed_everything, set_generator_states
from suite.errors import BadInput


class Payload:
    """What an attacker would put into a checkpoint: unpickling it would run code."""

    def __reduce__(self):
        return (exec, ("raise RuntimeError('code of the checkpoint was run')",))


def draws():
    return random.random(), float(np.random.random()), torch.rand(3).tolist()  # noqa: NPY002


def test_generators_go_on_where_their_saved_states_stood(tmp_path):
    seed_everything(3, "here")
    draws()
    save_checkpoint(tmp_path / "c.pt", {"generators": generator_states()})
    wanted = draws()
    seed_everything(4, "elsewhere")
    set_generator_states(load_checkpoint(tmp_path / "c.pt")["generators"])
    assert draws() == wanted


def test_generators_depend_on_seed_stream_and_rank_alone():
    found = {}
    for place in [(0, "a", 0), (1, "a", 0), (0, "b", 0), (0, "a", 1), (0, "a", 0)]:
        seed_everything(*place)
        found.setdefault(place, []).append(draws())
    assert found[0, "a", 0][0] == found[0, "a", 0][1]
    assert len({repr(rows[0]) for rows in found.values()}) == 4


def test_a_write_that_fails_leaves_the_older_checkpoint_whole(tmp_path):
    path = tmp_path / "c.pt"
    save_checkpoint(path, {"step": 1})
    with pytest.raises((pickle.PicklingError, AttributeError)):
        save_checkpoint(path, {"step": 2, "bad": lambda: None})
    assert load_checkpoint(path) == {"step": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["c.pt"]


@pytest.mark.parametrize("keep", [0, 10, 500])
def test_a_checkpoint_that_was_cut_is_refused_with_what_to_do(tmp_path, keep):
    path = tmp_path / "c.pt"
    save_checkpoint(path, {"tensor": torch.zeros(100)})
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(BadInput, match="delete it to start from the beginning"):
        load_checkpoint(path)


def test_a_model_file_holds_the_same_tensors_in_both_formats_and_survives_the_way_back(tmp_path):
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    save_model(tmp_path / "model.pth", model.state_dict())
    tree = torch.load(tmp_path / "model.pth", weights_only=True)
    assert set(tree) == {"model"}
    for found in (load_model_tensors(tmp_path / "model.pth"), load_file(tmp_path / "model.safetensors")):
        assert found.keys() == model.state_dict().keys()
        assert all(torch.equal(found[name], value) for name, value in model.state_dict().items())


def test_tied_tensors_can_be_saved(tmp_path):
    shared = torch.ones(2)
    save_model(tmp_path / "m.pth", {"a": shared, "b": shared})
    assert load_model_tensors(tmp_path / "m.safetensors").keys() == {"a", "b"}


@pytest.mark.parametrize(
    "wrap", [lambda t: {"model": t}, lambda t: {"state_dict": t, "epoch": 3}, lambda t: t]
)
def test_tensors_are_found_in_the_usual_wrappings(tmp_path, wrap):
    torch.save(wrap({"w": torch.arange(3)}), tmp_path / "m.pth")
    assert load_model_tensors(tmp_path / "m.pth")["w"].tolist() == [0, 1, 2]


def bare_pickle(path):
    path.write_bytes(pickle.dumps({"model": {"w": np.zeros(2)}}))


def hidden_payload(path):
    torch.save({"model": {"w": torch.zeros(2)}, "extra": Payload()}, path)


def legacy_payload(path):
    path.write_bytes(pickle.dumps(Payload()))


@pytest.mark.parametrize(
    "name, write, match",
    [
        ("m.pkl", bare_pickle, "pickles are not read"),
        ("m.pth", hidden_payload, "holds more than tensors"),
        ("m.pth", legacy_payload, "holds more than tensors"),
        ("m.safetensors", lambda p: p.write_bytes(b"no such thing"), "no safetensors file"),
        ("m.pth", lambda p: p.write_bytes(b""), "no readable checkpoint"),
        ("m.pth", lambda p: torch.save({"model": {"epoch": 3}}, p), "no named tensors"),
        ("m.pth", lambda p: torch.save(torch.zeros(3), p), "no named tensors"),
        ("m.pth", lambda p: None, "no such checkpoint"),
    ],
)
def test_what_is_no_model_file_is_refused_in_one_line_and_its_code_is_not_run(tmp_path, name, write, match):
    write(tmp_path / name)
    with pytest.raises(BadInput, match=match) as caught:
        load_model_tensors(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value) and "\n" not in str(caught.value)


def test_a_safetensors_file_is_read(tmp_path):
    save_file({"w": torch.arange(4)}, tmp_path / "m.safetensors")
    assert load_model_tensors(tmp_path / "m.safetensors")["w"].tolist() == [0, 1, 2, 3]


def test_the_statistics_of_batch_norm_are_all_its_buffers_and_nothing_else():
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))
    kept = {name: value.clone() for name, value in NormStatistics(model).state_dict().items()}
    assert set(kept) == {"1.running_mean", "1.running_var", "1.num_batches_tracked"}
    weight = model[0].weight.clone()
    model(torch.randn(3, 1, 2, 2))
    assert model[1].num_batches_tracked == 1
    NormStatistics(model).load_state_dict(kept)
    assert all(torch.equal(model.state_dict()[name], value) for name, value in kept.items())
    assert torch.equal(model[0].weight, weight)
    with pytest.raises(BadInput):
        NormStatistics(nn.BatchNorm1d(2)).load_state_dict(kept)
