"""One scored sequence for all thresholds: what the classifier says of a picture depends on none of them.

A pool holds the scores of one (checkpoint, standard deviation, stream) as far as anybody asked, and chooses
from them exactly what `fill` would. Scores take 13 bytes a candidate. Images of candidates on which the
classifier agrees (others are never kept) stay on the host in their stored type up to a limit; beyond it they
are generated again from their latents, which spares the classifier and the rejected candidates only.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from keras import ops

from experiments.gafi.classifier.trainer import backend_dtype
from experiments.gafi.nn import backend
from experiments.gafi.nn.backend import Tensor
from experiments.gafi.sampling.fill import FilteredSet, assemble, extend, open_classes, parts_of, runs, wanted
from experiments.gafi.sampling.latents import Stddev, StreamKey, check_stddev
from experiments.gafi.sampling.rounds import ClassRounds, Rule, ScoreTable
from experiments.gafi.sampling.score import ScoredBatch, Scorer

CHUNK = 256  # images stored together


class ImageStore:
    """Images on the host, in chunks, at most `limit_bytes` of them; shared by the pools of a search stage."""

    def __init__(self, limit_bytes: int):
        self._limit, self._chunks, self.used = limit_bytes, [], 0

    def add(self, images: Tensor, rows: np.ndarray) -> np.ndarray:
        """(len(rows),) int64: where images[rows] lie now; -1 for those that found no room."""
        per_image = int(np.prod(images.shape[1:])) * np.dtype(backend_dtype(images)).itemsize
        room = max(self._limit // per_image - self.used, 0)
        taken = rows[:room]
        slots = np.full(len(rows), -1, np.int64)
        if len(taken):
            slots[: len(taken)] = np.arange(self.used, self.used + len(taken))
            chosen = ops.take(images, taken.astype(np.int32), axis=0)
            self._write(backend.to_numpy(chosen))
        return slots

    def read(self, slots: np.ndarray, out: np.ndarray, at: np.ndarray) -> None:
        """out[at[i]] = image in slots[i]."""
        for chunk in np.unique(slots // CHUNK):
            here = slots // CHUNK == chunk
            out[at[here]] = self._chunks[chunk][slots[here] % CHUNK]

    def empty(self, number: int) -> np.ndarray:
        """(number, H, W, C) of the type of the stored images, which there must be, with any values."""
        return np.empty((number, *self._chunks[0].shape[1:]), self._chunks[0].dtype)

    def _write(self, images: np.ndarray) -> None:
        at = 0
        while at < len(images):
            first = self.used % CHUNK
            if first == 0:
                self._chunks.append(np.empty((CHUNK, *images.shape[1:]), images.dtype))
            some = images[at : at + CHUNK - first]
            self._chunks[-1][first : first + len(some)] = some
            at, self.used = at + len(some), self.used + len(some)


class ScoredPool:
    """The candidates of one generator at one standard deviation and stream, scored once."""

    def __init__(
        self,
        scorer: Scorer,
        *,
        classes: int,
        stddev: Stddev,
        stream: StreamKey,
        store: ImageStore | None = None,
    ):
        """store: where images are kept; without one all are generated again for every set."""
        check_stddev(stddev)
        self._scorer, self._stddev, self._stream = scorer, stddev, stream
        self.tables = [ScoreTable() for _ in range(classes)]
        self._store = store or ImageStore(0)
        self._slots = [np.zeros(0, np.int64) for _ in range(classes)]  # in the store; -1: not there

    def fill(
        self, *, quotas: Sequence[int], threshold: float | None, cap: int | None, fallback: str
    ) -> FilteredSet:
        """What fill.fill gives with the same settings, image by image. Raises BadInput."""
        classes = open_classes(quotas, Rule(threshold, cap, fallback), self.tables)
        while segments := wanted(classes):
            for batch in self._scorer.score(segments, stream=self._stream, stddev=self._stddev):
                extend(classes, batch)
                self._keep(batch)
        return assemble(classes, self._images(classes))

    def _keep(self, batch: ScoredBatch) -> None:
        """Store the images of a batch on which the classifier agrees."""
        agreed = np.flatnonzero(batch.agrees)
        slots = np.full(len(batch.agrees), -1, np.int64)
        slots[agreed] = self._store.add(batch.images, agreed)
        for label, part in parts_of(batch):
            self._slots[label] = np.concatenate([self._slots[label], slots[part]])

    def _images(self, classes: Sequence[ClassRounds]) -> Tensor:
        """(N, H, W, C) on the device, ordered as in FilteredSet; those that are not stored are made again."""
        places = [np.concatenate([rounds.kept(), rounds.filled()]) for rounds in classes]
        slots = np.concatenate([self._slots[label][some] for label, some in enumerate(places)])
        missing = np.flatnonzero(slots < 0)
        segments = [
            segment
            for label, some in enumerate(places)
            for segment in runs(label, some[self._slots[label][some] < 0])
        ]
        images, done = None, 0
        for parts, made in self._scorer.generate(segments, stream=self._stream, stddev=self._stddev):
            number = sum(stop - start for _, start, stop in parts)
            made = backend.to_numpy(made)[:number]
            images = np.empty((len(slots), *made.shape[1:]), made.dtype) if images is None else images
            images[missing[done : done + number]] = made
            done += number
        if images is None:
            images = self._store.empty(len(slots))
        stored = np.flatnonzero(slots >= 0)
        self._store.read(slots[stored], images, stored)
        return ops.convert_to_tensor(images)


class PoolCache:
    """The pools of one generator and standard deviation: one per stream, with one store of images for all.

    What a threshold stage asks again for every candidate, the set of each renewal, is scored once.
    """

    def __init__(self, scorer: Scorer, *, classes: int, stddev: Stddev, limit_bytes: int):
        """limit_bytes: of stored images of all streams together."""
        self._scorer, self._classes, self._stddev = scorer, classes, stddev
        self._store, self._pools = ImageStore(limit_bytes), {}

    def fill(
        self,
        stream: StreamKey,
        quotas: Sequence[int],
        *,
        threshold: float | None,
        cap: int | None,
        fallback: str,
    ) -> FilteredSet:
        """What fill.fill gives with the same settings. Raises BadInput."""
        if stream not in self._pools:
            self._pools[stream] = ScoredPool(
                self._scorer, classes=self._classes, stddev=self._stddev, stream=stream, store=self._store
            )
        return self._pools[stream].fill(quotas=quotas, threshold=threshold, cap=cap, fallback=fallback)
