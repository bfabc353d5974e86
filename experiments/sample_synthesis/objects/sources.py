"""Pictures of single objects, from folders of pictures or from stand-ins, read one by one.

    pictures = open_pictures(config.face.source, "face")
    pictures.keys              # names, in a fixed order
    pictures.read(3)           # uint8 (size, size, 3); Fault if it does not decode

Published: every picture is opened with Pillow and resized to 128 x 128 with its default filter, which is
bicubic; cars to twice that, of which the middle is kept (Sample synthesis, published code). Readers for
StyleGAN, DM-GAN, FFHQ and LSUN differ in name only: pictures anywhere below a folder, sub-folders flattened.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image

from experiments.sample_synthesis.config_sections import SourceConfig
from experiments.sample_synthesis.objects.faces import lfw_crops, lfw_rows
from experiments.sample_synthesis.objects.shards import RENDERS
from suite.datasets.faults import Fault
from suite.errors import BadInput, Missing
from suite.paths import data_path

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
RESIZE = Image.Resampling.BICUBIC  # Pillow's default since 7.0, so that of the published code
MODES_GREY = ("1", "L", "LA", "I", "I;16", "F")


class Pictures(Protocol):
    """Pictures that can be read by number."""

    keys: Sequence[str]  # what the picture is called in index.json; stand-ins begin with "standin:"
    size: int  # pixels a side
    has_alpha: bool  # whether the fourth channel of `read(..., alpha=True)` means anything

    def read(self, index: int, *, alpha: bool = False) -> np.ndarray:
        """uint8 (S, S, 3), with `alpha` (S, S, 4). Raises Fault for a picture that is to be left out."""
        ...


def list_pictures(folder: Path) -> tuple[str, ...]:
    """Relative paths of all picture files below `folder`, sorted. Raises Missing, BadInput for none."""
    if not folder.is_dir():
        raise Missing("no such folder", file=folder, fix="put the pictures there or name another folder")
    paths = (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    names = (path.relative_to(folder) for path in paths)
    found = sorted(name.as_posix() for name in names if not any(part.startswith(".") for part in name.parts))
    if not found:
        raise BadInput("holds no pictures", file=folder, fix=f"put {', '.join(SUFFIXES)} files there")
    return tuple(found)


def decode(path: Path) -> Image.Image:
    """The whole picture, decoded. Raises Fault."""
    try:
        with Image.open(path) as picture:
            picture.load()
            return picture.copy()
    # Pillow's decoders raise these for damaged files; SyntaxError comes from its PNG reader.
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        reason = str(error) or type(error).__name__
        raise Fault(
            "unreadable picture", path.name, f"does not decode ({reason:.80})", "copy it again"
        ) from None


def resized(picture: Image.Image, size: int, *, zoom: int = 1, alpha: bool = False) -> np.ndarray:
    """uint8 (size, size, 3 or 4): stretched to zoom * size a side, of which the middle is kept."""
    side = zoom * size
    picture = picture.convert("RGBA" if alpha else "RGB")
    if picture.size != (side, side):
        picture = picture.resize((side, side), RESIZE)
    edge = (side - size) // 2
    return np.asarray(picture)[edge : edge + size, edge : edge + size]


def has_alpha_channel(picture: Image.Image) -> bool:
    """Whether the file says which pixels are transparent."""
    return picture.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in picture.info


class PictureFolder:
    """All pictures below a folder."""

    has_alpha = True

    def __init__(self, folder: Path, *, size: int, zoom: int = 1) -> None:
        self.folder, self.size, self.zoom = Path(folder), size, zoom
        self.keys: Sequence[str] = list_pictures(self.folder)

    def read(self, index: int, *, alpha: bool = False) -> np.ndarray:
        """As in Pictures. With `alpha`, a picture without transparency is a fault."""
        picture = decode(self.folder / self.keys[index])
        if alpha and not has_alpha_channel(picture):
            what, fix = "has no alpha channel", "choose masks.provider: grabcut"
            raise Fault("picture without alpha", self.keys[index], what, fix)
        return resized(picture, self.size, zoom=self.zoom, alpha=alpha)


class StandInFaces:
    """The half of the LFW crops of scikit-image that is for pasting, enlarged; three equal channels."""

    has_alpha = False

    def __init__(self, *, size: int, zoom: int = 1) -> None:
        self.size, self.zoom = size, zoom
        self.crops = lfw_crops("paste")
        self.keys: Sequence[str] = tuple(f"standin:lfw_subset/{row}" for row in lfw_rows("paste"))

    def read(self, index: int, *, alpha: bool = False) -> np.ndarray:
        """As in Pictures; there is no alpha."""
        return resized(Image.fromarray(self.crops[index]), self.size, zoom=self.zoom)


class StandInRenders:
    """Renders with alpha of one object, on crops of photographs.

    A cut-out has no surroundings, which a pasted whole picture (variant naive) shows and a segmentation has
    to tell apart. So where a render is transparent, one crop of a photograph shows, chosen by the picture's
    number. Partly transparent pixels keep the render's own colour, because they are blended again when they
    are pasted.
    """

    has_alpha = True

    def __init__(
        self, folder: Path, backdrop: Callable[[int, int], np.ndarray], *, size: int, zoom: int = 1
    ) -> None:
        self.folder, self.size, self.zoom, self.backdrop = Path(folder), size, zoom, backdrop
        self._files = list_pictures(self.folder)
        self.keys: Sequence[str] = tuple(f"standin:{self.folder.name}/{name}" for name in self._files)

    def read(self, index: int, *, alpha: bool = False) -> np.ndarray:
        """As in Pictures."""
        picture = resized(
            decode(self.folder / self._files[index]), self.size, zoom=self.zoom, alpha=True
        ).copy()
        empty = picture[..., 3] == 0
        picture[empty, :3] = self.backdrop(index, self.size)[empty]
        return picture if alpha else picture[..., :3]


def open_pictures(source: SourceConfig, name: str, *, split_file: Path | None = None) -> Pictures:
    """The pictures of object `name` that a source section names; no more of them than its limit.

    split_file: of `cub_crops`, which photographs are for training; None: the published name. Raises Missing,
    BadInput.
    """
    if source.kind == "standin":
        return _limited(_stand_in(source, name), source.limit)
    if source.kind == "library":
        raise BadInput("QR symbols are drawn as they are needed, there are no pictures of them")
    folder = data_path(source.folder or "")
    if source.kind == "cub_crops":
        from experiments.sample_synthesis.objects.crops import cub_crops

        return _limited(cub_crops(folder, source, split_file=split_file), source.limit)
    return _limited(PictureFolder(folder, size=source.size, zoom=source.zoom), source.limit)


def _stand_in(source: SourceConfig, name: str) -> Pictures:
    if name == "face":
        return StandInFaces(size=source.size, zoom=source.zoom)
    from experiments.sample_synthesis.objects.backgrounds import backdrop

    folder = RENDERS / name
    if not folder.is_dir():
        fix = "restore them: git checkout assets/sample_synthesis"
        raise Missing("the stand-in renders are not here", file=folder, fix=fix)
    return StandInRenders(folder, backdrop, size=source.size, zoom=source.zoom)


def _limited(pictures: Any, limit: int | None) -> Pictures:
    pictures.keys = pictures.keys[:limit]
    return pictures
