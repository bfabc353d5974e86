"""Generated pictures themselves: which pass the filter, how they look, how far they are from real ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from experiments.gafi.classifier.trainer import backend_dtype, decode
from experiments.gafi.figures import before_and_after
from experiments.gafi.metrics.acceptance import ScoredSet
from experiments.gafi.metrics.features import Extractor, Features
from experiments.gafi.metrics.frechet import fid
from experiments.gafi.metrics.inception_score import inception_score
from experiments.gafi.metrics.kid import kid
from experiments.gafi.metrics.netdistance import net_distance
from experiments.gafi.metrics.prdc import cover
from experiments.gafi.nn.backend import Tensor, to_numpy
from experiments.gafi.sampling.fill import FilteredSet
from experiments.gafi.sampling.latents import Stddev, StreamKey
from experiments.gafi.sampling.score import Scorer, Segment, to_uint8

PER_CLASS = 200  # pictures of each class whose confidence is looked at
SHOWN = 8  # pictures of each class on a sheet


@dataclass(frozen=True, eq=False)
class Drawn:
    """The first pictures of every class as they are drawn, unfiltered."""

    scored: ScoredSet
    first: np.ndarray  # (K, SHOWN, H, W, C) uint8


def draw(scorer: Scorer, *, num_classes: int, stddev: Stddev, stream: StreamKey, normalize: bool) -> Drawn:
    """Score the first PER_CLASS pictures of each class."""
    segments = [Segment(label, 0, PER_CLASS) for label in range(num_classes)]
    agrees, confidence, shown = [], [], []
    for batch in scorer.score(segments, stream=stream, stddev=stddev):
        places = np.concatenate([np.arange(start, stop) for _, start, stop in batch.segments])
        rows = np.flatnonzero(places < SHOWN)
        shown.append(as_bytes(batch.images, normalize=normalize)[rows])
        agrees.append(batch.agrees)
        confidence.append(batch.confidence)
    labels = np.repeat(np.arange(num_classes), PER_CLASS)
    first = np.concatenate(shown)
    scored = ScoredSet(labels, np.concatenate(agrees), np.concatenate(confidence).astype(np.float64))
    return Drawn(scored, first.reshape(num_classes, SHOWN, *first.shape[1:]))


def class_sheet(
    drawn: Drawn, kept: np.ndarray, filtered: FilteredSet, label: int, *, normalize: bool
) -> np.ndarray:
    """The sheet of one class (figures.py). kept: (n,) bool of all drawn pictures."""
    scored = drawn.scored
    of_class = np.flatnonzero(scored.labels == label)[:SHOWN]
    rows = np.flatnonzero(filtered.labels == label)[:SHOWN]
    images = as_bytes(filtered.images[rows[0] : rows[-1] + 1], normalize=normalize)
    return before_and_after(
        drawn=drawn.first[label], drawn_kept=kept[of_class], drawn_confidence=scored.confidence[of_class],
        filtered=images, filtered_confidence=filtered.confidence[rows],
        filtered_fallback=filtered.fallback[rows], columns=SHOWN,
    )  # fmt: skip


def as_bytes(images: Tensor, *, normalize: bool) -> np.ndarray:
    """Pictures of the device, float32 in the network's range or uint8, as uint8 on the host."""
    is_uint8 = backend_dtype(images) == "uint8"
    return to_numpy(images if is_uint8 else to_uint8(images, normalize=normalize))


def as_floats(images: Tensor, *, normalize: bool) -> np.ndarray:
    """The same as float32 in the range that the networks see."""
    return to_numpy(decode(images, normalize=normalize))


@dataclass(frozen=True, eq=False)
class Labelled:
    """Pictures with their labels, seen by the networks that metrics need."""

    labels: np.ndarray  # (n,) int
    extracted: Features  # by METRICS.extractor
    by_real: Features  # by C_real
    by_random: Features  # by a network of random weights


class Comparer:
    """Distances of sets of pictures to one set of real ones."""

    def __init__(
        self,
        extractor: Extractor,
        c_real: Extractor,
        random_net: Extractor,
        *,
        nearest: int,
        num_classes: int,
    ) -> None:
        self.extractor, self.c_real, self.random_net = extractor, c_real, random_net
        self.nearest, self.num_classes = nearest, num_classes

    def look(self, images: np.ndarray, labels: np.ndarray) -> Labelled:
        """Features of pictures float32 (n, H, W, C) in [-1, 1]."""
        by_real = self.c_real(images)
        extracted = by_real if self.extractor is self.c_real else self.extractor(images)
        return Labelled(np.asarray(labels), extracted, by_real, self.random_net(images))

    def compare(self, real: Labelled, fake: Labelled) -> dict[str, float | None]:
        """{metric, named after its weights: value}; None where the sets are too small for it."""
        a, b, name = real.extracted.features, fake.extracted.features, self.extractor.name
        found: dict[str, float | None] = {f"FID on {name}": fid(a, b), f"KID on {name}": kid(a, b)}
        enough = min(len(a), len(b)) > self.nearest
        near = vars(cover(a, b, nearest=self.nearest)) if enough else {}
        for metric in ("precision", "recall", "density", "coverage"):
            found[f"{metric} on {name}"] = near.get(metric)
        found["inception score on C_real"] = inception_score(fake.by_real.probabilities)
        for of, network in (("C_real", "by_real"), ("random weights", "by_random")):
            distance = self._net_distance(real, fake, network)
            found[f"NetDistance of probabilities on {of}"] = distance and distance.probability
            found[f"NetDistance of features on {of}"] = distance and distance.feature
        return found

    def _net_distance(self, real: Labelled, fake: Labelled, network: str) -> Any:
        """None where a class is missing: its mean is not defined."""
        for one in (real, fake):
            if len(np.unique(one.labels)) < self.num_classes:
                return None
        return net_distance(
            getattr(real, network), getattr(fake, network), real_labels=real.labels, fake_labels=fake.labels,
            num_classes=self.num_classes,
        )  # fmt: skip


def per_class_quota(num_fakes: int, num_real: int, num_classes: int) -> int:
    """Pictures of each class to generate: as many as real ones in all, `num_fakes` at most, one at least."""
    return max(1, min(num_fakes, num_real) // num_classes)


def cut_to(num: int, parts: Sequence[np.ndarray], rng: np.random.Generator) -> list[np.ndarray]:
    """The same `num` random rows of each array; all of them in order where there are not more."""
    if len(parts[0]) <= num:
        return list(parts)
    rows = np.sort(rng.choice(len(parts[0]), num, replace=False))
    return [part[rows] for part in parts]
