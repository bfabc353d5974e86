"""The proposals of many pictures, looked up by the SHA-256 of the picture's file.

The `proposals` stage leaves one `proposals.npz` per shard. A file has the arrays `digests` (S64, one per
picture, sorted), `offsets` (int64, one more than pictures), `boxes` (float32, (N, 4)), `scores` (float32,
(N,)): picture i owns the rows offsets[i]..offsets[i + 1]. All of it is in memory once opened, 20 bytes a box.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from experiments.imaginarynet.detectors.proposals.records import Proposals
from suite.arrays import read_arrays, write_arrays
from suite.errors import BadInput

FILE = "proposals.npz"
_ARRAYS = {  # name -> type and length of a row
    "digests": ("|S64", ()), "offsets": ("<i8", ()), "boxes": ("<f4", (4,)), "scores": ("<f4", ()),
}  # fmt: skip


@dataclass(frozen=True)
class ProposalBook:
    """Proposals by digest. `book[digest]` raises BadInput for a picture that nobody searched."""

    folder: Path
    _places: Mapping[str, tuple[int, int]]  # digest -> (file, row)
    _files: Sequence[Mapping[str, np.ndarray]]

    @classmethod
    def open(cls, folder: Path) -> ProposalBook:
        """A finished `proposals` stage, or any folder of `proposals.npz` files up to one folder deep.

        Raises BadInput where there is none or one is damaged.
        """
        folder = Path(folder)
        paths = sorted([*folder.glob(FILE), *folder.glob(f"[0-9]*/{FILE}")])
        if not paths:
            raise BadInput("has no proposals", file=folder, fix="run the stage `proposals` first")
        files = [_read(path) for path in paths]
        places = {
            digest.decode(): (number, row)
            for number, arrays in enumerate(files)
            for row, digest in enumerate(arrays["digests"])
        }
        return cls(folder, places, files)

    def __getitem__(self, digest: str) -> Proposals:
        if digest not in self._places:
            fix = "run `proposals` again on the data that the detector uses"
            raise BadInput(f"has no proposals for the picture {digest[:12]}", file=self.folder, fix=fix)
        number, row = self._places[digest]
        arrays = self._files[number]
        begin, end = arrays["offsets"][row : row + 2]
        return Proposals(arrays["boxes"][begin:end], arrays["scores"][begin:end])

    def __contains__(self, digest: object) -> bool:
        return digest in self._places

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def is_empty(self, digest: str) -> bool:
        """Whether the search found nothing there, or could not read the picture: to be left out of training.

        Raises BadInput for a picture that nobody searched.
        """
        return len(self[digest]) == 0


def write_book(folder: Path, found: Mapping[str, Proposals]) -> Path:
    """Write the proposals of some pictures as `folder/proposals.npz`; returns its path."""
    digests = sorted(found)
    counts = [len(found[digest]) for digest in digests]
    folder.mkdir(parents=True, exist_ok=True)
    write_arrays(
        folder / FILE,
        digests=np.array([digest.encode() for digest in digests], "S64"),
        offsets=np.concatenate(([0], np.cumsum(counts, dtype=np.int64))).astype(np.int64),
        boxes=np.concatenate([np.zeros((0, 4), np.float32), *(found[digest].boxes for digest in digests)]),
        scores=np.concatenate([np.zeros(0, np.float32), *(found[digest].scores for digest in digests)]),
    )
    return folder / FILE


def _read(path: Path) -> dict[str, np.ndarray]:
    fix = "run the stage `proposals` again"
    arrays = read_arrays(path, fix=fix)
    wrong = [name for name, form in _ARRAYS.items() if name not in arrays or _form(arrays[name]) != form]
    if wrong:
        raise BadInput(f"is no file of proposals: lacks {', '.join(wrong)}", file=path, fix=fix)
    counts, offsets = np.diff(arrays["offsets"]), arrays["offsets"]
    fits = len(offsets) == len(arrays["digests"]) + 1 and (counts >= 0).all() and offsets[0] == 0
    if not fits or offsets[-1] != len(arrays["boxes"]) or offsets[-1] != len(arrays["scores"]):
        raise BadInput("is no file of proposals: its arrays do not fit together", file=path, fix=fix)
    return arrays


def _form(array: np.ndarray) -> tuple[str, tuple[int, ...]]:
    return array.dtype.str, array.shape[1:]
