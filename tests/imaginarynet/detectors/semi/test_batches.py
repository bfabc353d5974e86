"""Which pictures a step sees."""

import dataclasses
from collections import Counter
from itertools import islice

import numpy as np
import pytest

from experiments.imaginarynet.detectors.semi.batches import Pool, as_inputs, batches, drawn_rows
from tests.imaginarynet.detectors.semi import tiny


def drawn(pool, count, first_step=0, **changes):
    return list(islice(batches(pool, tiny.settings(**changes), seed=1, first_step=first_step), count))


def same_views(one, other):
    return len(one) == len(other) and all(
        np.array_equal(a.pixels, b.pixels) and np.array_equal(a.boxes, b.boxes)
        for left, right in zip(one, other, strict=True)
        for a, b in zip(left, right, strict=True)
    )


def test_batches_from_a_step_on_are_those_of_the_whole_row(pool):
    whole, tail = drawn(pool, 6), drawn(pool, 3, first_step=3)
    for one, other in zip(whole[3:], tail, strict=True):
        assert same_views(one.labelled, other.labelled) and same_views(one.unlabelled, other.unlabelled)


def test_threads_change_no_batch(pool):
    for one, other in zip(drawn(pool, 4), drawn(pool, 4, workers=2), strict=True):
        assert same_views(one.labelled, other.labelled) and same_views(one.unlabelled, other.unlabelled)


def test_labelled_views_do_not_depend_on_unlabelled_pictures(pool):
    alone = dataclasses.replace(pool, unlabelled=())
    for one, other in zip(drawn(pool, 4), drawn(alone, 4, batch_unlabelled=5), strict=True):
        assert same_views(one.labelled, other.labelled)
        assert not other.unlabelled


def test_the_burn_in_draws_no_unlabelled_views(pool):
    assert [len(batch.unlabelled) for batch in drawn(pool, 4)] == [0, 0, 2, 2]


def test_every_picture_of_a_source_is_seen_once_per_epoch(pool):
    rows = list(islice(drawn_rows(pool, tiny.settings(), seed=0, first_step=0), 3))
    assert Counter(row for batch in rows for row in batch) == dict.fromkeys(range(6), 2)


@pytest.mark.parametrize("counts", [(2, 2), (1, 4), (3, 1)])
def test_the_sources_share_a_batch_as_the_settings_say(pool, counts):
    chosen = tiny.settings(batch_labelled=counts[0], batch_unlabelled=counts[1])
    for rows in islice(drawn_rows(pool, chosen, seed=0, first_step=0), 5):
        labelled = [row < 3 for row in rows]
        assert labelled == [True] * counts[0] + [False] * counts[1]


def test_known_labels_reach_the_views_of_unlabelled_pictures_alone(pool):
    known = {picture.id: frozenset({2, 0}) for picture in (*pool.labelled, *pool.unlabelled)}
    (batch,) = drawn(Pool(pool.labelled, pool.unlabelled, known), 1, burn_in=0)
    assert {weak.image_labels for weak, _ in batch.labelled} == {None}
    assert {view.image_labels for pair in batch.unlabelled for view in pair} == {(0, 2)}


def test_inputs_are_copies_that_a_network_may_change(pool):
    (batch,) = drawn(pool, 1)
    view = batch.labelled[0][0]
    before = view.boxes.copy()
    found = as_inputs([view, view])
    found["data_samples"][0].gt_instances.bboxes += 5
    assert np.array_equal(view.boxes, before)
    assert np.array_equal(found["data_samples"][1].gt_instances.bboxes.numpy(), before)
