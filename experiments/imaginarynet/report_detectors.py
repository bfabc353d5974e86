"""What the page says of detectors: figures of every arm beside chance, classes, curves, pictures with boxes.

It reads what `evaluate-<arm>`, `train-<arm>` and `proposals` left, and the target set; no model is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from experiments.imaginarynet.arms import Arm, arms_of
from experiments.imaginarynet.config import ImaginaryNetConfig
from experiments.imaginarynet.config_detectors import SettingConfig
from experiments.imaginarynet.detectors.baselines import (
    WITH_PROPOSALS,
    WITHOUT_PROPOSALS,
    ProposalsOf,
    baseline_detections,
    expected_corloc,
)
from experiments.imaginarynet.detectors.data.load import Target, load_target
from experiments.imaginarynet.detectors.data.records import picture_digest
from experiments.imaginarynet.detectors.figures import percent
from experiments.imaginarynet.detectors.proposals.book import ProposalBook
from experiments.imaginarynet.detectors.proposals.recall import RECALL, recall_plot
from experiments.imaginarynet.report_pictures import PictureRow, picture_rows
from experiments.imaginarynet.report_tables import AP
from suite.datasets import CocoImage
from suite.errors import BadInput
from suite.manifest import read_json
from suite.metrics.voc import corloc, voc_ap
from suite.report.plots import lines
from suite.stage import Context
from suite.tables import read_csv

CHANCE = {"random": "random proposal", "largest": "largest proposal", "centre": "centre box"}


@dataclass(frozen=True)
class ArmRow:
    """An arm, what it learned from, and its figures; percent, None where undefined."""

    name: str
    detector: str
    learned_from: str
    pictures: str  # how many of each kind it learned from
    voc07: float | None
    voc_area: float | None
    coco: float | None
    corloc: float | None
    area_ratio: float | None


@dataclass(frozen=True)
class ChanceRow:
    """What boxes without a detector come to; percent. `expected` is CorLoc's mean over all draws."""

    name: str
    voc07: float | None
    voc_area: float | None
    corloc: float | None
    is_expected: bool


@dataclass(frozen=True, eq=False)
class Detectors:
    """All that the page shows of detectors."""

    target: str  # name of the target set
    test_pictures: int
    train_pictures: int
    iou: float
    arms: list[ArmRow]
    chance: list[ChanceRow]
    ap_rows: list[dict[str, Any]]  # class_name, objects, one value per arm; percent
    corloc_rows: list[dict[str, Any]]
    curves: list[Markup]  # of the losses, one plot per arm
    recall: Markup | None  # of the proposals
    pictures: list[PictureRow]
    columns: list[str]  # of the pictures
    results: list[dict[str, Any]]  # rows for results.csv


def read_detectors(ctx: Context) -> Detectors | None:
    """The parts of the page; None where the run has no arm. Copies recall.csv where there are proposals.

    Raises BadInput where a table is missing.
    """
    config: ImaginaryNetConfig = ctx.config
    arms = arms_of(config)
    if not arms:
        return None
    target = load_target(config)
    trees = {arm.name: read_tree(ctx.inputs[arm.evaluate] / "results.json") for arm in arms}
    tables = {arm.name: read_csv(ctx.inputs[arm.evaluate] / "per_class.csv") for arm in arms}
    book = ProposalBook.open(ctx.inputs["proposals"]) if "proposals" in ctx.inputs else None
    chance = chance_rows(target, book, seed=ctx.seed, iou=config.evaluate.iou)
    shown = {arm.name: read_tree(ctx.inputs[arm.evaluate] / "shown.json") for arm in arms}
    return Detectors(
        target=config.target.data,
        test_pictures=len(target.test.images),
        train_pictures=len(target.train.images),
        iou=config.evaluate.iou,
        arms=[arm_row(arm, config, trees[arm.name], ctx.inputs[arm.train]) for arm in arms],
        chance=chance,
        ap_rows=class_table(tables, "voc07_ap"),
        corloc_rows=class_table(tables, "corloc"),
        curves=[loss_plot(arm.name, read_csv(ctx.inputs[arm.train] / "metrics.csv")) for arm in arms],
        recall=recall_part(ctx.out, [ctx.inputs[arm.evaluate] for arm in arms]),
        pictures=picture_rows(target, shown),
        columns=["objects", *shown],
        results=[
            *joined_results(ctx, arms),
            *class_results(tables, target=config.target.data),
            *chance_results(chance),
        ],
    )


# --- the table of arms ---


def arm_row(arm: Arm, config: ImaginaryNetConfig, tree: Mapping[str, Any], train: Path) -> ArmRow:
    """An arm's line. train: its folder of training."""
    test, on_train = tree["test"], tree["train"]
    return ArmRow(
        name=arm.name,
        detector=arm.detector,
        learned_from=learned_from(config.settings[arm.setting]),
        pictures=learned_pictures(read_tree(train / "summary.json")),
        voc07=percent(test["voc07_ap"]["mean"]),
        voc_area=percent(test["voc_area_ap"]["mean"]),
        coco=percent(test["coco"]["ap"]),
        corloc=percent(on_train["corloc"]["mean"]),
        area_ratio=on_train["median_area_ratio"],
    )


def learned_from(setting: SettingConfig) -> str:
    """In words: "labels of imaginary and real pictures"."""
    parts = []
    if setting.image_labels:
        shuffled = " (shuffled)" if setting.shuffle_labels else ""
        parts.append(f"labels{shuffled} of {_and(setting.image_labels)} pictures")
    if setting.boxes:
        parts.append(f"boxes of {_and(setting.boxes)} pictures")
    if setting.unlabelled:
        names = [name.removesuffix("-unlabelled") for name in setting.unlabelled]
        parts.append(f"unlabelled {_and(names)} pictures")
    return ", ".join(parts)


def _and(names: Sequence[str]) -> str:
    return " and ".join(names)


def learned_pictures(summary: Mapping[str, Any]) -> str:
    """How many pictures a training used, from its summary.json."""
    if "sources" in summary:
        return ", ".join(f"{count:,} {name}" for name, count in summary["sources"].items())
    if "pictures" in summary:
        return f"{summary['pictures']:,}"
    kinds = {"pictures_labelled": "with boxes", "pictures_unlabelled": "without"}
    return ", ".join(f"{summary[key]:,} {name}" for key, name in kinds.items() if summary.get(key))


# --- chance ---


def chance_rows(target: Target, book: ProposalBook | None, *, seed: int, iou: float) -> list[ChanceRow]:
    """Boxes without a detector. book: the proposals, None where no arm has any."""
    of_test, of_train = proposals_of(book, target.test_dir), proposals_of(book, target.train_dir)
    rows = []
    for name in WITHOUT_PROPOSALS if book is None else WITH_PROPOSALS:
        found = baseline_detections(name, target.test, of_test, seed=seed)
        if name == "random" and of_train is not None:
            located = expected_corloc(target.train, of_train, iou_threshold=iou)
        else:
            best = baseline_detections(name, target.train, of_train, seed=seed)
            located = corloc(target.train, best, iou_threshold=iou)
        eleven, area = (
            voc_ap(target.test, found, use_07_metric=is_07, iou_threshold=iou).mean for is_07 in (True, False)
        )
        rows.append(
            ChanceRow(CHANCE[name], percent(eleven), percent(area), percent(located.mean), name == "random")
        )
    return rows


def proposals_of(book: ProposalBook | None, folder: Path) -> ProposalsOf | None:
    """The proposals of a picture of a set, as the baselines ask for them."""
    if book is None:
        return None

    def of(image: CocoImage) -> Any:
        return book[picture_digest(folder / image.file_name)].boxes

    return of


def recall_part(out: Path, folders: Sequence[Path]) -> Markup | None:
    """The plot of what proposals cover of the target's training pictures; its table is copied to the page.

    folders: of the evaluations; those of detectors that judge proposals have the same table.
    """
    tables = [folder / RECALL for folder in folders if (folder / RECALL).is_file()]
    if not tables:
        return None
    (out / RECALL).write_bytes(tables[0].read_bytes())
    return recall_plot(read_csv(tables[0]))


# --- classes and curves ---


def class_table(tables: Mapping[str, Sequence[Mapping[str, str]]], column: str) -> list[dict[str, Any]]:
    """One row per class of any arm: class_name, objects, `values` of a column, one per arm."""
    objects = {row["class_name"]: int(row["objects"]) for table in tables.values() for row in table}
    cells = {
        (name, row["class_name"]): _number(row[column]) for name, table in tables.items() for row in table
    }
    return [
        {"class_name": one, "objects": count, "values": [cells.get((name, one)) for name in tables]}
        for one, count in objects.items()
    ]


def loss_plot(name: str, rows: Sequence[Mapping[str, str]]) -> Markup:
    """The losses of a training over its steps."""
    names = [key for key in (rows[0] if rows else ()) if key.startswith("loss")]
    curves = {}
    for key in names:
        known = [(float(row["step"]), float(row[key])) for row in rows if row[key]]
        if known:
            curves[key.removeprefix("loss_")] = tuple(zip(*known, strict=True))
    return lines(curves, title=f"Losses of {name}", x="step", y="loss")


# --- results.csv ---


def joined_results(ctx: Context, arms: Sequence[Arm]) -> list[dict[str, Any]]:
    """The rows that the evaluations left."""
    return [row for arm in arms for row in read_csv(ctx.inputs[arm.evaluate] / "results.csv")]


def class_results(
    tables: Mapping[str, Sequence[Mapping[str, str]]], *, target: str
) -> list[dict[str, Any]]:
    """The AP of single classes, without those that have no object.

    Those of VOC are called as the published ones; a chair of another set is not theirs, so its set is named.
    """
    of_set = "" if target == "voc" else f"{target} "
    return [
        {
            "table": "detectors",
            "row": name,
            "metric": f"{AP}, {of_set}{row['class_name']}",
            "value": float(row["voc07_ap"]),
            "unit": "%",
        }
        for name, table in tables.items()
        for row in table
        if row["voc07_ap"]
    ]


def chance_results(chance: Sequence[ChanceRow]) -> list[dict[str, Any]]:
    """The same of the baselines."""
    rows = []
    for one in chance:
        figures = {"AP VOC07 11 points": one.voc07, "AP VOC area": one.voc_area, "CorLoc": one.corloc}
        for metric, value in figures.items():
            rows.append({"table": "chance", "row": one.name, "metric": metric, "value": value, "unit": "%"})
    return rows


def read_tree(path: Path) -> Any:
    """A JSON file. Raises BadInput where it is missing or cut."""
    tree = read_json(path)
    if tree is None:
        raise BadInput("is missing or damaged", file=path, fix="run its stage again")
    return tree


def _number(text: str) -> float | None:
    return float(text) if text else None
