"""A class-balanced filtered set, made on the device.

All classes of a round (rounds.py) are in the same batches. Kept are the first accepted candidates of each
class's sequence, so the set depends on no batch size, no other class and no restart; batches of another size
may round the networks' last bit otherwise. Images by fallback are few and scattered: they are generated again
from their latents instead of keeping every rejected image until it is known which are needed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from experiments.gafi.nn.backend import Tensor
from experiments.gafi.sampling.buffer import ImageBuffer
from experiments.gafi.sampling.latents import Stddev, StreamKey, check_stddev
from experiments.gafi.sampling.rounds import ClassRounds, Rule, ScoreTable
from experiments.gafi.sampling.score import ScoredBatch, Scorer, Segment
from suite.errors import BadInput


@dataclass(frozen=True)
class SampleStats:
    """What making a set took, (K,) int64 each."""

    drawn: np.ndarray  # candidates
    accepted: np.ndarray  # of those drawn
    rounds: np.ndarray
    fallback: np.ndarray  # images that were taken though not accepted

    @property
    def acceptance(self) -> np.ndarray:
        """(K,) float64, accepted over drawn; 0 where nothing was drawn."""
        return self.accepted / np.maximum(self.drawn, 1)


@dataclass(frozen=True)
class FilteredSet:
    """N images by class; in a class the accepted ones in their order, then those by fallback."""

    images: Tensor  # (N, H, W, C) on the device, float32 or uint8
    labels: np.ndarray  # (N,) int64
    confidence: np.ndarray  # (N,) float32: the classifier's probability of the label
    fallback: np.ndarray  # (N,) bool: not accepted, taken because the attempts were spent
    index: np.ndarray  # (N,) int64: place in the class's sequence of latents
    fingerprint: np.ndarray  # (N,) uint64: equal for images that are equal at 8 bits
    stats: SampleStats

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def duplicates(self) -> int:
        """Images equal at 8 bits to an earlier one of the set; many mean a collapsed generator."""
        return len(self.fingerprint) - len(np.unique(self.fingerprint))


def fill(
    scorer: Scorer,
    *,
    quotas: Sequence[int],
    stddev: Stddev,
    threshold: float | None,
    cap: int | None,
    fallback: str,
    stream: StreamKey,
) -> FilteredSet:
    """quotas[c] images of each class c that the classifier accepts.

    threshold: in [0, 1), or None for no filter. cap: rounds for each class, None for no limit (the published
    default; a class of which 100 rounds in a row accept nothing then ends it). fallback: what fills a class
    after `cap` rounds: `unfiltered` (the first rejected of its last round), `topk` (the most probable
    rejected ones of all rounds), `error`. Raises BadInput.
    """
    classes = open_classes(quotas, Rule(threshold, cap, fallback))
    check_stddev(stddev)
    kept = _Kept(sum(quotas), len(quotas))
    while segments := wanted(classes):
        for batch in scorer.score(segments, stream=stream, stddev=stddev):
            kept.add(batch.segments, batch.images, _chosen(classes, batch, kept.counts))
            extend(classes, batch)
    for parts, images in scorer.generate(fallback_segments(classes), stream=stream, stddev=stddev):
        kept.add(parts, images, [np.arange(stop - start) for _, start, stop in parts])
    return assemble(classes, kept.images())


class _Kept:
    """The images of a set while it grows, and where in the buffer those of each class lie."""

    def __init__(self, rows: int, classes: int):
        self._buffer = ImageBuffer(rows)
        self._slots: list[list[np.ndarray]] = [[] for _ in range(classes)]
        self.counts = np.zeros(classes, np.int64)

    def add(self, segments: Sequence[Segment], images: Tensor, chosen: Sequence[np.ndarray]) -> None:
        """Some of a batch: of each segment, the candidates number `chosen` from its start."""
        rows, at, used = [], 0, self._buffer.used
        for (label, start, stop), some in zip(segments, chosen, strict=True):
            rows.append(some + at)
            self._slots[label].append(np.arange(used, used + len(some)))
            self.counts[label] += len(some)
            at, used = at + stop - start, used + len(some)
        self._buffer.append(images, np.concatenate(rows))

    def images(self) -> Tensor:
        """All of them, ordered by class."""
        return self._buffer.take(np.concatenate([slots for of_class in self._slots for slots in of_class]))


def open_classes(
    quotas: Sequence[int], rule: Rule, tables: Sequence[ScoreTable] | None = None
) -> list[ClassRounds]:
    """The rounds of every class, on new tables or on those of a pool. Raises BadInput."""
    if min(quotas, default=0) < 0 or sum(quotas) < 1:
        raise BadInput(f"images per class {list(quotas)}", fix="ask for one image at least")
    tables = tables or [ScoreTable() for _ in quotas]
    pairs = zip(quotas, tables, strict=True)
    return [
        ClassRounds(label, int(quota), rule=rule, table=table) for label, (quota, table) in enumerate(pairs)
    ]


def wanted(classes: Sequence[ClassRounds]) -> list[Segment]:
    """The candidates of the next round of all classes that are not finished."""
    segments = [rounds.wanted() for rounds in classes]
    return [segment for segment in segments if segment is not None]


def parts_of(batch: ScoredBatch) -> Iterator[tuple[int, slice]]:
    """(class, its rows) for each segment of a batch."""
    at = 0
    for label, start, stop in batch.segments:
        yield label, slice(at, at + stop - start)
        at += stop - start


def extend(classes: Sequence[ClassRounds], batch: ScoredBatch) -> None:
    """Write a batch's scores into the tables."""
    for label, part in parts_of(batch):
        classes[label].table.extend(batch.agrees[part], batch.confidence[part], batch.fingerprint[part])


def _chosen(classes: Sequence[ClassRounds], batch: ScoredBatch, counts: np.ndarray) -> list[np.ndarray]:
    """Of each segment the accepted candidates, as far as the class misses any. counts: (K,) taken already."""
    chosen, taken = [], counts.copy()
    for label, part in parts_of(batch):
        accepted = classes[label].rule.accepts(batch.agrees[part], batch.confidence[part])
        some = np.flatnonzero(accepted)[: classes[label].quota - taken[label]]
        taken[label] += len(some)
        chosen.append(some)
    return chosen


def fallback_segments(classes: Sequence[ClassRounds]) -> list[Segment]:
    """What fills the finished classes, neighbours joined. Raises BadInput under the policy `error`."""
    return [segment for rounds in classes for segment in runs(rounds.label, rounds.filled())]


def runs(label: int, places: np.ndarray) -> list[Segment]:
    """Increasing places of a class as the fewest segments."""
    pieces = np.split(places, np.flatnonzero(np.diff(places) != 1) + 1) if len(places) else []
    return [Segment(label, int(piece[0]), int(piece[-1]) + 1) for piece in pieces]


def assemble(classes: Sequence[ClassRounds], images: Tensor) -> FilteredSet:
    """The set of finished classes. images: (N, H, W, C), ordered as in FilteredSet."""
    places = [(rounds.kept(), rounds.filled()) for rounds in classes]
    index = [np.concatenate(pair) for pair in places]
    sizes = [len(of_class) for of_class in index]
    pairs = list(zip(classes, index, strict=True))
    counts = {
        name: np.array([getattr(rounds, name) for rounds in classes], np.int64)
        for name in ("drawn", "accepted", "rounds")
    }
    by_fallback = [np.repeat([False, True], [len(kept), len(filled)]) for kept, filled in places]
    return FilteredSet(
        images=images,
        labels=np.repeat(np.arange(len(classes)), sizes).astype(np.int64),
        confidence=np.concatenate([rounds.table.confidence[of_class] for rounds, of_class in pairs]),
        fallback=np.concatenate(by_fallback),
        index=np.concatenate(index),
        fingerprint=np.concatenate([rounds.table.fingerprint[of_class] for rounds, of_class in pairs]),
        stats=SampleStats(**counts, fallback=np.array([flags.sum() for flags in by_fallback], np.int64)),
    )
