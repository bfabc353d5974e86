"""What a page says about how a result came about: stages with time and memory, environment, deviations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from suite.config import to_tree
from suite.manifest import MANIFEST, read_manifest


@dataclass(frozen=True)
class StageRecord:
    """One finished stage: its folder and its manifest."""

    folder: Path
    manifest: Mapping[str, Any]

    @property
    def name(self) -> str:
        return self.manifest["stage"]

    @property
    def path(self) -> Path:
        return self.folder / MANIFEST

    @property
    def num_shards(self) -> int | None:
        return len(self.manifest["shards"]) if "shards" in self.manifest else None

    @property
    def parts(self) -> list[Mapping[str, Any]]:
        """The processes that did the work: the shards and the gathering, or the stage itself."""
        return [self.manifest, *self.manifest.get("shards", ())]

    @property
    def wall_seconds(self) -> float:
        """Worker seconds: summed over shards, which may have run side by side."""
        return sum(part["wall_seconds"] for part in self.parts)

    @property
    def cpu_seconds(self) -> float:
        return sum(part["cpu_seconds"] for part in self.parts)

    @property
    def peak_rss_bytes(self) -> int:
        return max(part["peak_rss_bytes"] for part in self.parts)

    @property
    def peak_gpu_bytes(self) -> int | None:
        peaks = [part["peak_gpu_bytes"] for part in self.parts if part.get("peak_gpu_bytes")]
        return max(peaks, default=None)

    @property
    def phases(self) -> dict[str, float]:
        """Seconds by phase where the stage recorded `facts.seconds`, summed over shards."""
        total: Counter[str] = Counter()
        for part in self.parts:
            total.update(part.get("facts", {}).get("seconds", {}))
        return dict(total)


def collect(folders: Iterable[Path], order: Iterable[str]) -> list[StageRecord]:
    """These stages and all they were made from, by the inputs in their manifests, in the given order."""
    found: dict[str, StageRecord] = {}
    queue = [Path(folder) for folder in folders]
    while queue:
        folder = queue.pop()
        manifest = read_manifest(folder)
        if manifest is None or manifest.get("stage") in found or "wall_seconds" not in manifest:
            continue
        found[manifest["stage"]] = StageRecord(folder, manifest)
        queue += [folder / row["path"] for row in manifest["inputs"].values()]
    places = {name: place for place, name in enumerate(order)}
    return sorted(found.values(), key=lambda record: places.get(record.name, len(places)))


@dataclass(frozen=True)
class Deviation:
    """One setting that differs from the published one."""

    key: str
    here: Any
    published: Any


def deviations(config: Any, published: Any) -> list[Deviation]:
    """Settings whose value differs, by dotted key, in the order of the config."""
    here, there = _flat(to_tree(config)), _flat(to_tree(published))
    return [Deviation(key, value, there.get(key)) for key, value in here.items() if value != there.get(key)]


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat.update(_flat(value, f"{prefix}{key}."))
        else:
            flat[prefix + key] = value
    return flat
