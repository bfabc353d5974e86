"""The finished pictures of an object, as the stage `objects` leaves them, opened for drawing.

A shard's folder: index.json (what it is), pictures.npy uint8 (n, S, S, 3), masks.npy uint8 (n, S, S) with
masks.json (mask_set.py), backgrounds.json (backgrounds.py). QR codes have index.json and backgrounds.json
only. Arrays are mapped, not read: any number of workers share one copy.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from experiments.sample_synthesis.config import SampleSynthesisConfig
from experiments.sample_synthesis.objects.backgrounds import Listed, open_backgrounds_of
from experiments.sample_synthesis.objects.mask_set import FACTS, MASKS
from experiments.sample_synthesis.objects.types import BackgroundSource, ObjectPicture, ObjectSource
from suite.errors import BadInput
from suite.manifest import read_json, write_json

INDEX, PICTURES, BACKGROUNDS = "index.json", "pictures.npy", "backgrounds.json"
AGAIN = "run the stage `objects` again"


@dataclass(frozen=True)
class Index:
    """What a shard holds."""

    object: str
    variant: str  # masked or nogan
    source: str  # kind of the source: stylegan, standin, ...
    size: int  # pixels a side; 0 for QR codes, which have none
    keys: tuple[str, ...]  # of the pictures, row by row
    skipped: dict[str, int]  # left out, by reason
    examples: tuple[str, ...]  # of what was left out

    @property
    def is_standin(self) -> bool:
        """Whether tables have to say "stand-in"."""
        return self.source == "standin"


def write_index(folder: Path, index: Index) -> None:
    """index.json."""
    write_json(folder / INDEX, asdict(index))


def read_index(folder: Path) -> Index:
    """Raises BadInput where it is missing or damaged."""
    tree = read_json(folder / INDEX)
    try:
        return Index(**{**tree, "keys": tuple(tree["keys"]), "examples": tuple(tree["examples"])})
    except (TypeError, KeyError):
        raise BadInput("is missing or damaged", file=folder / INDEX, fix=AGAIN) from None


def find_shard(stage_folder: Path, name: str, variant: str) -> Path:
    """The shard of an object and a variant; naive pastes the pictures of masked. Raises BadInput."""
    wanted = (name, "nogan" if variant == "nogan" else "masked")
    for path in sorted(Path(stage_folder).glob(f"*/{INDEX}")):
        index = read_index(path.parent)
        if (index.object, index.variant) == wanted:
            return path.parent
    fix = "run the stage `objects` with this object and variant"
    raise BadInput(f"holds no pictures of {' '.join(wanted)}", file=stage_folder, fix=fix)


class StoredObjects:
    """Pictures and masks of a shard. rows: which of them are drawn."""

    def __init__(
        self, pictures: np.ndarray, masks: np.ndarray | None, keys: tuple[str, ...], rows: np.ndarray
    ):
        self.pictures, self.masks, self.keys, self.rows = pictures, masks, keys, rows

    def __len__(self) -> int:
        return len(self.rows)

    def draw(self, rng: np.random.Generator) -> ObjectPicture:
        """One picture, every one as likely; arrays are copies."""
        return self.item(int(rng.integers(len(self.rows))))

    def item(self, index: int) -> ObjectPicture:
        """Picture number `index` of those that are drawn."""
        row = int(self.rows[index])
        mask = None if self.masks is None else self.masks[row].astype(np.float32) / np.float32(255)
        return ObjectPicture(np.array(self.pictures[row]), mask, self.keys[row])


def open_objects(
    stage_folder: Path,
    name: str,
    config: SampleSynthesisConfig,
    *,
    variant: str = "masked",
    masks: Path | None = None,
) -> ObjectSource:
    """The objects of one variant, from the folder of the stage `objects`.

    masks: folder of the stage `redo-masks`, which has one sub-folder with masks per shard of `objects`, of
    the same name. naive: the pictures of masked, all of them, without masks. Raises BadInput.
    """
    if name == "qr":
        from experiments.sample_synthesis.synth.qr import PUBLISHED_PX, QrSource

        module_px = config.qr.synthesis.module_px
        return QrSource(PUBLISHED_PX if module_px == "auto" else module_px)
    shard = find_shard(stage_folder, name, variant)
    index = read_index(shard)
    num = len(index.keys)
    pictures = read_array(shard / PICTURES, (num, index.size, index.size, 3), AGAIN)
    if variant == "naive" or config.of(name).masks.provider == "none":
        return StoredObjects(pictures, None, index.keys, np.arange(num))
    folder = shard if masks is None else Path(masks) / shard.name
    again = AGAIN if masks is None else "run the stage `redo-masks` again"
    found = read_array(folder / MASKS, (num, index.size, index.size), again)
    rows = usable_rows(num, folder, again)
    return StoredObjects(pictures, found, index.keys, rows)


def usable_rows(num: int, folder: Path, again: str) -> np.ndarray:
    """Rows whose mask shows something, int64. Raises BadInput where there are none."""
    facts = read_json(folder / FACTS)
    if not isinstance(facts, dict) or "empty" not in facts:
        raise BadInput("is missing or damaged", file=folder / FACTS, fix=again)
    rows = np.setdiff1d(np.arange(num), np.array(facts["empty"], np.int64))
    if not len(rows):
        raise BadInput("every mask is empty", file=folder / MASKS, fix="choose another masks.provider")
    return rows


def open_backgrounds(stage_folder: Path, name: str, config: SampleSynthesisConfig) -> BackgroundSource:
    """The backgrounds of an object, from the folder of the stage `objects`. Raises BadInput."""
    path = find_shard(stage_folder, name, "masked") / BACKGROUNDS
    tree: Any = read_json(path)
    try:
        listed = Listed.from_tree(tree)
    except (TypeError, KeyError):
        raise BadInput("is missing or damaged", file=path, fix=AGAIN) from None
    return open_backgrounds_of(config.of(name).backgrounds, listed)


def read_array(path: Path, shape: tuple[int, ...], fix: str = AGAIN) -> np.ndarray:
    """A mapped uint8 array of a known shape. Raises BadInput."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise BadInput(f"cannot be read ({type(error).__name__})", file=path, fix=fix) from None
    if array.dtype != np.uint8 or array.shape != shape:
        raise BadInput(f"is {array.dtype} {array.shape}, not uint8 {shape}", file=path, fix=fix)
    return array
