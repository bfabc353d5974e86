"""The generated pictures' part of `evaluate`: acceptance, confidence, sheets, distances to real pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from experiments.gafi.classifier.stage import load_classifier
from experiments.gafi.data.preprocess import scaled
from experiments.gafi.figures import shown_classes
from experiments.gafi.metrics import quality
from experiments.gafi.metrics.acceptance import acceptance, confidence_histogram, kept
from experiments.gafi.metrics.features import extractors
from experiments.gafi.metrics.outcome import gan_label, numbers
from experiments.gafi.sampling.fill import FilteredSet, fill
from experiments.gafi.sampling.latents import StreamKey
from experiments.gafi.search.ledger import Source
from suite.manifest import write_json
from suite.seeds import item_rng
from suite.tables import csv_text

MOST_SHEETS = 20  # classes whose pictures are shown
STREAM = "gafi.evaluate"  # of latents that no candidate was trained on


def measure_pictures(evaluation: Any) -> dict[str, Any]:
    """Write acceptance.csv, histograms.json and samples/; returns acceptance, distances, distance_note.

    evaluation: stage.Evaluation.
    """
    ctx, dataset = evaluation.ctx, evaluation.dataset
    compare = Against(evaluation)
    shares, histograms, at_choice, distances = [], {}, [], compare.references()
    for run in evaluation.runs["best"]:
        ctx.check_stop()
        source = run.result.candidate.source
        gan, scorer = gan_label(source.index), evaluation.bench.scorer_of(source)
        stream = StreamKey(evaluation_seed(evaluation.seed), source.index)
        found = accepted(evaluation, source, scorer, stream)
        shares += found["rows"]
        histograms[gan], drawn = found["histogram"], found["drawn"]
        at_choice.append(found["at_choice"])
        quotas = [compare.quota] * dataset.num_classes
        sets = {
            kind: fill(
                scorer, quotas=quotas, stddev=source.stddev, threshold=threshold, cap=evaluation.bench.cap,
                fallback=evaluation.bench.fallback, stream=stream,
            )
            for kind, threshold in (("unfiltered", None), ("filtered", source.threshold))
        }  # fmt: skip
        distances += [compare.row(f"{gan} {kind}", made) for kind, made in sets.items()]
        tell_fallback(ctx, gan, sets["filtered"])
        sheets(ctx.out / "samples" / gan, drawn, sets["filtered"], source=source, evaluation=evaluation)
        ctx.event("pictures", gan=gan, accepted=f"{at_choice[-1]['mean']:.3f}")
    (ctx.out / "acceptance.csv").write_text(csv_text(shares), encoding="utf-8")
    write_json(ctx.out / "histograms.json", histograms)
    return {"acceptance": at_choice, "distances": distances, "distance_note": compare.note}


def evaluation_seed(seed: int) -> int:
    """The seed of latents that no candidate saw."""
    return int(item_rng(seed, STREAM, 0).integers(2**62))


def accepted(evaluation: Any, source: Source, scorer: Any, stream: StreamKey) -> dict[str, Any]:
    """Shares of a GAN at its chosen epoch at every (stddev, threshold) of the grids; more at its choice."""
    search, names = evaluation.config.pipeline.PIPELINE, evaluation.dataset.class_names
    thresholds = sorted({*search.threshold_search, source.threshold or 0.0})
    gan, rows, found = gan_label(source.index), [], {}
    for stddev in sorted({*search.stddev_search, source.stddev}):
        drawn = quality.draw(
            scorer, num_classes=len(names), stddev=stddev, stream=stream,
            normalize=evaluation.config.pipeline.DATA.normalize,
        )  # fmt: skip
        table = acceptance(drawn.scored, thresholds, num_classes=len(names))
        for threshold, line in zip(thresholds, table.tolist(), strict=True):
            rows += [
                {"gan": gan, "stddev": stddev, "threshold": threshold, "class": name, "share": share}
                for name, share in zip(names, line, strict=True)
            ]
        if stddev == source.stddev:
            line = table[thresholds.index(source.threshold or 0.0)]
            facts = {"threshold": source.threshold, "stddev": stddev, "epoch": source.epoch}
            found = {
                "drawn": drawn,
                "histogram": {**confidence_histogram(drawn.scored), **facts},
                "at_choice": {"gan": gan, "shares": numbers(line), "mean": float(line.mean())},
            }
    return {"rows": rows, **found}


def sheets(folder: Path, drawn: quality.Drawn, made: FilteredSet, *, source: Source, evaluation: Any) -> None:
    """`<number>_<class>.png` of up to MOST_SHEETS classes."""
    folder.mkdir(parents=True, exist_ok=True)
    class_names = evaluation.dataset.class_names
    normalize = evaluation.config.pipeline.DATA.normalize
    mask = kept(drawn.scored, source.threshold or 0.0)
    for label in shown_classes(len(class_names), MOST_SHEETS):
        name = class_names[label].replace("/", " or ")
        sheet = quality.class_sheet(drawn, mask, made, label, normalize=normalize)
        Image.fromarray(sheet).save(folder / f"{label:03d}_{name}.png")


def tell_fallback(ctx: Any, gan: str, made: FilteredSet) -> None:
    """A warning where pictures were taken that the filter had rejected."""
    taken = int(made.stats.fallback.sum())
    if taken:
        classes = int((made.stats.fallback > 0).sum())
        text = f"{gan}: {taken} of {len(made)} pictures were taken although rejected, in {classes} classes"
        ctx.warn(f"{text}: the attempts were spent")


class Against:
    """Real test pictures as the measure, and rows of the table of distances."""

    def __init__(self, evaluation: Any) -> None:
        config, data = evaluation.config, evaluation.dataset
        self.evaluation, self.rng = evaluation, item_rng(evaluation.seed, f"{STREAM}.real", 0)
        self.normalize = config.pipeline.DATA.normalize
        self.quota = quality.per_class_quota(config.METRICS.num_fakes, data.counts["test"], data.num_classes)
        self.size = min(config.METRICS.num_fakes, data.counts["test"])
        folder = evaluation.ctx.inputs["train-classifier"]
        networks = extractors(
            config.METRICS.extractor, *load_classifier(folder, config.classifier.MODEL),
            random_seed=evaluation_seed(evaluation.seed),
        )  # fmt: skip
        self.comparer = quality.Comparer(
            *networks, nearest=config.METRICS.nearest, num_classes=data.num_classes
        )
        self.real = self.comparer.look(*self.pictures_of("test"))
        self.note = (
            f"Against {self.size:,} real test pictures, by {networks[0].name}; generated sets have "
            f"{self.quota:,} pictures of each class. C_real was trained on real pictures and is the filter, "
            "too, so its features favour what is filtered. Compare rows of this page only."
        )

    def pictures_of(self, split: str) -> tuple[np.ndarray, np.ndarray]:
        """(float32 pictures in [-1, 1], labels) of a split, `size` of them at most."""
        images, labels = quality.cut_to(self.size, self.evaluation.dataset.splits[split], self.rng)
        if images.dtype == np.uint8:
            images = scaled(images, normalize=self.normalize)
        return images, labels

    def references(self) -> list[dict[str, Any]]:
        """Other real pictures against the test pictures: what a perfect generator would have."""
        val = self.comparer.look(*self.pictures_of("val"))
        return [{"row": "real validation pictures", "metrics": self.comparer.compare(self.real, val)}]

    def row(self, name: str, made: FilteredSet) -> dict[str, Any]:
        """Distances of a generated set, with its size, copies and fallback pictures."""
        fake = self.comparer.look(quality.as_floats(made.images, normalize=self.normalize), made.labels)
        counts = {"duplicates": made.duplicates, "taken by fallback": int(made.stats.fallback.sum())}
        return {"row": name, "metrics": {**self.comparer.compare(self.real, fake), **counts}}
