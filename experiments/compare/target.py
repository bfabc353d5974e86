"""The target: real pictures with boxes, of which some are trained on, and others tested on.

    target = load_target(config.target)
    target.train, target.train_dir, target.class_names

tabletop's splits `train` and `test`, or a user's two COCO files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from experiments.compare.config_data import TargetConfig
from experiments.imaginarynet.classes import label_of
from suite.datasets import CocoSet, read_coco
from suite.datasets.records import CocoCategory
from suite.datasets.tabletop import tabletop_path
from suite.errors import BadInput
from suite.paths import data_path


@dataclass(frozen=True)
class Target:
    """Both splits have the same categories."""

    train: CocoSet
    train_dir: Path  # of its pictures
    test: CocoSet
    test_dir: Path

    @property
    def categories(self) -> tuple[CocoCategory, ...]:
        """By id."""
        return self.train.categories

    @property
    def class_names(self) -> tuple[str, ...]:
        """By category id."""
        return tuple(category.name for category in self.categories)


def split_paths(config: TargetConfig, split: str) -> tuple[Path, Path]:
    """Annotation file and folder of pictures of `train` or `test`."""
    if config.source == "tabletop":
        return tabletop_path(split)
    return data_path(getattr(config, f"{split}_json")), data_path(getattr(config, f"{split}_images"))


def load_target(config: TargetConfig) -> Target:
    """Read and check both splits.

    Raises BadInput for a set that does not read and for splits of different classes, Missing where the
    embedded set is gone.
    """
    paths = {split: split_paths(config, split) for split in ("train", "test")}
    sets = {split: read_coco(file, images_dir=folder) for split, (file, folder) in paths.items()}
    names = {split: [(one.id, one.name) for one in coco.categories] for split, coco in sets.items()}
    if names["train"] != names["test"]:
        what = "its categories are not those of the training pictures"
        raise BadInput(what, file=paths["test"][0], fix="give both files the same `categories`")
    return Target(sets["train"], paths["train"][1], sets["test"], paths["test"][1])


def load_categories(config: TargetConfig) -> tuple[CocoCategory, ...]:
    """The target's classes by id, pictures unchecked. Raises as `load_target`."""
    return read_coco(split_paths(config, "train")[0], masks=False).categories


def categories_of(
    names: Sequence[str], categories: Sequence[CocoCategory], *, file: Path
) -> dict[str, CocoCategory]:
    """The target's category of each name; spaces and case do not count.

    Raises BadInput, naming `file`, for a name that the target does not have.
    """
    known = {label_of(category.name).casefold(): category for category in categories}
    found = {name: known.get(label_of(name).casefold()) for name in names}
    strange = [name for name, category in found.items() if category is None]
    if strange:
        what = f"the target has no class {strange[0]!r}"
        raise BadInput(what, file=file, fix=f"its classes are {', '.join(one.name for one in categories)}")
    return {name: category for name, category in found.items() if category is not None}
