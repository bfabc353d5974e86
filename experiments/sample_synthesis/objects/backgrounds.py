"""Pictures to paste onto, without objects of the class.

    listed = list_backgrounds(config, "car")                    # names of files, what was left out
    open_backgrounds_of(config.car.backgrounds, listed)         # a BackgroundSource

`voc`: VOC2007 train and test and VOC2012 train, 13,170 photographs (2501 + 4952 + 5717; the published code
lists the 2501 twice, which draws them twice as often). A photograph that shows an object of an ignored class
is left out: `person` for faces, `car` for cars, `bird` for birds (published: none for birds,
`compat.bird_backgrounds_with_birds`). `photos`: windows of photographs inside the installed scikit-image,
none of which shows a person, a bird or a car, in two families that share no scene: A for synthesis, B for
composing stand-in test pictures. Published: a photograph is stretched to the size of the synthetic image
(Sample synthesis, published code).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from experiments.sample_synthesis.config import SampleSynthesisConfig
from experiments.sample_synthesis.config_sections import BackgroundConfig
from experiments.sample_synthesis.objects.package_data import package_file
from experiments.sample_synthesis.objects.sources import decode, list_pictures
from experiments.sample_synthesis.objects.types import BackgroundSource
from suite.datasets.faults import Fault
from suite.datasets.voc import read_voc
from suite.errors import BadInput, Missing
from suite.paths import data_path
from suite.seeds import item_rng

VOC_LISTS = {("VOC2007", "train"): 2501, ("VOC2007", "test"): 4952, ("VOC2012", "train"): 5717}
Family = Literal["A", "B"]
FAMILIES: dict[Family, tuple[str, ...]] = {  # files of skimage/data; the two motorcycles are one scene
    "A": (
        "brick.png", "chelsea.png", "coffee.png", "grass.png", "hubble_deep_field.jpg", "motorcycle_left.png",
        "motorcycle_right.png", "page.png",
    ),
    "B": ("gravel.png", "ihc.png", "moon.png", "retina.jpg", "rocket.jpg", "text.png"),
}  # fmt: skip
MIN_WINDOW = 0.35  # of a photograph's width and of its height, each drawn by itself
KEPT_DECODED = 256  # photographs a source keeps in memory; of VOC's about 140 MB
MAX_DAMAGED = 20  # damaged files in a row before drawing gives up
BACKDROP_SEED = 0  # of what is behind stand-in renders: part of the picture, whatever the run's seed


@dataclass(frozen=True)
class Listed:
    """What can be drawn. `counts`: listed, used, ignored."""

    kind: Literal["voc", "photos", "folder"]
    names: tuple[str, ...]  # relative to the folder that the settings name, which may be moved
    counts: dict[str, int] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def tree(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)

    @classmethod
    def from_tree(cls, tree: dict[str, Any]) -> Listed:
        """From JSON."""
        return cls(**{**tree, "names": tuple(tree["names"]), "warnings": tuple(tree["warnings"])})


def ignored_classes(config: SampleSynthesisConfig, name: str) -> tuple[str, ...]:
    """VOC classes that must not be seen behind object `name`."""
    ignored = config.of(name).backgrounds.ignored_classes
    if name == "bird" and config.compat.bird_backgrounds_with_birds:
        return tuple(label for label in ignored if label != "bird")
    return ignored


def list_backgrounds(config: SampleSynthesisConfig, name: str) -> Listed:
    """The backgrounds of object `name`. Raises Missing, BadInput."""
    return list_kind(config.of(name).backgrounds, ignored=ignored_classes(config, name))


def list_kind(section: BackgroundConfig, *, ignored: Sequence[str] = ()) -> Listed:
    """The backgrounds that a section names."""
    if section.kind == "photos":
        names = FAMILIES["A"]
        return Listed("photos", names, {"listed": len(names), "used": len(names)})
    folder = data_path(section.folder or "")
    if section.kind == "voc":
        return list_voc(folder, ignored)
    names = list_pictures(folder)
    return Listed("folder", names, {"listed": len(names), "used": len(names)})


def list_voc(root: Path, ignored: Sequence[str]) -> Listed:
    """Photographs of a VOCdevkit that show none of the ignored classes, in the order of the lists, each once.

    Raises BadInput for a missing annotation or photograph: without its annotation nobody knows what it shows.
    """
    if not root.is_dir():
        raise Missing("no such folder", file=root, fix="put VOCdevkit there, or name another folder")
    names: dict[str, bool] = {}
    warnings = []
    for (year, split), official in VOC_LISTS.items():
        # Only names of classes matter here, so a box that stands out of its photograph is no reason to stop.
        voc = read_voc(root / year, split=split, box_tolerance=float("inf"))
        labels = {category.id: category.name for category in voc.categories}
        for image in voc.images:
            shown = {labels[annotation.category_id] for annotation in voc.annotations_by_image[image.id]}
            names[f"{year}/JPEGImages/{image.file_name}"] = not shown.isdisjoint(ignored)
        if len(voc.images) != official:
            warnings.append(
                f"{year} {split} lists {len(voc.images)} photographs, the official list {official}"
            )
    used = tuple(name for name, is_ignored in names.items() if not is_ignored)
    if not used:
        raise BadInput(
            f"every photograph shows one of {', '.join(ignored)}", file=root, fix="ignore fewer classes"
        )
    counts = {"listed": len(names), "used": len(used), "ignored": len(names) - len(used)}
    return Listed("voc", used, counts, tuple(warnings))


def open_backgrounds_of(section: BackgroundConfig, listed: Listed) -> BackgroundSource:
    """The source that draws from a list, made of this section."""
    if listed.kind == "photos":
        return PhotoBackgrounds("A")
    return FileBackgrounds(data_path(section.folder or ""), listed.names)


class FileBackgrounds:
    """Photographs of a folder, each stretched to the wanted size.

    A file that does not decode is counted in `damaged` and another one is drawn from the same generator, so
    the picture still depends on the generator alone.
    """

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        if not names:
            raise BadInput("holds no backgrounds", file=folder)
        self.folder, self.names = Path(folder), tuple(names)
        self.damaged: Counter[str] = Counter()
        self._decoded = lru_cache(maxsize=KEPT_DECODED)(self._decode)

    def __len__(self) -> int:
        return len(self.names)

    def draw(self, rng: np.random.Generator, size: int) -> np.ndarray:
        """uint8 (size, size, 3). Raises BadInput where file after file is damaged."""
        for _ in range(MAX_DAMAGED):
            name = self.names[int(rng.integers(len(self.names)))]
            try:
                return stretched(self._decoded(name), size)
            except Fault:
                self.damaged[name] += 1
        raise BadInput(
            f"{MAX_DAMAGED} backgrounds in a row do not decode", file=self.folder, fix="copy them again"
        )

    def _decode(self, name: str) -> np.ndarray:
        return np.asarray(decode(self.folder / name).convert("RGB"))


class PhotoBackgrounds:
    """Random windows of the photographs of one family, each stretched to the wanted size."""

    def __init__(self, family: Family) -> None:
        self.family = family
        self.photos = tuple(_photo(name) for name in FAMILIES[family])

    def __len__(self) -> int:
        return len(self.photos)

    def draw(self, rng: np.random.Generator, size: int) -> np.ndarray:
        """uint8 (size, size, 3)."""
        photo = self.photos[int(rng.integers(len(self.photos)))]
        height, width = (max(1, int(side * rng.uniform(MIN_WINDOW, 1.0))) for side in photo.shape[:2])
        top = int(rng.integers(photo.shape[0] - height + 1))
        left = int(rng.integers(photo.shape[1] - width + 1))
        return stretched(photo[top : top + height, left : left + width], size)


@cache
def _photo(name: str) -> np.ndarray:
    try:
        return np.asarray(decode(package_file(name)).convert("RGB"))
    except Fault as fault:
        raise fault.error(package_file(name)) from None


def backdrop(index: int, size: int) -> np.ndarray:
    """The surroundings of stand-in render number `index`, uint8 (size, size, 3)."""
    rng = item_rng(BACKDROP_SEED, "sample_synthesis.backdrop", index)
    return PhotoBackgrounds("A").draw(rng, size)


def stretched(photo: np.ndarray, size: int) -> np.ndarray:
    """uint8 (size, size, 3), aspect ratio not kept: bilinear, by area where it shrinks to less than half."""
    import cv2

    shrinks = max(photo.shape[:2]) > 2 * size
    return cv2.resize(photo, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
