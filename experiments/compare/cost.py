"""What an arm costs: processor seconds of making its data, what made the maker included.

    cost = arm_cost(RUN / "pasted")
    cost.cpu_hours, cost.gpu_hours, cost.parts

Nothing is measured here: the figures stand in the manifests of stages, of this run and of those it reads. A
stage notes what was spent elsewhere for its output among the `facts` of its manifest (`note_cost`), so that
no output holds a clock. GPU seconds are wall seconds of stages that ran on a GPU: an upper bound.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from suite.errors import BadInput
from suite.manifest import MANIFEST, read_manifest

if TYPE_CHECKING:
    from suite.stage import Context

FACT = "cost"
HOUR = 3600.0


@dataclass(frozen=True)
class Part:
    """One thing that was paid for."""

    name: str
    cpu_seconds: float
    gpu_seconds: float = 0.0
    note: str = ""  # where the figure comes from, if not from a manifest


@dataclass(frozen=True)
class Cost:
    """All that an arm took, in the order in which it was done."""

    parts: tuple[Part, ...] = ()

    @property
    def cpu_seconds(self) -> float:
        """Sum over the parts."""
        return sum(part.cpu_seconds for part in self.parts)

    @property
    def gpu_seconds(self) -> float:
        """Sum over the parts."""
        return sum(part.gpu_seconds for part in self.parts)

    @property
    def cpu_hours(self) -> float:
        """Sum over the parts."""
        return self.cpu_seconds / HOUR

    @property
    def gpu_hours(self) -> float:
        """Sum over the parts."""
        return self.gpu_seconds / HOUR


def stage_part(folder: Path, name: str | None = None) -> Part:
    """What a finished stage took, shards included. Raises BadInput where it is not finished."""
    manifest = read_manifest(folder)
    if manifest is None:
        raise BadInput("is no finished stage", file=folder / MANIFEST, fix="run that stage first")
    return manifest_part(manifest, name or f"{manifest['system']}: {manifest['stage']}")


def manifest_part(manifest: Mapping[str, Any], name: str) -> Part:
    """The same of a manifest that was read already."""
    rows = [manifest, *manifest.get("shards", ())]
    cpu = sum(float(row["cpu_seconds"]) for row in rows)
    on_gpu = manifest["device"] == "cuda"
    return Part(name, cpu, sum(float(row["wall_seconds"]) for row in rows) if on_gpu else 0.0)


def chain_parts(folder: Path) -> list[Part]:
    """What a finished stage and all stages that it goes back to took, each once, first things first."""
    found: dict[Path, Part] = {}

    def visit(place: Path) -> None:
        place = Path(os.path.normpath(place))
        if place in found:
            return
        part, manifest = stage_part(place), read_manifest(place) or {}
        for before in manifest.get("inputs", {}).values():
            visit(place / before["path"])
        found[place] = part

    visit(folder)
    return list(found.values())


def note_cost(ctx: Context, parts: Iterable[Part]) -> None:
    """Keep in the manifest of the stage at hand what was spent elsewhere for its output."""
    ctx.facts[FACT] = [asdict(part) for part in parts]


def arm_cost(folder: Path | None) -> Cost:
    """The cost of an arm by the folder of its stage (Arm.stage); nothing for None, the arm of real pictures.

    Raises BadInput where the stage is not finished.
    """
    if folder is None:
        return Cost()
    own = stage_part(folder)
    manifest = read_manifest(folder) or {}
    before = tuple(Part(**row) for row in manifest.get("facts", {}).get(FACT, ()))
    return Cost((*before, own))
