"""`train-<setting>-wsddn` and `train-<setting>-oicr`: a detector from the labels of whole pictures.

Writes the detector (model.safetensors, detector.json), metrics.csv (one row per `log_every` updates: step,
losses, norm of the gradient, lr) and summary.json. A killed run goes on from the last checkpoint and ends
with the same files; on the CPU of one machine the seed decides them, whatever the number of workers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from experiments.imaginarynet.arms import arm_of_stage
from experiments.imaginarynet.detectors.api import check_device, save_detector
from experiments.imaginarynet.detectors.data.load import load_sources
from experiments.imaginarynet.detectors.data.weak_loader import weak_batches, with_proposals
from experiments.imaginarynet.detectors.proposals.book import ProposalBook
from experiments.imaginarynet.detectors.weak.learner import WeakLearner
from experiments.imaginarynet.detectors.weak.model import WeakDetector, build_weak_detector
from experiments.imaginarynet.learn.hooks import Hooks
from experiments.imaginarynet.learn.torch_loop import fit
from suite.config import to_tree
from suite.manifest import write_json
from suite.paths import data_path
from suite.tables import csv_text

if TYPE_CHECKING:
    from experiments.imaginarynet.detectors.data.records import TrainingData
    from suite.stage import Context

METRICS, SUMMARY, STATE = "metrics.csv", "summary.json", "state.pt"
WEIGHTS = "data/weights"  # below DATA_DIR


def run(ctx: Context) -> None:
    """The stage. Raises BadInput for data that do not fit and for losses that are not finite, Stopped after
    SIGTERM with the state on the disk; Missing for a GPU that is not there.
    """
    check_device(ctx.device)
    arm = arm_of_stage(ctx.stage.name, ctx.config)
    settings = getattr(ctx.config, arm.section)
    torch.set_num_threads(settings.threads)  # decides the last bits of sums
    setting = ctx.config.settings[arm.setting]
    data = load_sources(ctx.config, ctx.inputs.get("export"), setting, seed=ctx.seed)
    book = ProposalBook.open(ctx.inputs["proposals"])
    data = with_proposals(data, book)
    for note in data.notes:
        ctx.warn(note)
    model = build_weak_detector(
        settings, len(data.class_names), seed=ctx.seed, weights_dir=data_path(WEIGHTS)
    ).to(ctx.device)
    model.train()
    learner = WeakLearner(
        model,
        settings,
        lambda first: weak_batches(data, book, settings, seed=ctx.seed, first_step=first),
        seed=ctx.seed,
        name=ctx.label,
        is_refinement=WeakDetector.is_refinement,
    )
    hooks = Hooks(check_stop=ctx.check_stop, progress=ctx.progress, event=ctx.event)
    rows = fit(learner, path=ctx.work / STATE, hooks=hooks)
    save_detector(
        ctx.out,
        kind=arm.detector,
        class_names=data.class_names,
        settings=to_tree(settings),
        state=model.state_dict(),
        extra={"arm": arm.name, "updates": learner.steps},
    )
    (ctx.out / METRICS).write_text(csv_text(rows), encoding="utf-8")
    write_json(ctx.out / SUMMARY, summary(arm.name, data, rows, model))
    ctx.count("pictures", len(data.image_labels))
    ctx.count("updates", learner.steps)


def summary(
    arm: str, data: TrainingData, rows: Sequence[dict[str, Any]], model: WeakDetector
) -> dict[str, Any]:
    """What was learned from, and how it ended: the last row of the curve."""
    pictures = data.image_labels.pictures
    per_class = {
        name: sum(place in picture.labels for picture in pictures)
        for place, name in enumerate(data.class_names)
    }
    sources = {}
    for picture in pictures:
        sources[picture.source] = sources.get(picture.source, 0) + 1
    learned = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    return {
        "arm": arm,
        "pictures": len(pictures),
        "pictures_of_class": per_class,
        "sources": sources,
        "notes": list(data.notes),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "parameters_learned": learned,
        "last": rows[-1],
    }
