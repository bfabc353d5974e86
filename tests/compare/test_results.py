"""The committed results: the table of the README is that of the committed file."""

from collections import defaultdict

from experiments.compare.arms import ARMS
from experiments.compare.cells.grid import cells
from experiments.compare.config import CONFIG
from suite.config import load_config
from suite.provenance import ROOT
from suite.tables import read_csv

HERE = ROOT / "experiments/compare"


def committed():
    return read_csv(HERE / "docs/small.csv")


def told(row):
    if row is None:
        return "-"
    return f"{100 * float(row['ap']):.1f} +- {100 * float(row['ap_sd']):.1f}"


def test_the_committed_results_are_those_of_the_full_grid():
    config = load_config(CONFIG, HERE / "configs/small.yaml", [])
    places = {(cell.detector, cell.arm.name, str(cell.real)) for cell in cells(config)}
    rows = committed()
    assert {(row["detector"], row["arm"], row["real"]) for row in rows} == places
    assert len(rows) == len(places)
    assert {int(row["seeds"]) for row in rows} == {len(config.cells.seeds)}


def test_the_readme_tells_the_committed_results():
    found = defaultdict(dict)
    for row in committed():
        found[row["detector"], row["arm"]][int(row["real"])] = row
    text = (HERE / "README.md").read_text(encoding="utf-8")
    for (detector, arm), mine in found.items():
        figures = " | ".join(told(mine.get(real)) for real in (0, 10, 50, 200))
        assert f"| {detector} | {ARMS[arm].title} | {figures} |" in text


def test_the_readme_tells_what_the_arms_data_cost():
    text = (HERE / "README.md").read_text(encoding="utf-8")
    hours = {row["arm"]: float(row["data_cpu_hours"]) for row in committed()}
    for arm, one in hours.items():
        if one:
            assert f"| {ARMS[arm].title} | {one:.2f} |" in text
