"""A detector over many pictures, picture by picture: what was found survives a kill.

    plain, best = detect_all(detector, pictures, book, folder=ctx.work / "test", after=...)

Every picture is detected alone, so that how they are cut into chunks cannot matter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from experiments.imaginarynet.detectors.api import Detector, Found, Locates, surest
from experiments.imaginarynet.detectors.data.records import picture_digest, read_picture
from suite.arrays import read_arrays, write_arrays
from suite.datasets import CocoSet, Detections
from suite.errors import BadInput

CHUNK = 50  # pictures of one file: a kill costs no more
Proposals = Callable[[Path], np.ndarray]  # file of a picture -> float32 (R, 5) boxes to judge, scores last


@dataclass(frozen=True)
class Item:
    """A picture to detect in."""

    id: int
    file: Path


def items_of(pictures: CocoSet, folder: Path) -> tuple[Item, ...]:
    """The pictures of a set, by id; `folder` holds them."""
    return tuple(Item(image.id, folder / image.file_name) for image in pictures.images)


def from_book(book: Mapping) -> Proposals:
    """Proposals of a picture's file from a ProposalBook. Raises BadInput where the book lacks it."""

    def of(file: Path) -> np.ndarray:
        return book[picture_digest(file)].scored()

    return of


@dataclass(frozen=True, eq=False)
class Many:
    """What a detector found in many pictures; `labels` index its class names."""

    image_ids: np.ndarray  # int64 (N,)
    boxes: np.ndarray  # float32 (N, 4) corners, pixels of the stored pictures
    scores: np.ndarray  # float32 (N,)
    labels: np.ndarray  # int64 (N,)
    without_proposals: int = 0  # pictures that had no box to judge, and so no detection

    def __len__(self) -> int:
        return len(self.scores)

    def detections(self, category_ids: Sequence[int]) -> Detections:
        """The same with the set's ids of the classes. category_ids: one per class of the detector."""
        table = np.asarray(category_ids, np.int64)
        classes = table[self.labels] if len(self) else np.zeros(0)
        return Detections(self.image_ids, classes, self.scores.astype(np.float64), self.boxes)


def detect_all(
    detector: Detector,
    items: Sequence[Item],
    proposals: Proposals | None,
    *,
    folder: Path,
    best: bool = False,
    after: Callable[[], None] = lambda: None,
) -> Many:
    """Detections of all pictures, in their order.

    folder: for finished chunks, which a later call takes over; it must belong to this detector and these
    pictures. best: the surest box of each class alone (`locate`, else the surest of `detect`). after: called
    after each picture; an exception that it raises leaves the finished chunks. Raises BadInput where a
    picture cannot be read or has no entry among the proposals.
    """
    folder.mkdir(parents=True, exist_ok=True)
    parts = []
    for start in range(0, len(items), CHUNK):
        chunk, path = items[start : start + CHUNK], folder / f"{start // CHUNK:05d}.npz"
        if path.exists():
            for _ in chunk:
                after()
        else:
            write_arrays(
                path, **_arrays([_detect(detector, one, proposals, best, after) for one in chunk], chunk)
            )
        parts.append(read_arrays(path))
    return _joined(parts)


def judge(
    detector: Detector, picture: np.ndarray, proposals: np.ndarray | None, *, best: bool = False
) -> Found:
    """What a detector finds in one picture. Raises ValueError where a score or box is not finite."""
    if not best:
        found = detector.detect(picture, proposals)
    elif isinstance(detector, Locates):
        found = detector.locate(picture, proposals)
    else:
        found = surest(detector.detect(picture, proposals))
    if not np.isfinite(found.scores).all() or not np.isfinite(found.boxes).all():
        raise ValueError("a score or box of the detector is not finite")
    return found


def _detect(
    detector: Detector, item: Item, proposals: Proposals | None, best: bool, after: Callable[[], None]
) -> Found | None:
    """None: no box to judge."""
    boxes = None
    if detector.needs_proposals:
        if proposals is None:
            raise BadInput("this detector needs proposals", fix="run the stage `proposals` first")
        boxes = proposals(item.file)
    found = None
    if boxes is None or len(boxes):
        found = judge(detector, read_picture(item.file), boxes, best=best)
    after()
    return found


def _arrays(found: Sequence[Found | None], chunk: Sequence[Item]) -> dict[str, np.ndarray]:
    every = [Found.nothing() if one is None else one for one in found]
    return {
        "image_ids": np.concatenate(
            [np.full(len(f), i.id, np.int64) for f, i in zip(every, chunk, strict=True)]
        ),
        "boxes": np.concatenate([one.boxes for one in every]),
        "scores": np.concatenate([one.scores for one in every]),
        "labels": np.concatenate([one.labels for one in every]),
        "without_proposals": np.array(sum(one is None for one in found)),
    }


def _joined(parts: Sequence[Mapping[str, np.ndarray]]) -> Many:
    if not parts:
        none = Found.nothing()
        return Many(np.zeros(0, np.int64), none.boxes, none.scores, none.labels)
    whole = {
        name: np.concatenate([part[name] for part in parts])
        for name in ("image_ids", "boxes", "scores", "labels")
    }
    return Many(**whole, without_proposals=int(sum(part["without_proposals"] for part in parts)))
