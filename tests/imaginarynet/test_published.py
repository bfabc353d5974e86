"""The published results: every row agrees with its own columns."""

from __future__ import annotations

import csv

import pytest

from experiments.imaginarynet.classes import class_names
from experiments.imaginarynet.report_tables import PUBLISHED

MEAN = "mAP_voc07_test_pct"

with PUBLISHED.open(newline="", encoding="utf-8") as stream:
    ROWS = list(csv.DictReader(stream))


def test_there_are_29_rows_with_a_source_and_the_columns_of_the_class_list():
    assert len(ROWS) == 29 and all(row["source"] and row["table"] for row in ROWS)
    assert [name[3:] for name in ROWS[0] if name.startswith("AP_")] == list(class_names("voc"))


def test_the_mean_of_every_row_with_classes_is_the_printed_one():
    with_classes = 0
    for row in ROWS:
        values = [float(value) for name, value in row.items() if name.startswith("AP_") and value]
        if values:
            assert len(values) == 20
            assert sum(values) / 20 == pytest.approx(float(row[MEAN]), abs=0.0051)
            with_classes += 1
    assert with_classes == 12


def test_rows_that_two_tables_print_are_equal():
    names = [name for name in ROWS[0] if name.startswith("AP_")]
    by_values: dict[tuple[str, ...], set[str]] = {}
    for row in ROWS:
        if row[names[0]]:
            by_values.setdefault(tuple(row[name] for name in names), set()).add(row[MEAN])
    assert all(len(means) == 1 for means in by_values.values())
    assert len(by_values) == 10
