"""Which pictures assets/tabletop has, and in which folders they are made."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.solid.config import SolidConfig
from suite.config import to_tree
from suite.datasets.tabletop import TABLETOP_SPLITS
from suite.errors import BadInput
from suite.manifest import file_digest, key_of
from suite.provenance import ROOT, package_versions

CONFIG = Path(__file__).with_name("tabletop.yaml")
SEED = 0
VERSION = 1  # raised whenever the code changes what a picture looks like
SECTIONS = ("meshes", "rooms", "layout", "render")  # what a picture depends on; all else is for other stages
FILES = ("assets/meshes/meshes.json", "assets/meshes/split.json")


def config_tree(config: SolidConfig) -> dict[str, Any]:
    """The settings that decide a picture, without the place of the rooms on this disk."""
    tree = {name: to_tree(config)[name] for name in SECTIONS}
    tree["rooms"].pop("folder")
    return tree


def config_digest(config: SolidConfig) -> str:
    """SHA-256 of `config_tree`, as the listing records it."""
    return key_of(config_tree(config))


def pictures(count: int | None = None) -> list[tuple[str, int]]:
    """(split, index) of every picture, or of the first `count`, shared out over the splits by their sizes."""
    if count is None:
        return [(split, index) for split, size in TABLETOP_SPLITS.items() for index in range(size)]
    total = sum(TABLETOP_SPLITS.values())
    if not len(TABLETOP_SPLITS) <= count <= total:
        raise BadInput(f"COUNT={count}", fix=f"choose {len(TABLETOP_SPLITS)} to {total} pictures")
    sizes = {split: max(1, count * size // total) for split, size in TABLETOP_SPLITS.items()}
    for split in list(sizes)[: count - sum(sizes.values())]:  # what the divisions left over, one each
        sizes[split] += 1
    return [(split, index) for split, size in sizes.items() for index in range(size)]


@dataclass(frozen=True)
class Plan:
    """The work folder."""

    work: Path
    key: str  # decides a picture: settings, seed, meshes, package versions

    @classmethod
    def of(cls, work: Path, config: SolidConfig) -> Plan:
        """The plan for these settings and the packages of this environment (bpy among them)."""
        parts = {
            "version": VERSION,
            "seed": SEED,
            "config": config_tree(config),
            "packages": package_versions(("bpy", "numpy")),
            "files": {name: file_digest(ROOT / name) for name in FILES},
        }
        return cls(work, key_of(parts))

    @property
    def source(self) -> Path:
        """Rooms and textures as the maker wrote them."""
        return self.work / "source"

    @property
    def clean(self) -> Path:
        """Finished folder of SOLID's stage `clean`."""
        return self.work / "clean"

    @property
    def rooms(self) -> Path:
        """Finished folder of SOLID's stage `rooms`."""
        return self.work / "rooms"

    def checkpoints(self, split: str) -> Path:
        """Finished pictures of a split, one file each."""
        return self.work / f"pictures-{self.key[:12]}" / split
