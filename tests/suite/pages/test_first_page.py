"""The table of systems in README.md: toolchains, times and figures are those of the program and its pages."""

import re
from importlib import import_module

import pytest

from suite.pages.hardware import whole_runs
from suite.published import FILE, read_published
from suite.runs import papers
from tests.suite.pages.markdown import ROOT, links, rows, text

TABLE = {
    re.search(r"experiments/(\w+)/", cells[0])[1]: cells for cells in rows("README.md") if len(cells) == 6
}
# What the column "published" takes from published.csv, beside figures that are means of runs there.
PUBLISHED = {"gafi": "2.03", "imaginarynet": "35.43"}


def readme(package: str) -> str:
    """The README of a system, line ends as blanks."""
    return " ".join(text(f"experiments/{package}/README.md").split())


def test_every_paper_has_a_row():
    assert set(TABLE) == {name.replace("-", "_") for name in papers()}


@pytest.mark.parametrize("package", TABLE)
def test_the_toolchains_are_those_of_the_stages(package):
    stages = import_module(f"experiments.{package}.stages").STAGES
    assert set(TABLE[package][2].split(", ")) == {stage.toolchain for stage in stages.values()}


@pytest.mark.parametrize("package", TABLE)
def test_the_time_is_that_of_the_whole_run(package):
    (run,) = [
        row for row in whole_runs() if row["system"].replace("-", "_") == package and row["scale"] == "smoke"
    ]
    said = re.findall(r"[\d.]+|min|s\b", run["time"])
    assert TABLE[package][3].split()[0] == said[0]
    assert {said[-2], said[-1]} <= set(TABLE[package][3].replace(" without detectors", "").split())


@pytest.mark.parametrize("package", PUBLISHED)
def test_the_published_figure_is_one_of_published_csv(package):
    values = {str(row.value) for row in read_published(ROOT / "experiments" / package / FILE)}
    assert PUBLISHED[package] in TABLE[package][4]
    assert PUBLISHED[package] in values


@pytest.mark.parametrize("package", TABLE)
def test_every_measured_figure_stands_in_the_readme_of_its_system(package):
    figures = re.findall(r"\d+\.\d+(?: \+- \d+\.\d+)?", TABLE[package][5])
    assert figures
    assert [figure for figure in figures if figure not in readme(package)] == []


def test_the_first_page_shows_a_picture_and_leads_to_the_example_report():
    assert {"docs/solid.jpg", "docs/report/index.html", "docs/tour.md"} <= set(links("README.md"))


def test_the_figures_of_the_comparison_are_those_of_its_readme():
    said = (
        text("README.md").split("## Which synthetic data helps?")[1].split("\n## ")[0].split("*Full grid")[1]
    )
    figures = re.findall(r"\d+\.\d", said)
    assert len(figures) == 6
    assert [figure for figure in figures if f" {figure} +- " not in readme("compare")] == []
    assert "43 min by the clock" in readme("compare") and "43 minutes on 2 shared cores" in said
