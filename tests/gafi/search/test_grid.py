"""Grids: inclusive ranges as text, lists as they are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.gafi.search.grid import expand
from experiments.gafi.search.plan import STEPS, parse_steps, shards
from suite.errors import BadInput


def test_the_published_ranges_have_36_21_and_10_values():
    ckpt = expand("(150, 500, 10)", kind="ckpt")
    stddev = expand("(1, 2, 0.05)", kind="stddev")
    threshold = expand("(0, 0.9, 0.1)", kind="threshold")
    assert (len(ckpt), len(stddev), len(threshold)) == (36, 21, 10)
    assert (ckpt[0], ckpt[-1]) == (150, 500)
    assert stddev == tuple(round(1 + i * 0.05, 3) for i in range(21))  # hand-computed: 1.0, 1.05, ..., 2.0
    assert threshold == (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


@pytest.mark.parametrize(
    ("text", "kind", "count"),
    [
        ("(50, 500, 10)", "ckpt", 46),  # Fashion-MNIST, of which 26 exist
        ("(10, 150, 10)", "ckpt", 15),  # DermaMNIST
        ("(0, 0.5, 0.1)", "threshold", 6),  # DermaMNIST
        ("(1, 6, 2)", "ckpt", 3),  # the end is not met: 1, 3, 5
        ("(7, 7, 1)", "ckpt", 1),
    ],
)
def test_a_range_includes_its_end_where_the_step_meets_it(text, kind, count):
    assert len(expand(text, kind=kind)) == count


def test_a_list_and_the_range_that_it_spells_out_are_equal():
    assert expand("(0, 0.3, 0.1)", kind="threshold") == expand([0, 0.1, 0.2, 0.3], kind="threshold")
    assert (
        expand("[2, 4, 6]", kind="ckpt") == expand("(2, 6, 2)", kind="ckpt") == expand([2, 4, 6], kind="ckpt")
    )


def test_the_type_of_a_value_is_that_of_its_grid():
    assert all(type(v) is int for v in expand("(2, 6, 2)", kind="ckpt"))
    assert all(type(v) is float for v in expand([1, 2], kind="stddev"))


@given(st.lists(st.integers(1, 999), min_size=1, max_size=6, unique=True))
def test_expanding_an_expanded_grid_changes_nothing(epochs):
    once = expand(epochs, kind="ckpt")
    assert expand(once, kind="ckpt") == once == tuple(epochs)


@given(st.integers(0, 300), st.integers(1, 40), st.integers(1, 30))
def test_a_range_in_thousandths_holds_exactly_the_multiples_of_its_step(start, step, count):
    end = start + step * (count - 1)
    text = f"({start / 1000 + 0.5}, {end / 1000 + 0.5}, {step / 1000})"
    assert expand(text, kind="stddev") == tuple(
        round(0.5 + (start + i * step) / 1000, 3) for i in range(count)
    )


@pytest.mark.parametrize(
    ("value", "kind", "says"),
    [
        ([], "stddev", "empty grid"),
        ("[]", "ckpt", "empty grid"),
        ("(3, 2, 1)", "ckpt", "empty grid"),
        ("(0, 1, 0.1)", "threshold", "below 1"),
        ([1.0], "threshold", "below 1"),
        ([-0.1], "threshold", "below 1"),
        ([float("nan")], "threshold", "numbers"),
        ([0.0], "stddev", "above 0"),
        ([-1.0], "stddev", "above 0"),
        ([1.5], "ckpt", "integers"),
        ("(1, 3, 0.5)", "ckpt", "integers"),
        ([0], "ckpt", "integers"),
        ([True], "ckpt", "numbers"),
        (["a"], "ckpt", "numbers"),
        ([3, 3], "ckpt", "twice"),
        ("(1, 2)", "ckpt", "three numbers"),
        ("(1, 2, 0)", "ckpt", "above 0"),
        ("(1, 2, -1)", "ckpt", "above 0"),
        ("(1, 2, 1e-12)", "stddev", "give a wider step"),
        ("(1, 1e999, 1)", "ckpt", "three numbers"),
        ("range(3)", "ckpt", "literal"),
        ("", "ckpt", "literal"),
        (None, "ckpt", "list"),
        ({1: 2}, "ckpt", "list"),
    ],
)
def test_a_grid_that_makes_no_sense_is_bad_input_in_one_line(value, kind, says):
    with pytest.raises(BadInput, match=says) as caught:
        expand(value, kind=kind)
    assert "\n" not in str(caught.value)


@given(st.integers(1, 4), st.integers(1, 20), st.integers(1, 7))
def test_the_shards_of_a_step_hold_each_candidate_of_each_gan_once(num_gans, num_candidates, per_shard):
    plan = shards(num_gans, num_candidates, per_shard)
    seen = [(s.gan, i) for s in plan for i in range(s.start, s.stop)]
    assert seen == [(gan, i) for gan in range(num_gans) for i in range(num_candidates)]
    assert all(1 <= s.stop - s.start <= per_shard for s in plan)


def test_steps_run_in_their_order_whatever_the_order_of_their_names():
    assert parse_steps("best, ckpt") == ("ckpt", "best")
    assert parse_steps("all") == parse_steps(["all"]) == STEPS


@pytest.mark.parametrize("value", ["", "ckpt,sigma", []])
def test_an_unknown_step_is_bad_input(value):
    with pytest.raises(BadInput, match="choose of ckpt"):
        parse_steps(value)
