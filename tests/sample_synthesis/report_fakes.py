"""A finished run of one object as its stages leave it: pictures, synthetic images and real sets by the stages
themselves, made-up trainings and figures in place of what takes a network.
"""

from dataclasses import asdict

import numpy as np

from experiments.sample_synthesis.by_hand import job_of
from experiments.sample_synthesis.cells import cells
from experiments.sample_synthesis.config import CONFIG, CONFIGS
from experiments.sample_synthesis.data.sets import read_index, read_sets
from experiments.sample_synthesis.metrics.published import ABLATION_FILES, ablation_rows, main_file, main_rows
from experiments.sample_synthesis.stages import stages_of
from suite.arrays import write_arrays
from suite.config import load_config
from suite.manifest import MANIFEST, write_json
from suite.stage import Context
from suite.tables import csv_text

REAL_STAGES = ("objects", "synth", "data")


def load(*overrides, scale="tiny"):
    return load_config(CONFIG, CONFIGS / f"{scale}.yaml", ["objects=[face]", *overrides])


def finished_run(root, config):
    """{input of `report`: folder} below root."""
    stages, folders = stages_of(config), {}
    for name, stage in stages.items():
        if name == "report":
            break
        folders[name] = root / name
        if name.partition("-")[2] in REAL_STAGES:
            inputs = {other: folders[other] for other in stage.inputs}
            job_of(stage, config, 0, "cpu", inputs, folders[name]).run()
        else:
            (folders[name] / "00000").mkdir(parents=True)
            warned = ["odd <thing>"] if name.endswith("cells") else []
            write_json(folders[name] / MANIFEST, manifest(name, stage.inputs, warned))
    for name in config.objects:
        fake_cells(folders, name, config)
        fake_evaluate(folders, name, config)
    return {name: folders[name] for name in stages["report"].inputs}


def context(root, config):
    """The report's context on such a run."""
    inputs = finished_run(root, config)
    (root / "report.part").mkdir()
    return Context(
        stage=stages_of(config)["report"], config=config, seed=0, device="cpu", inputs=inputs,
        out=root / "report.part", final=root / "report", key="",
    )  # fmt: skip


def manifest(stage, inputs, warned):
    """A manifest with the fields of suite.stage."""
    return {
        "stage": stage, "key": f"key of {stage}", "key_parts": {"packages": {"keras": "3"}, "seed": 0},
        "inputs": {name: {"path": f"../{name}", "key": ""} for name in inputs}, "outputs": [],
        "packages": {"numpy": "2"},
        "environment": {"python": "3.11", "prefix": "/v", "packages_sha256": "ab" * 32, "lock_sha256": None},
        "git": {"commit": "cd" * 20, "dirty": False},
        "host": {"name": "box", "system": "Linux", "cpu": "CPU", "cores": 2, "memory_bytes": 1, "gpus": []},
        "device": "cpu", "counts": {"cells": 3}, "warnings": warned, "wall_seconds": 2.0, "cpu_seconds": 3.0,
        "peak_rss_bytes": 1_000_000, "peak_gpu_bytes": None, "facts": {},
    }  # fmt: skip


def own(config, name):
    return [cell for cell in cells(config) if cell.object == name]


def fake_cells(folders, name, config):
    """Histories, and detections: the truth of every second test picture, and one box that is nothing."""
    test = read_sets(folders[f"{name}-data"])["test"]
    ids, boxes = [], []
    for position, image in enumerate(test.coco.images):
        mine = test.boxes()[position] if position % 2 else np.array([[0, 0, 3, 3]], np.float32)
        ids += [image.id] * len(mine)
        boxes.append(mine)
    arrays = {
        "image_ids": np.array(ids, np.int64),
        "category_ids": np.ones(len(ids), np.int64),
        "scores": np.linspace(0.9, 0.6, len(ids)),
        "boxes_xyxy": np.concatenate(boxes).astype(np.float64),
    }
    for cell in own(config, name):
        folder = folders[f"{name}-{'pretrain' if cell.is_pretraining else 'cells'}"] / "00000" / cell.name
        folder.mkdir()
        write_json(
            folder / "history.json", [{"epoch": e, "loss": 9.0 / e, "val_meanAP": 0.1 * e} for e in (1, 2)]
        )
        write_arrays(folder / "predictions_test.npz", **arrays)
        write_json(folder / "cell.json", {"cell": asdict(cell), "epoch": 2})


def fake_evaluate(folders, name, config):
    """The files of `evaluate`; the value of a training is a function of its run and place."""
    out = folders[f"{name}-evaluate"]
    values = {cell: 0.1 * cell.run + 0.001 * k for k, cell in enumerate(own(config, name))}
    (out / main_file(name)).write_text(csv_text(main_rows(values)), encoding="utf-8")
    for ablation in config.ablations:
        rows = ablation_rows(values, ablation)
        if rows:
            (out / ABLATION_FILES[ablation]).write_text(csv_text(rows), encoding="utf-8")
    rows = [{"table": name, "row": "tiny", "metric": "mAP", "value": 12.5, "unit": "%"}]
    (out / "results.csv").write_text(csv_text(rows), encoding="utf-8")
    write_json(out / "curves.json", {cell.name: [0.1, 0.2 * cell.run] for cell in own(config, name)})
    _, index = read_index(folders[f"{name}-data"])
    write_json(
        out / "summary.json",
        {
            "object": name, "source": index["source"], "stand_in": index["stand_in"],
            "splits": {s: {"images": f["images"], "boxes": f["boxes"]} for s, f in index["splits"].items()},
            "differences": index["differences"], "cells": len(values), "runs": config.train.runs,
        },
    )  # fmt: skip
