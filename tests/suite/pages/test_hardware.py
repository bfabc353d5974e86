"""docs/hardware.md says what was measured, and no more."""

import shlex

import pytest
import yaml

from suite.pages import hardware
from suite.runs import Run, systems, target_of
from tests.suite.pages.markdown import ROOT, rows


def test_the_tables_of_the_page_are_those_of_the_measurements():
    page = hardware.PAGE.read_text(encoding="utf-8")
    assert hardware.fill(page) == page, "python -m suite.pages.hardware --write"


@pytest.mark.parametrize("row", hardware.whole_runs(), ids=lambda row: row["command"])
def test_every_whole_run_stands_in_the_readme_of_its_system(row):
    name = "sample_synthesis" if row["system"] == "sample-synthesis" else row["system"].replace("-", "_")
    page = ROOT / ("README.md" if name == "all" else f"experiments/{name}/README.md")
    readme = " ".join(page.read_text(encoding="utf-8").split())
    for figure in (row["time"], row["memory"]):
        assert figure == hardware.UNKNOWN or figure in readme
    words = shlex.split(row["command"])
    assert words[:2] == ["make", "reproduce" if name == "all" else target_of(row["system"])]
    assert (f"SCALE={row['scale']}" in words) == (row["scale"] != "smoke")


def test_a_scale_without_a_figure_is_not_measured():
    table = {(cells[0], cells[1].strip("`")): cells for cells in rows("docs/hardware.md") if len(cells) == 6}
    told = {(row["system"], row["scale"]) for row in hardware.whole_runs()}
    for (system, scale), cells in table.items():
        path = ROOT / "experiments" / system.replace("-", "_") / "measured.yaml"
        stages = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else {}
        assert (cells[2] == hardware.UNKNOWN) == ((system, scale) not in told)
        assert (cells[3] == hardware.UNKNOWN) == (scale not in stages)
    assert {system for system, _ in table} == set(systems())


def test_what_lies_in_the_runs_folder_changes_nothing(monkeypatch, tmp_path):
    monkeypatch.setenv("RUNS_DIR", str(tmp_path / "mine"))
    with hardware.runs_in(str(tmp_path / "none")):
        assert Run(system="solid", scale="smoke", seed=0).folder.is_relative_to(tmp_path / "none")
    assert Run(system="solid", scale="smoke", seed=0).folder.is_relative_to(tmp_path / "mine")


def test_a_sum_with_stages_that_have_no_figure_says_how_many():
    class Row:
        def __init__(self, seconds, optional=False):
            self.seconds, self.optional = seconds, optional

    class Plan:
        rows = (Row(30.0), Row(None), Row(100.0), Row(None, optional=True))

    assert hardware.one_worker(Plan()) == "2.2 min (1 of 3 stages not measured)"
