"""From a setting and the run's export to training data, and the target set for evaluation.

    data = load_sources(config, export, setting, seed=0)
    target = load_target(config)

Sources of one level are concatenated; nothing is weighted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.imaginarynet.classes import class_names
from experiments.imaginarynet.detectors.data import read
from experiments.imaginarynet.detectors.data.labels import absent_classes, in_class_order, shuffled_labels
from experiments.imaginarynet.detectors.data.records import Level, Picture, Source, TrainingData
from experiments.imaginarynet.detectors.data.target import real_set, target_splits
from suite.datasets import CocoSet
from suite.errors import BadInput
from suite.seeds import item_rng

if TYPE_CHECKING:
    from experiments.imaginarynet.config import ImaginaryNetConfig
    from experiments.imaginarynet.config_detectors import SettingConfig, SourceName

COUNT_STREAM, BOXED_STREAM = "imaginarynet.imaginary.count", "imaginarynet.target.boxed"


@dataclass(frozen=True)
class Target:
    """The real target set with its boxes, for evaluation alone; no trainer takes it.

    Category id k is the class at place k - 1 of `class_names`; file names begin with the split.
    """

    test: CocoSet
    test_dir: Path  # of the pictures
    train: CocoSet
    train_dir: Path
    class_names: tuple[str, ...]


def load_target(config: ImaginaryNetConfig) -> Target:
    """The target's test and training splits with their boxes.

    Objects of classes that the run is not about are left out. Raises BadInput for a set that does not read
    and for a class of the run that the target does not have, Missing where the embedded set is gone.
    """
    names = class_names(config.classes)
    test, _ = real_set(config.target, config.target.test, names)
    train, _ = real_set(config.target, config.target.train, names)
    return Target(
        test=in_class_order(test.coco, names, test.file),
        test_dir=test.images_dir,
        train=in_class_order(train.coco, names, train.file),
        train_dir=train.images_dir,
        class_names=names,
    )


def load_sources(
    config: ImaginaryNetConfig,
    export: Path | None,
    setting: SettingConfig,
    *,
    seed: int,
    known_labels: bool = False,
) -> TrainingData:
    """Read the pictures that a setting names.

    `export`: the run's export folder, None where it has none. `seed` picks the pictures with boxes
    (`target.boxed`), the imaginary ones (`imaginary.count`) and the order of shuffled labels.
    `known_labels`: also tell the image-level labels of unlabelled imaginary pictures, beside the records.
    Raises BadInput for a set that does not read, a class outside the class list, and a source without any
    picture; Missing where the embedded target is gone.
    """
    reader = _Reader(config, export, seed)
    labelled = reader.source(setting.image_labels, "image")
    if labelled is not None and setting.shuffle_labels:
        labelled = shuffled_labels(labelled, seed=seed)
        reader.notes.append(f"labels of {len(labelled)} pictures dealt anew among them (control)")
    boxes = reader.source(setting.boxes, "boxes")
    unlabelled = reader.source(setting.unlabelled, "none")
    known = reader.known_labels(unlabelled) if known_labels else {}
    return TrainingData(labelled, boxes, unlabelled, reader.class_names, tuple(reader.notes), known)


@dataclass
class _Reader:
    """Reads sources one after the other; picture ids go on counting."""

    config: ImaginaryNetConfig
    export: Path | None
    seed: int
    notes: list[str] = field(default_factory=list)
    num_read: int = 0

    def __post_init__(self) -> None:
        self.class_names = class_names(self.config.classes)

    def source(self, names: Sequence[SourceName], level: Level) -> Source | None:
        """The concatenation of some sources at one level; None for no names."""
        if not names:
            return None
        pictures: list[Picture] = []
        for name in names:
            before = self.num_read
            for found in self._sets(name, level):
                pictures += self._records(found, level, name)
            if self.num_read == before:
                fix = "set target.unlabelled, lower target.boxed, or choose another setting"
                raise BadInput(f"no picture in {name}", fix=fix)
        return Source("+".join(names), level, self.class_names, tuple(pictures))

    def _sets(self, name: SourceName, level: Level) -> list[read.PictureSet]:
        if name == "imaginary":
            return [self._imaginary(labels=level != "none")]
        target = self.config.target
        if name == "real":
            found, dropped = real_set(target, target.train, self.class_names)
            if dropped:
                self.notes.append(f"real: objects of other classes are left out: {', '.join(dropped)}")
            return [self._boxed_part(found)[0]] if level == "boxes" else [found]
        rest = [target_splits(target, target.unlabelled, labels=False)] if target.unlabelled else []
        if target.boxed is not None:
            rest.insert(0, self._boxed_part(target_splits(target, target.train, labels=False))[1])
        return rest

    def _records(self, found: read.PictureSet, level: Level, name: str) -> Sequence[Picture]:
        first_id = self.num_read
        if level == "image":
            records = read.image_labelled(found, self.class_names, source=name, first_id=first_id)
            self._note_absent({record.id: record.labels for record in records}, name)
        elif level == "boxes":
            records = read.boxed(found, self.class_names, source=name, first_id=first_id)
        else:
            records = read.unlabelled(found, source=name, first_id=first_id)
        self.num_read += len(records)
        return records

    def _note_absent(self, labels: dict[int, frozenset[int]], name: str) -> None:
        absent = absent_classes(labels, self.class_names)
        if absent:
            self.notes.append(f"{name}: no picture of {', '.join(absent)}")
        without = sum(not found for found in labels.values())
        if without:
            self.notes.append(f"{name}: {without} pictures without a label, negatives of every class")

    def _boxed_part(self, found: read.PictureSet) -> tuple[read.PictureSet, read.PictureSet]:
        """The pictures that are used with their boxes, and the others."""
        count, total = self.config.target.boxed, len(found.coco.images)
        if count is None:
            return found, read.taken(found, ())
        if count > total:
            what = f"target.boxed is {count}, there are {total} pictures"
            raise BadInput(what, file=found.file, fix=f"set it to {total} or less")
        order = item_rng(self.seed, BOXED_STREAM, 0).permutation(total)
        return read.taken(found, order[:count]), read.taken(found, order[count:])

    def _imaginary(self, *, labels: bool) -> read.PictureSet:
        root = self.config.imaginary.path
        if root is None and self.export is not None:
            root = self.export / "coco"
        if root is None:
            what = "the setting uses imaginary pictures, and none are made"
            raise BadInput(what, fix="set imaginary.folder")
        found = imaginary_set(root, labels=labels)
        count, total = self.config.imaginary.count, len(found.coco.images)
        if count is None:
            return found
        if count > total:
            what = f"imaginary.count is {count}, there are {total} pictures"
            raise BadInput(what, file=found.file, fix=f"set it to {total} or less, or make more")
        return read.taken(found, item_rng(self.seed, COUNT_STREAM, 0).permutation(total)[:count])

    def known_labels(self, source: Source | None) -> dict[int, frozenset[int]]:
        """Labels by picture id, of the imaginary pictures of an unlabelled source."""
        pictures = [row for row in source.pictures if row.source == "imaginary"] if source else []
        if not pictures:
            return {}
        found = self._imaginary(labels=True)
        labels = read.image_labels(found, self.class_names)
        pairs = zip(pictures, found.coco.images, strict=True)  # both in the order of the file
        return {picture.id: labels[image.id] for picture, image in pairs}


def imaginary_set(folder: Path, *, labels: bool) -> read.PictureSet:
    """A COCO-format folder: `annotations/<anything>_<split>.json` beside `<split>/` with the pictures.

    `labels=False`: the annotations stay unread. Raises BadInput unless it holds one annotation file that
    reads.
    """
    files = sorted((folder / "annotations").glob("*.json"))
    if len(files) != 1:
        what = f"holds {len(files)} files annotations/*.json, must hold one"
        raise BadInput(what, file=folder, fix="name a COCO-format folder, as the stage export writes")
    split = files[0].stem.rpartition("_")[2]
    return read.read_coco_set(files[0], folder / split, labels=labels)
