"""Folders as finished stages leave them, with made-up figures: what the report reads, nothing else."""

import numpy as np
from PIL import Image

from experiments.gafi.figures import before_and_after
from experiments.gafi.stages import STAGES
from suite.manifest import MANIFEST, write_json
from suite.tables import csv_text

CLASSES = ["shirt", "bag", "boot <b>"]
GANS = ("GAN 1", "GAN 2")
REAL, FILTERED, BY_TEST = 0.9012, 0.8123, 0.8234  # accuracies


def manifest(stage, inputs=(), **extra):
    """A manifest with the fields of suite.stage."""
    return {
        "stage": stage,
        "key": f"key of {stage}",
        "key_parts": {"packages": {"keras": "3.15.1"}, "seed": 0},
        "inputs": {name: {"path": f"../{name}", "key": ""} for name in inputs},
        "outputs": [],
        "packages": {"numpy": "2.4.0"},
        "environment": {"python": "3.11", "prefix": "/v", "packages_sha256": "ab" * 32, "lock_sha256": None},
        "git": {"commit": "cd" * 20, "dirty": False},
        "host": {"name": "box", "system": "Linux", "cpu": "CPU", "cores": 2, "memory_bytes": 1, "gpus": []},
        "device": "cpu",
        "counts": {"pictures": 10},
        "warnings": [],
        "wall_seconds": 2.0,
        "cpu_seconds": 3.0,
        "peak_rss_bytes": 1_000_000,
        "peak_gpu_bytes": None,
        "facts": {},
        **extra,
    }


def finished_run(root, *, kept_epochs=True, by="val"):
    """{input of `report`: folder} below root."""
    folders = {}
    for name in STAGES["report"].inputs:
        folders[name] = root / name
        folders[name].mkdir()
        warned = ["odd <thing>"] if name == "threshold" else []
        write_json(folders[name] / MANIFEST, manifest(name, STAGES[name].inputs, warnings=warned))
    evaluated(folders["evaluate"], kept_epochs=kept_epochs, by=by)
    return folders


def evaluated(folder, *, kept_epochs=True, by="val"):
    """The folder of `evaluate`."""
    folder.mkdir(exist_ok=True)
    write_json(folder / "summary.json", summary(kept_epochs=kept_epochs, by=by))
    write_json(folder / "selection.json", selection(kept_epochs=kept_epochs))
    write_json(folder / "curves.json", curves())
    matrix = [[4, 1, 0], [0, 5, 0], [1, 0, 4]]
    write_json(
        folder / "confusion.json", {"class_names": CLASSES, "rows": {"real": matrix, "MultiGAN": matrix}}
    )
    edges = np.linspace(0, 1, 5).tolist()
    one = {"edges": edges, "agrees": [0, 1, 2, 9], "disagrees": [5, 2, 0, 0], "threshold": 0.5, "stddev": 1.2}
    write_json(folder / "histograms.json", dict.fromkeys(GANS, one))
    shares = [
        {"gan": gan, "stddev": s, "threshold": t, "class": name, "share": round(0.9 - t / 2 - s / 10, 3)}
        for gan in GANS for s in (1.0, 1.2) for t in (0.0, 0.5) for name in CLASSES
    ]  # fmt: skip
    (folder / "acceptance.csv").write_text(csv_text(shares), encoding="utf-8")
    rows = [{"table": "cas", "row": "real", "metric": "accuracy", "value": REAL, "unit": "fraction"}]
    (folder / "results.csv").write_text(csv_text(rows), encoding="utf-8")
    rng = np.random.default_rng(0)
    for gan in GANS:
        (folder / "samples" / gan).mkdir(parents=True)
        for number in range(len(CLASSES)):
            drawn = rng.integers(0, 256, (8, 16, 16, 1), dtype=np.uint8)
            confidence = rng.random(8)
            drawing = before_and_after(
                drawn=drawn, drawn_kept=confidence > 0.5, drawn_confidence=confidence, filtered=drawn[:6],
                filtered_confidence=confidence[:6], filtered_fallback=np.arange(6) > 4, columns=8,
            )  # fmt: skip
            Image.fromarray(drawing).save(folder / "samples" / gan / f"{number:03d}_class {number}.png")


def score(name, kind, accuracy, **extra):
    """One row of summary.json."""
    return {
        "name": name, "kind": kind, "accuracy": accuracy, "balanced_accuracy": accuracy - 0.01, "error": 0.01,
        "per_class": [accuracy, None, 0.5], "epoch": 3, "judged": accuracy + 0.001, "choice": "epoch 4",
        "gap": 100 * (REAL - accuracy), "flattered": None, **extra,
    }  # fmt: skip


def summary(*, kept_epochs, by):
    """summary.json."""
    flattered = {"accuracy": BY_TEST, "gap": 100 * (REAL - BY_TEST)} if kept_epochs else None
    return {
        "dataset": "FashionMNIST",
        "class_names": CLASSES,
        "counts": {"train": 50, "val": 10, "test": 20},
        "samples_per_class": 16,
        "selection_split": by,
        "real": score("real", "real", REAL),
        "rows": [
            score("GAN 1 filtered", "filtered", FILTERED, flattered=flattered),
            score("GAN 1 unfiltered", "unfiltered", 0.71),
            score("MultiGAN", "multigan", FILTERED, flattered=flattered),
            score("shuffled labels", "shuffled", 0.33),
        ],
        "acceptance": [{"gan": gan, "shares": [0.5, None, 0.75]} for gan in GANS],
        "distances": [{"row": "GAN 1 filtered", "metrics": {"FID on C_real features": 12.5, "KID": None}}],
        "distance_note": "20 real test pictures.",
    }


def selection(*, kept_epochs):
    """selection.json."""
    steps = []
    for gan in GANS:
        for step, grid in (("ckpt", (2, 4)), ("stddev", (1.0, 1.2)), ("threshold", (0.0, 0.5))):
            points = [
                {"x": x, "judged": 0.5 + k / 10, "test": 0.4 + k / 10 if kept_epochs else None,
                 "test_best": 0.45 + k / 10 if kept_epochs else None}
                for k, x in enumerate(grid)
            ]  # fmt: skip
            steps.append({"gan": gan, "step": step, "points": points, "chosen": 1})
    bias = [
        {
            "row": "GAN 1 best", "choices": 4, "points": 100 * (BY_TEST - FILTERED),
            "honest": {"test": FILTERED, "gap": 100 * (REAL - FILTERED)},
            "flattered": {"test": BY_TEST, "gap": 100 * (REAL - BY_TEST)},
        }
    ]  # fmt: skip
    return {"steps": steps, "bias": bias if kept_epochs else []}


def curves():
    """curves.json."""
    line = [[1, 2, 3], [0.2, 0.5, 0.6]]
    return [
        {"title": "Real pictures", "x": "epoch", "y": "accuracy", "curves": {"training": line, "val": line}},
        {"title": "GAN 1 losses", "x": "epoch", "y": "loss", "curves": {"generator": line}},
    ]
