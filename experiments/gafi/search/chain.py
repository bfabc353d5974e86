"""The greedy chain of one GAN as data: which candidates a step has, given what the step before it chose.

Epoch, standard deviation and threshold are searched one after the other (GaFi, search): a step varies one of
them and takes over the best of the others. Published code reads the best from the names in a table; here the
candidates of every step follow from the settings, and their results are looked up by key.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from experiments.gafi.search.ledger import Candidate, CandidateResult, Source, read_result
from experiments.gafi.search.plan import STEPS
from experiments.gafi.search.selection import best_result
from suite.errors import BadInput

FIRST_STDDEV, FIRST_THRESHOLD = 1.0, 0.0  # published: what the first step keeps fixed

# (step, position in the step's grid) -> folder of the candidates' folders.
Locate = Callable[[str, int], Path]


@dataclass(frozen=True, kw_only=True)
class Chain:
    """The settings of one GAN's search. Fields that a Candidate has, too, mean the same."""

    gan: str
    index: int
    checkpoints: Mapping[int, str]  # {epoch: SHA-256}: what is on the disk
    classifier: str
    epochs_grid: tuple[int, ...]
    stddev_grid: tuple[float, ...]
    threshold_grid: tuple[float, ...]
    class_samples: int
    search_every: int  # epochs between two generations in ckpt, stddev, threshold
    best_every: int  # the same in best
    recycle_factor: float
    search_epochs: int
    best_epochs: int
    seed: int
    common_random_numbers: bool
    split: str
    settings: str

    @property
    def missing_epochs(self) -> tuple[int, ...]:
        """Epochs of the grid that have no checkpoint; they are passed over."""
        return tuple(epoch for epoch in self.epochs_grid if epoch not in self.checkpoints)

    def length(self, step: str) -> int:
        """Positions of a step's grid, with those that are passed over."""
        grids = {"ckpt": self.epochs_grid, "stddev": self.stddev_grid, "threshold": self.threshold_grid}
        return len(grids[step]) if step in grids else 1

    def candidates(self, step: str, best: Source | None) -> dict[int, Candidate]:
        """{position in the grid: candidate}, in order. best: what the step before chose, None for `ckpt`."""
        if step == "ckpt":
            return {
                at: self._candidate(step, self._source(epoch))
                for at, epoch in enumerate(self.epochs_grid)
                if epoch in self.checkpoints
            }
        if best is None:
            raise ValueError(f"step {step} needs the choice of the step before it")
        if step == "stddev":
            varied = [replace(best, stddev=value) for value in self.stddev_grid]
        elif step == "threshold":
            varied = [replace(best, threshold=value) for value in self.threshold_grid]
        else:
            varied = [best]
        return {at: self._candidate(step, source) for at, source in enumerate(varied)}

    def _source(self, epoch: int) -> Source:
        return Source(
            gan=self.gan, index=self.index, generator=self.checkpoints[epoch], epoch=epoch,
            stddev=FIRST_STDDEV, threshold=FIRST_THRESHOLD,
        )  # fmt: skip

    def _candidate(self, step: str, source: Source) -> Candidate:
        is_best = step == "best"
        # Without common random numbers each candidate has its own, as published; not one stream for a step.
        own = f"{step}/{source.epoch}/{source.stddev}/{source.threshold}"
        return Candidate(
            step=step, sources=(source,), classifier=self.classifier,
            recycle_every=self.best_every if is_best else self.search_every,
            recycle_factor=self.recycle_factor, class_samples=self.class_samples,
            epochs=self.best_epochs if is_best else self.search_epochs,
            seed=self.seed, stream="" if self.common_random_numbers else own, split=self.split,
            settings=self.settings,
        )  # fmt: skip


def candidates_of(chain: Chain, step: str, locate: Locate) -> dict[int, Candidate]:
    """The candidates of a step, from the finished steps before it. Raises BadInput where one is missing."""
    position = STEPS.index(step)
    best = chosen(chain, STEPS[position - 1], locate).candidate.source if position else None
    found = chain.candidates(step, best)
    if not found:
        first, last = chain.epochs_grid[0], chain.epochs_grid[-1]
        what = f"GAN {chain.gan} has no checkpoint of any epoch of the grid {first}..{last}"
        raise BadInput(what, fix="train it longer, or change PIPELINE.ckpt_epochs")
    return found


def results_of(chain: Chain, step: str, locate: Locate) -> list[CandidateResult]:
    """All results of a finished step, by its grid. Raises BadInput where one is missing or foreign."""
    rows = []
    for at, candidate in candidates_of(chain, step, locate).items():
        folder = locate(step, at) / candidate.name
        result = read_result(folder)
        if result is None:
            raise BadInput(
                f"step {step} has no result of this candidate", file=folder, fix=f"run {step} first"
            )
        check_same(result, candidate, folder)
        rows.append(result)
    return rows


def chosen(chain: Chain, step: str, locate: Locate) -> CandidateResult:
    """The first row of the highest score of a finished step: what the next step goes on with."""
    return best_result(results_of(chain, step, locate))


def check_same(result: CandidateResult, candidate: Candidate, folder: Path) -> None:
    """Raise BadInput, naming the first difference, where a result is not of `candidate`'s inputs."""
    if result.key == candidate.key:
        return
    there, here = _flat(result.candidate), _flat(candidate)
    differs = [name for name in here if there.get(name) != here[name]]
    name = differs[0] if differs else "sources"
    what = f"a ledger of another config: {name} was {_short(there.get(name))}, is {_short(here.get(name))}"
    fix = "go back to those settings, or choose another RUN.extra_name or folder"
    raise BadInput(what, file=folder, fix=fix)


def _flat(candidate: Candidate) -> dict[str, object]:
    parts = asdict(candidate)
    sources = parts.pop("sources")
    del parts["step"]
    for number, source in enumerate(sources):
        del source["gan"]
        prefix = f"source {number} " if len(sources) > 1 else ""
        parts |= {f"{prefix}{name}": value for name, value in source.items()}
    return parts


def _short(value: object) -> str:
    text = str(value)
    return f"{text[:12]}..." if len(text) == 64 else text  # a digest
