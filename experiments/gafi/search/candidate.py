"""One candidate of the search: a fresh classifier, trained on generated pictures, judged by real ones.

The score is the greatest accuracy over all epochs on the split that judges (published code: the test split;
here the validation split unless SEARCH.selection_split says otherwise). MultiGAN and the controls go through
the same function: what differs is the candidate.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments.gafi.classifier.loop import FitResult, FixedProvider, Provider, Samples, fit
from experiments.gafi.classifier.trainer import ClassifierTrainer, as_device
from experiments.gafi.data.dataset import Dataset
from experiments.gafi.nn.state import save_arrays, to_arrays
from experiments.gafi.sampling.fill import FilteredSet, fill
from experiments.gafi.sampling.latents import StreamKey
from experiments.gafi.sampling.pool import PoolCache
from experiments.gafi.sampling.recycle import Make, RecycleProvider, UnionProvider, renewals
from experiments.gafi.sampling.score import Scorer
from experiments.gafi.search.ledger import (
    Candidate,
    CandidateResult,
    EpochRow,
    Generation,
    Source,
    write_result,
)
from suite.errors import BadInput
from suite.manifest import file_digest
from suite.seeds import item_rng, stream_id

BEST, EPOCHS = "best.npz", "epochs"  # in a candidate's folder: weights of the best epoch; of each epoch
POOL_BYTES = 1 << 30  # of pictures that the pools of a shard keep on the host; beyond it they are made again


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What all candidates of a process share: compiled steps, real pictures, rules of sampling."""

    trainer: ClassifierTrainer
    scorer_of: Callable[[Source], Scorer]  # loads a checkpoint; all share one compiled step
    dataset: Dataset
    cap: int | None  # rounds per class; None: no limit
    fallback: str
    keep_epochs: bool = False  # keep the weights of each epoch in the folder `epochs`


def open_pool(bench: Bench, source: Source) -> PoolCache:
    """Scored candidates for all thresholds of a source's generator and standard deviation."""
    return PoolCache(
        bench.scorer_of(source), classes=bench.dataset.num_classes, stddev=source.stddev,
        limit_bytes=POOL_BYTES,
    )  # fmt: skip


def run_candidate(
    candidate: Candidate,
    bench: Bench,
    *,
    folder: Path,
    work: Path,
    pool: PoolCache | None = None,
    check_stop: Callable[[], None] = lambda: None,
    progress: Callable[[Mapping[str, Any]], None] = lambda row: None,
) -> CandidateResult:
    """Train and judge one candidate, or go on where an earlier call was killed; writes its folder.

    folder: gets `best.npz`, with keep_epochs `epochs/epoch_%03d.npz`, and last `result.json`.
    work: for the state to go on from; what it holds of this candidate is removed at the end.
    pool: of its only source, shared by the thresholds of a shard. progress: gets the row of each epoch.
    Raises Stopped between epochs, BadInput.
    """
    folder.mkdir(parents=True, exist_ok=True)
    state_folder = work / candidate.key[:16]
    part = bench.dataset.splits[candidate.split]
    fitted = fit(
        bench.trainer, provider_of(candidate, bench, pool), evals={candidate.split: part},
        epochs=candidate.epochs, seed=candidate.seed, work=state_folder, check_stop=check_stop,
        progress=progress, keep_epochs_dir=folder / EPOCHS if bench.keep_epochs else None,
    )  # fmt: skip
    save_arrays(folder / BEST, to_arrays(bench.trainer.model, fitted.best[candidate.split].model))
    result = _result(candidate, fitted, folder)
    write_result(folder, result)
    shutil.rmtree(state_folder)
    return result


def reuse(candidate: Candidate, earlier: CandidateResult, *, source: Path, folder: Path) -> CandidateResult:
    """The result of the same run in an earlier step, copied with its weights from `source` to `folder`.

    Raises BadInput where the earlier weights are gone or not those that were written.
    """
    if candidate.key != earlier.key:
        raise ValueError(f"{candidate.name} is not the run that {source} holds")
    for name, digest in earlier.weights.items():
        path = source / name
        if not path.is_file() or file_digest(path) != digest:
            fix = "run its step again"
            raise BadInput("is gone, or not the file that the ledger names", file=path, fix=fix)
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, folder / name)
    step = earlier.reused_from or earlier.candidate.step
    result = replace(earlier, candidate=candidate, reused_from=step)
    write_result(folder, result)
    return result


def _result(candidate: Candidate, fitted: FitResult, folder: Path) -> CandidateResult:
    split = candidate.split
    rows = tuple(
        EpochRow(
            epoch=row["epoch"], lr=row["lr"], renewal=row["renewal"], loss=row["loss"],
            accuracy=row["accuracy"], split_loss=row[f"{split}_loss"],
            split_accuracy=row[f"{split}_accuracy"],
        )
        for row in fitted.history
    )  # fmt: skip
    made = {row["renewal"]: row["made"] for row in fitted.history}  # the same in all epochs of a set
    files = [BEST, *sorted(f"{EPOCHS}/{path.name}" for path in folder.glob(f"{EPOCHS}/*.npz"))]
    best = fitted.best[split]
    return CandidateResult(
        candidate=candidate, score=best.accuracy, best_epoch=best.epoch, history=rows,
        generations=tuple(_Made(*one).generation() for parts in made.values() for one in parts),
        weights={name: file_digest(folder / name) for name in files},
    )  # fmt: skip


# --- where the pictures come from ---


class _Made(NamedTuple):
    """A Generation as it stands in the history: plain lists, since it passes through JSON."""

    renewal: int
    source: int
    drawn: list[int]
    accepted: list[int]
    rounds: list[int]
    fallback: list[int]
    duplicates: int

    def generation(self) -> Generation:
        lists = {name: tuple(value) for name, value in self._asdict().items() if isinstance(value, list)}
        return Generation(**{**self._asdict(), **lists})


def provider_of(candidate: Candidate, bench: Bench, pool: PoolCache | None = None) -> Provider:
    """The training set of each epoch. Equal candidates get equal pictures, wherever they run."""
    if not candidate.sources:
        images, labels = bench.dataset.splits["train"]
        return _Noted(candidate, FixedProvider(as_device(images), labels), [])
    classes, notes = bench.dataset.num_classes, []
    makes = [_make(candidate, at, bench, pool, notes) for at in range(len(candidate.sources))]
    streams = [StreamKey(candidate.seed, source.index) for source in candidate.sources]
    every, per_class = candidate.recycle_every, candidate.class_samples
    if len(makes) == 1:
        inner: Provider = RecycleProvider(
            makes[0], classes=classes, per_class=per_class, every=every, stream=streams[0],
            factor=candidate.recycle_factor,
        )  # fmt: skip
    else:
        inner = UnionProvider(
            makes, classes=classes, per_class=per_class, every=every, streams=streams,
            sharing=candidate.sharing, one_gan_for_epoch=candidate.in_turn,
        )  # fmt: skip
    return _Noted(candidate, inner, notes)


def _make(candidate: Candidate, at: int, bench: Bench, pool: PoolCache | None, notes: list[_Made]) -> Make:
    """Makes the sets of source number `at` of a candidate; what each took is added to `notes`."""
    source = candidate.sources[at]

    def make(stream: StreamKey, quotas: Sequence[int]) -> FilteredSet:
        renewal, stream = stream.recycle, own_stream(stream, candidate.stream)
        rules = {"threshold": source.threshold, "cap": bench.cap, "fallback": bench.fallback}
        if pool is None:
            scorer = bench.scorer_of(source)
            found = fill(scorer, quotas=quotas, stddev=source.stddev, stream=stream, **rules)
        else:
            found = pool.fill(stream, quotas, **rules)
        stats = found.stats
        lists = [value.tolist() for value in (stats.drawn, stats.accepted, stats.rounds, stats.fallback)]
        notes.append(_Made(renewal, at, *lists, found.duplicates))
        return found

    return make


def own_stream(stream: StreamKey, name: str) -> StreamKey:
    """The stream of a candidate without common random numbers; the name "" changes nothing.

    As published, the first set of every run comes from the seed of the run, those after it from another one.
    """
    if not name or stream.recycle == 0:
        return stream
    return replace(stream, seed=(stream.seed << 32) + stream_id(name))


class _Noted:
    """A provider whose sets come with what making them took, and with permuted labels for the control."""

    def __init__(self, candidate: Candidate, inner: Provider, notes: list[_Made]) -> None:
        self._candidate, self._inner, self._notes = candidate, inner, notes

    def epoch(self, epoch: int) -> Samples:
        """The set of the 1-based epoch; its columns are the same whether the run was killed before or not."""
        found = self._inner.epoch(epoch)
        renewal = renewals(epoch, self._candidate.recycle_every)
        made = [list(note) for note in self._notes if note.renewal == renewal]
        labels = np.asarray(found.labels)
        if self._candidate.labels == "shuffled":
            labels = item_rng(self._candidate.seed, "gafi.shuffled", renewal).permutation(labels)
        return Samples(found.images, labels, {"renewal": renewal, "made": made})
