"""Published beside measured: which rows meet, and what may be said of them."""

import pytest

from suite.over_seeds import Spread
from suite.overall.join import join
from suite.published import Claim


def claim(**changes):
    values = {
        "table": "t", "row": "r", "metric": "m", "definition": "d", "text": "50",
        "number": 50.0, "sd": None, "runs": 1,
        "unit": "%", "source": "paper", "tolerance": "",
    }  # fmt: skip
    return Claim(**{**values, **changes})


def spread(**changes):
    values = {
        "system": "solid", "scale": "paper", "table": "t", "row": "r", "metric": "m", "unit": "%",
        "mean": 52.0, "sd": 1.0, "seeds": (0, 1, 2),
    }  # fmt: skip
    return Spread(**{**values, **changes})


def only(claims, spreads, *, scale="paper", num_deviations=0):
    ((row,), measured, published) = join(claims, spreads, scale=scale, num_deviations=num_deviations)
    assert not published
    return row, measured


def test_the_same_keys_meet_and_the_difference_is_measured_less_published():
    row, _ = only([claim()], [spread()])
    assert (row.published, row.mean, row.difference) == ("50", 52.0, 2.0)


@pytest.mark.parametrize("scale", ["tiny", "smoke", "small", "medium", "mine"])
@pytest.mark.parametrize("tolerance", ["", "exact", "5"])
def test_below_the_published_scale_nothing_is_comparable(scale, tolerance):
    row, _ = only([claim(tolerance=tolerance)], [spread(mean=50.0)], scale=scale)
    assert row.verdict == f"not comparable: scale {scale}"


@pytest.mark.parametrize(
    ("changes", "measured", "said"),
    [
        ({"tolerance": "exact"}, 50.0, "as published"),
        ({"tolerance": "exact"}, 50.1, "differs"),
        ({"tolerance": "2"}, 52.0, "within +-2 %"),
        ({"tolerance": "2"}, 47.9, "outside +-2 %"),
        ({}, 52.0, "no tolerance published"),
        ({"sd": 1.0}, 52.8, "within two deviations of both"),  # 2 * sqrt(1 + 1) = 2.83
        ({"sd": 1.0}, 52.9, "more than two deviations apart"),
        ({"number": None, "text": "not found"}, 52.0, "not found"),
    ],
)
def test_the_verdict_at_the_published_scale(changes, measured, said):
    row, _ = only([claim(**changes)], [spread(mean=measured)])
    assert row.verdict == said


@pytest.mark.parametrize(
    ("count", "said"), [(2, "2 settings differ"), (-1, "some settings differ")]
)  # -1: the run does not say
def test_other_settings_at_the_published_scale_are_not_comparable(count, said):
    row, _ = only([claim()], [spread()], num_deviations=count)
    assert row.verdict.startswith(f"not comparable: {said}")


def test_a_stand_in_meets_the_published_figure_and_is_not_comparable():
    row, _ = only([claim(table="Faces, test")], [spread(table="Faces, test, stand-in")])
    assert (row.table, row.verdict) == ("Faces, test, stand-in", "not comparable: stand-in pictures")


def test_the_mean_over_runs_meets_the_figure_and_its_deviation_stays_alone():
    spreads = [spread(metric="m, mean over 3 runs"), spread(metric="m, sd over 3 runs", mean=3.0)]
    row, measured = only([claim()], spreads)
    assert row.mean == 52.0
    assert [(one.mean, one.published) for one in measured] == [(3.0, "")]


def test_figures_in_another_unit_have_no_difference():
    row, _ = only([claim(unit="fraction", text="0.5", number=0.5)], [spread()])
    assert (row.published, row.difference) == ("0.5 fraction", None)
    assert row.verdict == "not comparable: published in fraction"


def test_what_only_one_side_has_stays_on_its_side():
    both, measured, published = join(
        [claim(metric="theirs")], [spread(metric="ours")], scale="paper", num_deviations=0
    )
    assert (both, [row.metric for row in measured]) == ([], ["ours"])
    assert [(row.metric, row.mean, row.verdict) for row in published] == [("theirs", None, "not measured")]
    assert measured[0].published == ""


def test_one_value_from_two_tables_is_one_line_with_both_sources():
    claims = [
        claim(source="table 1"),
        claim(source="table 2"),
        claim(source="README", text="51", number=51.0),
    ]
    both, *_ = join(claims, [spread()], scale="smoke", num_deviations=1)
    assert [(row.published, row.source) for row in both] == [("50", "table 1; table 2"), ("51", "README")]
