"""The index of generators: what it lists, and what it refuses."""

import json
from dataclasses import replace

import numpy as np
import pytest

from experiments.gafi.gan.checkpoints import (
    FOLDER,
    INDEX,
    CheckpointIndex,
    CheckpointWriter,
    build_of,
    list_checkpoints,
    load_generator,
)
from experiments.gafi.nn.state import ModelState, apply, state_of, to_arrays
from suite.config import to_tree
from suite.errors import BadInput
from tests.gafi.gan.stubs import script

SETTINGS = script(g_depth=1, latent_dim=4)
STEM = "ema_generator"


def empty(folder):
    return CheckpointIndex(
        folder=folder / FOLDER, seed=3, num_classes=3, channels=1, image_size=16, normalize=True,
        model=to_tree(SETTINGS.MODEL),
    )  # fmt: skip


@pytest.fixture(scope="module")
def generator(tmp_path_factory):
    return build_of(empty(tmp_path_factory.mktemp("unused")), SETTINGS)


@pytest.fixture
def run(tmp_path, generator):
    """Epochs 2, 4 and 6; the weights of epoch e are those of the network plus e."""
    writer = CheckpointWriter(empty(tmp_path))
    writer.restore(0)
    state = state_of(generator)
    for epoch in (2, 4, 6):
        moved = ModelState([value + epoch for value in state.trainable], state.other)
        writer.add(epoch, 10 * epoch, to_arrays(generator, moved), stem=STEM)
    return tmp_path


def test_the_index_lists_epoch_step_and_file_in_order(run):
    found = list_checkpoints(run)
    assert found.epochs == (2, 4, 6)
    assert [row.step for row in found.checkpoints] == [20, 40, 60]
    assert found.find(4).file == "ema_generator_epoch004.npz"
    assert (found.num_classes, found.image_size, found.model["latent_dim"]) == (3, 16, 4)


def test_a_loaded_generator_is_the_one_that_was_written(run, generator):
    loaded = load_generator(run, 4, SETTINGS)
    for found, first in zip(loaded.state.trainable, state_of(generator).trainable, strict=True):
        np.testing.assert_array_equal(np.asarray(found), np.asarray(first) + 4)
    assert loaded.digest == list_checkpoints(run).find(4).sha256
    images, _ = apply(
        loaded.model, loaded.state, (np.zeros((2, 4), "float32"), np.array([0, 2])), training=False
    )
    assert images.shape == (2, 16, 16, 1)


def test_a_network_that_was_built_before_serves_all_epochs(run, generator):
    two, six = (load_generator(run, epoch, SETTINGS, generator=generator) for epoch in (2, 6))
    assert two.model is six.model is generator
    np.testing.assert_allclose(
        np.asarray(six.state.trainable[0]) - np.asarray(two.state.trainable[0]), 4, rtol=1e-5
    )


def test_equal_weights_give_equal_bytes(run, generator):
    row = list_checkpoints(run).find(2)
    state = state_of(generator)
    arrays = to_arrays(generator, ModelState([value + 2 for value in state.trainable], state.other))
    again = CheckpointWriter(list_checkpoints(run)).add(2, 20, arrays, stem=STEM)
    assert again == row
    assert list_checkpoints(run).epochs == (2, 4, 6)


def test_going_on_from_an_epoch_forgets_what_came_after_it(run):
    CheckpointWriter(list_checkpoints(run)).restore(4)
    assert list_checkpoints(run).epochs == (2, 4)
    assert not (run / FOLDER / "ema_generator_epoch006.npz").exists()
    CheckpointWriter(list_checkpoints(run)).restore(0)
    assert sorted(path.name for path in (run / FOLDER).iterdir()) == [INDEX]


def test_a_file_that_the_index_does_not_list_is_no_checkpoint(run):
    (run / FOLDER / "ema_generator_epoch003.npz").write_bytes(
        (run / FOLDER / "ema_generator_epoch002.npz").read_bytes()
    )
    with pytest.raises(BadInput, match="no checkpoint of epoch 3; the nearest are 2, 4, 6"):
        load_generator(run, 3, SETTINGS)


def test_a_folder_without_an_index_is_bad_input(tmp_path):
    with pytest.raises(BadInput, match="run train-gan first"):
        list_checkpoints(tmp_path)


def test_an_index_that_is_cut_is_bad_input(run):
    path = run / FOLDER / INDEX
    path.write_text(path.read_text()[:50])
    with pytest.raises(BadInput, match="no readable index"):
        list_checkpoints(run)


@pytest.mark.parametrize("change", [{"checkpoints": [{"epoch": 1}]}, {"checkpoints": None}, {"surplus": 1}])
def test_an_index_with_other_fields_is_bad_input(run, change):
    path = run / FOLDER / INDEX
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(BadInput, match="a damaged index"):
        list_checkpoints(run)


def test_a_checkpoint_of_another_architecture_is_bad_input_that_names_the_key(run):
    other = replace(SETTINGS, MODEL=replace(SETTINGS.MODEL, g_conv_dim=8))
    with pytest.raises(BadInput, match=r"MODEL\.g_conv_dim is 4, not 8"):
        load_generator(run, 2, other)


def test_settings_of_the_discriminator_and_of_the_average_do_not_matter(run, generator):
    other = replace(SETTINGS, MODEL=replace(SETTINGS.MODEL, d_conv_dim=8, g_ema_start=7))
    assert load_generator(run, 2, other, generator=generator).checkpoint.epoch == 2


def test_a_changed_byte_is_bad_input(run, generator):
    path = run / FOLDER / "ema_generator_epoch002.npz"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(BadInput, match="is not the file that the index lists"):
        load_generator(run, 2, SETTINGS, generator=generator)


@pytest.mark.parametrize(("spoil", "told"), [("cut", "bytes, not"), ("remove", "checkpoint is gone")])
def test_a_cut_or_missing_file_is_seen_when_the_index_is_read(run, spoil, told):
    path = run / FOLDER / "ema_generator_epoch002.npz"
    if spoil == "cut":
        path.write_bytes(path.read_bytes()[:100])
    else:
        path.unlink()
    with pytest.raises(BadInput, match=told):
        list_checkpoints(run)
