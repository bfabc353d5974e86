"""`evaluate` and `report` after a whole search on a handful of pictures and generators that never learnt."""

import csv
import json
from collections import Counter

import numpy as np
import pytest

from tests.gafi.conftest import counted_reads

NAMES = [
    "GAN 1 filtered", "GAN 2 filtered", "MultiGAN", "GAN 1 unfiltered", "GAN 1 filtered, fixed set",
    "GAN 1 filtered, shuffled labels", "real pictures, same loop",
]  # fmt: skip

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def finished(searched):
    """(folder of the run, {stage: how often it read a split})."""
    run, reads = searched
    reads = dict(reads)
    for gan in range(2):
        folder = run.folder / "train-gan" / f"{gan:05d}" / "last_epoch"
        folder.mkdir()
        text = "epoch,D_loss_real,D_loss_fake,G_loss\n1,0.5,0.25,0.125\n2,0.4,0.2,0.1\n"
        (folder / "history.csv").write_text(text, encoding="utf-8")
    for name in ("evaluate", "report"):
        reads[name] = Counter()
        with counted_reads(reads[name]):
            run.job(name).run()
    return run.folder, reads


def load(folder, name):
    return json.loads((folder / "evaluate" / name).read_text(encoding="utf-8"))


def test_no_stage_before_evaluate_reads_the_test_pictures(finished):
    _, reads = finished
    assert [name for name, of_stage in reads.items() if of_stage["test"]] == ["evaluate"]


def test_every_classifier_has_a_row_whose_figures_agree_with_its_confusion(finished):
    folder, _ = finished
    summary, confusion = load(folder, "summary.json"), load(folder, "confusion.json")["rows"]
    assert [row["name"] for row in summary["rows"]] == NAMES
    for row in (summary["real"], *summary["rows"]):
        matrix = np.array(confusion[row["name"]])
        assert matrix.sum() == summary["counts"]["test"]
        assert row["accuracy"] == pytest.approx(np.trace(matrix) / matrix.sum())
        assert row["gap"] == pytest.approx(100 * (summary["real"]["accuracy"] - row["accuracy"]))


def test_choosing_by_test_never_gives_less_over_the_same_weights(finished):
    folder, _ = finished
    bias = load(folder, "selection.json")["bias"]
    assert len(bias) == 5  # two GANs, each its last run and its whole search, and MultiGAN
    for row in bias:
        assert row["points"] >= 0
        assert row["flattered"]["test"] >= row["honest"]["test"]
        assert row["honest"]["val"] >= row["flattered"]["val"]
    for row in load(folder, "summary.json")["rows"]:
        assert row["flattered"]["accuracy"] >= row["accuracy"]


def test_the_search_curves_hold_the_grids_and_what_was_chosen(finished):
    folder, _ = finished
    steps = load(folder, "selection.json")["steps"]
    chosen = load(folder, "summary.json")["chosen"]
    grids = {"ckpt": [1, 2], "stddev": [1.0, 1.3], "threshold": [0.0, 0.5]}
    keys = {"ckpt": "epoch", "stddev": "stddev", "threshold": "threshold"}
    assert len(steps) == 6
    for step in steps:
        assert [point["x"] for point in step["points"]] == grids[step["step"]]
        assert step["points"][step["chosen"]]["x"] == chosen[step["gan"]][keys[step["step"]]]


def test_acceptance_does_not_grow_with_the_threshold_and_every_class_has_a_sheet(finished):
    folder, _ = finished
    with (folder / "evaluate" / "acceptance.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    shares = {(r["gan"], r["stddev"], r["class"], r["threshold"]): float(r["share"]) for r in rows}
    assert len(shares) == 2 * 2 * 10 * 2
    for (gan, stddev, name, threshold), share in shares.items():
        assert share <= shares[gan, stddev, name, "0.0"], threshold
    assert len(list((folder / "evaluate" / "samples").glob("GAN */*.png"))) == 2 * 10


def test_the_page_is_made_of_it(finished):
    folder, _ = finished
    text = (folder / "report" / "index.html").read_text(encoding="utf-8")
    for name in NAMES:
        assert name in text
    assert "not comparable" in text
