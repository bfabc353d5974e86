"""Figures of `smoke` over three seeds (experiments/sample_synthesis/docs/smoke.csv): what the README says."""

from __future__ import annotations

import pytest

from suite.provenance import ROOT
from suite.tables import read_csv

FIGURES = ROOT / "experiments/sample_synthesis/docs/smoke.csv"
METRICS = ("mAP@0.5 as published", "AP50 (VOC)", "AP (COCO)")
MARGIN = 5.0  # points


@pytest.fixture(scope="module")
def qr() -> dict[tuple[str, str], tuple[float, float]]:
    """{(row, metric): (mean, sd)} of QR codes, in percent."""
    rows = [row for row in read_csv(FIGURES) if row["table"] == "QR codes, test, stand-in"]
    assert {row["seeds"] for row in rows} == {"0 1 2"}
    return {(row["row"], row["metric"]): (float(row["mean"]), float(row["sd"])) for row in rows}


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("other", ["from scratch", "matched"])
@pytest.mark.parametrize("num_real", [10, 60])
def test_pretraining_helps_beyond_the_spread(qr, num_real, other, metric):
    ours, spread = qr[f"tiny (ours), finetuned, {num_real} real", metric]
    theirs, their_spread = qr[f"tiny (ours), {other}, {num_real} real", metric]
    assert ours - theirs > MARGIN
    assert ours - spread > theirs + their_spread


def test_every_table_says_that_it_is_of_a_stand_in():
    assert all("stand-in" in row["table"] for row in read_csv(FIGURES))
