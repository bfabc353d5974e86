"""`boxed-imaginary`: an ImaginaryNet run's pictures, boxed by the detector that learned from their labels.

An imaginary picture comes with the class that it was drawn for, and no box exists of it. So the run's own
weakly supervised detector, which saw these labels and no box either, gives one box a picture: the surest of
its class. The boxes are its guesses, not annotations; a picture without proposals, or with a guess below
`boxed.min_score`, is left out. The whole-picture boxes of the export are never read.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from experiments.compare.arms import NeededRun, imaginarynet_run
from experiments.compare.coco_files import ANNOTATIONS, COCO, PICTURES
from experiments.compare.cost import Part, chain_parts, note_cost
from experiments.compare.elsewhere import embedded_parts
from experiments.compare.target import categories_of, load_categories
from experiments.imaginarynet.arms import DETECTORS
from experiments.imaginarynet.config import ImaginaryNetConfig
from experiments.imaginarynet.config_detectors import SettingConfig
from experiments.imaginarynet.detectors.api import Found, load_detector
from experiments.imaginarynet.detectors.data.load import load_sources
from experiments.imaginarynet.detectors.data.records import ImageLabelled
from experiments.imaginarynet.detectors.detect_all import Item, Many, detect_all, from_book
from experiments.imaginarynet.detectors.proposals.book import ProposalBook
from experiments.solid.learn.engine.setup import set_up
from suite.config import load_config
from suite.datasets import CocoAnnotation, CocoImage, CocoSet, write_coco
from suite.datasets.records import CocoCategory
from suite.errors import BadInput, Missing
from suite.manifest import read_manifest
from suite.stage import Context

MIN_SIDE = 1.0  # pixels of a box that is worth keeping


def run(ctx: Context) -> None:
    """The stage; what was found in a chunk of pictures survives a kill."""
    set_up(1)
    run = imaginarynet_run(ctx.config)
    trained = run.folder / run.until
    inputs = read_inputs(run)
    settings = load_config(ImaginaryNetConfig, trained / "config.yaml")
    setting = SettingConfig(image_labels=("imaginary",))
    data = load_sources(settings, inputs.get("export"), setting, seed=run.seed)
    chosen = list(evenly(data.image_labels.pictures, ctx.config.boxed.limit))
    detector = load_detector(trained, ctx.device)
    categories = load_categories(ctx.config.target)
    classes = categories_of(detector.class_names, categories, file=trained / "detector.json")
    book = ProposalBook.open(inputs["proposals"]) if detector.needs_proposals else None
    with ctx.progress(len(chosen)) as bar:

        def after() -> None:
            bar.advance()
            ctx.check_stop()

        found = detect_all(
            detector, [Item(one.id, one.file) for one in chosen], book and from_book(book),
            folder=ctx.work / "found", best=True, after=after,
        )  # fmt: skip
    names = [classes[name] for name in detector.class_names]
    write_set(ctx, chosen, found, names, categories)
    note_cost(ctx, costs(run, inputs))


def read_inputs(run: NeededRun) -> dict[str, Path]:
    """Folders of the stages that the detector's training read, by name.

    `export` is not among them where the detector learned from another set than the run's (imaginary.folder).
    Raises Missing where the training, or what it read, is not finished.
    """
    trained = run.folder / run.until
    manifest = read_manifest(trained)
    arm = run.until.removeprefix("train-")
    detector = next((name for name in DETECTORS if arm.endswith(f"-{name}")), "auto")
    setting = arm.removesuffix(f"-{detector}")
    command = f"make reproduce-{run.system} SCALE={run.scale} SEED={run.seed}"
    fix = f"{command} SETTING={setting} DETECTOR={detector}, or leave the arm imaginary out"
    if manifest is None:
        raise Missing("the detector that gives the boxes is not trained", file=trained, fix=fix)
    found = {name: run.folder / name for name in manifest["inputs"]}
    for folder in found.values():
        if read_manifest(folder) is None:
            raise Missing("the stage of the other run is not finished", file=folder, fix=fix)
    return found


def evenly(pictures: Sequence[ImageLabelled], limit: int | None) -> Iterator[ImageLabelled]:
    """The first pictures of each class in turn, up to `limit` in all; every one for None. In order of ids."""
    if limit is None or limit >= len(pictures):
        yield from pictures
        return
    by_class: dict[int, list[ImageLabelled]] = {}
    for picture in pictures:
        by_class.setdefault(min(picture.labels), []).append(picture)
    places = [(place, label) for label, mine in by_class.items() for place in range(len(mine))]
    kept = [by_class[label][place] for place, label in sorted(places)[:limit]]
    yield from sorted(kept, key=lambda picture: picture.id)


def boxes_of(picture: ImageLabelled, found: Many) -> Found:
    """The surest box of each of the picture's own labels."""
    mine = np.flatnonzero((found.image_ids == picture.id) & np.isin(found.labels, sorted(picture.labels)))
    return Found(found.boxes[mine], found.scores[mine], found.labels[mine])


def write_set(
    ctx: Context,
    pictures: Sequence[ImageLabelled],
    found: Many,
    names: Sequence[CocoCategory],
    categories: Sequence[CocoCategory],
) -> None:
    """The COCO set with copies of the pictures. names: the target's category of each label."""
    folder = ctx.out / COCO / PICTURES
    folder.mkdir(parents=True, exist_ok=True)
    images, annotations, left = [], [], Counter()
    for picture in pictures:
        boxes = boxes_of(picture, found)
        sides = boxes.boxes[:, 2:] - boxes.boxes[:, :2]
        good = (boxes.scores >= ctx.config.boxed.min_score) & (sides >= MIN_SIDE).all(axis=1)
        if not good.any():
            left["without a box" if not len(boxes) else "with unsure boxes only"] += 1
            continue
        name = f"{len(images):06d}{picture.file.suffix}"
        shutil.copyfile(picture.file, folder / name)
        images.append(CocoImage(len(images) + 1, name, picture.width, picture.height))
        for place in np.flatnonzero(good):
            x1, y1, x2, y2 = boxes.boxes[place].astype(float).tolist()
            box = (x1, y1, x2 - x1, y2 - y1)
            extra = {"score": round(float(boxes.scores[place]), 6), "box_by": "detector"}
            category = names[int(boxes.labels[place])].id
            area = box[2] * box[3]
            annotations.append(
                CocoAnnotation(len(annotations) + 1, len(images), category, box, area, extra=extra)
            )
    for what, number in left.items():
        ctx.count(f"pictures {what}", number)
        ctx.warn(f"{number} of {len(pictures)} imaginary pictures {what} are left out")
    if not images:
        raise BadInput("no imaginary picture got a box", fix="lower boxed.min_score")
    info = {"info": {"description": "imaginary pictures; boxes are a detector's guesses"}}
    write_coco(
        ctx.out / COCO / ANNOTATIONS, CocoSet(tuple(images), tuple(annotations), tuple(categories), info)
    )
    ctx.count("pictures", len(images))
    ctx.count("objects", len(annotations))


def costs(run: NeededRun, inputs: Mapping[str, Path]) -> list[Part]:
    """What the pictures and the detector took: the run's stages, and the models that drew the pictures."""
    chain = chain_parts(run.folder / run.until)
    if "export" not in inputs:
        return [Part("imaginary pictures", 0.0, note="not counted: a set made elsewhere"), *chain]
    manifest = read_manifest(inputs["export"]) or {}
    return [*embedded_parts(manifest["config"]), *chain]
