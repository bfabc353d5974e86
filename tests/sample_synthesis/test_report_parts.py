"""Verdicts, switches, statistics of boxes, and which test pictures are shown."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.sample_synthesis.cells import cells
from experiments.sample_synthesis.config import CONFIG, CONFIGS
from experiments.sample_synthesis.names import OBJECTS
from experiments.sample_synthesis.report_detections import (
    NUM_SHOWN,
    Found,
    Score,
    best_and_worst,
    judge,
    shown_cells,
)
from experiments.sample_synthesis.report_layout import Boxes, statistics
from experiments.sample_synthesis.report_plots import drawing_of_test, drawing_of_validation, file_stem
from experiments.sample_synthesis.report_switches import SWITCHES, keys_of, turned
from experiments.sample_synthesis.report_tables import comparisons, object_table, share, unlike, verdict
from experiments.sample_synthesis.tables import Result, read_published
from suite.config import load_config, to_tree

EVERY = f"objects=[{','.join(OBJECTS)}]"


def load(scale, *overrides):
    return load_config(CONFIG, CONFIGS / f"{scale}.yaml", [EVERY, *overrides])


PAPER = load("paper")


def result(*runs, **changes):
    facts = {
        "object": "qr", "experiment": "main", "architecture": "SSDMobileNet", "num_real": 10,
        "num_synthetic": None, "train_type": "finetuned", "runs": runs,
    }  # fmt: skip
    return Result(**{**facts, **changes})


# --- verdicts ---


@pytest.mark.parametrize("name", OBJECTS)
def test_paper_scale_may_be_compared_whatever_part_of_the_grid_runs_and_however(name):
    other = load(
        "paper", "compute.threads=7", "train.runs=1", "train.cache=none", f"{name}.grid.sizes=[50]",
        "detector.archs=[mobilenet]", f"{name}.real.folder=data/elsewhere", "compat=upstream",
    )  # fmt: skip
    assert unlike(other, PAPER, name) is None


@pytest.mark.parametrize("name", OBJECTS)
@pytest.mark.parametrize("scale", ["tiny", "smoke", "small"])
def test_every_smaller_scale_is_a_stand_in(scale, name):
    assert unlike(load(scale), PAPER, name) == "not comparable: stand-in"
    assert unlike(load("paper", f"{name}.real.kind=standin"), PAPER, name) == "not comparable: stand-in"
    assert unlike(load("paper", f"{name}.backgrounds.kind=photos"), PAPER, name) == "not comparable: stand-in"


@pytest.mark.parametrize("change", ["train.lr=1e-3", "qr.grid.epochs_real=3", "detector.init=random"])
def test_another_deciding_setting_is_named(change):
    reason = unlike(load("paper", change), PAPER, "qr")
    assert reason == f"not comparable: `{change.partition('=')[0]}` is not the published one"
    rows = comparisons([result(50.0)], read_published(), config=load("paper", change), paper=PAPER)
    assert [(row.published, row.measured, row.verdict) for row in rows] == [("52.0 +- 2.9", "50.0", reason)]


def test_a_difference_is_judged_by_the_spread_of_both():
    theirs = result(50.0, 52.0, 54.0)  # sd 2
    near, far = result(46.0, 47.0, 48.0), result(45.0, 46.0, 47.0)  # sd 1; 2 hypot(2, 1) = 4.47
    assert verdict(near, theirs, None, {}) == "-5.0 points, beyond two standard deviations"
    assert (
        verdict(result(47.0, 48.0, 49.0), theirs, None, {}) == "-4.0 points, within two standard deviations"
    )
    assert verdict(far, theirs, None, {}).startswith("-6.0 points, beyond")
    assert verdict(result(53.0), theirs, None, {}) == "+1.0 points"
    assert verdict(near, None, None, {}) == "nothing published"


def test_a_fault_of_the_published_figure_is_said_unless_it_is_switched_on():
    mixed = result(30.0, train_type="mixed", experiment="pretraining_ablation")
    compat = vars(PAPER.compat)
    said = verdict(mixed, mixed, None, compat)
    assert "its `mixed` sees no synthetic image" in said and "first rows" in said
    assert verdict(mixed, mixed, None, dict.fromkeys(compat, True)) == "+0.0 points"
    face = result(30.0, object="face")
    assert "its boxes are frames" in verdict(face, face, None, compat)
    scratch = result(30.0, object="face", train_type="from_scratch")
    assert verdict(scratch, scratch, None, compat) == "+0.0 points"


def test_shares_of_all_images():
    assert [share(label, 467) for label in ("0 (pretrain only)", "10", "467 (all)")] == [
        "0 (pretrain only)", "10 (2.1 %)", "467 (all)"
    ]  # fmt: skip
    assert share("60 (all)", 120) == "60 (50 %)"  # the largest N that was run is not all there are
    assert share("466", 467) == "466 (100 %)"
    assert object_table([], "qr", total=3) is None


# --- switches ---


def test_every_switch_can_be_set_to_its_faithful_value_and_then_is_not_turned():
    words = [f"{key}={json.dumps(to_tree(s.faithful))}" for s in SWITCHES for key in keys_of(s, OBJECTS)]
    assert turned(load("paper", *words)) == []


def test_a_turned_switch_is_told_with_both_values_and_for_the_objects_of_the_run_only():
    found = {one.key: one for one in turned(load("paper", "bird.synthesis.layout=sequential"))}
    one = found["bird.synthesis.layout"]
    assert (one.here, one.published) == ("sequential", "rejection")
    qr = load_config(CONFIG, CONFIGS / "paper.yaml", ["bird.synthesis.layout=sequential"])
    assert not [one.key for one in turned(qr) if one.key.startswith(("bird", "face", "car"))]


# --- plots ---


def test_files_have_the_published_names():
    assert file_stem("SSDMobileNet", "test", "qr") == "ssdmobilenet_test_results_qr"
    assert file_stem("SSDMobileNetV2 (ours)", "valid", "car", standin=True) == (
        "ssdmobilenetv2_valid_results_car_standin"
    )


def test_the_test_plot_has_every_arm_the_sizes_with_their_shares_and_the_pretrained_line():
    drawing = drawing_of_test(read_published(), "qr", "SSDMobileNet", total=467)
    text = str(drawing.svg())
    for word in ("scratch", "finetuned", "pretrained only", "467", "~100%", "~2.1%"):
        assert f">{word}<" in text, word
    assert drawing_of_test(read_published(), "qr", "SSDVgg", total=467) is None


def test_the_validation_plot_is_of_the_most_real_images_and_needs_a_validation():
    config = load("smoke", "train.runs=2")
    curves = {cell.name: [0.1, 0.2, 0.5] for cell in cells(config)}
    drawing = drawing_of_validation(curves, cells(config), "qr", "tiny", steps_per_epoch=25)
    assert "60 real images" in drawing.title
    nothing = {name: [None, None] for name in curves}
    assert drawing_of_validation(nothing, cells(config), "qr", "tiny", steps_per_epoch=25) is None


# --- statistics ---


def test_statistics_of_known_boxes():
    line = statistics("a", Boxes(np.array([1, 1, 2, 7]), np.array([0.1] * 5 + [0.5] * 6)))
    assert (line.images, line.boxes, line.mean) == (4, 11, 2.75)
    assert line.shares == (50.0, 25.0, 0.0, 0.0, 25.0)
    assert line.percentiles == pytest.approx((10, 50, 50))


# --- which pictures are shown ---


def boxes(*corners):
    return np.array(corners, np.float64).reshape(-1, 4)


def test_a_true_box_is_found_once_and_the_rest_is_false_or_missed():
    truth = boxes([0, 0, 10, 10], [20, 20, 30, 30])
    found = Found(boxes([0, 0, 10, 10], [0, 0, 10, 9], [50, 50, 60, 60]), np.array([0.9, 0.8, 0.7]))
    score = judge(4, truth, found)
    assert (score.image, score.hits, score.missed, score.false) == (4, 1, 1, 2)
    assert score.f1 == pytest.approx(2 / 5)
    assert judge(0, boxes(), Found(boxes(), np.zeros(0))).f1 == 1.0


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=30))
def test_best_and_worst_are_different_pictures_and_no_worst_is_better_than_a_best(numbers):
    scores = [Score(place, *number) for place, number in enumerate(numbers)]
    best, worst = best_and_worst(scores)
    shown = [score.image for score in best + worst]
    assert len(set(shown)) == len(shown) == min(len(scores), 2 * NUM_SHOWN)
    assert not worst or max(score.f1 for score in worst) <= min(score.f1 for score in best)


def test_shown_are_the_arms_on_the_fewest_real_images():
    config = load("small", "objects=[qr]")
    shown = shown_cells(cells(config), "mobilenetv2")
    assert {arm: cell.num_real for arm, cell in shown.items()} == {
        "finetuned": 10, "from_scratch": 10, "matched": 10
    }  # fmt: skip
    assert next(iter(shown)) == "finetuned"
    assert shown_cells([], "tiny") == {}
