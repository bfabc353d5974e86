"""The published results: every row agrees with its own classes, and its keys are measured ones."""

from __future__ import annotations

from itertools import groupby

import pytest

from experiments.imaginarynet.arms import arms_of
from experiments.imaginarynet.classes import class_names
from experiments.imaginarynet.config import CONFIG, CONFIGS
from experiments.imaginarynet.report_tables import AP, PUBLISHED, published_rows
from suite.config import load_config
from suite.published import read_published

ROWS = [row for row in read_published(PUBLISHED) if row.table == "detectors"]


def blocks():
    """{(row, source): {metric without its head: value}} of every published table row."""
    groups = groupby(ROWS, key=lambda row: (row.row, row.source))
    return [
        (key, {row.metric.removeprefix(AP).removeprefix(", "): row.number for row in g}) for key, g in groups
    ]


def test_there_are_29_rows_with_a_source_and_the_classes_of_the_class_list():
    found = blocks()
    assert len(found) == 29 == len({key for key, _ in found})
    assert all(list(values)[:1] == [""] for _, values in found)
    assert all(tuple(values)[1:] in ((), class_names("voc")) for _, values in found)


def test_the_mean_of_every_row_with_classes_is_the_printed_one():
    complete = [values for _, values in blocks() if len(values) > 1]
    assert len(complete) == 12
    for values in complete:
        mean = values.pop("")
        assert sum(values.values()) / 20 == pytest.approx(mean, abs=0.0051)


def test_rows_that_two_tables_print_are_equal():
    by_values = {}
    for _, values in blocks():
        if len(values) > 1:
            by_values.setdefault(tuple(values.values())[1:], set()).add(values[""])
    assert all(len(means) == 1 for means in by_values.values())
    assert len(by_values) == 10


def test_published_rows_are_called_by_the_arms_of_this_repository():
    named = {row.row.partition(",")[0] for row in ROWS} - {"isod-clip"}  # CLIP alone: no arm here
    for name in sorted(named):
        found = []
        for detector in ("oicr", "wsddn", "w2n", "unbiased-teacher", "faster-rcnn"):
            if name.endswith(f"-{detector}"):
                settings = [f"setting=[{name.removesuffix(f'-{detector}')}]", f"detector=[{detector}]"]
                config = load_config(CONFIG, CONFIGS / "paper.yaml", settings)
                found += [arm.name for arm in arms_of(config)]
        assert name in found


def test_the_page_shows_the_rows_without_single_classes():
    assert [row.metric for row in published_rows() if row.table == "detectors"] == [AP] * 29


def test_headline_results_are_those_of_the_readme():
    found = {row.row: row.value for row in published_rows() if "README of the published code" in row.source}
    assert found["isod-oicr"] == "35.43"
    assert found["wsod-w2n"] == "65.05"
    assert found["ssod-both-unbiased-teacher"] == "81.60"
