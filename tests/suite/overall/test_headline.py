"""The line of a system in the summary: which figure, and what is said of it."""

import pytest

from suite.errors import BadInput
from suite.overall.headline import FILE, headline, read_headline
from suite.overall.join import join
from suite.overall.systems import claims_of
from suite.provenance import ROOT
from suite.runs import papers
from tests.suite.overall.test_join import claim, spread

TREE = {"label": "AP", "measured": {"table": "t", "row": "r.*", "metric": "m"}}
ELSEWHERE = {"table": "other", "row": "big", "metric": "m"}


def line(tree, claims, spreads, scale="smoke"):
    both, measured, published = join(claims, spreads, scale=scale, num_deviations=0)
    return headline(tree, [*both, *measured, *published], claims)


@pytest.mark.parametrize("system", papers())
def test_every_paper_has_a_headline_whose_published_key_exists(system):
    tree = read_headline(ROOT / "experiments" / system.replace("-", "_") / FILE)
    keys = {claim.key for claim in claims_of(system)}
    if "published" in tree:
        assert tuple(tree["published"].values()) in keys
    else:
        assert line(tree, claims_of(system), []).published != "nothing"


def test_figures_of_the_same_key_are_compared_and_several_sources_all_shown():
    one = line(TREE, [claim(), claim(text="51", number=51.0, source="README")], [spread()])
    assert (one.published, one.verdict, one.measured.mean) == ("50; 51", "not comparable: scale smoke", 52.0)


def test_a_published_figure_of_another_key_is_shown_and_not_compared():
    tree = {**TREE, "published": ELSEWHERE}
    one = line(tree, [claim(table="other", row="big")], [spread()], scale="paper")
    assert (one.published, one.verdict) == ("50", "not comparable: published of big")
    one = line(tree, [claim(table="other", row="big", text="not found", number=None)], [spread()])
    assert (one.published, one.verdict) == ("not found", "not found")


def test_nothing_measured_is_said_and_leaves_the_published_figure():
    one = line(TREE, [claim()], [])
    assert (one.published, one.measured, one.verdict) == ("50", None, "not measured")


def test_a_file_of_another_form_is_refused(tmp_path):
    path = tmp_path / FILE
    assert read_headline(path) is None
    path.write_text("label: AP\nmeasured: {table: t, row: r}\n")
    with pytest.raises(BadInput, match="is not label, measured, published"):
        read_headline(path)
