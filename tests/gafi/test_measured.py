"""Figures of `small` over three seeds (experiments/gafi/docs/small.csv) hold what the README says."""

from __future__ import annotations

from pathlib import Path

import pytest

from suite.tables import read_csv

FIGURES = Path(__file__).parents[2] / "experiments/gafi/docs/small.csv"
CHANCE = 0.1
GANS = ("GAN 1 filtered", "GAN 2 filtered")


@pytest.fixture(scope="module")
def figures() -> dict[tuple[str, str, str], float]:
    """{(table, row, metric): mean}, each over the same three seeds."""
    rows = read_csv(FIGURES)
    cas = [row for row in rows if row["table"] == "CAS"]
    assert {row["seeds"] for row in cas} == {"0 1 2"}
    assert {(row["system"], row["scale"]) for row in rows} == {("gafi", "small")}
    return {(row["table"], row["row"], row["metric"]): float(row["mean"]) for row in rows}


def accuracy(figures, row: str) -> float:
    return figures["CAS", row, "accuracy"]


def test_filtering_helps_and_real_pictures_are_better(figures):
    unfiltered, filtered = accuracy(figures, "GAN 1 unfiltered"), accuracy(figures, GANS[0])
    assert CHANCE < unfiltered <= filtered + 0.02
    assert filtered < accuracy(figures, "real pictures")
    assert accuracy(figures, "real pictures") >= 0.75


@pytest.mark.xfail(strict=True, reason="measured: 1.1 points below the better GAN, with a spread of 1.4")
def test_several_gans_are_about_as_good_as_the_best_one(figures):
    assert accuracy(figures, "MultiGAN") >= max(accuracy(figures, gan) for gan in GANS) - 0.01


def test_renewing_the_pictures_costs_nothing(figures):
    assert accuracy(figures, GANS[0]) >= accuracy(figures, "GAN 1 filtered, fixed set") - 0.01


def test_the_evaluation_measures_learning(figures):
    assert abs(accuracy(figures, "GAN 1 filtered, shuffled labels") - CHANCE) < 0.05
    loop = accuracy(figures, "real pictures, same loop")
    assert loop == pytest.approx(accuracy(figures, "real pictures"), abs=0.01)


def test_choosing_by_the_test_pictures_flatters(figures):
    for row in ("GAN 1, all runs of the search", "GAN 2, all runs of the search"):
        by_val, by_test = (figures["selection", row, f"chosen by {split}"] for split in ("val", "test"))
        assert by_test >= by_val
        assert figures["selection", row, "added by test"] == pytest.approx(100 * (by_test - by_val), abs=1e-6)
