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
    """{(table, row, metric): mean}, and of `sd of <metric>`; each over the same three seeds."""
    rows = read_csv(FIGURES)
    cas = [row for row in rows if row["table"] == "CAS"]
    assert {row["seeds"] for row in cas} == {"0 1 2"}
    assert {(row["system"], row["scale"]) for row in rows} == {("gafi", "small")}
    means = {(row["table"], row["row"], row["metric"]): float(row["mean"]) for row in rows}
    return means | {
        (row["table"], row["row"], f"sd of {row['metric']}"): float(row["sd"]) for row in rows if row["sd"]
    }


def accuracy(figures, row: str) -> float:
    return figures["CAS", row, "accuracy"]


def test_filtering_helps_and_real_pictures_are_better(figures):
    unfiltered, filtered = accuracy(figures, "GAN 1 unfiltered"), accuracy(figures, GANS[0])
    assert CHANCE < unfiltered <= filtered + 0.02
    assert filtered < accuracy(figures, "real pictures")
    assert accuracy(figures, "real pictures") >= 0.75


def test_several_gans_are_as_good_as_the_best_one_within_the_spread(figures):
    """1.1 points below it: more than the point that one may expect, less than a standard deviation."""
    missing = max(accuracy(figures, gan) for gan in GANS) - accuracy(figures, "MultiGAN")
    assert missing <= figures["CAS", "MultiGAN", "sd of accuracy"]


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
