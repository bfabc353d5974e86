"""Numbers as the page writes them."""

import pytest

from suite.overall import numbers

PM = "\N{PLUS-MINUS SIGN}"


@pytest.mark.parametrize(
    ("mean", "sd", "said"),
    [
        (37.523, 8.057, f"37.5 {PM} 8.1"),
        (0.12345, 0.00123, f"0.1235 {PM} 0.0012"),
        (1009.7, 36.06, f"1,010 {PM} 36"),
        (64.0, 0.0, f"64 {PM} 0"),
        (7.0625, None, "7.062"),
        (1_000_000.0, None, "1,000,000"),
        (None, None, ""),
    ],
)
def test_the_deviation_decides_how_many_digits_are_shown(mean, sd, said):
    assert numbers.spread(mean, sd) == said


def test_a_difference_ends_where_its_mean_ends():
    assert numbers.difference(2.0934, 8.057) == "+2.1"
    assert numbers.difference(-4797.0, None) == "-4,797"
    assert numbers.difference(None, 1.0) == ""


def test_a_published_value_stays_as_it_is_written():
    assert numbers.written("1000000") == "1,000,000"
    for text in ("2.03", "5000", "not found", f"52.0 {PM} 2.9", "about 3400000"):
        assert numbers.written(text) == text


@pytest.mark.parametrize(
    ("verdict", "kind"),
    [
        ("within +-1.0 points", "good"),
        ("outside +-1.0 points", "bad"),
        ("not comparable: scale smoke", "open"),
    ],
)
def test_a_verdict_has_its_colour(verdict, kind):
    assert numbers.verdict_kind(verdict) == kind
