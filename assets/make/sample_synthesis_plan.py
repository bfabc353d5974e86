"""Which pictures assets/sample_synthesis has, and in which folders they are made."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from suite.errors import BadInput
from suite.manifest import file_digest, key_of
from suite.provenance import ROOT, package_versions

SHIPPED = ROOT / "assets" / "sample_synthesis"
CODES = SHIPPED / "qr_photos" / "codes.json"
LISTING = "sample_synthesis.json"
SEED = 0
VERSION = 1  # raised whenever the code changes what a picture looks like
FILES = ("assets/meshes/meshes.json", "assets/textures/textures.json")
SPLITS = ("train", "valid", "test")


@dataclass(frozen=True)
class PictureSet:
    """One set of pictures."""

    label: str  # of the COCO category, as the published CSV files write it
    splits: dict[str, int]  # pictures of each split
    resolution: tuple[int, int]  # width, height
    max_bytes: int
    scenes: bool  # JPEG with boxes, else cut-outs with alpha


SETS = {
    "qr_photos": PictureSet("qr_code", {"train": 120, "valid": 40, "test": 80}, (256, 192), 2_000_000, True),
    "bird": PictureSet("bird", {"objects": 60}, (128, 128), 700_000, False),
    "car": PictureSet("car", {"objects": 60}, (128, 128), 700_000, False),
    "bird_scenes": PictureSet("bird", {"train": 60, "valid": 20, "test": 40}, (192, 144), 700_000, True),
    "car_scenes": PictureSet("car", {"train": 60, "valid": 20, "test": 40}, (192, 144), 700_000, True),
}

Wanted = tuple[str, str, int]  # set, split, index from 0


def stream(name: str, split: str, what: str = "scene") -> str:
    """Name of the random stream of one split of one set."""
    return f"sample_synthesis.{name}.{split}.{what}"


def folder_of(name: str) -> str:
    """Where a set lies below the root of the assets."""
    return name if SETS[name].scenes else f"objects/{name}"


def file_name(name: str, split: str, index: int) -> str:
    """The picture's file below `folder_of`: images/train-001.jpg, or 01.png for a cut-out."""
    return f"images/{split}-{index + 1:03d}.jpg" if SETS[name].scenes else f"{index + 1:02d}.png"


def pictures(names: tuple[str, ...] = tuple(SETS), count: int | None = None) -> list[Wanted]:
    """Every picture of the named sets, or the first `count` of each split of each set."""
    for name in names:
        if name not in SETS:
            raise BadInput(f"there is no set {name!r}", fix=f"choose from {', '.join(SETS)}")
    if count is not None and count < 1:
        raise BadInput(f"--count {count}", fix="choose at least 1 picture of each split")
    return [
        (name, split, index)
        for name in names
        for split, size in SETS[name].splits.items()
        for index in range(size if count is None else min(count, size))
    ]


@dataclass(frozen=True)
class Plan:
    """The work folder."""

    work: Path
    key: str  # decides a picture: version, seed, meshes, textures, codes, packages

    @classmethod
    def of(cls, work: Path) -> Plan:
        """The plan for the packages of this environment (bpy among them)."""
        files = {name: file_digest(ROOT / name) for name in FILES}
        parts = {
            "version": VERSION,
            "seed": SEED,
            "packages": package_versions(("bpy", "numpy", "pillow")),
            "files": files | {"codes": file_digest(CODES)},
        }
        return cls(work, key_of(parts))

    def picture(self, name: str, split: str, index: int) -> Path:
        """A finished picture; beside it lies a .json with what it shows, written after it."""
        suffix = Path(file_name(name, split, index)).suffix
        return self.work / f"pictures-{self.key[:12]}" / name / f"{split}-{index + 1:03d}{suffix}"

    def note(self, name: str, split: str, index: int) -> Path:
        """What a finished picture shows; the picture is finished when this is there."""
        return self.picture(name, split, index).with_suffix(".json")
