"""Figures become tables without being changed; what does not exist is left out."""

import numpy as np
import pytest

from experiments.gafi.metrics.cas import class_scores
from experiments.gafi.metrics.outcome import (
    bias_row,
    choice_text,
    curve,
    numbers,
    result_rows,
    score_row,
    synthetic_curves,
)
from experiments.gafi.metrics.runs import FinishedRun
from experiments.gafi.search.selection import Row, bias
from suite.over_seeds import read_results
from suite.tables import csv_text
from tests.gafi.report_fakes import BY_TEST, FILTERED, selection, summary
from tests.gafi.search.samples import CANDIDATE, SOURCE, other, result_of

SCORES = class_scores(np.array([0, 0, 1, 1]), np.array([0, 0, 1, 0]), num_classes=3)


def row(**changes):
    facts = {"real_accuracy": 0.9, "num_pictures": 100, "epoch": 4, "judged": 0.7} | changes
    return score_row("GAN 1 filtered", "filtered", SCORES, **facts)


def test_a_row_holds_gap_error_and_what_choosing_by_test_gives():
    found = row(flattered=0.8)
    assert found["accuracy"] == 0.75
    assert found["gap"] == pytest.approx(15)
    assert found["error"] == pytest.approx(np.sqrt(0.75 * 0.25 / 100))
    assert found["per_class"] == [pytest.approx(2 / 3), 1.0, None]
    assert found["flattered"] == {"accuracy": 0.8, "gap": pytest.approx(10)}
    assert row()["flattered"] is None


def test_the_selection_table_has_the_same_choices_twice_and_test_never_loses():
    """Hand-made: val prefers the first, test the second."""
    rows = [
        Row(candidate="a", epoch=1, accuracy={"val": 0.8, "test": 0.7}),
        Row(candidate="b", epoch=2, accuracy={"val": 0.6, "test": 0.75}),
    ]
    found = bias_row("GAN 1", bias(rows), choices=2, real_accuracy=0.9)
    assert (found["honest"]["run"], found["flattered"]["run"]) == ("a", "b")
    assert found["points"] == pytest.approx(5)
    assert found["honest"]["gap"] - found["flattered"]["gap"] == pytest.approx(found["points"])


def test_a_choice_is_told_in_words():
    unfiltered = other(CANDIDATE, threshold=None).sources
    assert choice_text((SOURCE,)) == "GAN 1 epoch 150, stddev 1, threshold 0"
    assert choice_text(unfiltered) == "GAN 1 epoch 150, stddev 1, unfiltered"
    assert choice_text(()) == ""


def test_the_table_of_results_is_readable_over_seeds_and_has_every_kind_of_figure(tmp_path):
    tree = summary(kept_epochs=True, by="val")
    tree["real"]["kind"] = "real pictures"
    tree["chosen"] = {"GAN 1": {"epoch": 4, "stddev": 1.2, "threshold": 0.5}}
    tree["acceptance"] = [{"gan": "GAN 1", "shares": [0.5], "mean": 0.5}]
    rows = result_rows(tree, selection(kept_epochs=True)["bias"])
    (tmp_path / "results.csv").write_text(csv_text(rows), encoding="utf-8")
    found = dict(read_results(tmp_path / "results.csv"))
    assert found["CAS", "MultiGAN", "accuracy", "fraction"] == FILTERED
    assert found["CAS", "MultiGAN", "accuracy, epoch by test", "fraction"] == BY_TEST
    assert found["selection", "GAN 1 best", "added by test", "points"] == pytest.approx(
        100 * (BY_TEST - FILTERED)
    )
    assert found["choice", "GAN 1", "stddev", ""] == 1.2
    assert found["generated pictures", "GAN 1 filtered", "FID on C_real features", ""] == 12.5
    assert ("generated pictures", "GAN 1 filtered", "KID", "") not in found
    assert ("CAS", "real", "gap", "points") not in found
    assert {key[0] for key in found} == {
        "CAS", "selection", "choice", "acceptance", "generated pictures", "per class",
    }  # fmt: skip


def test_columns_that_a_table_lacks_are_no_curves():
    rows = [{"epoch": "1", "loss": "0.5", "test_loss": ""}, {"epoch": "2", "loss": "0.25", "test_loss": ""}]
    found = curve("t", "epoch", "loss", rows, {"training": "loss", "test": "test_loss", "val": "val_loss"})
    assert found["curves"] == {"training": [[1.0, 2.0], [0.5, 0.25]]}


def test_the_curve_of_a_synthetic_run_shows_both_splits_where_both_are_known(tmp_path):
    run = FinishedRun(tmp_path, result_of(CANDIDATE, 0.5))
    both = synthetic_curves("GAN 1", run, {1: 0.2, 2: 0.4}, by="val")["curves"]
    assert both["val, real"] == [[1.0, 2.0], [0.25, 0.5]]
    assert both["test, real"] == [[1.0, 2.0], [0.2, 0.4]]
    assert "test, real" not in synthetic_curves("GAN 1", run, {}, by="val")["curves"]


def test_nan_is_null_in_json():
    assert numbers(np.array([0.5, np.nan])) == [0.5, None]
