"""Published weights: their names, and what is refused. The files here are made from ours, under the published
names; the published files themselves are not at hand.
"""

from __future__ import annotations

import argparse
import dataclasses

import numpy as np
import pytest
import torch

from experiments.sample_synthesis.redo.masks import RedoMasks
from experiments.sample_synthesis.redo.networks import Architecture, MaskNet, build
from experiments.sample_synthesis.redo.published import published_names, read_published
from suite.errors import BadInput

# (name, shape at width 64) of a few tensors, from the published module's layers.
KNOWN = {
    "cnn.0.mods.1.weight": (16, 3, 7, 7),
    "cnn.0.mods.5.bias": (32,),
    "cnn.0.mods.7.weight": (64, 32, 3, 3),
    "cnn.3.blocs.3.bias": (64,),
    "cnn.2.activationF.0.weight": (64,),
    "psp.3.1.weight": (1, 64, 1, 1),
    "out.mods.1.weight": (34, 68, 3, 3),
    "out.mods.5.weight": (17, 34, 3, 3),
    "out.mods.9.weight": (1, 17, 7, 7),
}


def published_tensors(network: MaskNet, blocks: int) -> dict[str, torch.Tensor]:
    tensors = network.state_dict()
    return {theirs: tensors[ours].clone() for theirs, ours in published_names(blocks).items()}


@pytest.fixture
def tree(small):
    """A published file's content: mask network, another network, options."""
    mask = published_tensors(build(MaskNet, small, seed=1), 3)
    options = argparse.Namespace(sizex=32, temperature=2.0, nfM=8, dataroot="data", autoRestart=0.1)
    return {"netEncM": mask, "netDX": {"dense.bias": torch.zeros(1)}, "options": options}


def write(path, tree):
    torch.save(tree, path)
    return path


def test_every_tensor_has_one_published_name_with_the_published_shape():
    network = MaskNet(Architecture())
    names, shapes = published_names(3), {k: tuple(v.shape) for k, v in network.state_dict().items()}
    assert sorted(names.values()) == sorted(shapes)
    assert {name: shapes[names[name]] for name in KNOWN} == KNOWN


def test_a_published_file_gives_the_same_masks_and_lists_what_was_not_read(tree, small, tmp_path, pictures):
    path = write(tmp_path / "nets_state.pth", tree)
    provider = RedoMasks(path)
    assert provider.skipped == ("netDX.dense.bias", "options")
    warm = dataclasses.replace(small, temperature=2.0)
    expected = RedoMasks.from_network(build(MaskNet, warm, seed=1)).masks(pictures[0])
    np.testing.assert_array_equal(provider.masks(pictures[0]), expected)


def test_without_options_the_published_side_and_temperature_hold(tree, tmp_path):
    network, skipped = read_published(write(tmp_path / "mask.pth", tree["netEncM"]))
    assert (network.size, network.temperature, skipped) == (128, 1.0, ())


def test_the_number_of_residual_blocks_is_read_from_the_file(small, tmp_path):
    five = dataclasses.replace(small, residual_blocks=5)
    path = write(tmp_path / "mask.pth", {"netEncM": published_tensors(build(MaskNet, five, seed=1), 5)})
    assert len(read_published(path)[0].residual) == 5


class Danger:
    """What pickle would run."""

    def __reduce__(self):
        return print, ("run",)


def without(*names):
    """A change that takes tensors of the mask network away."""
    return lambda tree: [tree["netEncM"].pop(name) for name in names]


def with_tensor(name, *shape):
    """A change that adds or replaces a tensor of the mask network."""
    return lambda tree: tree["netEncM"].update({name: torch.zeros(*shape)})


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (without("out.mods.9.bias"), "missing out.mods.9.bias; unknown nothing"),
        (with_tensor("cnn.0.mods.1.bias", 2), "missing nothing; unknown cnn.0.mods.1.bias"),
        (without("cnn.0.mods.7.weight"), "lacks cnn.0.mods.7.weight"),
        (
            with_tensor("out.mods.9.weight", 3, 3, 7, 7),
            r"out.mods.9.weight is \(3, 3, 7, 7\), not \(1, 3, 7, 7\)",
        ),
        (lambda tree: tree.pop("netEncM"), "no mask network .netEncM., but netDX, options"),
        (lambda tree: tree.update(netEncM=3), "no mask network"),
        (lambda tree: tree.update(extra=Danger()), "without running code"),
    ],
)
def test_what_cannot_be_mapped_is_refused_with_the_reason(tree, tmp_path, change, told, capsys):
    change(tree)
    with pytest.raises(BadInput, match=told) as caught:
        read_published(write(tmp_path / "nets_state.pth", tree))
    assert "\n" not in str(caught.value)
    assert capsys.readouterr().out == ""


def test_a_file_that_is_no_dict_is_refused(tmp_path):
    with pytest.raises(BadInput, match="holds a Tensor"):
        read_published(write(tmp_path / "nets_state.pth", torch.zeros(2)))
