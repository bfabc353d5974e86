"""Stage `compare`: our detector beside torchvision's SSDlite and RetinaNet under the same budget.

    python -m suite reproduce dense-detector --until compare-table

One shard per (model, input, seed); within a shard the learning rate is chosen from `compare.lrs` by AP on the
validation pictures after `compare.search_steps` steps each, then the model is trained from scratch for
`compare.max_steps` steps and measured on the test pictures. Equal for all: pictures, classes, splits, order
of pictures, number of pictures seen (max_steps * train.batch_size), flips and jitter, optimiser, schedule,
clipping, random initial weights, post-processing, and the metric in original pixels. Ignore regions are
background to torchvision's models, which know none.

A shard that was killed goes on after the last finished training. What a model costs is measured afterwards,
when nothing else runs (compare_table.py), with the weights that the shard of the first seed keeps. No
published AP stands beside these: those come from another regime (pre-training, or hundreds of epochs) and
belong in no table with them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from experiments.dense_detector.config import DenseConfig
from experiments.dense_detector.contestants import Contestant, make_contestant
from experiments.dense_detector.descent import make_optimiser
from experiments.dense_detector.detector import choose_shapes
from experiments.dense_detector.schedule import lr_factor
from experiments.dense_detector.selection import ground_truth
from experiments.dense_detector.splits import Subset, test_set, training_sets
from experiments.dense_detector.stages import comparisons
from suite.datasets import Detections
from suite.manifest import read_json, write_json
from suite.metrics.coco import coco_ap
from suite.seeds import item_rng
from suite.stage import Context

METRICS = ("ap", "ap50", "ap75", "ar100")
RESULT = "result.json"
WEIGHTS = "model.pth"  # state dict; only of the first seed


def picture_order(num_pictures: int, num_wanted: int, seed: int) -> np.ndarray:
    """Indices int64 (num_wanted,): each pass shows every picture once, in an order of its own."""
    passes = -(-num_wanted // num_pictures)
    orders = [item_rng(seed, "dense.compare", number).permutation(num_pictures) for number in range(passes)]
    return np.concatenate(orders)[:num_wanted]


def train(
    contestant: Contestant,
    pictures: Any,
    config: DenseConfig,
    *,
    num_pictures: int,
    steps: int,
    lr: float,
    seed: int,
    check_stop: Callable[[], None] = lambda: None,
) -> bool:
    """Train in place for `steps` full batches; False as soon as the loss is not finite (too high a rate)."""
    settings = replace(config.train, lr=lr, warmup_steps=min(config.train.warmup_steps, steps // 4))
    optimiser = make_optimiser(contestant.module, settings)
    order = picture_order(num_pictures, steps * settings.batch_size, seed)
    for step in range(steps):
        check_stop()
        first = step * settings.batch_size
        loss = contestant.loss(
            pictures,
            order[first : first + settings.batch_size].tolist(),
            seed=seed,
            epoch=first // num_pictures,
            flip=config.data.flip,
            jitter=config.data.jitter,
        )
        if not torch.isfinite(loss):
            return False
        per_epoch = -(-num_pictures // settings.batch_size)
        factor = lr_factor(settings, step, steps_per_epoch=per_epoch, num_steps=steps)
        for group in optimiser.param_groups:
            group["lr"] = lr * factor
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        limit = settings.clip_norm or float("inf")
        torch.nn.utils.clip_grad_norm_(contestant.module.parameters(), limit)
        optimiser.step()
    return True


def evaluate(contestant: Contestant, subset: Subset, batch_size: int) -> dict[str, float]:
    """METRICS of all pictures of a subset, in original pixels."""
    pictures = contestant.pictures(subset)
    found = [contestant.detect(pictures, part) for part in _parts(len(subset.selection.images), batch_size)]
    table = Detections(
        *(np.concatenate([getattr(one, name) for one in found]) for name in
          ("image_ids", "category_ids", "scores", "boxes_xyxy"))
    )  # fmt: skip
    metrics = coco_ap(ground_truth(subset.selection), table, iou_type="bbox")
    return {name: getattr(metrics, name) or 0.0 for name in METRICS}


def _parts(number: int, size: int) -> Iterator[Sequence[int]]:
    return (range(at, min(at + size, number)) for at in range(0, number, size))


def best_lr(search: Sequence[dict[str, Any]]) -> float:
    """The rate of the highest AP, then AP50; the smaller rate of equals, for it diverges later."""
    return max(search, key=lambda row: (not row["diverged"], row["ap"], row["ap50"], -row["lr"]))["lr"]


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One shard: what is compared, on what."""

    config: DenseConfig
    model: str
    view: str
    seed: int  # of weights, order and chances; the pictures are the same for all seeds
    train_set: Subset
    shapes: torch.Tensor  # (A, 2): our anchors
    device: str

    def contestant(self) -> Contestant:
        """A fresh detector of the cell's seed."""
        torch.manual_seed(self.seed)
        return make_contestant(
            self.model, self.view, self.config, classes=self.train_set.classes, shapes=self.shapes,
            device=self.device,
        )  # fmt: skip

    def trial(
        self, judged_on: Subset, *, steps: int, lr: float, check_stop: Callable[[], None] = lambda: None
    ) -> tuple[Contestant, dict[str, Any]]:
        """Train from scratch and measure: {"lr", "steps", "diverged", METRICS}; AP 0 where it diverged."""
        contestant = self.contestant()
        pictures, number = contestant.pictures(self.train_set), len(self.train_set.selection.images)
        finite = train(
            contestant, pictures, self.config, num_pictures=number, steps=steps, lr=lr, seed=self.seed,
            check_stop=check_stop,
        )  # fmt: skip
        check_stop()
        found = dict.fromkeys(METRICS, 0.0)
        if finite:
            found = evaluate(contestant, judged_on, self.config.evaluate.batch_size)
        return contestant, {"lr": lr, "steps": steps, "diverged": not finite, **found}


def make_cell(ctx: Context) -> Cell:
    """The cell of a shard."""
    model, view, seed = comparisons(ctx.config.compare)[ctx.shard or 0]
    train_set, _ = training_sets(ctx.config.data, ctx.inputs["verify"], ctx.seed)
    shapes = choose_shapes(ctx.config, train_set.selection, ctx.seed)
    return Cell(
        config=ctx.config, model=model, view=view, seed=seed, train_set=train_set, shapes=shapes,
        device=ctx.device,
    )  # fmt: skip


def run(ctx: Context) -> None:
    """One shard of stage `compare`."""
    torch.set_num_threads(ctx.config.train.threads)
    compare, data, databases = ctx.config.compare, ctx.config.data, ctx.inputs["verify"]
    cell = make_cell(ctx)
    _, val_set = training_sets(data, databases, ctx.seed)

    def kept(name: str, judged_on: Subset, *, steps: int, lr: float) -> dict[str, Any]:
        """The result of a trial, from the work folder if it was finished before a kill."""
        path = ctx.work / f"{name}.json"
        found = read_json(path)
        if found is None:
            contestant, found = cell.trial(judged_on, steps=steps, lr=lr, check_stop=ctx.check_stop)
            if name == "final" and cell.seed == compare.seeds[0]:
                torch.save(contestant.module.state_dict(), ctx.out / WEIGHTS)
            write_json(path, found)
            ctx.event(name, model=cell.model, input=cell.view, seed=cell.seed, ap=round(found["ap"], 4))
        return found

    search = [kept(f"search-{lr:g}", val_set, steps=compare.search_steps, lr=lr) for lr in compare.lrs]
    test = test_set(data, databases, ctx.seed)
    final = kept("final", test, steps=compare.max_steps, lr=best_lr(search))
    seen = compare.max_steps * ctx.config.train.batch_size
    ctx.count("pictures seen", seen)
    row = {"model": cell.model, "input": cell.view, "seed": cell.seed, "pictures_seen": seen}
    write_json(ctx.out / RESULT, {**row, "final": final, "search": search})
