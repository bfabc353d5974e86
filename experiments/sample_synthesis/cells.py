"""The grid of trainings: which there are, what each starts from, how long it lasts.

Everything here follows from the settings alone, so that a wide stage can be cut before anything is there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from experiments.sample_synthesis.config import SampleSynthesisConfig
from experiments.sample_synthesis.names import ALL, VARIANTS, Variant

Arm = Literal["pretrained", "from_scratch", "finetuned", "matched", "mixed"]


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One training and its evaluation."""

    object: str
    arch: str
    arm: Arm
    variant: Variant  # of the synthetic images, where the arm or its parent sees any
    num_real: int | None  # real images of its row, which a pretraining does not see; None: of no such row
    factor: int | None  # pretraining ablation: synthetic images per real one
    run: int  # from 1, as published
    ablation: str | None  # pretraining, naive, nogan; None: the main experiment

    @property
    def name(self) -> str:
        """The name of the cell's folder: `qr-mobilenet-finetuned-50-run1`."""
        parts = [self.object, self.arch, self.arm]
        parts += [] if self.num_real is None else [str(self.num_real)]
        parts += [] if self.factor is None else [f"{self.factor}x"]
        parts += [] if self.variant == "masked" else [self.variant]
        return "-".join([*parts, f"run{self.run}"])

    @property
    def parent(self) -> Cell | None:
        """The pretrained cell that it starts from; None: it starts from the backbone's initial weights."""
        if self.arm != "finetuned":
            return None
        num_real = None if self.factor is None else self.num_real
        return Cell(
            object=self.object, arch=self.arch, arm="pretrained", variant=self.variant, num_real=num_real,
            factor=self.factor, run=self.run, ablation=self.ablation,
        )  # fmt: skip

    @property
    def is_pretraining(self) -> bool:
        """Whether it sees synthetic images only."""
        return self.arm == "pretrained"

    @property
    def sees_synthetic(self) -> bool:
        """Whether synthetic images are trained on in this very session."""
        return self.arm in ("pretrained", "mixed")

    @property
    def sees_real(self) -> bool:
        """Whether real images are trained on in this very session."""
        return not self.is_pretraining


def cells(config: SampleSynthesisConfig) -> tuple[Cell, ...]:
    """All cells, in a fixed order: per object the main grid, then its ablations."""
    found = []
    for name in config.objects:
        for arch in config.detector.archs:
            found += _main(config, name, arch)
        for ablation in config.ablations:
            for arch in config.detector.archs:
                found += _ablation(config, name, arch, ablation)
    return tuple(found)


def pretraining_cells(config: SampleSynthesisConfig) -> tuple[Cell, ...]:
    """Those of the stage `pretrain`."""
    return tuple(cell for cell in cells(config) if cell.is_pretraining)


def other_cells(config: SampleSynthesisConfig) -> tuple[Cell, ...]:
    """Those of the stage `cells`."""
    return tuple(cell for cell in cells(config) if not cell.is_pretraining)


def variants(config: SampleSynthesisConfig, name: str) -> tuple[Variant, ...]:
    """The kinds of synthetic images of an object that some cell trains on."""
    return tuple(v for v in VARIANTS if v == "masked" or (v in config.ablations and v in ALL[name].variants))


def epochs(config: SampleSynthesisConfig, cell: Cell) -> int:
    """Length of a cell's own session, in epochs of `train.steps_per_epoch`.

    In the pretraining ablation every session has the epochs of a real training, and `mixed` twice those, as
    its pretraining and finetuning have together. `matched` has as many as a main pretraining and finetuning.
    """
    grid = config.of(cell.object).grid
    if cell.arm == "mixed":
        return 2 * grid.epochs_real
    if cell.arm == "matched":
        return grid.epochs_pretrain + grid.epochs_real
    if cell.is_pretraining and cell.factor is None:
        return grid.epochs_pretrain
    return grid.epochs_real


def num_synthetic(config: SampleSynthesisConfig, cell: Cell) -> int | None:
    """How many of the first synthetic images a cell trains on; None where it sees none in its session."""
    if not cell.sees_synthetic:
        return None
    if cell.factor is None:
        return config.of(cell.object).synthesis.num_samples
    return cell.factor * cell.num_real


def ablation_images(config: SampleSynthesisConfig, name: str) -> int:
    """Real images of an object's ablations."""
    return config.ablation.qr_images if name == "qr" else config.ablation.images


def _main(config: SampleSynthesisConfig, name: str, arch: str) -> Iterator[Cell]:
    if not config.arms:  # an ablation by itself
        return
    for run in range(1, config.train.runs + 1):
        common = {"object": name, "arch": arch, "variant": "masked", "factor": None, "run": run}
        yield Cell(arm="pretrained", num_real=None, ablation=None, **common)
        for size in config.of(name).grid.sizes:
            for arm in config.arms:
                yield Cell(arm=arm, num_real=size, ablation=None, **common)


def _ablation(config: SampleSynthesisConfig, name: str, arch: str, ablation: str) -> Iterator[Cell]:
    images = ablation_images(config, name)
    for run in range(1, config.train.runs + 1):
        common = {"object": name, "arch": arch, "run": run, "ablation": ablation}
        if ablation == "pretraining":
            for factor in config.ablation.factors:
                for arm in ("mixed", "pretrained", "finetuned"):
                    yield Cell(arm=arm, variant="masked", num_real=images, factor=factor, **common)
        elif ablation in ALL[name].variants:
            yield Cell(arm="pretrained", variant=ablation, num_real=None, factor=None, **common)
            yield Cell(arm="finetuned", variant=ablation, num_real=images, factor=None, **common)
