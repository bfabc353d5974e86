"""The ledger of the search: typed rows, keyed by what decides a result, one atomic JSON file each.

Published code appends to `results.csv` and parses names by regular expressions; a row that a changed setting
left behind then takes part in the choice. Here a row carries the key of its own inputs, and the tables in the
published columns are written from the rows, never read.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from suite.datasets.coco import write_text
from suite.errors import BadInput
from suite.manifest import key_of, read_json, write_json
from suite.tables import csv_text, read_jsonl

LEDGER, RESULTS, HISTORIES = "ledger.jsonl", "results.csv", "histories.csv"
RESULT = "result.json"  # in a candidate's folder; written last


@dataclass(frozen=True, kw_only=True)
class Source:
    """One generator that a candidate learns from, and how its pictures are drawn and kept."""

    gan: str  # name of its run, for people; not part of the key
    index: int  # its place in the chain; part of its random stream
    generator: str  # SHA-256 of the checkpoint
    epoch: int  # of the GAN, 1-based
    stddev: float  # of the latent vectors
    threshold: float | None  # a picture is kept above it; None: no filter

    @property
    def kept(self) -> str:
        """The filter's part of a name."""
        return "unfiltered" if self.threshold is None else f"filter{self.threshold}"


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One classifier of the search, described by all that decides its result.

    The key leaves out the names of step and GANs: equal inputs are the same run wherever they occur.
    """

    step: str  # ckpt, stddev, threshold, best, multigan, or the name of a control
    sources: tuple[Source, ...]  # one; several for a MultiGAN; none where real pictures are learnt from
    classifier: str  # SHA-256 of the weights of the classifier that filters; "" without one
    recycle_every: int  # epochs between two generations; 0: the set is never replaced
    recycle_factor: float = 1.0  # share that is replaced
    in_turn: bool = False  # each set from one source, one after the other, instead of a share from all
    sharing: str = "own"  # latents of several sources in the first set: own or shared
    labels: str = "own"  # or `shuffled`
    class_samples: int  # pictures per class in a set, of all sources together
    epochs: int  # of the classifier that is trained
    seed: int  # effective seed of the run
    stream: str = ""  # "" with common random numbers, else its own: part of the random stream
    split: str  # real pictures that judge: val or test
    settings: str  # key of the remaining settings that matter (optimiser, network, sampling, data)

    @property
    def key(self) -> str:
        """SHA-256, hex: equal for equal inputs."""
        parts = asdict(self)
        del parts["step"]
        for source in parts["sources"]:
            del source["gan"]
        return key_of(parts)

    @property
    def source(self) -> Source:
        """The only source. Raises ValueError where there are several, or none."""
        (only,) = self.sources
        return only

    @property
    def name(self) -> str:
        """The published name, e.g. `ckpt150_DS10_r1_std1.0_filter0.0`; `fixed` for `DS..` where none."""
        if len(self.sources) != 1:
            return self.step
        every = f"DS{self.recycle_every}_r{self.recycle_factor:g}" if self.recycle_every else "fixed"
        return f"ckpt{self.source.epoch:03d}_{every}_std{self.source.stddev}_{self.source.kept}"


@dataclass(frozen=True, kw_only=True)
class EpochRow:
    """One epoch of the training on generated pictures."""

    epoch: int  # 1-based
    lr: float
    renewal: int  # the set it was trained on: 0 for the first
    loss: float  # mean over the epoch
    accuracy: float  # on the training set, while training, in [0, 1]
    split_loss: float  # on the real pictures of the split that judges
    split_accuracy: float


@dataclass(frozen=True, kw_only=True)
class Generation:
    """What making a set, or one source's part of it, took; tuples hold a number per class."""

    renewal: int  # 0: before the first epoch
    source: int  # position in the candidate's sources
    drawn: tuple[int, ...]
    accepted: tuple[int, ...]  # of those drawn, what passed the filter
    rounds: tuple[int, ...]
    fallback: tuple[int, ...]  # taken without having passed, because the attempts were spent
    duplicates: int  # pictures equal to another of the set at 8 bits


@dataclass(frozen=True, kw_only=True)
class CandidateResult:
    """What a candidate reached. `score` is the first maximum of `split_accuracy` over the epochs."""

    candidate: Candidate
    score: float
    best_epoch: int  # 1-based
    history: tuple[EpochRow, ...]
    generations: tuple[Generation, ...]
    weights: dict[str, str]  # {file in the candidate's folder: SHA-256}
    reused_from: str | None = None  # step that had made the same run before

    @property
    def key(self) -> str:
        """The candidate's key."""
        return self.candidate.key


def write_result(folder: Path, result: CandidateResult) -> None:
    """Write `result.json` of a candidate's folder, whole or not at all."""
    write_json(folder / RESULT, to_row(result))


def to_row(result: CandidateResult) -> dict[str, Any]:
    """A result as plain dicts and lists, with its key."""
    return {"key": result.key, **asdict(result)}


def read_result(folder: Path) -> CandidateResult | None:
    """The result in a candidate's folder; None where there is none yet. Raises BadInput for a damaged one."""
    path = folder / RESULT
    return from_row(read_json(path), path) if path.exists() else None


def from_row(tree: Any, path: Path) -> CandidateResult:
    """What `to_row` made. Raises BadInput naming `path` for anything else, and for a foreign key."""
    try:
        result = _parse(tree)
    except (KeyError, TypeError, AttributeError):
        raise BadInput("is no result of this search", file=path, fix="remove it and run again") from None
    if tree["key"] != result.key:
        fix = "remove it and run again"
        raise BadInput("does not describe the run that its key names", file=path, fix=fix)
    return result


def _parse(tree: Any) -> CandidateResult:
    rest = {f.name: tree[f.name] for f in fields(CandidateResult)}
    candidate = tree["candidate"]
    sources = tuple(Source(**source) for source in candidate["sources"])
    rest["candidate"] = Candidate(**{**candidate, "sources": sources})
    rest["history"] = tuple(EpochRow(**row) for row in tree["history"])
    rest["generations"] = tuple(
        Generation(**{k: tuple(v) if isinstance(v, list) else v for k, v in row.items()})
        for row in tree["generations"]
    )
    return CandidateResult(**rest)


def result_rows(results: Sequence[CandidateResult]) -> list[dict[str, Any]]:
    """Rows of the published `results.csv`: checkpoint_name, val_accuracy (of the split that judges)."""
    return [{"checkpoint_name": r.candidate.name, "val_accuracy": r.score} for r in results]


def history_rows(results: Sequence[CandidateResult]) -> list[dict[str, Any]]:
    """Rows of the published `histories.csv`: checkpoint_name, history (a table in one cell)."""
    rows = []
    for result in results:
        lines = ["epoch loss accuracy val_loss val_accuracy lr"]
        for h in result.history:
            lines.append(
                f"{h.epoch} {h.loss!r} {h.accuracy!r} {h.split_loss!r} {h.split_accuracy!r} {h.lr!r}"
            )
        rows.append({"checkpoint_name": result.candidate.name, "history": "\n".join(lines)})
    return rows


def write_tables(folder: Path, results: Sequence[CandidateResult]) -> None:
    """Write `ledger.jsonl`, `results.csv` and `histories.csv` of a step, each whole or not at all."""
    lines = [json.dumps(to_row(result), sort_keys=True) for result in results]
    write_text(folder / LEDGER, "".join(f"{line}\n" for line in lines))
    write_text(folder / RESULTS, csv_text(result_rows(results)))
    write_text(folder / HISTORIES, csv_text(history_rows(results)))


def read_ledger(folder: Path) -> list[CandidateResult]:
    """The results of a step in the order of its grid. Raises BadInput where there is no ledger."""
    path = folder / LEDGER
    return [from_row(row, path) for row in read_jsonl(path)]
