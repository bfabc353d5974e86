"""Proposals made elsewhere: MATLAB files in the form of Fast R-CNN's code, and .npz files.

.mat (up to v7; v7.3 is HDF5 and is refused): `images`, a cell of names without suffix; `boxes`, a cell of
(R, 4) arrays y1 x1 y2 x2, counted from 1, last pixel included (Selective Search as OICR's and WSDDN's code
read it); `boxScores` or `scores`, a cell of (R,) arrays, optional (WSDDN's Edge Boxes).
.npz: `names` (text) or `digests` (SHA-256, hex) of the pictures; `offsets`, `boxes`, `scores` (optional) as
in book.py, x1 y1 x2 y2, half-open. Nothing is unpickled: the pickles that detectron2 and mmdet read are none
of these forms.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

import numpy as np

from experiments.imaginarynet.detectors.proposals.records import Proposals
from suite.arrays import read_arrays
from suite.errors import BadInput

SCORES = ("boxScores", "scores")
HDF5_MARK = b"MATLAB 7.3"


@dataclass(frozen=True)
class External:
    """Proposals of one file, as they stand there: neither clipped nor rid of duplicates, surest first."""

    file: Path
    by_name: Mapping[str, Proposals]
    by_digest: Mapping[str, Proposals]

    def find(self, digest: str, name: str) -> Proposals | None:
        """Those of a picture, by its digest or else by its name without suffix; None: it is not there."""
        found = self.by_digest.get(digest)
        return self.by_name.get(PurePath(name).stem) if found is None else found


def read_external(path: Path) -> External:
    """Read .mat or .npz. Raises BadInput for any other file and for one that does not have these forms."""
    path = Path(path)
    if path.suffix == ".mat":
        return External(path, _read_mat(path), {})
    if path.suffix == ".npz":
        return _read_npz(path)
    what = f"proposals in {path.suffix or 'a file without suffix'} are not read: pickles run what they hold"
    raise BadInput(what, file=path, fix="write them as .npz (README, proposals) or .mat")


def check_names(external: External, files: Iterable[Path]) -> None:
    """Raises BadInput where a name in the file fits two pictures: whose boxes would they be?"""
    seen: dict[str, Path] = {}
    for file in files:
        if file.stem not in external.by_name:
            continue
        if file.stem in seen and seen[file.stem] != file:
            what = f"`{file.stem}` fits {seen[file.stem]} and {file}"
            raise BadInput(what, file=external.file, fix="write an .npz with `digests`")
        seen[file.stem] = file


# --- MATLAB ---


def _read_mat(path: Path) -> dict[str, Proposals]:
    tree = _load_mat(path)
    missing = [name for name in ("images", "boxes") if name not in tree]
    if missing:
        what = f"lacks {' and '.join(missing)}; it has {', '.join(sorted(tree)) or 'nothing'}"
        raise BadInput(what, file=path, fix="see the forms in the README, proposals")
    names = [_text(cell, path) for cell in tree["images"].ravel()]
    boxes = list(tree["boxes"].ravel())
    key = next((name for name in SCORES if name in tree), None)
    scores = list(tree[key].ravel()) if key else [None] * len(boxes)
    if not len(names) == len(boxes) == len(scores):
        what = f"has {len(names)} images, {len(boxes)} boxes, {len(scores)} scores"
        raise BadInput(what, file=path, fix="the cells must be as long as each other")
    rows = zip(names, boxes, scores, strict=True)
    return {name: _from_matlab(box, score, path, name) for name, box, score in rows}


def _load_mat(path: Path) -> dict[str, np.ndarray]:
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    fix = "save it with -v7"
    try:
        with path.open("rb") as stream:
            if stream.read(len(HDF5_MARK)) == HDF5_MARK:
                raise BadInput("is of MATLAB's version 7.3, which is not read", file=path, fix=fix)
        tree = loadmat(str(path))
    except FileNotFoundError:
        raise BadInput("no such file", file=path, fix="check `proposals.files`") from None
    # What scipy raises for damaged files depends on where the damage is.
    except (MatReadError, NotImplementedError, ValueError, TypeError, EOFError, OSError) as error:
        raise BadInput(f"cannot be read as .mat ({type(error).__name__})", file=path, fix=fix) from None
    return {name: np.asarray(value) for name, value in tree.items() if not name.startswith("__")}


def _text(cell: object, path: Path) -> str:
    """A cell with a string in it, as loadmat nests them."""
    while isinstance(cell, np.ndarray):
        if cell.size != 1:
            raise BadInput("`images` is no cell of names", file=path, fix="see the README, proposals")
        cell = cell.ravel()[0]
    return PurePath(str(cell)).stem


def _from_matlab(boxes: object, scores: object, path: Path, name: str) -> Proposals:
    """y1 x1 y2 x2 from 1 on, last pixel included -> x1 y1 x2 y2 from 0 on, half-open."""
    rows = np.asarray(boxes, np.float64) if np.asarray(boxes).dtype != object else np.zeros((1, 0))
    rows = rows if rows.size else rows.reshape(0, 4)
    if rows.ndim != 2 or rows.shape[1] != 4:
        raise BadInput(f"boxes of {name} are {rows.shape}, need (R, 4)", file=path, fix="write y1 x1 y2 x2")
    moved = rows[:, [1, 0, 3, 2]] - [1, 1, 0, 0]
    return _sorted(moved, None if scores is None else np.asarray(scores), path, name)


# --- npz ---


def _read_npz(path: Path) -> External:
    arrays = read_arrays(path, fix="write it again")
    keys = [name for name in ("names", "digests") if name in arrays]
    missing = [name for name in ("offsets", "boxes") if name not in arrays]
    if missing or len(keys) != 1:
        what = f"lacks {', '.join(missing) or 'either `names` or `digests`'}"
        raise BadInput(what, file=path, fix="see the forms in the README, proposals")
    words = [word.decode() if isinstance(word, bytes) else str(word) for word in arrays[keys[0]].ravel()]
    parts = _split(arrays, words, path)
    if keys == ["digests"]:
        return External(path, {}, parts)
    return External(path, {PurePath(word).stem: rows for word, rows in parts.items()}, {})


def _split(arrays: Mapping[str, np.ndarray], words: Sequence[str], path: Path) -> dict[str, Proposals]:
    offsets, boxes = arrays["offsets"], arrays["boxes"]
    is_whole = np.issubdtype(offsets.dtype, np.integer) and offsets.shape == (len(words) + 1,)
    if not is_whole or boxes.ndim != 2 or boxes.shape[1] != 4:
        what = f"offsets {offsets.shape} of {len(words)} pictures, boxes {boxes.shape}"
        raise BadInput(what, file=path, fix="need (n + 1,) whole numbers and (N, 4)")
    if offsets[0] != 0 or offsets[-1] != len(boxes) or (np.diff(offsets) < 0).any():
        raise BadInput("offsets do not cut the boxes into pictures", file=path, fix="count them again")
    scores = arrays.get("scores")
    if scores is not None and scores.shape != (len(boxes),):
        raise BadInput(f"scores are {scores.shape}, need ({len(boxes)},)", file=path, fix="one per box")
    pieces = zip(words, offsets[:-1], offsets[1:], strict=True)
    return {
        word: _sorted(boxes[a:b], None if scores is None else scores[a:b], path, word)
        for word, a, b in pieces
    }


def _sorted(boxes: np.ndarray, scores: np.ndarray | None, path: Path, name: str) -> Proposals:
    """With the surest first; boxes of equal score keep their order."""
    if scores is not None and scores.size != len(boxes):
        what = f"{name} has {len(boxes)} boxes, {scores.size} scores"
        raise BadInput(what, file=path, fix="one score per box")
    try:
        found = Proposals.of(boxes, scores)
    except (TypeError, ValueError):
        raise BadInput(f"boxes of {name} are no numbers", file=path, fix="write them as floats") from None
    if not (np.isfinite(found.boxes).all() and np.isfinite(found.scores).all()):
        raise BadInput(f"boxes of {name} are not finite", file=path, fix="leave such boxes out")
    order = np.argsort(-found.scores, kind="stable")
    return Proposals(found.boxes[order], found.scores[order])
