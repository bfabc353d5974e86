"""How well the embedding of an object in a scene finds its class among all classes.

The query network embeds every ground-truth box; its nearest row of a bank is the answer. Two banks are asked:

    fresh   the key network's embeddings of every class, all views, their mean direction (one row per class)
    stale   the bank of the training as it stands: one view each, from when the class was last queried

Scenes: those that are held out (`pretrain.held_out`; the models are the same, the pictures are new), the
first training scenes, and where `pretrain.held_out_models` says so, scenes with models that were never seen,
of which the boxes of those models alone are asked. Every class counts the same, however often it is shown:
a scene repeats its objects, so that over boxes the same answer to every question can be right far more often
than chance, 1 / number of classes. The published code measures nothing before fine-tuning.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from experiments.solid.config import SolidConfig
from experiments.solid.config_learning import Pretrain
from experiments.solid.learn.data.index import StoreIndex
from experiments.solid.learn.data.pretrain import held_out_batches, read_query_pictures
from experiments.solid.learn.data.unseen import seen_rows, unseen_classes, unseen_rows
from experiments.solid.learn.pretrain.model import InstanceDetector
from experiments.solid.store.reader import SolidStore

RANKS = (1, 5)  # top-1 and top-5
MEASURED = 64  # training scenes, or as many as are held out where that is more


def hits(embeddings: torch.Tensor, classes: torch.Tensor, bank: torch.Tensor, k: int) -> torch.Tensor:
    """(n,) bool: whether row `classes[i]` of the bank (K, D) is among the k nearest to embedding i (n, D).

    A row that is just as near counts as nearer: embeddings that have collapsed to one point find nothing.
    """
    scores = embeddings @ bank.T
    wanted = scores.gather(1, classes[:, None])
    return (scores >= wanted).sum(dim=1) <= k


def class_average(found: torch.Tensor, classes: torch.Tensor) -> float | None:
    """Mean over the classes in `classes` (n,) of the share of their boxes that were `found` (n,) bool."""
    if not len(classes):
        return None
    counts = torch.bincount(classes).double()
    shown = counts > 0
    return (torch.bincount(classes, found.double())[shown] / counts[shown]).mean().item()


@torch.no_grad()
def fresh_bank(model: InstanceDetector, store: SolidStore, config: SolidConfig) -> torch.Tensor:
    """Rows (K, D), unit, from all views of all classes; 0 for a class without a query (it is in no scene)."""
    num_classes, dim = model.queue.shape
    total = model.queue.new_zeros((num_classes, dim))
    at_once = config.pretrain.num_queries
    for shot in range(store.layout.num_shots):
        for begin in range(0, num_classes, at_once):
            some = range(begin, min(begin + at_once, num_classes))
            ids, pictures = read_query_pictures(store, some, config, shot=shot)
            total.index_add_(0, ids.to(total.device), model.embed_queries(pictures))
    return F.normalize(total, dim=1)


@torch.no_grad()
def embed_scenes(
    model: InstanceDetector, batches: Iterable[list[dict[str, Any]]]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Query network's embeddings (n, D) and classes (n,) of all ground-truth boxes."""
    embeddings, classes = [model.queue.new_zeros((0, model.queue.shape[1]))], [model.queue_ids.new_zeros(0)]
    for batch in batches:
        found, wanted = model.embed_ground_truth(batch)
        embeddings.append(found)
        classes.append(wanted)
    return torch.cat(embeddings), torch.cat(classes)


def scene_rows(index: StoreIndex, settings: Pretrain) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Which rows of the store are measured, and the (C,) bool classes that are asked for there.

    Keys: "train", "held_out" and, with `held_out_models`, "unseen".
    """
    held_out, models, most = settings.held_out, settings.held_out_models, max(settings.held_out, MEASURED)
    unseen = unseen_classes(index.num_classes, models)
    rows = {
        "train": (seen_rows(index, held_out, models)[:most], ~unseen),
        "held_out": (index.held_out_rows(held_out), ~unseen),
    }
    return rows | ({"unseen": (unseen_rows(index, models, most=most), unseen)} if models else {})


def measure(
    model: InstanceDetector, store_path: Path, index: StoreIndex, config: SolidConfig
) -> dict[str, float | int | None]:
    """One line of retrieval.jsonl; the model is in its former mode afterwards.

    Keys: `num_classes`, `chance_top1`, `chance_top5`, and for the scenes of `scene_rows` `<scenes>_boxes`,
    `<scenes>_classes` (how many are shown), `<scenes>_<bank>_top1` and `<scenes>_<bank>_top5` (means over
    classes in 0..1, None without a box).
    """
    was_training = model.training
    model.eval()
    store = SolidStore.open(store_path)
    num_classes = len(model.queue)
    row: dict[str, float | int | None] = {"num_classes": num_classes}
    row |= {f"chance_top{k}": min(1.0, k / num_classes) for k in RANKS}
    banks = {"fresh": fresh_bank(model, store, config), "stale": model.queue}
    for scenes, (rows, asked) in scene_rows(index, config.pretrain).items():
        batches = held_out_batches(store_path, index, config, rows=rows, device=model.device)
        embeddings, classes = embed_scenes(model, batches)
        wanted = torch.from_numpy(asked).to(classes.device)[classes]
        embeddings, classes = embeddings[wanted], classes[wanted]
        row[f"{scenes}_boxes"], row[f"{scenes}_classes"] = len(classes), len(classes.unique())
        for bank, rows_of_bank in banks.items():
            for k in RANKS:
                found = hits(embeddings, classes, rows_of_bank, k)
                row[f"{scenes}_{bank}_top{k}"] = class_average(found, classes)
    model.train(was_training)
    return row
