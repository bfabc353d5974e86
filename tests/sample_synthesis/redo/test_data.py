"""Which pictures and latents a step sees."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.sample_synthesis.redo import data
from suite.errors import BadInput


def test_a_tenth_is_held_out_and_never_trained_on():
    found = data.split(40, seed=3)
    assert len(found.held_out) == 4
    assert sorted([*found.train, *found.held_out]) == list(range(40))


def test_a_small_set_holds_out_one_picture_and_a_huge_one_a_thousand():
    assert len(data.split(3, seed=0).held_out) == 1
    assert len(data.split(20_000, seed=0).held_out) == 1000


def test_a_single_picture_is_refused():
    with pytest.raises(BadInput, match="two pictures"):
        data.split(1, seed=0)


def draw(step: int, **changes: object) -> np.ndarray:
    settings = {"rows": np.arange(10) * 2, "batch": 3, "seed": 1, "stream": data.REDRAWN, "attempt": 0}
    return data.rows_of_step(step, **{**settings, **changes})


def test_an_epoch_repeats_no_picture_and_the_next_has_another_order():
    epochs = [np.concatenate([draw(step) for step in range(start, start + 3)]) for start in (0, 3)]
    for rows in epochs:
        assert len(set(rows)) == 9 and set(rows) <= set(range(0, 20, 2))
    assert list(epochs[0]) != list(epochs[1])


@pytest.mark.parametrize("change", [{"seed": 2}, {"stream": data.COMPARED}, {"attempt": 1}])
def test_order_differs_with_seed_stream_and_attempt(change):
    steps = range(3)
    assert np.array_equal(np.stack([draw(i) for i in steps]), np.stack([draw(i) for i in steps]))
    assert not np.array_equal(
        np.stack([draw(i) for i in steps]), np.stack([draw(i, **change) for i in steps])
    )


def test_fewer_pictures_than_a_batch_are_repeated():
    rows = draw(4, rows=np.array([5, 7]), batch=5)
    assert sorted(rows) in ([5, 5, 5, 7, 7], [5, 5, 7, 7, 7])


def test_latents_depend_on_seed_attempt_and_step():
    def latents(step: int = 0, seed: int = 0, attempt: int = 0) -> np.ndarray:
        return data.latents_of_step(step, batch=4, latent=8, seed=seed, attempt=attempt).numpy()

    assert latents().shape == (4, 2, 8) and latents().dtype == np.float32
    assert np.array_equal(latents(), latents())
    for other in (latents(1), latents(seed=1), latents(attempt=1)):
        assert not np.array_equal(latents(), other)


def test_pictures_become_plus_minus_one_or_as_published_zero_to_one():
    pictures = np.zeros((1, 2, 2, 3), np.uint8)
    pictures[0, 0, 1] = 255
    ours, published = data.to_input(pictures), data.to_input(pictures, "published")
    assert ours.shape == (1, 3, 2, 2)
    assert ours[0, 0].tolist() == [[-1.0, 1.0], [-1.0, -1.0]]
    assert published[0, 2].tolist() == [[0.0, 1.0], [0.0, 0.0]]
