"""What a classifier trains on in each epoch: a set that stays or is renewed, or the union of several.

Renewing is GaFi's dynamic dataset recycle, the union of several generators' sets its MultiGAN. Both implement
classifier.loop.Provider.

A set is a function of the epoch, so a run that was killed goes on with the same images. Where a part of each
set is kept (factor below 1) it depends on all sets before, which are then made again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields

import numpy as np
from keras import ops

from experiments.gafi.classifier.loop import Samples
from experiments.gafi.sampling.fill import FilteredSet, SampleStats
from experiments.gafi.sampling.latents import StreamKey
from suite.errors import BadInput
from suite.seeds import item_rng

# (stream, quotas): `fill` or a pool's, the rest bound.
Make = Callable[[StreamKey, tuple[int, ...]], FilteredSet]
STREAMS = ("own", "shared")
KEPT = "gafi.recycle.kept"  # random stream; an item is (renewal, class)
COLUMNS = ("labels", "confidence", "fallback", "index", "fingerprint")  # of a set, beside its images


def renewals(epoch: int, every: int) -> int:
    """Sets made before that of the 1-based epoch: one after each multiple of `every`; 0: never.

    None is made after the last epoch, since nobody asks for the one behind it.
    """
    if epoch < 1 or every < 0:
        raise BadInput(f"epoch {epoch} of a set renewed every {every} epochs", fix="count epochs from 1")
    return (epoch - 1) // every if every else 0


class RecycleProvider:
    """Renews int(factor * per_class) images of each class after every `every`-th epoch and keeps the others.

    Those that stay are chosen by chance, equally many of each class. (The published code rounds both parts
    down and then misses an image.)
    """

    def __init__(
        self, make: Make, *, classes: int, per_class: int, every: int, stream: StreamKey, factor: float = 1.0
    ):
        """make: the set for a stream and its quotas. every: epochs; 0 for a fixed set. factor: in (0, 1]."""
        if not 0 < factor <= 1:
            raise BadInput(f"recycle factor {factor}", fix="give a number above 0, at most 1")
        renewals(1, every)
        self._make, self._every, self._stream = make, every, stream
        self._classes, self._per_class, self._new = classes, per_class, int(factor * per_class)
        self.renewal, self.current = -1, None

    def epoch(self, epoch: int) -> Samples:
        """The set of the 1-based epoch; made if it is not that of the epoch asked for last."""
        number = renewals(epoch, self._every)
        if number != self.renewal:
            self._advance(number)
        return Samples(self.current.images, self.current.labels)

    def _advance(self, number: int) -> None:
        if self._new == self._per_class or number == 0 or self.renewal not in range(number):
            first = number if self._new == self._per_class else 0
            self.current = None  # its memory is free before the next one needs it
            self.current = self._make(self._stream.at(first), (self._per_class,) * self._classes)
            self.renewal = first
        while self.renewal < number:
            if self._new:
                fresh = self._make(self._stream.at(self.renewal + 1), (self._new,) * self._classes)
                self.current = join([self.current, fresh], kept=[self._kept(self.renewal + 1), None])
            self.renewal += 1

    def _kept(self, renewal: int) -> np.ndarray:
        """(K * (per_class - new),) int64 rows of the current set, which is ordered by class."""
        number, rows = self._per_class - self._new, []
        for label in range(self._classes):
            rng = item_rng(self._stream.seed, KEPT, renewal * self._classes + label, self._stream.gan)
            chosen = rng.choice(self._per_class, number, replace=False)
            rows.append(np.sort(chosen) + label * self._per_class)
        return np.concatenate(rows)


class UnionProvider:
    """Several generators, each with per_class // N images of a class and its own settings (GaFi, MultiGAN).

    The set is renewed as a whole after every `every`-th epoch. streams: `own` latents for each generator, or
    `shared` (published: all begin with the same ones, later sets differ). one_gan_for_epoch: all images from
    one generator, which is the next one in each renewal.
    """

    def __init__(
        self,
        makes: Sequence[Make],
        *,
        classes: int,
        per_class: int,
        every: int,
        streams: Sequence[StreamKey],
        sharing: str = "own",
        one_gan_for_epoch: bool = False,
    ):
        """makes, streams: of each generator; the streams' `gan` must differ."""
        if sharing not in STREAMS:
            raise BadInput(f"SAMPLING.multigan_streams {sharing}", fix=f"choose {' or '.join(STREAMS)}")
        share = per_class if one_gan_for_epoch else per_class // max(len(makes), 1)
        if share < 1:
            raise BadInput(
                f"{per_class} images per class for {len(makes)} generators", fix="raise class_samples"
            )
        if len(set(streams)) != len(makes):
            raise BadInput(
                "generators of MultiGAN with the same stream of latents", fix="give each its own number"
            )
        self._makes, self._streams, self._sharing = list(makes), list(streams), sharing
        self._quotas, self._every, self._single = (share,) * classes, every, one_gan_for_epoch
        self.renewal, self.current = -1, None

    def epoch(self, epoch: int) -> Samples:
        """The set of the 1-based epoch."""
        number = renewals(epoch, self._every)
        if number != self.renewal:
            self.current = None
            self.current, self.renewal = self._united(number), number
        return Samples(self.current.images, self.current.labels)

    def _united(self, renewal: int) -> FilteredSet:
        turns = range(len(self._makes))
        if self._single:
            turns = [renewal % len(self._makes)]
        shared = self._sharing == "shared" and renewal == 0
        keys = [self._streams[0 if shared else i].at(renewal) for i in turns]
        return join([self._makes[i](key, self._quotas) for i, key in zip(turns, keys, strict=True)])


def join(sets: Sequence[FilteredSet], *, kept: Sequence[np.ndarray | None] | None = None) -> FilteredSet:
    """Sets, or the rows `kept` of each, as one set ordered by class, in a class in the order of the sets.

    Its stats are those of all sets of which everything is taken, summed; rounds are the most of them.
    """
    kept = [None] * len(sets) if kept is None else kept
    if len(sets) == 1 and kept[0] is None:
        return sets[0]
    starts = np.cumsum([0, *[len(one) for one in sets]])
    rows = [np.arange(len(one)) if some is None else some for one, some in zip(sets, kept, strict=True)]
    order = np.concatenate([some + start for some, start in zip(rows, starts[:-1], strict=True)])
    labels = np.concatenate([one.labels for one in sets])
    order = order[np.argsort(labels[order], kind="stable")]
    columns = {name: np.concatenate([getattr(one, name) for one in sets])[order] for name in COLUMNS}
    images = ops.take(ops.concatenate([one.images for one in sets]), order.astype(np.int32), axis=0)
    whole = [one.stats for one, some in zip(sets, kept, strict=True) if some is None]
    summed = {f.name: sum(getattr(stats, f.name) for stats in whole) for f in fields(SampleStats)}
    summed["rounds"] = np.max([stats.rounds for stats in whole], axis=0)
    return FilteredSet(images=images, **columns, stats=SampleStats(**summed))
