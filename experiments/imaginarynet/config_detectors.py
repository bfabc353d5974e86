"""The detectors' sections that are none of one detector: settings, target, proposals, evaluation.

A setting says which pictures a detector learns from and what it is told of them (ImaginaryNet, tables 1-3).
A source is `imaginary` (this run's set, or another one: `imaginary.folder`), `real` (the target's training
pictures) or `real-unlabelled` (further pictures of the target's kind, of which nothing is known).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from experiments.imaginarynet.config_sections import _at_least, _share
from suite.paths import data_path

SourceName = Literal["imaginary", "real", "real-unlabelled"]


@dataclass(frozen=True)
class SettingConfig:
    """Which sources a detector learns from; either `image_labels` or `boxes` names some."""

    image_labels: tuple[SourceName, ...] = ()  # known: the classes in a picture
    shuffle_labels: bool = False  # control: the same labels, dealt anew among the pictures
    boxes: tuple[SourceName, ...] = ()  # known: every object's class and box
    unlabelled: tuple[SourceName, ...] = ()  # known: nothing; beside `boxes` alone

    def __post_init__(self) -> None:
        if bool(self.image_labels) == bool(self.boxes):
            raise ValueError("a setting names sources in either `image_labels` or `boxes`")
        if self.unlabelled and not self.boxes:
            raise ValueError("`unlabelled` is of use beside `boxes` alone")
        if self.shuffle_labels and not self.image_labels:
            raise ValueError("`shuffle_labels` needs `image_labels`")
        for name in ("image_labels", "boxes", "unlabelled"):
            sources = getattr(self, name)
            if len(set(sources)) != len(sources):
                raise ValueError(f"`{name}` is {list(sources)}; name each source once")
        if "imaginary" in self.boxes:
            raise ValueError("`boxes` names `imaginary`, of whose pictures no box is known")
        if "real-unlabelled" in (*self.image_labels, *self.boxes):
            raise ValueError("`real-unlabelled` belongs in `unlabelled`: nothing is known of its pictures")

    @property
    def sources(self) -> tuple[SourceName, ...]:
        """Every source that it names, once each."""
        return tuple(dict.fromkeys((*self.image_labels, *self.boxes, *self.unlabelled)))


@dataclass(frozen=True)
class TargetConfig:
    """The real pictures: those that settings call real, and those that a detector is measured on."""

    data: Literal["tabletop", "voc", "coco"] = "tabletop"
    # voc: the folder VOCdevkit; coco: one with annotations/instances_<split>.json and <split>/
    root: str | None = None
    train: tuple[str, ...] = ("train",)  # splits of `real`; voc: VOC2007/trainval and the like
    test: tuple[str, ...] = ("test",)
    unlabelled: tuple[str, ...] = ()  # splits of `real-unlabelled`, beside what `boxed` leaves
    boxed: int | None = None  # pictures of `real` in settings with boxes, seeded; the others are unlabelled
    limit: int | None = None  # pictures of each split, spread evenly over it; None: all

    def __post_init__(self) -> None:
        if not self.train or not self.test:
            raise ValueError("`target.train` and `target.test` name a split each")
        if self.boxed is not None:
            _at_least("target", 1, boxed=self.boxed)
        if self.limit is not None:
            _at_least("target", 1, limit=self.limit)
        if (self.data != "tabletop") != (self.root is not None):
            raise ValueError("`target.root` is the folder of `target.data: voc` and coco, and of no other")

    @property
    def folder(self) -> Path | None:
        """`root`, absolute; None where the target is in this repository."""
        return _below_data(self.root)


@dataclass(frozen=True)
class ImaginaryConfig:
    """The imaginary set, where it is not the one that this run makes."""

    folder: str | None = None  # a COCO-format set with image-level labels; absolute, or below DATA_DIR
    count: int | None = None  # pictures that are used, the first ones of a seeded order; None: all

    def __post_init__(self) -> None:
        if self.count is not None:
            _at_least("imaginary", 1, count=self.count)

    @property
    def path(self) -> Path | None:
        """`folder`, absolute; None where this run's set is meant."""
        return _below_data(self.folder)


@dataclass(frozen=True)
class ProposalsConfig:
    """Boxes that may hold an object, from pixels alone."""

    mode: Literal["fast", "quality"] = "fast"  # of Selective Search: how many segmentations it starts from
    side: int = 0  # pixels of a picture's longer side during the search, smaller ones scaled up; 0: as it is
    min_side: float = 2.0  # pixels of the stored picture; PCL's code: 2, WSDDN's: 20
    max_proposals: int = 2000  # of a picture, drawn from all that were found
    grid: int = 0  # levels of a coarse grid among them, so that no picture is without; ours
    seed: int = 0  # of the order of the boxes; not the run's, so that runs share what they found
    files: tuple[str, ...] = ()  # made elsewhere, .mat or .npz, absolute or below DATA_DIR; not searched anew
    shards: int = 8  # the stage's work is cut into so many; no proposal depends on it

    def __post_init__(self) -> None:
        _at_least("proposals", 1, max_proposals=self.max_proposals, shards=self.shards)
        _at_least("proposals", 0, side=self.side, min_side=self.min_side, grid=self.grid, seed=self.seed)

    @property
    def paths(self) -> tuple[Path, ...]:
        """`files`, absolute."""
        return tuple(path for path in map(_below_data, self.files) if path is not None)


@dataclass(frozen=True)
class EvaluateConfig:
    """How detections are judged on the target."""

    iou: float = 0.5  # a box is right above it
    max_per_class: int = 0  # detections of a class that count, times the pictures; 0: all; OICR's code: 40
    threads: int = 1  # of torch on the CPU

    def __post_init__(self) -> None:
        _share("evaluate", "iou", self.iou)
        _at_least("evaluate", 0, max_per_class=self.max_per_class)
        _at_least("evaluate", 1, threads=self.threads)


def _below_data(text: str | None) -> Path | None:
    """The absolute path of a folder that is absolute, or below DATA_DIR with or without `data/`."""
    if text is None:
        return None
    return data_path(text if Path(text).parts[:1] == ("data",) else str(Path("data") / text))
