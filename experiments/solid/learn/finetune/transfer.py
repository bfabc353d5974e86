"""Which tensors of a checkpoint a model takes: those of the same name and shape (SOLID, published code).

Of a pre-training checkpoint that is the whole detector but its last layers. The query network lies there
under detectron2's standard names:

    backbone.bottom_up.*, backbone.fpn_*        ResNet, FPN and their batch norms     loaded
    proposal_generator.rpn_head.*                                                     loaded
    roi_heads.box_head.*                                                              loaded
    roi_heads.mask_head.{mask_fcn*,deconv}                                            loaded
    roi_heads.box_predictor.{cls_score,bbox_pred}   embedding; one box for all        skipped: other shapes
    roi_heads.mask_head.predictor                   one mask for all                  skipped: other shape
    backbone_k.*, roi_heads_k.*, queue, queue_ids   key network, bank                 ignored: no such names
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from suite.errors import BadInput

WRAPPER = "module."  # DistributedDataParallel's prefix
NUM_LISTED = 6


@dataclass(frozen=True)
class Transfer:
    """What happened to every tensor, by name, sorted."""

    loaded: tuple[str, ...]
    skipped: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]]  # shape in the checkpoint, in the model
    ignored: tuple[str, ...]  # in the checkpoint only
    untouched: tuple[str, ...]  # in the model only; they and the skipped ones keep their initial values

    def to_tree(self) -> dict[str, Any]:
        """For transfer.json."""
        return {
            "loaded": list(self.loaded),
            "skipped": {
                name: {"checkpoint": list(theirs), "model": list(ours)}
                for name, (theirs, ours) in self.skipped.items()
            },
            "ignored": list(self.ignored),
            "untouched": list(self.untouched),
        }


def nothing(model: nn.Module) -> Transfer:
    """Random initialisation: no tensor is loaded."""
    return Transfer((), {}, (), tuple(sorted(model.state_dict())))


def transfer(model: nn.Module, tensors: Mapping[str, torch.Tensor], *, file: Path) -> Transfer:
    """Copy into `model` what fits by name and shape. BadInput when nothing does; the differences are listed.

    file: named in the message. Counters of batches count too, so a checkpoint of which they alone fit is
    refused.
    """
    if tensors and all(name.startswith(WRAPPER) for name in tensors):
        tensors = {name.removeprefix(WRAPPER): value for name, value in tensors.items()}
    own = model.state_dict()
    shared = sorted(own.keys() & tensors.keys())
    loaded = [name for name in shared if own[name].shape == tensors[name].shape]
    result = Transfer(
        loaded=tuple(loaded),
        skipped={
            name: (tuple(tensors[name].shape), tuple(own[name].shape))
            for name in shared
            if own[name].shape != tensors[name].shape
        },
        ignored=tuple(sorted(tensors.keys() - own.keys())),
        untouched=tuple(sorted(own.keys() - tensors.keys())),
    )
    if not any(own[name].ndim for name in loaded):
        raise BadInput(
            f"no tensor of this checkpoint fits the model: {_describe(result)}",
            file=file,
            fix="set detector.* to the architecture of the checkpoint, or use init: [random]",
        )
    with torch.no_grad():
        for name in loaded:
            own[name].copy_(tensors[name])
    return result


def unexpected(result: Transfer) -> str | None:
    """One line when more than the last layers differ (a checkpoint of another architecture), else None."""
    last = ("roi_heads.box_predictor.", "roi_heads.mask_head.predictor.")
    odd = [n for n in (*result.skipped, *result.untouched) if not n.startswith(last)]
    if not odd:
        return None
    return (
        f"the checkpoint is of another architecture: {len(result.loaded)} tensors loaded, {len(odd)} keep"
        f" their random values ({_few(odd)}); transfer.json lists all"
    )


def _describe(result: Transfer) -> str:
    parts = [f"{name} {theirs} for {ours}" for name, (theirs, ours) in result.skipped.items()]
    if not parts:
        return f"no common name; it holds {_few(result.ignored)}"
    return f"{len(parts)} of other shapes: {_few(parts)}"


def _few(names: Any) -> str:
    names = list(names)
    more = len(names) - NUM_LISTED
    return ", ".join(names[:NUM_LISTED]) + (f" and {more} more" if more > 0 else "")
