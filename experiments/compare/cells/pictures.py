"""What a cell learns from: the arm's pictures, real pictures, and how often each is shown.

    lesson = load_lesson(config, cell, folder_of_the_arm, seed=ctx.seed)
    lesson.pictures[lesson.order[k]]

The real pictures of a seed are the same in all arms and for both detectors, and the 10 are among the 50.
Where there are both kinds, each is half of what is shown: of fewer ones, each is shown more often. So it does
not matter how many there are of the other kind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from experiments.compare.cells.grid import Cell
from experiments.compare.coco_files import ANNOTATIONS, COCO, read_arm
from experiments.compare.config import CompareConfig
from experiments.compare.target import Target, load_target
from suite.datasets import CocoSet
from suite.datasets.records import CocoAnnotation, CocoCategory
from suite.errors import BadInput
from suite.seeds import item_rng


@dataclass(frozen=True, eq=False)
class Picture:
    """One picture with its n >= 1 objects, in pixels of the file."""

    file: Path
    width: int
    height: int
    boxes: np.ndarray  # float64 (n, 4): x1, y1, x2, y2
    labels: np.ndarray  # int64 (n,): places among the target's classes, by id
    shapes: tuple[Any, ...] | None  # polygons or RLE of each object; None: boxes are all that is known
    is_real: bool

    @property
    def has_masks(self) -> bool:
        """Whether a mask is known of every object."""
        return self.shapes is not None


@dataclass(frozen=True, eq=False)
class Lesson:
    """All that a cell learns from, and what it is tested on."""

    pictures: tuple[Picture, ...]  # the arm's, then the real ones
    order: tuple[int, ...]  # places in `pictures`, some of them more than once: what an epoch shows
    target: Target

    @property
    def num_real(self) -> int:
        """Of `pictures`."""
        return sum(picture.is_real for picture in self.pictures)


def cell_seed(seed: int, cell: Cell) -> int:
    """What a cell's randomness begins with: the same for all arms, numbers and detectors of its seed."""
    return int(item_rng(seed, "compare.cell", cell.seed).integers(2**31))


def load_lesson(config: CompareConfig, cell: Cell, folder: Path | None, *, seed: int) -> Lesson:
    """Pictures of a cell; `folder`: of the stage that made the arm's, None where it has none.

    Raises BadInput for a set of other classes than the target's, or without objects, and for more real
    pictures than there are.
    """
    target = load_target(config.target)
    real = real_pictures(target, cell.real, seed=cell_seed(seed, cell))
    others = () if folder is None else made_pictures(folder, target.categories)
    return Lesson((*others, *real), shown_order(len(others), len(real)), target)


def shown_order(num_made: int, num_real: int) -> tuple[int, ...]:
    """Places 0..made-1 and made..made+real-1, the fewer ones repeated until both are equally many."""
    made, real = range(num_made), range(num_made, num_made + num_real)
    if not num_made or not num_real:
        return (*made, *real)
    length = max(num_made, num_real)
    return tuple(part[place % len(part)] for part in (made, real) for place in range(length))


def real_pictures(target: Target, count: int, *, seed: int) -> tuple[Picture, ...]:
    """The first `count` of the training pictures that show an object, in an order that the seed decides."""
    known = pictures_of(target.train, target.train_dir, target.categories, is_real=True)
    if count > len(known):
        what = (
            f"`cells.real` has {count}, but the target has {len(known)} training pictures that show an object"
        )
        raise BadInput(what, fix=f"-o 'cells.real=[...]' with no number above {len(known)}")
    order = item_rng(seed, "compare.real", 0).permutation(len(known))
    return tuple(known[place] for place in order[:count])


def made_pictures(folder: Path, categories: Sequence[CocoCategory]) -> tuple[Picture, ...]:
    """The pictures that an arm's stage left in `folder`."""
    coco, pictures = read_arm(folder)
    file = folder / COCO / ANNOTATIONS
    ids = {category.id: category.name for category in categories}
    strange = [one.name for one in coco.categories if ids.get(one.id) != one.name]
    if strange:
        what = f"its class {strange[0]!r} is not the target's of that id"
        raise BadInput(what, file=file, fix="run the stage that made it again")
    found = pictures_of(coco, pictures, categories, is_real=False)
    if not found:
        raise BadInput("no picture shows an object to train on", file=file, fix="make more of them")
    return found


def pictures_of(
    coco: CocoSet, folder: Path, categories: Sequence[CocoCategory], *, is_real: bool
) -> tuple[Picture, ...]:
    """Pictures with an object, by id; crowd regions and objects marked `ignore` are not learned from."""
    label_of = {category.id: place for place, category in enumerate(categories)}
    found = []
    for image in coco.images:
        objects = [one for one in coco.annotations_by_image[image.id] if not one.iscrowd and not one.ignore]
        if objects:
            file = folder / image.file_name
            found.append(_picture(file, (image.width, image.height), objects, label_of, is_real))
    return tuple(found)


def _picture(
    file: Path, size_wh: tuple[int, int], objects: list[CocoAnnotation], label_of: Mapping[int, int],
    is_real: bool,
) -> Picture:  # fmt: skip
    boxes = np.array([one.box_xywh for one in objects], np.float64)
    boxes[:, 2:] += boxes[:, :2]
    shapes = tuple(one.segmentation for one in objects)
    labels = np.array([label_of[one.category_id] for one in objects], np.int64)
    has_masks = all(shape is not None for shape in shapes)
    return Picture(file.absolute(), *size_wh, boxes, labels, shapes if has_masks else None, is_real)
