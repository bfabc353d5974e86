"""Noisy labels: the boxes that a trained detector puts where only the classes of a picture are known.

Which of its boxes become labels is not published for W2N. Here: the surest box of every class that the
picture is known to have, as in the Fast R-CNN of OICR (section 3), and with `threshold` every further box of
such a class above it. `prefer_wholes` is a regulariser of our own and not the paper's, which is unpublished.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from experiments.imaginarynet.detectors.api import Found
from suite.arrays import read_arrays, write_arrays
from suite.errors import BadInput

_FIELDS = {
    "picture": np.int64, "boxes": np.float32, "labels": np.int64, "scores": np.float32,
    "loss": np.float32, "sigma": np.float32, "clean_cls": np.bool_, "clean_reg": np.bool_,
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class NoisyLabels:
    """N instances of many pictures; those of one picture need not stand together.

    Raises ValueError where the arrays do not fit together.
    """

    picture: np.ndarray  # int64 (n,): id of the picture
    boxes: np.ndarray  # float32 (n, 4): x1, y1, x2, y2 in pixels of the stored picture
    labels: np.ndarray  # int64 (n,): places in the class list
    scores: np.ndarray  # float32 (n,): of the detector that put the box
    loss: np.ndarray  # float32 (n,): classification loss of the box, NaN where it was not measured
    sigma: np.ndarray  # float32 (n,): spread of the box under jitter, NaN where it was not measured
    clean_cls: np.ndarray  # bool (n,): trusted for classification
    clean_reg: np.ndarray  # bool (n,): trusted for box regression

    def __post_init__(self) -> None:
        for name, dtype in _FIELDS.items():
            values = np.asarray(getattr(self, name), dtype=dtype)
            object.__setattr__(self, name, values)
            wanted = (len(self), 4) if name == "boxes" else (len(self),)
            if values.shape != wanted:
                raise ValueError(f"{name} has shape {values.shape}, must be {wanted}")

    def __len__(self) -> int:
        return len(self.picture)

    @classmethod
    def gather(cls, found: Iterable[tuple[int, Found]]) -> NoisyLabels:
        """All boxes of (picture id, boxes), trusted for both tasks until they are split."""
        pairs = [(number, item) for number, item in found if len(item)]
        if not pairs:
            nothing = np.zeros(0)
            return cls(*(np.zeros((0, 4)) if name == "boxes" else nothing for name in _FIELDS))
        count = sum(len(item) for _, item in pairs)
        return cls(
            picture=np.concatenate([np.full(len(item), number) for number, item in pairs]),
            boxes=np.concatenate([item.boxes for _, item in pairs]),
            labels=np.concatenate([item.labels for _, item in pairs]),
            scores=np.concatenate([item.scores for _, item in pairs]),
            loss=np.full(count, np.nan), sigma=np.full(count, np.nan),
            clean_cls=np.ones(count), clean_reg=np.ones(count),
        )  # fmt: skip

    def rows_of(self) -> dict[int, np.ndarray]:
        """Rows (int64, ascending) of every picture that has any."""
        order = np.argsort(self.picture, kind="stable")
        numbers, starts = np.unique(self.picture[order], return_index=True)
        ends = [*starts[1:], len(order)]
        return {int(n): order[a:b] for n, a, b in zip(numbers, starts, ends[: len(starts)], strict=True)}

    def of(self, number: int) -> Found:
        """The boxes of one picture."""
        rows = self.picture == number
        return Found(self.boxes[rows], self.scores[rows], self.labels[rows])

    def measured(self, *, loss: np.ndarray, sigma: np.ndarray) -> NoisyLabels:
        """The same labels with these figures."""
        return replace(self, loss=loss, sigma=sigma)

    def save(self, path: Path) -> None:
        """Write them as .npz."""
        write_arrays(path, **{name: getattr(self, name) for name in _FIELDS})

    @classmethod
    def load(cls, path: Path) -> NoisyLabels:
        """Undo of `save`. Raises BadInput where the file is missing, damaged or none of these."""
        fix = "delete it to make it again"
        arrays = read_arrays(path, fix=fix)
        try:
            return cls(**{name: arrays[name] for name in _FIELDS})
        except (KeyError, ValueError) as error:
            raise BadInput(f"holds no noisy labels ({error})", file=path, fix=fix) from None


def pseudo_boxes(found: Found, present: Sequence[int] | frozenset[int], threshold: float | None) -> Found:
    """The boxes of `found` that become labels of a picture with the classes `present`.

    The surest of each class; with a threshold, all of the class with a higher score as well. A class of which
    nothing was found gets no box; a box of a class that is not present is never kept.
    """
    keep = np.zeros(len(found), bool)
    for label in sorted(present):
        rows = np.flatnonzero(found.labels == label)
        if len(rows):
            keep[rows[np.argmax(found.scores[rows])]] = True
            if threshold is not None:
                keep[rows[found.scores[rows] > threshold]] = True
    return take(found, np.flatnonzero(keep))


def with_former(chosen: Found, former: Found) -> Found:
    """`chosen`, and the boxes of `former` of every class that `chosen` has none of. Ours.

    So a class that a picture is known to have keeps a box where the detector of a round finds none.
    """
    absent = np.flatnonzero(~np.isin(former.labels, chosen.labels))
    return _joined([chosen, take(former, absent)])


def prefer_wholes(chosen: Found, every: Found, *, cover: float, score_ratio: float) -> tuple[Found, int]:
    """Our own regulariser against boxes of parts: (boxes, how many were replaced).

    A chosen box gives way to a larger box of the same class in `every` that covers at least the share `cover`
    of it and has at least `score_ratio` of its score: to the surest of them, and so on until there is none.
    Boxes that become equal are kept once.
    """
    rows, replaced = [], 0
    areas = area(every.boxes)
    for index in range(len(chosen)):
        box, label, floor = chosen.boxes[index], chosen.labels[index], score_ratio * chosen.scores[index]
        row = None
        while True:
            larger = (every.labels == label) & (every.scores >= floor) & (areas > area(box))
            larger &= overlap(box, every.boxes) >= cover * area(box)
            if not larger.any():
                break
            row = int(np.flatnonzero(larger)[np.argmax(every.scores[larger])])
            box = every.boxes[row]
        replaced += row is not None
        rows.append(take(chosen, [index]) if row is None else take(every, [row]))
    if not rows:
        return chosen, 0
    return _unique(rows), replaced


def take(found: Found, rows: np.ndarray | list[int]) -> Found:
    """These rows of the detections."""
    return Found(found.boxes[rows], found.scores[rows], found.labels[rows])


def area(boxes: np.ndarray) -> np.ndarray:
    """Area in square pixels of boxes (..., 4)."""
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def overlap(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """float (n,): area in square pixels that `box` (4,) shares with each of `boxes` (n, 4)."""
    sides = np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2])
    return np.clip(sides, 0, None).prod(1)


def _unique(parts: list[Found]) -> Found:
    """Each (box, class) once, the first of them, in order."""
    every = _joined(parts)
    _, first = np.unique(np.column_stack([every.boxes, every.labels]), axis=0, return_index=True)
    return take(every, np.sort(first))


def _joined(parts: list[Found]) -> Found:
    return Found(
        np.concatenate([part.boxes for part in parts]),
        np.concatenate([part.scores for part in parts]),
        np.concatenate([part.labels for part in parts]),
    )
