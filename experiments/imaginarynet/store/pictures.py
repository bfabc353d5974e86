"""Picture files: encoded, decoded, and found again from the rows of a manifest."""

from __future__ import annotations

import hashlib
import io
import threading
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from experiments.imaginarynet.store.manifest import Candidate
from experiments.imaginarynet.store.tar import TarReader
from suite.errors import BadInput
from suite.manifest import read_manifest

IMAGES = "images.tar"
ENDINGS = {"jpeg": "jpg", "png": "png"}
AGAIN = "run its stage again"


def encode(picture: np.ndarray, image_format: str, *, quality: int = 75) -> bytes:
    """A picture file of uint8 (H, W, 3). image_format: "jpeg", with its quality, or "png", without loss."""
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
        raise ValueError(f"no uint8 picture (H, W, 3): {picture.dtype} {picture.shape}")
    buffer = io.BytesIO()
    options = {"quality": quality} if image_format == "jpeg" else {}
    Image.fromarray(picture).save(buffer, format=image_format.upper(), **options)
    return buffer.getvalue()


def decode(data: bytes, *, file: str | Path) -> np.ndarray:
    """The pixels of a picture file, uint8 (H, W, 3). Raises BadInput for what is no readable picture."""
    try:
        with Image.open(io.BytesIO(data)) as picture:
            return np.asarray(picture.convert("RGB"))
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        what = f"cannot be read as a picture ({type(error).__name__})"
        raise BadInput(what, file=file, fix=AGAIN) from None


def size_of(data: bytes, *, file: str | Path) -> tuple[int, int]:
    """(width, height) in pixels, from the header. Raises BadInput for what is no picture."""
    try:
        with Image.open(io.BytesIO(data)) as picture:
            return picture.size
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        what = f"cannot be read as a picture ({type(error).__name__})"
        raise BadInput(what, file=file, fix=AGAIN) from None


def digest(data: bytes) -> str:
    """SHA-256 of a picture file, hex."""
    return hashlib.sha256(data).hexdigest()


class Pictures:
    """The pictures of one or several stages, by the path in their rows."""

    def __init__(self, folders: Iterable[Path]) -> None:
        """folders: finished stages that hold pictures. Raises BadInput for a folder that is none."""
        self._folders: dict[str, Path] = {}
        for folder in folders:
            manifest = read_manifest(folder)
            if manifest is None:
                raise BadInput("is no finished stage", file=folder, fix="run that stage first")
            self._folders[manifest["stage"]] = folder
        self._tars: dict[tuple[str, str], TarReader] = {}
        self._lock = threading.Lock()

    def read(self, row: Candidate) -> bytes:
        """The picture file of a row, checked against its digest. Raises BadInput."""
        tar, member = self._locate(row)
        data = tar.read(member)
        if digest(data) != row.sha256:
            raise BadInput(f"{member} is not the recorded picture", file=tar.path, fix=AGAIN)
        return data

    def check_files(self, rows: Iterable[Candidate]) -> None:
        """Open the tar files of these rows. Raises BadInput for one that is missing, cut off or damaged."""
        for row in rows:
            self._locate(row)

    def _locate(self, row: Candidate) -> tuple[TarReader, str]:
        """The tar file of a row, opened once, and its member."""
        stage, shard, member = split_path(row.path)
        if stage not in self._folders:
            what = f"the pictures of stage `{stage}` are not among the inputs"
            raise BadInput(what, file=row.path, fix=f"name the folder of `{stage}` as well")
        with self._lock:
            if (stage, shard) not in self._tars:
                self._tars[stage, shard] = TarReader(self._folders[stage] / shard / IMAGES)
            return self._tars[stage, shard], member

    def decode(self, row: Candidate) -> np.ndarray:
        """The pixels of a row's picture, uint8 (height, width, 3). Raises BadInput."""
        return decode(self.read(row), file=row.path)


def split_path(path: str) -> tuple[str, str, str]:
    """(stage, folder of the shard, member) of the path in a row; the folder is "" in a narrow stage.

    Raises BadInput.
    """
    place, _, member = path.partition(":")
    stage, _, shard = place.partition("/")
    if not (stage and member):
        file = path or "a row without a path"
        raise BadInput("names no picture as stage/shard:member", file=file, fix=AGAIN)
    return stage, shard, member
