"""One finished sample in memory, and its checkpoint on disk.

A stage saves every sample the moment it is rendered (`save_sample`) and writes the shard when all are there,
so a kill costs the sample in hand. Checkpoints are npz files without pickle, written under a temporary name
and renamed.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from experiments.solid.store.png import decode_simple, encode_simple
from suite.arrays import write_arrays
from suite.errors import BadInput

# A PNG ends in this chunk. Pillow decodes a file that lost it, so truncation is tested on the bytes.
PNG_END = b"\x00\x00\x00\x00IEND\xaeB`\x82"


@dataclass(frozen=True)
class TargetSample:
    """One annotated picture with n boxes, in the order of `bboxes`."""

    image: bytes  # PNG, 8-bit RGB
    label_map: np.ndarray  # (H, W) uint8, 0 none, k = row k - 1 of bboxes
    bboxes: np.ndarray  # (n, 5) int32: x1, y1, x2, y2 half-open pixels, class id
    visibility: np.ndarray  # (n,) float32 in (0, 1]
    mask_bbox_ratio: np.ndarray  # (n,) float32 in (0, 1]
    angles: np.ndarray  # (n, 3) float32, radians
    attempts: int  # scenes drawn until one succeeded
    scene: str  # the scene file, JSON

    def rgb(self) -> np.ndarray:
        """The picture, (H, W, 3) uint8."""
        return decode_png(self.image)

    def masks(self) -> np.ndarray:
        """Visible masks, (n, H, W) bool."""
        ids = np.arange(1, len(self.bboxes) + 1, dtype=np.uint8)
        return self.label_map[None] == ids[:, None, None]


@dataclass(frozen=True)
class QuerySample:
    """The views of one class, each cropped to the object; empty bytes: the view does not show it."""

    class_id: int
    shots: tuple[bytes, ...]  # S PNG files, 8-bit RGB

    @property
    def num_views(self) -> int:
        return sum(map(bool, self.shots))


@dataclass(frozen=True)
class GivenUp:
    """A sample that the stage tried and could not make; recorded, so that a rerun does not try again."""

    reason: str


Sample = TargetSample | QuerySample | GivenUp


def encode_png(rgb: np.ndarray) -> bytes:
    """(H, W, 3) uint8 -> PNG bytes; the same pixels always give the same bytes."""
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
        raise ValueError(f"a picture is (H, W, 3) uint8, got {rgb.shape} {rgb.dtype}")
    return encode_simple(rgb)


def decode_png(data: bytes) -> np.ndarray:
    """PNG bytes -> (H, W, 3) uint8. Raises BadInput if the file is truncated, damaged or not 8-bit RGB."""
    if not data.endswith(PNG_END):
        raise BadInput("PNG is truncated")
    try:
        pixels = decode_simple(data)
        if pixels is not None:
            return pixels
        with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
            image.load()
            if image.mode != "RGB":
                raise BadInput(f"PNG has mode {image.mode}, expected RGB")
            return np.asarray(image)
    except (OSError, SyntaxError, ValueError, zlib.error) as error:  # of the reader above, of Pillow
        raise BadInput(f"PNG does not decode ({error})") from None


def pack_scene(scene: str) -> bytes:
    """The scene file as it is stored."""
    return zlib.compress(scene.encode(), 6)


def unpack_scene(data: bytes) -> str:
    """The scene file's text. Raises BadInput if the bytes are damaged."""
    try:
        return zlib.decompress(data).decode()
    except (zlib.error, UnicodeDecodeError) as error:
        raise BadInput(f"scene does not decompress ({error})") from None


def sample_path(folder: Path, index: int) -> Path:
    """Where the checkpoint of a sample lies."""
    return folder / f"{index:08d}.npz"


def save_sample(folder: Path, index: int, sample: Sample) -> Path:
    """Write the checkpoint of one finished sample; it appears whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    path = sample_path(folder, index)
    write_arrays(path, **_to_arrays(sample))
    return path


def load_sample(folder: Path, index: int) -> Sample:
    """Read one checkpoint. Raises BadInput naming the file if it is missing or damaged."""
    path = sample_path(folder, index)
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return _from_arrays({name: arrays[name] for name in arrays.files})
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise BadInput(
            f"unreadable checkpoint ({type(error).__name__})", file=path, fix="delete it; it is made again"
        ) from None


def missing_indices(folder: Path, indices: Iterable[int]) -> list[int]:
    """The indices without a readable checkpoint; a damaged one (power loss) is deleted."""
    missing = []
    for index in indices:
        path = sample_path(folder, index)
        if not path.exists():
            missing.append(index)
            continue
        try:
            load_sample(folder, index)
        except BadInput:
            path.unlink()
            missing.append(index)
    return missing


def _to_arrays(sample: Sample) -> dict[str, np.ndarray]:
    if isinstance(sample, GivenUp):
        return {"reason": np.array(sample.reason)}
    if isinstance(sample, QuerySample):
        sizes = np.array([len(shot) for shot in sample.shots], dtype=np.int64)
        shots = _bytes_array(b"".join(sample.shots))
        return {"class_id": np.array(sample.class_id), "sizes": sizes, "shots": shots}
    return {
        "image": _bytes_array(sample.image),
        "label_map": sample.label_map,
        "bboxes": sample.bboxes,
        "visibility": sample.visibility,
        "mask_bbox_ratio": sample.mask_bbox_ratio,
        "angles": sample.angles,
        "attempts": np.array(sample.attempts),
        "scene": _bytes_array(pack_scene(sample.scene)),
    }


def _from_arrays(arrays: dict[str, np.ndarray]) -> Sample:
    if "reason" in arrays:
        return GivenUp(str(arrays["reason"]))
    if "class_id" in arrays:
        ends = np.cumsum(arrays["sizes"])
        data = arrays["shots"].tobytes()
        shots = tuple(data[end - size : end] for end, size in zip(ends, arrays["sizes"], strict=True))
        return QuerySample(class_id=int(arrays["class_id"]), shots=shots)
    arrays["image"] = arrays["image"].tobytes()
    arrays["scene"] = unpack_scene(arrays["scene"].tobytes())
    arrays["attempts"] = int(arrays["attempts"])
    return TargetSample(**arrays)


def _bytes_array(data: bytes) -> np.ndarray:
    return np.frombuffer(data, dtype=np.uint8)
