"""Which instances each task trusts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.imaginarynet.detectors.api import Found
from experiments.imaginarynet.detectors.w2n.labels import NoisyLabels
from experiments.imaginarynet.detectors.w2n.split import smallest, split

VALUES = st.lists(st.floats(0, 9, width=32), min_size=1, max_size=40).map(np.array)


@given(VALUES, st.floats(0.01, 1))
def test_what_is_trusted_has_no_larger_figure_than_what_is_not(values, share):
    kept = smallest(values, share)
    assert kept.sum() == np.ceil(share * len(values) - 1e-9)
    if not kept.all():
        assert values[kept].max() <= values[~kept].min()


@pytest.mark.parametrize(("count", "kept"), [(1, 5), (0.4, 2), (0.41, 3), (2, 2), (99, 5)])
def test_up_to_one_is_a_share_and_above_it_a_number(count, kept):
    assert smallest(np.array([5.0, 4, 3, 2, 1]), count).sum() == kept


def test_of_equal_figures_the_first_are_trusted():
    assert smallest(np.array([1.0, 1, 1, 0]), 2).tolist() == [True, False, False, True]


def test_what_was_not_measured_is_never_trusted():
    assert smallest(np.array([np.nan, 2.0, np.nan]), 1).tolist() == [False, True, False]


def test_within_classes_none_is_left_without_a_trusted_instance():
    values, groups = np.array([1.0, 2, 3, 90, 91]), np.array([0, 0, 0, 1, 1])
    assert smallest(values, 0.5, groups).tolist() == [True, True, False, True, False]
    assert not smallest(values, 0.5)[3:].any()


def test_the_two_tasks_are_split_each_by_a_figure_of_its_own():
    boxes = Found(np.array([[0, 0, 4, 4]] * 3), np.ones(3), np.zeros(3))
    labels = NoisyLabels.gather([(0, boxes)])
    labels = labels.measured(loss=np.array([0.1, 0.5, 0.9]), sigma=np.array([0.3, 0.2, 0.1]))
    made = split(labels, clean_cls=1 / 3, clean_reg=2, per_class=False)
    assert made.clean_cls.tolist() == [True, False, False]
    assert made.clean_reg.tolist() == [False, True, True]
