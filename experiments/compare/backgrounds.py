"""What cut-outs are pasted onto: pictures that show none of the things.

`photos`: windows of the photographs of the installed scikit-image that sample synthesis pastes onto, without
the one of a cup. `textures`: windows of assets/textures (wood, tiles, plaster), which tabletop does not use.
`folder`: the user's. Named together, each is drawn from as often.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from experiments.compare.config_data import PastedConfig
from experiments.sample_synthesis.objects.backgrounds import (
    FAMILIES,
    FileBackgrounds,
    PhotoBackgrounds,
)
from experiments.sample_synthesis.objects.sources import list_pictures
from experiments.sample_synthesis.objects.types import BackgroundSource
from suite.paths import data_path
from suite.provenance import ROOT

TEXTURES = ROOT / "assets" / "textures"
SHOWS_A_MUG = ("coffee.png",)


class Several:
    """Several sources, each as likely."""

    def __init__(self, sources: Sequence[BackgroundSource]) -> None:
        self.sources = tuple(sources)

    def __len__(self) -> int:
        return sum(len(source) for source in self.sources)

    def draw(self, rng: np.random.Generator, size: int) -> np.ndarray:
        """uint8 (size, size, 3)."""
        return self.sources[int(rng.integers(len(self.sources)))].draw(rng, size)


def photos() -> BackgroundSource:
    """Family A of sample synthesis' photographs, those left out that show a thing of a class."""
    source = PhotoBackgrounds("A")
    listed = zip(FAMILIES["A"], source.photos, strict=True)
    source.photos = tuple(photo for name, photo in listed if name not in SHOWS_A_MUG)
    return source


def open_backgrounds(config: PastedConfig) -> BackgroundSource:
    """What the settings name. Raises Missing, BadInput."""
    makers = {
        "photos": photos,
        "textures": lambda: FileBackgrounds(TEXTURES, list_pictures(TEXTURES)),
        "folder": lambda: _folder(config),
    }
    return Several([makers[kind]() for kind in config.backgrounds])


def _folder(config: PastedConfig) -> BackgroundSource:
    folder = data_path(config.backgrounds_folder or "")
    return FileBackgrounds(folder, list_pictures(folder))
