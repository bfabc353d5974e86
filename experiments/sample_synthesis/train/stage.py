"""The stages `pretrain` and `cells`: a shard trains some cells of one object, one after the other.

A shard's folder holds a folder per cell:

    weights.npz            the chosen epoch's
    history.json           a row per epoch: loss and its parts, val_meanAP
    predictions_*.npz      what it finds in the validation and the test pictures, in their own pixels
    cell.json              which cell, which epoch, digests; written last

A stopped shard goes on at the step where it was; a cell whose files are damaged is trained again.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from experiments.sample_synthesis.cells import Cell
from experiments.sample_synthesis.shards import cell_shards, pretrain_shards
from experiments.sample_synthesis.train import runtime
from experiments.sample_synthesis.train.cell_files import WEIGHTS, cell_folder
from experiments.sample_synthesis.train.session import Detectors, train_cell
from experiments.sample_synthesis.train.sources import stage_sources
from suite.paths import data_path

if TYPE_CHECKING:
    from experiments.sample_synthesis.config import SampleSynthesisConfig
    from suite.stage import Context


def run_pretrain(ctx: Context) -> None:
    """One shard of `pretrain`: cells that see synthetic images only."""
    _run(ctx, pretrain_shards(ctx.config)[ctx.shard or 0])


def run_cells(ctx: Context) -> None:
    """One shard of `cells`: all others."""
    _run(ctx, cell_shards(ctx.config)[ctx.shard or 0])


def _run(ctx: Context, cells: tuple[Cell, ...]) -> None:
    config, (name,) = ctx.config, ctx.config.objects
    runtime.setup(threads=config.compute.threads, device=ctx.device, precision=config.compute.precision)
    sources = stage_sources(config, name, ctx.inputs, seed=ctx.seed)
    detectors = Detectors(config, seed=ctx.seed, weights=imagenet_folder(config, ctx.inputs.get("weights")))
    with ctx.progress(len(cells)) as bar:
        for cell in cells:
            ctx.check_stop()
            facts = train_cell(
                cell, config=config, sources=sources, detectors=detectors, seed=ctx.seed,
                out=ctx.out / cell.name, work=ctx.work / cell.name, parent=_parent_weights(ctx, cell),
                check_stop=ctx.check_stop,
            )  # fmt: skip
            bar.advance()
            ctx.count("cells")
            ctx.count("steps", facts["steps"])
            ctx.event("trained", cell=cell.name, epoch=facts["epoch"], val_meanAP=facts["val_meanAP"])


def imagenet_folder(config: SampleSynthesisConfig, converted: Path | None = None) -> Path | None:
    """Where ImageNet weights lie: the user's folder, else that of the stage that converts packaged ones."""
    weights = config.detector.weights
    return data_path(weights) if weights is not None else converted


def _parent_weights(ctx: Context, cell: Cell) -> Path | None:
    """The weights that a finetuned cell starts from. Raises BadInput where they are not there, or damaged."""
    if cell.parent is None:
        return None
    return cell_folder(ctx.inputs["pretrain"], cell.parent) / WEIGHTS
