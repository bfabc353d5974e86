"""Placement rules checked from the scene files of a store: a bounded number of them, evenly spread.

A violation is a fault of the composer, not of the store: it is reported; rendering again would not mend it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from experiments.solid.config import SolidConfig
from experiments.solid.layout.audit import audit_scene
from experiments.solid.layout.scene import Scene
from experiments.solid.library import MeshLibrary, RoomLibrary
from suite.errors import BadInput

# About 10 to 30 ms a scene on one core; enough to see a fault that one scene in fifty has.
MAX_SCENES = 256


@dataclass(frozen=True)
class SceneAudit:
    """`audit(index, scene text)` -> violations; None for an index that is not looked at. Picklable."""

    clean: Path
    rooms: Path
    config: SolidConfig
    num_images: int

    def __call__(self, index: int, text: str) -> list[str] | None:
        """One line per violated rule, of the scenes whose turn it is."""
        if index % -(-self.num_images // MAX_SCENES):
            return None
        try:
            scene = Scene.from_json(text)
            rooms, meshes = _libraries(self.clean, self.rooms)
            return audit_scene(scene, rooms.get(scene.room.id) if scene.room else None, meshes, self.config)
        except BadInput as error:
            return [str(error)]


@cache
def _libraries(clean: Path, rooms: Path) -> tuple[RoomLibrary, MeshLibrary]:
    """Read once per process."""
    return RoomLibrary.load(rooms), MeshLibrary.load(clean)
