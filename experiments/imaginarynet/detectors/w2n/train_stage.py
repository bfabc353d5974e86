"""Stage `train-<setting>-w2n`: noisy labels from OICR's boxes, a Faster R-CNN on them, rounds with a teacher.

Writes the detector's folder (api.save_detector), labels-<phase>.npz (NoisyLabels; phase 0 has OICR's),
metrics.csv (as of the other detectors, `step` counts over all phases) and summary.json.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from experiments.imaginarynet.arms import Arm, arm_of_stage
from experiments.imaginarynet.config_w2n import W2NConfig, W2NRound
from experiments.imaginarynet.detectors import api
from experiments.imaginarynet.detectors.data.load import load_sources
from experiments.imaginarynet.detectors.data.records import ImageLabelled
from experiments.imaginarynet.detectors.detect_all import Item, Proposals, detect_all, from_book
from experiments.imaginarynet.detectors.proposals.book import ProposalBook
from experiments.imaginarynet.detectors.semi.infer import SemiDetector
from experiments.imaginarynet.detectors.semi.learner import SemiLearner
from experiments.imaginarynet.detectors.semi.network import build_detector
from experiments.imaginarynet.detectors.w2n.labels import (
    NoisyLabels,
    prefer_wholes,
    pseudo_boxes,
    with_former,
)
from experiments.imaginarynet.detectors.w2n.learner import first_learner, round_learner
from experiments.imaginarynet.detectors.w2n.measure import measured
from experiments.imaginarynet.detectors.w2n.split import split
from experiments.imaginarynet.learn.hooks import Hooks
from experiments.imaginarynet.learn.torch_loop import fit
from suite.config import to_tree
from suite.errors import BadInput
from suite.manifest import write_json
from suite.seeds import item_rng
from suite.tables import csv_text

if TYPE_CHECKING:
    from suite.stage import Context

STREAM = "imaginarynet.w2n"  # of each phase's seed


def run(ctx: Context) -> None:
    """Train the arm that the stage is named after. BadInput: no image-level labels, or no box was found."""
    api.check_device(ctx.device)
    arm = arm_of_stage(ctx.stage.name, ctx.config)
    settings: W2NConfig = ctx.config.w2n
    torch.set_num_threads(settings.student.threads)
    data = load_sources(ctx.config, ctx.inputs.get("export"), ctx.config.settings[arm.setting], seed=ctx.seed)
    for note in data.notes:
        ctx.warn(note)
    if data.image_labels is None:
        raise BadInput(f"w2n learns from image-level labels; the setting {arm.setting!r} has none")
    job = Job(ctx, settings, data.image_labels.pictures, data.class_names)
    state = job.first(arm)
    for number, round in enumerate(settings.rounds, 1):
        state = job.round(number, round, state)
    job.write(state)


@dataclass
class Job:
    """The phases of one training, in order; what a phase has finished is found again after a kill."""

    ctx: Context
    settings: W2NConfig
    pictures: tuple[ImageLabelled, ...]
    class_names: tuple[str, ...]
    rows: list[dict[str, Any]] = field(default_factory=list)  # of metrics.csv
    phases: list[dict[str, Any]] = field(default_factory=list)  # of summary.json
    labels: NoisyLabels | None = None  # of the phase before

    def first(self, arm: Arm) -> dict[str, Tensor]:
        """Labels of OICR's boxes, and the detector that they teach: its weights by name."""
        folders = self.ctx.inputs

        def made() -> NoisyLabels:
            teacher = api.load_detector(folders[arm.teacher.train], self.ctx.device)
            return self._labels(0, teacher, from_book(ProposalBook.open(folders["proposals"])))

        self.labels = self._kept(0, made)
        learner = first_learner(self.pictures, self.labels, self.settings, **self._facts(0))
        return self._trained(0, learner)

    def round(self, number: int, round: W2NRound, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """One round from the weights `state`; returns its teacher's."""
        before = self.labels

        def made() -> NoisyLabels:
            detector = self._detector(state)
            labels = self._labels(number, detector, None) if round.relabel else before
            return self._split(labels, detector, number) if round.split else _all_trusted(labels)

        self.labels = self._kept(number, made)
        facts = self._facts(number)
        learner = round_learner(self.pictures, self.labels, self.settings, round, state=state, **facts)
        return self._trained(number, learner)

    def write(self, state: Mapping[str, Tensor]) -> None:
        """The detector, its curve and the figures of all phases."""
        ctx = self.ctx
        (ctx.out / "metrics.csv").write_text(csv_text(self.rows), encoding="utf-8")
        summary = {"kind": "w2n", "steps": self.rows[-1]["step"], "pictures": len(self.pictures)}
        write_json(ctx.out / "summary.json", {**summary, "phases": self.phases, "last": self.rows[-1]})
        ctx.count("pictures", len(self.pictures))
        ctx.count("steps", self.rows[-1]["step"])
        api.save_detector(
            ctx.out, kind="w2n", class_names=self.class_names, settings=to_tree(self.settings.student),
            state=state, extra={"rounds": len(self.settings.rounds)},
        )  # fmt: skip

    # -- labels -----------------------------------------------------------------------------------------

    def _kept(self, number: int, make: Callable[[], NoisyLabels]) -> NoisyLabels:
        """The labels of a phase, from their file where they were made before a kill."""
        path = self.ctx.out / f"labels-{number}.npz"
        if not path.exists():
            make().save(path)
        labels = NoisyLabels.load(path)
        if not (labels.clean_cls | labels.clean_reg).any():
            what = f"phase {number}: no box was found for the {len(self.pictures)} pictures"
            raise BadInput(what, fix="look at the detector that it learns from")
        return labels

    def _labels(self, number: int, detector: api.Detector, proposals: Proposals | None) -> NoisyLabels:
        """Boxes of the classes that each picture is known to have."""
        settings, items = self.settings, [Item(picture.id, picture.file) for picture in self.pictures]
        is_best = settings.threshold is None and not settings.parts  # then other boxes are of no interest
        with self._progress(len(items), "labels", number) as after:
            folder = self.ctx.work / f"boxes-{number}"
            many = detect_all(detector, items, proposals, folder=folder, best=is_best, after=after)
        if many.without_proposals:
            self.ctx.warn(f"{many.without_proposals} pictures have no proposals, and so no label")
        found, replaced = [], 0
        for picture in self.pictures:
            rows = many.image_ids == picture.id
            every = api.Found(many.boxes[rows], many.scores[rows], many.labels[rows])
            chosen = pseudo_boxes(every, picture.labels, settings.threshold)
            if settings.parts:
                cover, ratio = settings.parts_cover, settings.parts_score
                chosen, count = prefer_wholes(chosen, every, cover=cover, score_ratio=ratio)
                replaced += count
            if self.labels is not None:
                chosen = with_former(chosen, self.labels.of(picture.id))
            found.append((picture.id, chosen))
        self.ctx.event("labelled", phase=number, boxes=sum(len(one) for _, one in found), replaced=replaced)
        return NoisyLabels.gather(found)

    def _split(self, labels: NoisyLabels, detector: SemiDetector, number: int) -> NoisyLabels:
        settings = self.settings
        with self._progress(len(labels.rows_of()), "split", number) as after:
            labels = measured(labels, self.pictures, detector, settings, seed=self._seed(number), after=after)
        return split(
            labels, clean_cls=settings.clean_cls, clean_reg=settings.clean_reg, per_class=settings.per_class
        )

    # -- training ---------------------------------------------------------------------------------------

    def _trained(self, number: int, learner: SemiLearner) -> dict[str, Tensor]:
        """Train a phase to its end, or read that end; returns the weights of its detector."""
        ctx, labels = self.ctx, self.labels
        hooks = Hooks(check_stop=ctx.check_stop, progress=ctx.progress, event=ctx.event)
        try:
            rows = fit(learner, path=ctx.work / f"state-{number}.pt", hooks=hooks)
        finally:
            learner.close()
        done = self.rows[-1]["step"] if self.rows else 0
        self.rows += [{**row, "step": done + row["step"], "phase": number} for row in rows]
        counts = Counter(labels.labels.tolist())
        self.phases.append({
            "phase": number, "steps": learner.steps, "instances": len(labels),
            "pictures_labelled": len(learner.pool.labelled),
            "trusted_for_classification": int(labels.clean_cls.sum()),
            "trusted_for_regression": int(labels.clean_reg.sum()),
            "per_class": {name: counts[label] for label, name in enumerate(self.class_names)},
        })  # fmt: skip
        return {name: value.detach().cpu() for name, value in learner.result().state_dict().items()}

    def _facts(self, number: int) -> dict[str, Any]:
        name = f"{self.ctx.label} phase {number}"
        device = torch.device(self.ctx.device)
        return {
            "num_classes": len(self.class_names),
            "seed": self._seed(number),
            "name": name,
            "device": device,
        }

    def _seed(self, number: int) -> int:
        return int(item_rng(self.ctx.seed, STREAM, number).integers(0, 2**31))

    def _detector(self, state: Mapping[str, Tensor]) -> SemiDetector:
        network = build_detector(self.settings.student, num_classes=len(self.class_names))
        network.load_state_dict(dict(state))
        return SemiDetector(network, self.settings.student, self.class_names, self.ctx.device)

    def _progress(self, total: int, what: str, number: int) -> _Steps:
        return _Steps(self.ctx, total, f"{self.ctx.label} {what} {number}")


class _Steps:
    """A progress bar whose steps ask whether to stop."""

    def __init__(self, ctx: Context, total: int, name: str) -> None:
        self.ctx, self.bar = ctx, ctx.progress(total, name)

    def __enter__(self) -> Callable[[], None]:
        bar = self.bar.__enter__()

        def after() -> None:
            bar.advance()
            self.ctx.check_stop()

        return after

    def __exit__(self, *error: object) -> None:
        self.bar.__exit__(*error)


def _all_trusted(labels: NoisyLabels) -> NoisyLabels:
    everything = np.ones(len(labels), bool)
    return replace(labels, clean_cls=everything, clean_reg=everything)
