import csv

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suite.errors import BadInput
from suite.over_seeds import over_seeds, read_results, write_spreads

HEADER = "table,row,metric,value,unit\n"


def report(folder, seed, *rows, system="solid", scale="smoke"):
    """The report folder of a run with these rows of results.csv."""
    place = folder / system / scale / f"seed{seed}" / "report"
    place.mkdir(parents=True)
    (place / "results.csv").write_text(HEADER + "".join(row + "\n" for row in rows))
    return place


def test_three_seeds_give_mean_and_sample_deviation(tmp_path):
    reports = [report(tmp_path, k, f"ap,random,AP50,{v},%") for k, v in enumerate((1.0, 2.0, 6.0))]
    (row,) = over_seeds(reports)
    # hand-computed: mean 3; deviations -2, -1, 3; variance 14 / 2
    assert (row.mean, row.seeds, row.unit) == (3.0, (0, 1, 2), "%")
    assert row.sd == pytest.approx(7**0.5)


def test_one_seed_has_no_deviation(tmp_path):
    (row,) = over_seeds([report(tmp_path, 4, "ap,random,AP50,1.5,%")])
    assert (row.mean, row.sd, row.seeds) == (1.5, None, (4,))


def test_scales_and_systems_are_never_mixed(tmp_path):
    rows = [report(tmp_path, 0, "t,r,m,1,", scale=s) for s in ("tiny", "smoke")]
    rows.append(report(tmp_path, 0, "t,r,m,1,", system="gafi"))
    assert {(row.system, row.scale) for row in over_seeds(rows)} == {
        ("solid", "tiny"), ("solid", "smoke"), ("gafi", "smoke"),
    }  # fmt: skip


def test_what_was_not_measured_is_left_out(tmp_path):
    reports = [report(tmp_path, 0, "t,r,m,,", "t,r,n,nan,"), report(tmp_path, 1, "t,r,m,2,")]
    (row,) = over_seeds(reports)
    assert (row.metric, row.seeds) == ("m", (1,))


def test_a_run_without_results_is_no_error_but_a_broken_table_is(tmp_path):
    assert read_results(tmp_path / "results.csv") == []
    broken = report(tmp_path, 0, "t,r,m,many,")
    with pytest.raises(BadInput, match="results.csv"):
        over_seeds([broken])


@given(values=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=5))
def test_the_mean_lies_between_the_values_and_the_csv_keeps_it(tmp_path_factory, values):
    folder = tmp_path_factory.mktemp("runs")
    rows = over_seeds([report(folder, k, f"t,r,m,{v!r},") for k, v in enumerate(values)])
    tolerance = 1e-6  # rounding of the sum
    assert min(values) - tolerance <= rows[0].mean <= max(values) + tolerance
    write_spreads(folder / "all.csv", rows)
    (line,) = csv.DictReader((folder / "all.csv").open())
    assert float(line["mean"]) == rows[0].mean and len(line["seeds"].split()) == len(values)
