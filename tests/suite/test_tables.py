import pytest
from hypothesis import given
from hypothesis import strategies as st

from suite.errors import BadInput
from suite.tables import csv_text, read_csv, read_jsonl


@given(values=st.lists(st.floats(allow_nan=False), min_size=1, max_size=5))
def test_floats_survive_a_table_to_the_bit(tmp_path_factory, values):
    path = tmp_path_factory.mktemp("table") / "table.csv"
    path.write_text(csv_text({"name": f"a, {k}", "value": value} for k, value in enumerate(values)))
    rows = read_csv(path)
    assert [float(row["value"]) for row in rows] == values
    assert [row["name"] for row in rows] == [f"a, {k}" for k in range(len(values))]


def test_none_is_an_empty_cell():
    assert csv_text([{"a": None, "b": 1}]) == "a,b\n,1\n"


def test_a_log_that_is_cut_or_gone_is_one_clear_line(tmp_path):
    log = tmp_path / "metrics.jsonl"
    log.write_text('{"step": 1}\n{"step": 2}\n')
    assert read_jsonl(log) == [{"step": 1}, {"step": 2}]
    log.write_text('{"step": 1}\n{"st')
    for path in (log, tmp_path / "none.jsonl"):
        with pytest.raises(BadInput, match="missing or damaged"):
            read_jsonl(path)
    with pytest.raises(BadInput, match=r"table\.csv"):
        read_csv(tmp_path / "table.csv")
