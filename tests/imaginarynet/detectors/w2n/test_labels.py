"""Which boxes of a detector become labels, and the regulariser of our own."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.imaginarynet.detectors.api import Found
from experiments.imaginarynet.detectors.w2n.labels import (
    NoisyLabels,
    area,
    overlap,
    prefer_wholes,
    pseudo_boxes,
    with_former,
)
from suite.errors import BadInput


def found(*rows):
    """Detections from (label, score, x1, y1, x2, y2)."""
    table = np.array(rows, np.float32).reshape(-1, 6)
    return Found(table[:, 2:], table[:, 1], table[:, 0])


def drawn(seed, count=12):
    rng = np.random.default_rng(seed)
    low = rng.integers(0, 20, (count, 2))
    boxes = np.hstack([low, low + rng.integers(1, 30, (count, 2))])
    return Found(boxes, rng.random(count), rng.integers(0, 4, count))


@given(st.integers(0, 10_000), st.frozensets(st.integers(0, 4)))
def test_every_known_class_that_was_found_gets_its_surest_box_and_no_other(seed, present):
    every = drawn(seed)
    kept = pseudo_boxes(every, present, None)
    assert sorted(kept.labels) == sorted(present & set(every.labels.tolist()))
    for label, score in zip(kept.labels, kept.scores, strict=True):
        assert score == every.scores[every.labels == label].max()


@given(st.integers(0, 10_000), st.floats(0, 1))
def test_a_threshold_adds_all_surer_boxes_of_known_classes_alone(seed, threshold):
    every = drawn(seed)
    kept = pseudo_boxes(every, {1, 2}, threshold)
    surest = pseudo_boxes(every, {1, 2}, None)
    above = ((every.scores > np.float32(threshold)) & np.isin(every.labels, [1, 2])).sum()
    assert set(kept.labels) <= {1, 2}
    assert set(surest.scores) <= set(kept.scores)
    assert above <= len(kept) <= above + 2


def test_a_part_gives_way_to_the_larger_box_that_covers_it_with_a_comparable_score():
    part, whole = (0, 0.9, 10, 10, 20, 20), (0, 0.6, 5, 5, 40, 40)
    kept, replaced = prefer_wholes(found(part), found(part, whole), cover=0.85, score_ratio=0.5)
    assert replaced == 1
    assert kept.boxes.tolist() == [[5, 5, 40, 40]]
    assert kept.scores.tolist() == pytest.approx([0.6])


@pytest.mark.parametrize(
    ("other", "why"),
    [
        ((0, 0.4, 5, 5, 40, 40), "its score is not comparable"),
        ((1, 0.9, 5, 5, 40, 40), "it is of another class"),
        ((0, 0.9, 12, 10, 60, 60), "it covers 80 % alone"),
        ((0, 0.9, 11, 11, 19, 19), "it is smaller"),
    ],
)
def test_a_box_stays_where_the_other_is_no_whole_of_it(other, why):
    part = (0, 0.9, 10, 10, 20, 20)
    kept, replaced = prefer_wholes(found(part), found(part, other), cover=0.85, score_ratio=0.5)
    assert (kept.boxes.tolist(), replaced) == ([[10, 10, 20, 20]], 0), why


def test_two_parts_of_one_object_become_one_box():
    parts = (0, 0.9, 10, 10, 20, 20), (0, 0.8, 22, 10, 30, 20)
    every = found(*parts, (0, 0.7, 8, 8, 32, 32))
    kept, replaced = prefer_wholes(found(*parts), every, cover=0.85, score_ratio=0.5)
    assert (kept.boxes.tolist(), replaced) == ([[8, 8, 32, 32]], 2)


@given(st.integers(0, 10_000))
def test_the_regulariser_never_shrinks_a_box_and_keeps_the_classes(seed):
    every = drawn(seed)
    chosen = pseudo_boxes(every, {0, 1, 2}, 0.5)
    kept, _ = prefer_wholes(chosen, every, cover=0.85, score_ratio=0.5)
    assert set(kept.labels) == set(chosen.labels)
    for box, label in zip(chosen.boxes, chosen.labels, strict=True):
        of_class = kept.boxes[kept.labels == label]
        assert area(of_class).max() >= area(box)
    again, replaced = prefer_wholes(chosen, every, cover=0.85, score_ratio=1.1)
    assert replaced == 0 or len(again) <= len(chosen)


@given(st.integers(0, 10_000), st.frozensets(st.integers(0, 3)))
def test_a_class_that_is_found_no_more_keeps_the_box_it_had(seed, now):
    before, after = drawn(seed), pseudo_boxes(drawn(seed + 1), now, None)
    kept = with_former(after, before)
    assert set(kept.labels) == set(after.labels) | set(before.labels)
    assert kept.boxes[: len(after)].tolist() == after.boxes.tolist()
    for label in set(before.labels) - set(after.labels):
        assert kept.boxes[kept.labels == label].tolist() == before.boxes[before.labels == label].tolist()


def test_the_overlap_of_boxes_that_do_not_touch_is_nothing():
    boxes = np.array([[4, 4, 6, 6], [20, 0, 30, 5], [2, 20, 8, 30]], np.float32)
    assert overlap(np.array([0, 0, 10, 10], np.float32), boxes).tolist() == [4, 0, 0]


def test_labels_are_read_as_they_were_written(tmp_path):
    labels = NoisyLabels.gather([(7, drawn(1)), (3, Found.nothing()), (2, drawn(2, 3))])
    labels = labels.measured(loss=np.arange(15), sigma=np.full(15, np.nan))
    labels.save(tmp_path / "labels.npz")
    read = NoisyLabels.load(tmp_path / "labels.npz")
    for name in ("picture", "boxes", "labels", "scores", "loss", "sigma", "clean_cls", "clean_reg"):
        assert np.array_equal(getattr(read, name), getattr(labels, name), equal_nan=name == "sigma")
    assert {number: len(rows) for number, rows in read.rows_of().items()} == {2: 3, 7: 12}


def test_pictures_without_boxes_give_empty_labels():
    labels = NoisyLabels.gather([(1, Found.nothing())])
    assert len(labels) == 0
    assert labels.rows_of() == {}


def test_a_file_of_other_arrays_is_one_line(tmp_path):
    np.savez(tmp_path / "other.npz", picture=np.zeros(3))
    with pytest.raises(BadInput, match="holds no noisy labels"):
        NoisyLabels.load(tmp_path / "other.npz")
