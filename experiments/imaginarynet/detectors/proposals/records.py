"""The proposals of one picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Proposals:
    """Boxes where an object of any class may be, those of higher score first.

    Selective Search scores none: their scores are 0, as in WSDDN's published code, and their order is drawn.
    """

    boxes: np.ndarray  # float32 (R, 4): x1, y1, x2, y2 in pixels of the stored picture, half-open
    scores: np.ndarray  # float32 (R,)

    def __post_init__(self) -> None:
        if self.boxes.shape != (len(self.scores), 4) or self.scores.ndim != 1:
            raise ValueError(
                f"boxes {self.boxes.shape} and scores {self.scores.shape} do not belong together"
            )
        if self.boxes.dtype != np.float32 or self.scores.dtype != np.float32:
            raise ValueError(f"boxes are {self.boxes.dtype}, scores {self.scores.dtype}; need float32")

    def __len__(self) -> int:
        return len(self.boxes)

    def head(self, count: int) -> Proposals:
        """The first `count`."""
        return Proposals(self.boxes[:count], self.scores[:count])

    def scored(self) -> np.ndarray:
        """float32 (R, 5): x1, y1, x2, y2, score, as detectors take them (api.Detector)."""
        return np.column_stack([self.boxes, self.scores])

    @classmethod
    def of(cls, boxes: np.ndarray, scores: np.ndarray | None = None) -> Proposals:
        """From boxes (R, 4) of any number type, with scores (R,) or 0."""
        boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
        scores = np.zeros(len(boxes)) if scores is None else scores
        return cls(boxes, np.asarray(scores, np.float32).reshape(-1))
