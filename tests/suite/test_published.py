"""Published figures: one schema for all systems, and reading and joining them."""

import csv
import re

import pytest

from suite.errors import BadInput
from suite.provenance import ROOT
from suite.published import COLUMNS, FILE, NOT_FOUND, NOT_PUBLISHED, RUN, claims, read_published
from suite.runs import papers

HEAD = ",".join(COLUMNS)


def write(folder, *lines, head=HEAD):
    path = folder / FILE
    path.write_text("\n".join((head, *lines)) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("system", papers())
def test_every_system_has_a_published_csv_of_the_schema(system):
    rows = read_published(ROOT / "experiments" / system.replace("-", "_") / FILE)
    assert rows
    assert all(row.source for row in rows)


@pytest.mark.parametrize("system", papers())
def test_what_is_not_found_has_no_number(system):
    rows = read_published(ROOT / "experiments" / system.replace("-", "_") / FILE)
    for row in rows:
        assert (row.number is None) == (row.value in (NOT_FOUND, NOT_PUBLISHED))


def test_how_many_figures_each_paper_has():
    counts = {}
    for system in papers():
        rows = claims(read_published(ROOT / "experiments" / system.replace("-", "_") / FILE))
        own = [row for row in rows if row.table != "other works"]
        counts[system] = sum(row.number is not None for row in own)
    assert counts == {  # counted from the publications
        "dense-detector": 1,
        "gafi": 3,
        "imaginarynet": 29 + 12 * 20 + 2,  # rows, classes of 12 of them, sizes of sets
        "sample-synthesis": 264 + 8 * 3 + 6 + 2 * 6 + 2 * 3,  # rows of three runs each; figures of the logs
        "solid": 7,
    }


def test_a_reader_can_tell_which_average_precision_it_is():
    """Every AP says how the curve is read or which IoU it is taken at, and on which pictures."""
    for system in papers():
        for row in read_published(ROOT / "experiments" / system.replace("-", "_") / FILE):
            if re.search(r"\bm?AP", row.metric) and row.number is not None:
                assert re.search(r"IoU|that log gives it", row.definition), row
                assert re.search(r"test|validation|val2017|VOC 20", row.definition), row


def test_one_metric_of_one_table_has_one_definition_per_kind_of_row():
    for system in papers():
        rows = read_published(ROOT / "experiments" / system.replace("-", "_") / FILE)
        found = {}
        for row in rows:
            if row.table != "other works":
                found.setdefault((row.table, RUN.sub("", row.metric)), set()).add(row.definition)
        assert all(len(texts) == 1 for texts in found.values()), found


def test_other_works_say_that_they_are():
    for system in papers():
        path = ROOT / "experiments" / system.replace("-", "_") / FILE
        for row in read_published(path):
            if row.table == "other works":
                assert "; not " in row.source or "another regime" in row.source


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("t,r,m,d,fast,s,paper,", "value 'fast' is no number"),
        ("t,r,m,d,nan,s,paper,", "value 'nan' is no number"),
        ("t,r,m,d,about many,s,paper,", "value 'about many' is no number"),
        ("t,r,m,d,1,s,,", "`source` is empty"),
        ("t,,m,d,1,s,paper,", "`row` is empty"),
        ("t,r,m,,1,s,paper,", "`definition` is empty"),
        ("t,r,m,d,1,s,paper,-1", "tolerance '-1'"),
        ("t,r,m,d,not found,s,paper,1", "has a tolerance and no value"),
        ("t,r,m,d,1,s,paper", "has not 8 cells"),
        ("t,r,m,d,1,s,paper,,more", "has not 8 cells"),
    ],
)
def test_a_row_that_breaks_the_schema_is_named(tmp_path, line, said):
    path = write(tmp_path, "t,r,other,d,1,s,paper,", line)
    with pytest.raises(BadInput, match=said.replace("(", r"\(")) as caught:
        read_published(path)
    assert "row 2" in str(caught.value)


def test_another_header_and_a_repeated_key_are_refused(tmp_path):
    with pytest.raises(BadInput, match="the columns are not"):
        read_published(write(tmp_path, head="table,row,value"))
    with pytest.raises(BadInput, match="twice"):
        read_published(write(tmp_path, "t,r,m,d,1,s,paper,", "t,r,m,d,2,s,paper,"))


def test_one_key_may_have_several_sources_each_a_claim(tmp_path):
    path = write(tmp_path, "t,r,m,d,1,s,paper,", "t,r,m,d,2,s,README,")
    assert [(claim.number, claim.source) for claim in claims(read_published(path))] == [
        (1, "paper"),
        (2, "README"),
    ]


def test_runs_of_one_figure_become_their_mean_and_sample_deviation(tmp_path):
    path = write(tmp_path, *(f't,r,"m, run {k}",d,{v},%,paper,' for k, v in ((1, 50), (2, 53), (3, 56))))
    (claim,) = claims(read_published(path))
    assert (claim.metric, claim.number, claim.sd, claim.runs) == ("m", 53, 3, 3)
    assert claim.text == "53.0 \N{PLUS-MINUS SIGN} 3.0"


def test_a_value_that_is_about_x_stays_so(tmp_path):
    (claim,) = claims(read_published(write(tmp_path, "t,r,m,d,about 1,GB,README,")))
    assert (claim.text, claim.number, claim.sd) == ("about 1", 1.0, None)


def test_the_files_end_in_one_newline_and_are_unix_files():
    for system in papers():
        data = (ROOT / "experiments" / system.replace("-", "_") / FILE).read_bytes()
        assert data.endswith(b"\n") and b"\r" not in data
        assert list(csv.reader(data.decode().splitlines()))[0] == list(COLUMNS)
