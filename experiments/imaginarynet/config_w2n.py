"""The settings of W2N, which learns from the boxes that a trained OICR finds, as noisy labels.

Defaults are the published code's where it has them; configs/paper.yaml has the sources line by line. What the
paper left unpublished is ours and switchable: `threshold`, `parts`, `per_class`, `ignore_unclean`, `relabel`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from experiments.imaginarynet.config_sections import _at_least, _share
from experiments.imaginarynet.config_semi import SemiConfig


@dataclass(frozen=True)
class W2NRound:
    """One round of the semi-supervised module. It starts from the detector of the round before."""

    steps: int = 30_000
    lr: float = 0.01
    decay_steps: tuple[int, ...] = (29_000, 29_500)  # the learning rate falls to a tenth at each
    relabel: bool = True  # false: the labels of the round before stay
    split: bool = False  # true: each task learns from the instances that it trusts; false: from all
    teacher_boxes: bool = False  # true: teacher boxes that pass the jitter test are regressed to, too

    def __post_init__(self) -> None:
        _at_least("w2n.rounds", 1, steps=self.steps)
        _at_least("w2n.rounds", 0, lr=self.lr)


FIRST, SECOND = W2NRound(teacher_boxes=True), W2NRound(split=True)  # the two published configs


@dataclass(frozen=True)
class W2NConfig:
    """A Faster R-CNN on noisy labels, then rounds with a teacher on the instances that are trusted.

    `student` is the network, how it sees pictures, how it is tested, and its supervised training on all noisy
    labels; in the rounds its `ema`, `threshold`, `unlabelled_weight` and batch sizes hold. Its `burn_in` does
    not: a round has a trained detector to begin with.
    """

    student: SemiConfig = field(default_factory=SemiConfig)
    threshold: float | None = None  # boxes of a known class above it are labels beside its surest; ours
    parts: bool = False  # true: a box gives way to a larger one that covers it (labels.prefer_wholes); ours
    parts_cover: float = 0.85  # share of the smaller box
    parts_score: float = 0.5  # of the larger box, over that of the smaller
    rounds: tuple[W2NRound, ...] = (FIRST, SECOND)  # none: the detector that noisy labels gave is the result
    clean_cls: float = 7000  # instances trusted for classification; up to 1: a share of all
    clean_reg: float = 7000  # and for box regression
    per_class: bool = False  # true: that share of each class; ours
    ignore_unclean: bool = False  # true: instances that a task does not trust are no background either; ours
    use_image_labels: bool = True  # teacher boxes of classes that a picture does not have are dropped
    box_threshold: float = 0.5  # teacher boxes above it take the jitter test
    jitter_copies: int = 10
    jitter_share: float = 0.06  # of a box's width and height
    max_spread: float = 0.02  # a box below it passes

    def __post_init__(self) -> None:
        for name in ("parts_cover", "box_threshold", "jitter_share"):
            _share("w2n", name, getattr(self, name))
        _at_least("w2n", 0, parts_score=self.parts_score, max_spread=self.max_spread)
        _at_least("w2n", 2, jitter_copies=self.jitter_copies)
        for name in ("clean_cls", "clean_reg"):
            if not getattr(self, name) > 0:
                raise ValueError(f"`w2n.{name}` is {getattr(self, name):g}, must be above 0")
        if self.threshold is not None:
            _share("w2n", "threshold", self.threshold)
