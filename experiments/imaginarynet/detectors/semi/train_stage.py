"""Stage `train-<setting>-<detector>` of Unbiased Teacher, Soft Teacher and Faster R-CNN.

Writes the detector's folder (api.save_detector), metrics.csv (a row per `measure_every` steps: means of the
losses since the last one, pseudo boxes per unlabelled picture, learning rate) and summary.json.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from experiments.imaginarynet.arms import arm_of_stage
from experiments.imaginarynet.config_semi import SemiConfig
from experiments.imaginarynet.detectors import api
from experiments.imaginarynet.detectors.data.load import load_sources
from experiments.imaginarynet.detectors.semi.batches import Pool
from experiments.imaginarynet.detectors.semi.learner import SemiLearner
from experiments.imaginarynet.detectors.semi.network import build_model
from experiments.imaginarynet.detectors.semi.weights import load_backbone
from experiments.imaginarynet.learn.hooks import Hooks
from experiments.imaginarynet.learn.torch_loop import fit
from suite.config import to_tree
from suite.errors import BadInput
from suite.manifest import write_json
from suite.tables import csv_text

if TYPE_CHECKING:
    from suite.stage import Context

CHECKPOINT = "state.pt"
PLAIN = "faster-rcnn"  # the detector without unlabelled pictures


def run(ctx: Context) -> None:
    """Train the arm that the stage is named after. Raises BadInput for a setting that it cannot use."""
    api.check_device(ctx.device)
    arm = arm_of_stage(ctx.stage.name, ctx.config)
    settings: SemiConfig = getattr(ctx.config, arm.section)
    torch.set_num_threads(settings.threads)
    setting = ctx.config.settings[arm.setting]
    data = load_sources(
        ctx.config, ctx.inputs.get("export"), setting, seed=ctx.seed, known_labels=settings.use_image_labels
    )
    for note in data.notes:
        ctx.warn(note)
    if data.boxes is None:
        raise BadInput(f"{arm.detector} learns from boxes, and the setting {arm.setting!r} has none")
    if data.unlabelled is None and arm.detector != PLAIN:
        raise BadInput(f"{arm.detector} needs unlabelled pictures, and the setting {arm.setting!r} has none")
    unlabelled = data.unlabelled.pictures if data.unlabelled is not None else ()
    pool = Pool(data.boxes.pictures, unlabelled, data.known_labels)
    learner = new_learner(ctx, arm.detector, settings, pool, num_classes=len(data.class_names))
    rows = trained(ctx, learner)
    write_results(ctx, learner, rows, kind=arm.detector, class_names=data.class_names)


def new_learner(
    ctx: Context, kind: str, settings: SemiConfig, pool: Pool, *, num_classes: int
) -> SemiLearner:
    """A learner at its first step, from random weights or those of `settings.weights`."""
    model = build_model(kind, settings, num_classes=num_classes, seed=ctx.seed)
    load_backbone(model, settings.weights)
    device = torch.device(ctx.device)
    return SemiLearner(model, settings, pool, seed=ctx.seed, name=ctx.label, device=device)


def trained(ctx: Context, learner: SemiLearner) -> list[dict[str, Any]]:
    """Train to the last step, going on from a state in the work folder; returns the rows of the curve."""
    hooks = Hooks(check_stop=ctx.check_stop, progress=ctx.progress, event=ctx.event)
    try:
        return fit(learner, path=ctx.work / CHECKPOINT, hooks=hooks)
    finally:
        learner.close()


def write_results(
    ctx: Context,
    learner: SemiLearner,
    rows: list[dict[str, Any]],
    *,
    kind: str,
    class_names: tuple[str, ...],
) -> None:
    """The detector, its curve and the figures of its training."""
    (ctx.out / "metrics.csv").write_text(csv_text(rows), encoding="utf-8")
    num_labelled, num_unlabelled = len(learner.pool.labelled), len(learner.pool.unlabelled)
    summary = {
        "kind": kind,
        "steps": learner.steps,
        "pictures_labelled": num_labelled,
        "pictures_unlabelled": num_unlabelled,
        "parameters": sum(p.numel() for p in learner.model.student.parameters()),
        "last": rows[-1],
    }
    write_json(ctx.out / "summary.json", summary)
    ctx.count("pictures", num_labelled + num_unlabelled)
    ctx.count("steps", learner.steps)
    api.save_detector(
        ctx.out,
        kind=kind,
        class_names=class_names,
        settings=to_tree(learner.settings),
        state=learner.result().state_dict(),
    )
