"""Choosing by a split."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.gafi.search.selection import Row, bias, choose, first_max

ACCURACY = st.floats(0, 1).map(lambda v: round(v, 1))  # coarse, so that ties occur


def row(name: str, epoch: int, val: float, test: float) -> Row:
    return Row(candidate=name, epoch=epoch, accuracy={"val": val, "test": test})


@given(st.lists(ACCURACY, min_size=1, max_size=12))
def test_the_first_of_equal_maxima_wins(values):
    at = first_max(values)
    assert values[at] == max(values)
    assert all(v < values[at] for v in values[:at])


def test_a_nan_is_never_chosen():
    assert first_max([math.nan, 0.1, math.nan, 0.3, 0.3]) == 3


@pytest.mark.parametrize("values", [[], [math.nan]])
def test_nothing_to_choose_from_is_an_error(values):
    with pytest.raises(ValueError, match="nothing to choose"):
        first_max(values)


def test_the_choice_goes_by_the_named_split():
    rows = [row("a", 1, 0.5, 0.6), row("a", 2, 0.7, 0.4), row("b", 1, 0.7, 0.9)]
    assert choose(rows, "val") is rows[1]
    assert choose(rows, "test") is rows[2]


def test_the_bias_of_a_hand_made_search():
    rows = [row("a", 1, 0.5, 0.6), row("a", 2, 0.7, 0.4), row("b", 1, 0.6, 0.9)]
    found = bias(rows)
    assert (found.honest, found.flattered) == (rows[1], rows[2])
    assert found.points == pytest.approx(50.0)  # hand-computed: 0.9 - 0.4


@given(st.lists(st.tuples(ACCURACY, ACCURACY), min_size=1, max_size=12))
def test_choosing_on_the_reported_split_never_reports_less(pairs):
    rows = [row("c", i, val, test) for i, (val, test) in enumerate(pairs)]
    found = bias(rows)
    assert found.points >= 0
    assert found.flattered.accuracy["test"] == max(test for _, test in pairs)


def test_the_bias_vanishes_where_both_splits_agree():
    assert bias([row("a", e, v, v) for e, v in enumerate([0.1, 0.4, 0.3])]).points == 0
