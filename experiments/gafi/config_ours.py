"""Our own sections of the settings, in the published two-level form.

`faithful:` names the value that does as the published code does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


def check_at_least(name: str, value: float, least: float) -> None:
    """Raise ValueError, which the reader of configs turns into one line with the file's name."""
    if value < least:
        raise ValueError(f"`{name}` is {value:g}, must be at least {least:g}")


def check_above(name: str, value: float, bound: float) -> None:
    """Raise ValueError where value <= bound."""
    if value <= bound:
        raise ValueError(f"`{name}` is {value:g}, must be above {bound:g}")


@dataclass(frozen=True)
class SubsetSection:
    """SUBSET: how much of the data set is used. Stratified; null: all of it (faithful)."""

    train: int | None = None
    val: int | None = None
    test: int | None = None
    folder: str | None = None  # where the data set lies; null: the usual places (README, "Data")

    def __post_init__(self) -> None:
        for name in ("train", "val", "test"):
            if getattr(self, name) is not None:
                check_at_least(f"SUBSET.{name}", getattr(self, name), 1)


@dataclass(frozen=True)
class SamplingSection:
    """SAMPLING: how generated pictures are drawn and kept."""

    batch_size: int = 1024  # latents per compiled call; changes no picture
    store: Literal["float32", "uint8"] = "float32"  # faithful: float32
    fallback: Literal["unfiltered", "topk", "error"] = "unfiltered"  # at the cap; faithful: unfiltered
    max_attempts: int = 1000  # the cap where filtering_attempts is -1; faithful: 0, none
    multigan_streams: Literal["own", "shared"] = "own"  # faithful: shared latents of all GANs at first

    def __post_init__(self) -> None:
        check_at_least("SAMPLING.batch_size", self.batch_size, 1)
        check_at_least("SAMPLING.max_attempts", self.max_attempts, 0)


@dataclass(frozen=True)
class SearchSection:
    """SEARCH: by which pictures epoch, stddev and threshold are chosen, and how the work is cut."""

    selection_split: Literal["val", "test"] = "val"  # faithful: test, for the best epoch inside a run too
    epochs: int | None = None  # of a candidate of ckpt, stddev, threshold; null (faithful): those of `best`
    candidates_per_shard: int = 4
    common_random_numbers: bool = True  # all candidates see the same latents; faithful: in the first set only
    keep_epochs: bool = True  # keep each epoch's classifier, so that the report can choose by test afterwards

    def __post_init__(self) -> None:
        check_at_least("SEARCH.candidates_per_shard", self.candidates_per_shard, 1)
        if self.epochs is not None:
            check_at_least("SEARCH.epochs", self.epochs, 1)


@dataclass(frozen=True)
class RecycleSection:
    """RECYCLE: after how many epochs new pictures are generated, and what share of them. 0 epochs: never."""

    search: int = 10  # ckpt, stddev, threshold (published: "fast")
    best: int = 1  # best and MultiGAN (published: "accurate")
    factor: float = 1.0  # share that is replaced (published: 1)

    def __post_init__(self) -> None:
        check_at_least("RECYCLE.search", self.search, 0)
        check_at_least("RECYCLE.best", self.best, 0)
        if not 0 < self.factor <= 1:
            raise ValueError(f"`RECYCLE.factor` is {self.factor:g}, must lie in 0..1, above 0")


@dataclass(frozen=True)
class ComputeSection:
    """COMPUTE: how it is computed, and the GANs of a run."""

    threads: int = 1  # of one process on the CPU; processes are what runs in parallel
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"  # other than float32: wins
    xla_classifier: bool = False  # off by measurement on the CPU
    xla_gan: bool = False
    checkpoint_every: int = 500  # GAN steps between two states to go on from; an epoch's end writes one too
    checkpoint_epochs: int = 1  # the same for classifiers, in epochs
    keep_every: int = 1  # GAN epochs whose averaged generator is kept, and the last (published: each)
    sn_stop_gradient: bool = True  # no gradient through the power iteration; faithful: false
    init_sharing: Literal["own", "upstream"] = "own"  # faithful: upstream, kernels of a shape begin equal
    lr_milestones: tuple[float, ...] = (60, 80)  # lr falls to a tenth; below 1: shares of the epochs
    gan_seeds: tuple[int, ...] = ()  # of the GANs; empty: as the names in the MultiGAN file say

    def __post_init__(self) -> None:
        for name in ("threads", "checkpoint_every", "checkpoint_epochs", "keep_every"):
            check_at_least(f"COMPUTE.{name}", getattr(self, name), 1)
        if len(set(self.gan_seeds)) < len(self.gan_seeds) or any(seed < 0 for seed in self.gan_seeds):
            raise ValueError("`COMPUTE.gan_seeds` must name each seed once, none below 0")
        for value in self.lr_milestones:
            check_above("COMPUTE.lr_milestones", value, 0)


@dataclass(frozen=True)
class MetricsSection:
    """METRICS: of generated pictures against real ones."""

    extractor: str = "c_real"  # whose features are compared: the classifier of real pictures
    nearest: int = 5  # neighbours of precision, recall, density, coverage
    num_fakes: int = 50_000  # published

    def __post_init__(self) -> None:
        check_at_least("METRICS.nearest", self.nearest, 1)
        check_at_least("METRICS.num_fakes", self.num_fakes, 1)
