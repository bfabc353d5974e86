"""Results of cells in the published columns: a row per training, a column per run, fractions, unrounded.

    results_<object>.csv: architecture, train_samples, train_type, run_1, ...
    results_pretraining_ablation.csv: architecture, num_real_samples, num_fake_samples, train_type, run_1, ...
    results_{naive_pasting,nogan}_ablation.csv: architecture, run_1, ...

`train_samples` is empty for pretrained. Ours beside the published rows: train_type `matched`, and of the
pretraining ablation also `pretrained`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from experiments.sample_synthesis.cells import Cell
from experiments.sample_synthesis.detector.archs import find_arch

Values = Mapping[Cell, float | None]

ABLATION_FILES = {
    "pretraining": "results_pretraining_ablation.csv",
    "naive": "results_naive_pasting_ablation.csv",
    "nogan": "results_nogan_ablation.csv",
}


def main_file(name: str) -> str:
    """File of the main experiment of an object."""
    return f"results_{name}.csv"


def main_rows(values: Values) -> list[dict[str, Any]]:
    """Rows of the main experiment: by architecture, then pretrained, then by number and arm."""

    def keys(cell: Cell) -> dict[str, Any]:
        return {"train_samples": cell.num_real, "train_type": cell.arm}

    return _rows({cell: value for cell, value in values.items() if cell.ablation is None}, keys)


def ablation_rows(values: Values, ablation: str) -> list[dict[str, Any]]:
    """Rows of an ablation; of `naive` and `nogan` those of the finetuned cells alone."""
    mine = {cell: value for cell, value in values.items() if cell.ablation == ablation}
    if ablation != "pretraining":
        return _rows({cell: v for cell, v in mine.items() if cell.arm == "finetuned"}, lambda _: {})

    def keys(cell: Cell) -> dict[str, Any]:
        fake = cell.factor * cell.num_real
        return {"num_real_samples": cell.num_real, "num_fake_samples": fake, "train_type": cell.arm}

    return _rows(mine, keys)


def _rows(values: Values, keys: Any) -> list[dict[str, Any]]:
    """One row per training; the columns run_1, ... go to the greatest run of any."""
    runs: dict[tuple[Any, ...], dict[int, float | None]] = {}
    heads: dict[tuple[Any, ...], dict[str, Any]] = {}
    for cell, value in values.items():
        head = {"architecture": find_arch(cell.arch).title, **keys(cell)}
        key = tuple(head.values())
        heads[key] = head
        runs.setdefault(key, {})[cell.run] = value
    last = max((run for row in runs.values() for run in row), default=0)
    return [
        {**heads[key], **{f"run_{run}": row.get(run) for run in range(1, last + 1)}}
        for key, row in runs.items()
    ]


def groups(values: Sequence[Cell]) -> dict[str, list[Cell]]:
    """{name without the run: cells of all runs}, in the order of first sight."""
    found: dict[str, list[Cell]] = {}
    for cell in values:
        found.setdefault(cell.name.removesuffix(f"-run{cell.run}"), []).append(cell)
    return found
