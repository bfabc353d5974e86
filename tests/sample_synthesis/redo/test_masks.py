"""The mask network as a provider of masks, and its files."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from experiments.sample_synthesis.objects.mask_set import oriented
from experiments.sample_synthesis.objects.masks import quantised
from experiments.sample_synthesis.objects.types import MaskProvider
from experiments.sample_synthesis.redo.masks import RedoMasks, load_mask_net, save_mask_net
from experiments.sample_synthesis.redo.networks import MaskNet, build
from suite.errors import BadInput

SAME = 1e-5  # masks of the same picture in batches of different size: float32 sums in another order


@pytest.fixture
def weights(tmp_path, small):
    """A file with a mask network that is not trained."""
    save_mask_net(tmp_path / "mask.safetensors", build(MaskNet, small, seed=1), small)
    return tmp_path / "mask.safetensors"


def test_it_is_a_mask_provider_whose_regions_may_be_exchanged(weights):
    provider = RedoMasks(weights)
    assert isinstance(provider, MaskProvider)
    assert provider.has_polarity


def test_masks_are_those_of_region_0_of_the_network(weights, pictures):
    network, skipped = load_mask_net(weights)
    with torch.no_grad():
        x = torch.from_numpy(pictures[0][:1].transpose(0, 3, 1, 2).copy()).float() / 127.5 - 1
        expected = network.eval()(x)[0, 0].numpy()
    found = RedoMasks(weights).masks(pictures[0][:1])
    assert found.dtype == np.float32 and found.shape == (1, 32, 32) and skipped == ()
    np.testing.assert_allclose(found[0], expected, atol=SAME)


def test_masks_do_not_depend_on_the_batch(weights, pictures):
    whole = RedoMasks(weights, batch=12).masks(pictures[0])
    for batch in (1, 5, 64):
        np.testing.assert_allclose(RedoMasks(weights, batch=batch).masks(pictures[0]), whole, atol=SAME)
    assert np.array_equal(
        RedoMasks(weights, batch=5).masks(pictures[0]), RedoMasks(weights, batch=5).masks(pictures[0])
    )


def test_no_pictures_have_no_masks(weights, pictures):
    assert RedoMasks(weights).masks(pictures[0][:0]).shape == (0, 32, 32)


def test_exchanged_regions_give_the_same_masks_once_their_polarity_is_found(small, pictures):
    # Acceptance check: flipping the channels of a mask network changes nothing after the polarity fix.
    network, swapped = (build(MaskNet, small, seed=1) for _ in range(2))
    with torch.no_grad():  # the logit of the other region
        swapped.head[1].weight.neg_()
        swapped.head[1].bias.neg_()
    found = []
    for net in (network, swapped):
        provider = RedoMasks.from_network(net)
        found.append(oriented(quantised(provider.masks(pictures[0])), provider))
    assert np.abs(found[0].masks.astype(int) - found[1].masks).max() <= 1  # one step of rounding to 8 bits
    assert found[0].has_been_flipped != found[1].has_been_flipped


def test_the_key_tells_weights_and_input_range_apart(weights, small, tmp_path):
    other = tmp_path / "other.safetensors"
    save_mask_net(other, build(MaskNet, small, seed=2), small)
    half = RedoMasks(weights, precision="bfloat16").key
    keys = [
        RedoMasks(weights).key,
        RedoMasks(weights, input_range="published").key,
        RedoMasks(other).key,
        half,
    ]
    assert len(set(keys)) == 4
    assert RedoMasks(weights, batch=3).key == keys[0]


def test_masks_in_bfloat16_agree_to_two_digits(weights, pictures):
    exact, rough = (RedoMasks(weights, precision=p).masks(pictures[0]) for p in ("float32", "bfloat16"))
    assert rough.dtype == np.float32
    assert not np.array_equal(exact, rough)
    assert np.abs(exact - rough).max() < 0.04
    assert np.abs(exact - rough).mean() < 0.01


def test_an_unknown_precision_is_refused(weights):
    with pytest.raises(BadInput, match="precision is one of float32, bfloat16, not float16"):
        RedoMasks(weights, precision="float16")


def test_the_published_input_range_changes_next_to_nothing(weights, pictures):
    # The first layer has no bias, reflected borders and a norm behind it; its epsilon (1e-5) is what is left.
    ours, published = (
        RedoMasks(weights, input_range=kind).masks(pictures[0]) for kind in ("ours", "published")
    )
    assert 0 < np.abs(ours - published).max() < 5e-3


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((2, 16, 16, 3), np.uint8),
        np.zeros((2, 32, 32, 3), np.float32),
        np.zeros((2, 32, 32, 4), np.uint8),
    ],
)
def test_pictures_of_another_size_or_type_are_refused(weights, wrong):
    with pytest.raises(BadInput, match="32 x 32 x 3"):
        RedoMasks(weights).masks(wrong)


def test_settings_that_mean_nothing_are_refused(weights):
    with pytest.raises(BadInput, match="input_range"):
        RedoMasks(weights, input_range="bytes")
    with pytest.raises(BadInput, match="at least one"):
        RedoMasks(weights, batch=0)


def write_text(path):
    path.write_text("no tensors")


def write_other_tensors(path):
    save_file({"weight": torch.zeros(2)}, path)


def write_other_shapes(path, small):
    tensors = build(MaskNet, small, seed=1).state_dict() | {"head.1.bias": torch.zeros(2)}
    save_file(tensors, path, metadata={"redo-mask-network": json.dumps({"nf_mask": 8})})


@pytest.mark.parametrize(
    ("name", "write", "told"),
    [
        ("mask.safetensors", None, "no such weights"),
        ("mask.safetensors", write_text, "no safetensors file"),
        ("mask.safetensors", write_other_tensors, "no mask network"),
        ("mask.npz", write_text, "safetensors or .pth"),
        ("mask.pth", write_text, "cannot be read"),
    ],
)
def test_a_file_without_a_mask_network_is_one_line(tmp_path, name, write, told):
    if write:
        write(tmp_path / name)
    with pytest.raises(BadInput, match=told) as caught:
        RedoMasks(tmp_path / name)
    assert "\n" not in str(caught.value) and name in str(caught.value)


def test_weights_of_another_architecture_are_refused_with_the_name_of_a_tensor(tmp_path, small):
    import dataclasses

    path, wide = tmp_path / "mask.safetensors", dataclasses.replace(small, nf_mask=16)
    save_mask_net(path, build(MaskNet, small, seed=1), wide)
    with pytest.raises(BadInput, match=r"another architecture \(tensor \w+"):
        RedoMasks(path)
    write_other_shapes(path, small)
    with pytest.raises(BadInput, match="which architecture"):
        RedoMasks(path)
