"""The measured figures as tables: rows of CAS, selection, curves, results.csv. Plain data in and out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.gafi.metrics.cas import ClassScores, gap_points, spread_of_accuracy
from experiments.gafi.search.ledger import Source
from experiments.gafi.search.selection import Bias
from suite.tables import read_csv

COLUMNS = ("table", "row", "metric", "value", "unit")


def gan_label(index: int) -> str:
    """How a GAN is called in tables: seeds differ from run to run, its place does not."""
    return f"GAN {index + 1}"


def choice_text(sources: Sequence[Source]) -> str:
    """What a run's pictures were drawn with; empty for real pictures."""
    texts = []
    for source in sources:
        kept = "unfiltered" if source.threshold is None else f"threshold {source.threshold:g}"
        text = f"{gan_label(source.index)} epoch {source.epoch}, stddev {source.stddev:g}, {kept}"
        texts.append(text)
    return "; ".join(texts)


def score_row(
    name: str, kind: str, scores: ClassScores, *, real_accuracy: float, num_pictures: int, epoch: int,
    judged: float, choice: str = "", flattered: float | None = None,
) -> dict[str, Any]:  # fmt: skip
    """One classifier of summary.json. flattered: its accuracy had the test pictures chosen its epoch."""
    by_test = None
    if flattered is not None:
        by_test = {"accuracy": flattered, "gap": gap_points(real_accuracy, flattered)}
    return {
        "name": name,
        "kind": kind,
        "accuracy": scores.accuracy,
        "error": spread_of_accuracy(scores.accuracy, num_pictures),
        "balanced_accuracy": scores.balanced_accuracy,
        "per_class": numbers(scores.per_class),
        "gap": gap_points(real_accuracy, scores.accuracy),
        "epoch": epoch,
        "judged": judged,
        "choice": choice,
        "flattered": by_test,
    }


def bias_row(name: str, found: Bias, *, choices: int, real_accuracy: float) -> dict[str, Any]:
    """One line of the selection table: the same choices by val and by test."""

    def side(row: Any) -> dict[str, Any]:
        gap = gap_points(real_accuracy, row.accuracy["test"])
        return {"run": row.candidate, "epoch": row.epoch, **row.accuracy, "gap": gap}

    return {
        "row": name, "choices": choices, "points": found.points, "honest": side(found.honest),
        "flattered": side(found.flattered),
    }  # fmt: skip


def numbers(values: Iterable[float]) -> list[float | None]:
    """Floats for JSON: nan becomes null."""
    return [None if np.isnan(value) else float(value) for value in values]


def result_rows(summary: Mapping[str, Any], bias: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Every figure as a row of results.csv (COLUMNS); what does not exist is left out."""
    rows: list[tuple] = []
    for one in (summary["real"], *summary["rows"]):
        name = one["name"]
        rows.append(("CAS", name, "accuracy", one["accuracy"], "fraction"))
        rows.append(("CAS", name, "balanced accuracy", one["balanced_accuracy"], "fraction"))
        rows.append(("CAS", name, f"accuracy on {summary['selection_split']}", one["judged"], "fraction"))
        if one["kind"] != "real pictures":
            rows.append(("CAS", name, "gap", one["gap"], "points"))
        if one["flattered"] is not None:
            rows.append(("CAS", name, "accuracy, epoch by test", one["flattered"]["accuracy"], "fraction"))
            rows.append(("CAS", name, "gap, epoch by test", one["flattered"]["gap"], "points"))
    for one in bias:
        rows.append(("selection", one["row"], "chosen by val", one["honest"]["test"], "fraction"))
        rows.append(("selection", one["row"], "chosen by test", one["flattered"]["test"], "fraction"))
        rows.append(("selection", one["row"], "added by test", one["points"], "points"))
    for gan, source in summary["chosen"].items():
        rows += [("choice", gan, key, source[key], "") for key in ("epoch", "stddev", "threshold")]
    for one in summary["acceptance"]:
        rows.append(("acceptance", one["gan"], "share accepted", one["mean"], "fraction"))
    for one in summary["distances"]:
        rows += [("generated pictures", one["row"], key, value, "") for key, value in one["metrics"].items()]
    for one in (summary["real"], *summary["rows"]):
        classes = zip(summary["class_names"], one["per_class"], strict=True)
        rows += [("per class", one["name"], of_class, value, "fraction") for of_class, value in classes]
    return [dict(zip(COLUMNS, row, strict=True)) for row in rows if row[3] is not None]


# --- curves ---


def curve(title: str, x: str, y: str, rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> dict:
    """One plot of curves.json from a table. columns: {curve: column}; absent ones are left out."""
    found = {
        name: [[float(row[x]) for row in rows], [float(row[column]) for row in rows]]
        for name, column in columns.items()
        if rows and rows[0].get(column) not in (None, "")
    }
    return {"title": title, "x": x, "y": y, "curves": found}


def real_curves(classifier: Path) -> list[dict]:
    """Training of C_real."""
    rows = read_csv(classifier / "history.csv")
    return [
        curve("Trained on real pictures: accuracy", "epoch", "accuracy", rows,
              {"training": "accuracy", "val": "val_accuracy", "test": "test_accuracy"}),
        curve("Trained on real pictures: loss", "epoch", "loss", rows,
              {"training": "loss", "val": "val_loss", "test": "test_loss"}),
    ]  # fmt: skip


def gan_curves(folders: Sequence[Path]) -> list[dict]:
    """Losses of each GAN."""
    columns = {"D, real": "D_loss_real", "D, generated": "D_loss_fake", "G": "G_loss"}
    return [
        curve(
            f"{gan_label(k)}: losses",
            "epoch",
            "loss",
            read_csv(folder / "last_epoch" / "history.csv"),
            columns,
        )
        for k, folder in enumerate(folders)
    ]


def synthetic_curves(name: str, run: Any, other: Mapping[int, float], *, by: str) -> dict:
    """Training of one C_syn (runs.FinishedRun). other: {epoch: accuracy} on the split that did not choose."""
    not_by = "test" if by == "val" else "val"
    rows = [
        {"epoch": row.epoch, "training": row.accuracy, by: row.split_accuracy, not_by: other.get(row.epoch)}
        for row in run.result.history
    ]
    columns = {"training, generated": "training", f"{by}, real": by, f"{not_by}, real": not_by}
    return curve(f"{name}: accuracy", "epoch", "accuracy", rows, columns)
