"""Training curves as SVG, and contact sheets of what trained networks make of held-out pictures and words.

Arrays in, files out; no framework here. What draws the pictures is in show_models.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from experiments.imaginarynet.learn.corpus import Corpus
from experiments.imaginarynet.sheets import COLUMNS, plain_sheet, write_png
from suite.errors import BadInput
from suite.report import plots
from suite.tables import csv_text, read_csv

STEP = "step"
# Columns that share a plot: its name, its y axis, what a column's name has in it. Any other has its own.
PANELS = (
    ("accuracy", "share of held-out pictures", r"accuracy|kept|wrong"),
    ("psnr", "dB", r"psnr"),
    ("codebook", "entries", r"perplexity|codes_in_use|revived"),
    ("loss", "loss", r"loss|^l1$|^l2$|^kl$|commitment"),
    ("scale", "scale", r"scale"),
)

Curve = tuple[list[float], list[float]]


def draw_curves(table: Path, out: Path, *, name: str) -> list[Path]:
    """Plot a CSV with a column `step`; returns the files `<name>-<panel>.svg`.

    A column of words parts the rows into curves of their own files (`<name>-<word>-<panel>.svg`); empty
    cells are passed over. Raises BadInput for a table without steps or rows.
    """
    rows = read_csv(table)
    if not rows or STEP not in rows[0]:
        raise BadInput(
            f"has no rows with a column `{STEP}`", file=table, fix="give a folder that was trained"
        )
    words = [column for column in rows[0] if column != STEP and not _is_numeric(rows, column)]
    written = []
    for label in dict.fromkeys(_label(row, words) for row in rows):
        own = [row for row in rows if _label(row, words) == label]
        title = "-".join(part for part in (name, label) if part)
        for panel, y, curves in panels([c for c in rows[0] if c not in (STEP, *words)], own):
            path = out / f"{title}-{panel}.svg"
            out.mkdir(parents=True, exist_ok=True)
            path.write_text(plots.lines(curves, title=f"{title}: {panel}", x=STEP, y=y), encoding="utf-8")
            written.append(path)
    return written


def panels(
    columns: Sequence[str], rows: Sequence[Mapping[str, str]]
) -> Iterator[tuple[str, str, dict[str, Curve]]]:
    """Name, y axis and curves (column -> steps, values) of every plot that has at least one value."""
    places = {column: _panel_of(column) for column in columns}
    for panel, y in dict.fromkeys(places.values()):
        curves = {column: _curve(rows, column) for column in columns if places[column] == (panel, y)}
        if any(values for _, values in curves.values()):
            yield panel, y, {column: curve for column, curve in curves.items() if curve[1]}


def _panel_of(column: str) -> tuple[str, str]:
    return next(((name, y) for name, y, found in PANELS if re.search(found, column)), (column, column))


def _curve(rows: Sequence[Mapping[str, str]], column: str) -> Curve:
    there = [row for row in rows if row[column]]
    return [float(row[STEP]) for row in there], [float(row[column]) for row in there]


def _is_numeric(rows: Sequence[Mapping[str, str]], column: str) -> bool:
    try:
        [float(row[column]) for row in rows if row[column]]
    except (TypeError, ValueError):
        return False
    return True


def _label(row: Mapping[str, str], words: Sequence[str]) -> str:
    return "-".join(re.sub(r"[^\w.]+", "-", row[column]) for column in words if row[column])


def in_turn(corpus: Corpus, count: int) -> np.ndarray:
    """Rows int64 of the first `count` pictures, one class after the other, then their second ones, ..."""
    seen: dict[int, int] = {}
    rounds = []
    for row, class_id in enumerate(corpus.class_ids.tolist()):
        rounds.append((seen.get(class_id, 0), class_id, row))
        seen[class_id] = seen.get(class_id, 0) + 1
    return np.array([row for _, _, row in sorted(rounds)][:count], dtype=np.int64)


def pair_sheet(pictures: np.ndarray, remade: np.ndarray, *, what: str) -> np.ndarray:
    """Rows of pictures, and below each row what became of them; both uint8 (n, H, W, 3), the same n."""
    parts = []
    for begin in range(0, len(pictures), COLUMNS):
        rows = slice(begin, begin + COLUMNS)
        parts += [plain_sheet("held out", pictures[rows]), plain_sheet(what, remade[rows])]
    return np.concatenate(parts)


def prompt_sheet(drawn: Mapping[str, Sequence[np.ndarray]]) -> np.ndarray:
    """A row of pictures, uint8 (H, W, 3) each, for every prompt, which is its title."""
    return np.concatenate([plain_sheet(prompt, pictures) for prompt, pictures in drawn.items()])


def write_sheet(path: Path, sheet: np.ndarray) -> Path:
    """Write a PNG and return its path."""
    write_png(path, sheet)
    return path


def accuracy_rows(scores: np.ndarray, corpus: Corpus) -> list[dict[str, object]]:
    """Per class that has pictures: name, pictures, accuracy (top-1), and the class most often taken for it.

    scores: float (n, C), of the corpus' pictures for its classes.
    """
    found = scores.argmax(1)
    rows: list[dict[str, object]] = []
    for class_id, name in enumerate(corpus.class_names):
        chosen = found[corpus.class_ids == class_id]
        if not len(chosen):
            continue
        wrong = np.bincount(chosen[chosen != class_id], minlength=len(corpus.class_names))
        rows.append(
            {
                "class": name, "pictures": len(chosen), "accuracy": float((chosen == class_id).mean()),
                "most_often_taken_for": corpus.class_names[int(wrong.argmax())] if wrong.any() else "",
            }
        )  # fmt: skip
    return rows


def draw_accuracy(rows: Sequence[Mapping[str, object]], out: Path, *, name: str) -> list[Path]:
    """`<name>-classes.svg` and `.csv` of the rows of `accuracy_rows`."""
    out.mkdir(parents=True, exist_ok=True)
    bars = {f"{row['class']} ({row['pictures']})": float(row["accuracy"]) for row in rows}
    picture, table = (out / f"{name}-classes.{end}" for end in ("svg", "csv"))
    title = "top-1 of held-out pictures, by class (pictures)"
    picture.write_text(plots.horizontal_bars(bars, title=title, x="share right"), encoding="utf-8")
    table.write_text(csv_text(rows), encoding="utf-8")
    return [picture, table]
