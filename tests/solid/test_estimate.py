"""The estimate of `make plan`: closed forms on figures that are easy to multiply."""

import dataclasses
from pathlib import Path

import pytest

from experiments.solid import estimate
from experiments.solid.config import SolidConfig
from suite.config import load_config

CONFIGS = Path(__file__).resolve().parents[2] / "experiments/solid/configs"
TARGET = {
    "device": "cpu", "resolution": [320, 240], "samples": 32, "noise_threshold": 0.02,
    "num_objects": [12, 16], "cells_per_unit": 8, "seconds": {"layout": 1.0, "rgb": 4.0, "rest": 0.5},
}  # fmt: skip
QUERY = {"device": "cpu", "resolution": 192, "samples": 32, "noise_threshold": 0.02, "seconds": 2.0}
NETWORK = {"depth": 50, "fpn_channels": 256, "fc_dim": 1024}
LEARNING = {
    "device": "cpu", "detector": NETWORK, "pixels": 720 * 960, "query_size": 224, "precision": "float32",
    "seconds": {"step": 1.0, "picture": 10.0, "query": 0.5, "test_picture": 3.0},
}  # fmt: skip
UNITS = {
    "machine": "a machine", "command": "a command",
    "targets": [TARGET], "queries": [QUERY], "learning": [LEARNING],
}  # fmt: skip


def config(scale, **changes):
    made = load_config(SolidConfig, CONFIGS / f"{scale}.yaml")
    for section, values in changes.items():
        made = dataclasses.replace(made, **{section: dataclasses.replace(getattr(made, section), **values)})
    return made


def by_stage(*args, **how):
    return {row.stage: row for row in estimate.estimate(*args, **how)}


def test_the_measured_scale_is_its_own_figures_times_the_amount():
    row = by_stage(config("small"), UNITS)["targets"]
    assert (row.amount, row.seconds) == (20_000, 5.5)
    assert row.hours == pytest.approx(20_000 * 5.5 / 3600)
    assert " x " not in row.basis and "320x240 and 32 samples, threshold 0.02" in row.basis


def test_each_part_of_a_picture_is_scaled_by_its_own_work():
    """Paper: 4 times the pixels, 32 times the samples, 45 / 28 of the objects, 1.5 times the cells."""
    row = by_stage(config("paper"), UNITS)["targets"]
    objects = 45 / 28
    assert row.seconds == pytest.approx(1.5**3 * objects + 4 * 4 * 32 + 0.5 * 4 * objects)
    assert "rgb 4 s at 320x240 and 32 samples, threshold 0.02 x 128" in row.basis


def test_views_are_models_times_shots():
    row = by_stage(config("paper"), UNITS)["queries"]
    assert row.amount == 52_447 * 8 and row.seconds == pytest.approx(2.0 * 4 * 32)
    open_number = by_stage(config("small"), UNITS)["queries"]
    assert open_number.amount == 64 * 8 and "64 models assumed" in open_number.basis


def test_the_entry_of_the_nearest_work_is_taken():
    near = {**TARGET, "resolution": [640, 480], "samples": 1024, "num_objects": [20, 25],
            "cells_per_unit": 12, "seconds": {"layout": 7.0, "rgb": 100.0, "rest": 3.0}}  # fmt: skip
    thumbnail = {**near, "resolution": [64, 48], "seconds": {"layout": 7.5, "rgb": 2.0, "rest": 9.0}}
    parts = by_stage(config("paper"), {**UNITS, "targets": [TARGET, thumbnail]})["targets"]
    assert parts.seconds == pytest.approx(7.5 + 2.0 * 100 + 0.5 * 4 * 45 / 28)  # rest: by pixels and objects
    for order in ([TARGET, near], [near, TARGET]):
        assert by_stage(config("paper"), {**UNITS, "targets": order})["targets"].seconds == 110.0
        assert by_stage(config("small"), {**UNITS, "targets": order})["targets"].seconds == 5.5


def test_a_step_is_its_pictures_its_queries_on_every_rank_and_what_a_step_costs_anyway():
    row = by_stage(config("paper", pretrain={"short_edges": (720,)}), UNITS)["pretrain"]
    assert row.amount == 750_000
    assert row.seconds == pytest.approx(128 * 10.0 + 8 * (1.0 + 128 * 0.5))
    assert "128 a step on 8 ranks" in row.basis
    half = config(
        "paper", pretrain={"query_size": 112, "num_queries": 16, "batch_size": 16, "short_edges": (720,)}
    )
    assert by_stage(half, UNITS)["pretrain"].seconds == pytest.approx(160 + 1 + 16 * 0.5 / 4)


def test_pictures_of_training_cost_by_their_pixels_after_resizing():
    assert estimate.resized_pixels((480, 640), (720,), 1333) == pytest.approx(720 * 960)
    mean = estimate.resized_pixels((480, 640), (360, 720), 1333)
    assert mean == pytest.approx((360 * 480 + 720 * 960) / 2)
    assert estimate.resized_pixels((100, 1000), (800,), 1000) == pytest.approx(100 * 1000)
    rows = by_stage(config("paper", finetune={"short_edges": (720,)}), UNITS)
    assert rows["finetune"].amount == 2 * 90_000
    assert rows["finetune"].seconds == pytest.approx(1.0 + 16 * 10.0)
    assert rows["evaluate"].seconds == pytest.approx(3.0 * (800 / 720) ** 2)
    assert rows["evaluate"].amount == 2 * 5000


def test_learning_is_not_estimated_for_a_network_that_was_not_measured():
    assert set(by_stage(config("smoke"), UNITS)) == {"targets", "queries"}


def test_the_lines_name_figures_and_say_that_no_gpu_was_measured(tmp_path):
    import yaml

    path = tmp_path / "measured.yaml"
    path.write_text(yaml.safe_dump({"units": UNITS}))
    text = "\n".join(estimate.lines(config("paper"), path))
    assert "measured on a machine" in text and "by a command" in text
    assert "no GPU was measured" in text and "core hours" in text
    fast = {**TARGET, "device": "cuda", "seconds": {"layout": 0.0, "rgb": 1.0, "rest": 0.0}}
    path.write_text(yaml.safe_dump({"units": {**UNITS, "targets": [TARGET, fast]}}))
    told = estimate.lines(config("paper"), path)
    hours = 1_000_000 * 128 / 3600
    assert f"{hours:,.1f} hours of one GPU: targets {hours:,.1f}" in told[-1]
    path.write_text("smoke: {}\n")
    assert estimate.lines(config("paper"), path) == []


def test_the_committed_figures_give_an_estimate_of_every_costly_stage_of_the_paper():
    rows = by_stage(config("paper"), estimate.read_units())
    assert set(rows) == {"targets", "queries", "pretrain", "finetune", "evaluate"}
    assert all(row.hours > 0 for row in rows.values())
