"""The tables: published columns, figures over runs, and the stage on cells that others left."""

from __future__ import annotations

import json

import numpy as np
import pytest

from experiments.sample_synthesis.cells import cells
from experiments.sample_synthesis.config_sections import RealConfig
from experiments.sample_synthesis.data.sets import write_sets
from experiments.sample_synthesis.metrics.published import ablation_rows, main_rows
from experiments.sample_synthesis.metrics.stage import result_rows, run
from experiments.sample_synthesis.stages import stages_of
from experiments.sample_synthesis.tables import read_results
from experiments.sample_synthesis.train.cell_files import finish, predictions_file, write_predictions
from suite.datasets.detections import Detections
from suite.errors import BadInput
from suite.manifest import write_json
from suite.over_seeds import read_results as read_suite_results
from suite.stage import Context
from suite.tables import read_csv
from tests.sample_synthesis.train.toy import real_set, settings

RUNS = ("train.runs=2", "ablation={factors: [1], qr_images: 3}", "qr.grid.sizes=[4]")
CONFIG = settings(*RUNS)
CELLS = cells(CONFIG)
FACES = settings(*RUNS, "objects=[face]", "ablations=[naive, nogan]", "face.grid.sizes=[4]")


def values_of(config):
    return {cell: number / 64 for number, cell in enumerate(cells(config))}


def test_the_main_table_has_the_published_columns():
    rows = main_rows(values_of(CONFIG))
    assert list(rows[0]) == ["architecture", "train_samples", "train_type", "run_1", "run_2"]
    kinds = [(row["train_samples"], row["train_type"]) for row in rows]
    assert kinds == [(None, "pretrained"), (4, "from_scratch"), (4, "finetuned"), (4, "matched")]
    by_name = {cell.name: value for cell, value in values_of(CONFIG).items()}
    assert rows[2]["run_2"] == by_name["qr-tiny-finetuned-4-run2"]


def test_the_pretraining_ablation_says_how_many_synthetic_images_there_are():
    rows = ablation_rows(values_of(CONFIG), "pretraining")
    columns = ["architecture", "num_real_samples", "num_fake_samples", "train_type", "run_1", "run_2"]
    assert list(rows[0]) == columns
    assert {(row["num_real_samples"], row["num_fake_samples"]) for row in rows} == {(3, 3)}
    assert [row["train_type"] for row in rows] == ["mixed", "pretrained", "finetuned"]


@pytest.mark.parametrize("ablation", ["naive", "nogan"])
def test_the_other_ablations_hold_runs_of_finetuned_cells_alone(ablation):
    (row,) = ablation_rows(values_of(FACES), ablation)
    assert list(row) == ["architecture", "run_1", "run_2"]
    by_name = {cell.name: value for cell, value in values_of(FACES).items()}
    assert row["run_1"] == by_name[f"face-tiny-finetuned-3-{ablation}-run1"]


def test_figures_are_means_over_runs_with_sample_deviation_in_percent():
    scores = {
        cell: {"test": {"compat_map": 0.5 + 0.1 * cell.run, "voc_ap": None, "coco_ap": 0.25}}
        for cell in CELLS
    }
    rows = [
        r for r in result_rows("qr", scores, stand_in=True) if r["row"] == "tiny (ours), finetuned, 4 real"
    ]
    found = {row["metric"]: row["value"] for row in rows}
    assert {row["table"] for row in rows} == {"QR codes, test, stand-in"}
    assert found["mAP@0.5 as published, mean over 2 runs"] == pytest.approx(65)
    assert found["mAP@0.5 as published, sd over 2 runs"] == pytest.approx(100 * np.std([0.6, 0.7], ddof=1))
    assert not any("VOC" in metric for metric in found)


@pytest.fixture
def context(tmp_path):
    """Finished stages of two runs; every cell finds the squares of run 1 and nothing in run 2."""
    data = tmp_path / "data"
    sets = {split: real_set(data, split, range(number, number + 3)) for number, split in
            ((0, "train"), (10, "valid"), (20, "test"))}  # fmt: skip
    write_sets(data, "qr", RealConfig(), sets)
    for cell in CELLS:
        folder = tmp_path / ("pretrain" if cell.is_pretraining else "cells") / "00000" / cell.name
        folder.mkdir(parents=True)
        write_json(folder / "history.json", [{"epoch": 1, "val_meanAP": 0.25}])
        for split in ("valid", "test"):
            boxes = np.concatenate(sets[split].boxes())
            found = Detections(np.arange(1, 4), np.ones(3), np.full(3, 0.9), boxes)
            write_predictions(
                folder / predictions_file(split), found if cell.run == 1 else Detections.empty()
            )
        finish(folder, {"epoch": 1, "steps": 2, "validation_images": 3})
    out = tmp_path / "out"
    out.mkdir()
    inputs = {name: tmp_path / name for name in ("data", "pretrain", "cells")}
    return Context(
        stage=stages_of(CONFIG)["qr-evaluate"], config=CONFIG, seed=0, device="cpu", inputs=inputs, out=out,
        final=out, key="",
    )  # fmt: skip


def test_the_stage_writes_tables_that_the_report_and_the_suite_read(context):
    run(context)
    main = read_results(context.out / "results_qr.csv", "qr")
    assert {row.runs for row in main} == {(100.0, 0.0)}
    ablation = read_results(
        context.out / "results_pretraining_ablation.csv", "qr", experiment="pretraining_ablation"
    )
    assert {(row.num_real, row.num_synthetic) for row in ablation} == {(3, 3)}
    figures = dict(read_suite_results(context.out / "results.csv"))
    assert len(figures) == 2 * 3 * 7  # mean and deviation of three metrics for seven trainings
    assert json.loads((context.out / "summary.json").read_text())["stand_in"] is True
    assert json.loads((context.out / "curves.json").read_text())["qr-tiny-finetuned-4-run1"] == [0.25]
    assert len(read_csv(context.out / "cells.csv")) == 2 * len(CELLS)


def test_a_damaged_cell_is_named(context):
    folder = context.inputs["cells"] / "00000" / "qr-tiny-mixed-3-1x-run2"
    (folder / "predictions_test.npz").write_bytes(b"")
    with pytest.raises(BadInput, match="qr-tiny-mixed-3-1x-run2: is damaged"):
        run(context)
