"""Published and measured results as tables: never in one row without a verdict on whether they may be
compared.

Stand-ins are other pictures than the published ones: whatever is measured on them is "not comparable", and
says "stand-in" in its title and its file names.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from experiments.sample_synthesis.cells import ablation_images
from experiments.sample_synthesis.config import SampleSynthesisConfig
from experiments.sample_synthesis.metrics.published import ABLATION_FILES, main_file
from experiments.sample_synthesis.tables import (
    TYPES,
    Experiment,
    Figure,
    Result,
    Table,
    find,
    latex,
    main_table,
    mixing_table,
    pasting_table,
    read_results,
)
from suite.config import to_tree
from suite.report.switches import value_of

STANDIN = "stand-in"
EXPERIMENTS: dict[str, Experiment] = {
    "pretraining": "pretraining_ablation",
    "naive": "naive_pasting_ablation",
    "nogan": "nogan_ablation",
}
# What decides a figure besides the object's own settings. Which cells there are, folders, caches and
# processes do not.
DECIDING = (
    "detector.image_size", "detector.init", "detector.loss", "detector.min_confidence", "detector.nms_iou",
    "train.lr", "train.batch", "train.steps_per_epoch", "train.l2", "train.selection", "train.validation",
    "train.subset_seed", "ablation",
)  # fmt: skip
OF_OBJECT = (
    "source.kind", "source.size", "source.zoom", "masks.provider", "masks.threshold", "masks.blend",
    "synthesis.num_samples", "synthesis.image_size", "synthesis.min_scale", "synthesis.max_scale",
    "synthesis.min_aspect_ratio", "synthesis.max_aspect_ratio", "synthesis.min_objects",
    "synthesis.max_objects", "synthesis.max_tries", "synthesis.layout", "backgrounds.kind", "real.kind",
    "real.num_valid", "real.max_train", "real.max_valid", "real.max_test", "grid.epochs_real",
    "grid.epochs_pretrain",
)  # fmt: skip
FAULTS = {  # a fault of the published figures: (object or None, where it shows, what is said of it)
    "mixed_real_only": (None, lambda row: row.train_type == "mixed", "its `mixed` sees no synthetic image"),
    "first_rows_subset": (
        None,
        lambda row: row.experiment == "pretraining_ablation" and row.train_type != "pretrained",
        "its images are the first rows",
    ),
    "face_box_frames": ("face", lambda row: row.train_type != "from_scratch", "its boxes are frames"),
    "bird_backgrounds_with_birds": (
        "bird",
        lambda row: row.train_type != "from_scratch",
        "its backgrounds show birds",
    ),
}


@dataclass(frozen=True)
class Comparison:
    """A line of the table published | measured."""

    training: str
    published: str
    measured: str
    verdict: str


# --- measured rows ---


def measured_results(folder: Path, name: str, config: SampleSynthesisConfig) -> tuple[Result, ...]:
    """All rows that the stage `evaluate` of an object wrote in the published columns. Raises BadInput."""
    main = folder / main_file(name)
    rows = read_results(main, name) if config.arms else ()
    for ablation in config.ablations:
        path = folder / ABLATION_FILES[ablation]
        if path.is_file():  # QR codes have no naive and no no-GAN variant
            num_real = ablation_images(config, name)
            rows += read_results(path, name, experiment=EXPERIMENTS[ablation], num_real=num_real)
    return rows


def uses_standins(config: SampleSynthesisConfig, name: str) -> bool:
    """Whether any picture of an object is a stand-in: of the object, its backgrounds or the real ones."""
    settings = config.of(name)
    kinds = (settings.source.kind, settings.real.kind, settings.backgrounds.kind)
    return "standin" in kinds or "photos" in kinds


# --- may they be compared? ---


def unlike(config: SampleSynthesisConfig, paper: SampleSynthesisConfig, name: str) -> str | None:
    """Why no figure of an object may be held against the published one; None: it may."""
    if uses_standins(config, name):
        return f"not comparable: {STANDIN}"
    here, there = to_tree(config), to_tree(paper)
    for key in (*DECIDING, *(f"{name}.{key}" for key in OF_OBJECT)):
        if value_of(here, key) != value_of(there, key):
            return f"not comparable: `{key}` is not the published one"
    return None


def comparisons(
    measured: Sequence[Result],
    published: Sequence[Result],
    *,
    config: SampleSynthesisConfig,
    paper: SampleSynthesisConfig,
) -> list[Comparison]:
    """Every measured row with the published one of the same training, where there is one, and a verdict."""
    rows = []
    for row in measured:
        key = {k: v for k, v in vars(row).items() if k != "runs"}
        same = find(published, **key)
        text = "-" if same is None else same.figure().text(1, " +- ")
        said = verdict(row, same, unlike(config, paper, row.object), vars(config.compat))
        rows.append(Comparison(training(row), text, row.figure().text(1, " +- "), said))
    return rows


def training(row: Result) -> str:
    """A training in words: `SSDMobileNet, finetuned, 50 real`."""
    parts = [row.architecture, row.train_type.replace("_", " ")]
    parts += [f"{row.num_real} real"] if row.num_real else []
    parts += [f"{row.num_synthetic} synthetic"] if row.num_synthetic is not None else []
    extra = {"naive_pasting_ablation": "naive pasting", "nogan_ablation": "no-GAN"}.get(row.experiment)
    return ", ".join([*parts, *([extra] if extra else [])])


def verdict(row: Result, published: Result | None, reason: str | None, compat: Mapping[str, bool]) -> str:
    """What the measured figure says about the published one.

    Comparable: whether they are within two standard deviations of their difference, from the spread over
    runs of both.
    """
    if reason is not None:
        return reason
    if published is None:
        return "nothing published"
    faults = [
        text
        for switch, (name, applies, text) in FAULTS.items()
        if name in (None, row.object) and applies(row) and not compat[switch]
    ]
    ours, theirs = row.figure(), published.figure()
    difference = ours.mean - theirs.mean
    said = f"{difference:+.1f} points"
    if ours.sd is not None:
        near = abs(difference) <= 2 * math.hypot(ours.sd, theirs.sd)
        said += ", within two standard deviations" if near else ", beyond two standard deviations"
    return "; ".join([said, *(f"published: {fault}" for fault in faults)])


# --- tables ---


def object_table(rows: Sequence[Result], name: str, *, total: int | None, note: str = "") -> Table | None:
    """The main table of an object, N as a share of the `total` training images; None without rows."""
    if not any(row.experiment == "main" and row.object == name for row in rows):
        return None
    table = main_table(rows, name, note=note)
    return replace(table, rows=tuple((share(line[0], total), *line[1:]) for line in table.rows))


def share(label: Any, total: int | None) -> str:
    """`50` -> `50 (11 %)` of 467; `467 (all)` where that is so."""
    number = str(label).split(" ")[0]
    if number == "0" or total is None:
        return str(label)
    return f"{number} (all)" if int(number) == total else f"{number} ({percent_of(int(number), total)} %)"


def percent_of(number: int, total: int) -> str:
    """A share in percent: whole from 10 on, else two digits."""
    percent = 100 * number / total
    return f"{percent:.0f}" if percent >= 10 else f"{percent:.2g}"


def ablation_tables(rows: Sequence[Result], *, note: str = "") -> list[Table]:
    """The tables of the ablations of which there are rows."""
    experiments = {row.experiment for row in rows}
    found = [mixing_table(rows, note=note)] if "pretraining_ablation" in experiments else []
    pasted = experiments & {"naive_pasting_ablation", "nogan_ablation"}
    return [*found, pasting_table(rows, note=note)] if pasted else found


def cell_text(cell: str | Figure | None) -> str:
    """A cell of a table on the page."""
    if cell is None:
        return "-"
    return cell if isinstance(cell, str) else cell.text(1, " +- ")


def write_latex(folder: Path, tables: Mapping[str, Table | None]) -> list[str]:
    """`<name>.tex` of every table that there is; the names of the files."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, table in tables.items():
        if table is not None:
            (folder / f"{name}.tex").write_text(latex(table), encoding="utf-8")
            written.append(f"{name}.tex")
    return written


def kinds_of(rows: Iterable[Result]) -> tuple[str, ...]:
    """The arms that rows have, in the order of the tables."""
    there = {row.train_type for row in rows}
    return tuple(kind for kind in TYPES if kind in there)
