"""Settings of the target and of what the arms learn from beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from experiments.imaginarynet.arms import DETECTORS
from experiments.sample_synthesis.config_sections import at_least, in_order


@dataclass(frozen=True)
class TargetConfig:
    """The real pictures: trained on in part, tested on."""

    source: Literal["tabletop", "coco"] = "tabletop"  # coco: the files below; tabletop: assets/tabletop
    train_json: str | None = None  # for source=coco: `data/...` (below DATA_DIR) or absolute
    train_images: str | None = None
    test_json: str | None = None
    test_images: str | None = None

    def __post_init__(self) -> None:
        names = ("train_json", "train_images", "test_json", "test_images")
        if self.source == "coco":
            for name in names:
                if not getattr(self, name):
                    raise ValueError(f"`target.source` is coco; it needs `target.{name}`")


@dataclass(frozen=True)
class CutoutsConfig:
    """Pictures of single things on nothing: rendered, or the user's own."""

    folder: str | None = None  # holds <class>/*.png with alpha; null: tabletop's classes are rendered
    per_class: int = 40
    side: int = 128  # pixels of a render; of a file, to which it is fitted
    samples: int = 16  # per pixel
    shards: int = 2

    def __post_init__(self) -> None:
        at_least("cutouts", 1, per_class=self.per_class, samples=self.samples, shards=self.shards)
        at_least("cutouts", 16, side=self.side)


@dataclass(frozen=True)
class PastedConfig:
    """How cut-outs become pictures, by sample synthesis' code; settings of the same names mean the same."""

    num_samples: int = 400
    size_wh: tuple[int, int] = (192, 144)  # of a picture; tabletop's
    min_scale: float = 0.22  # of the picture's sqrt(area): a slot's
    max_scale: float = 0.65
    min_aspect_ratio: float = 0.7  # width / height of a slot
    max_aspect_ratio: float = 1.4
    min_objects: int = 1
    max_objects: int = 6
    layout: Literal["rejection", "sequential"] = "sequential"  # rejection, as published, rarely has many
    raster: Literal["object", "patch"] = "patch"
    backgrounds: tuple[Literal["photos", "textures", "folder"], ...] = ("photos", "textures")
    backgrounds_folder: str | None = None  # of `folder`: `data/...` or absolute
    jpeg_quality: int = 90

    def __post_init__(self) -> None:
        at_least("pasted", 1, num_samples=self.num_samples, min_objects=self.min_objects)
        at_least("pasted", 32, size_wh=min(self.size_wh))
        if not 1 <= self.jpeg_quality <= 100:
            raise ValueError(f"`pasted.jpeg_quality` is {self.jpeg_quality}, must be in 1..100")
        if not self.backgrounds or len(set(self.backgrounds)) != len(self.backgrounds):
            raise ValueError("`pasted.backgrounds` must name photos, textures or folder, each once")
        if "folder" in self.backgrounds and self.backgrounds_folder is None:
            raise ValueError("`pasted.backgrounds` has folder; name it in `pasted.backgrounds_folder`")
        in_order("pasted", self, "scale", "aspect_ratio", "objects")


@dataclass(frozen=True)
class BoxedConfig:
    """Boxes for imaginary pictures, which have labels and no boxes: those that a trained detector finds."""

    detector: str = "isod-oicr"  # an arm of the imaginarynet run
    limit: int | None = None  # no more pictures than this, the same number of each class; null: all
    min_score: float = 0.0  # a box that is less sure is left out, and its picture with it

    def __post_init__(self) -> None:
        if not self.detector.endswith(tuple(f"-{name}" for name in DETECTORS)):
            known = ", ".join(DETECTORS)
            raise ValueError(
                f"`boxed.detector` is {self.detector!r}; name a setting and one of {known}, like isod-oicr"
            )
        at_least("boxed", 1, limit=1 if self.limit is None else self.limit)
        at_least("boxed", 0, min_score=self.min_score)
