"""What the finished stages left: every trained classifier, and its accuracy on pictures that did not choose.

The search judges by one split after every epoch (SEARCH.selection_split). Where the weights of the epochs
were kept, the other split is measured here, afterwards: that says what choosing by test would have given,
without a new run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from experiments.gafi.classifier.loop import epoch_file
from experiments.gafi.metrics.cas import ClassScores, class_scores
from experiments.gafi.search.candidate import BEST, EPOCHS
from experiments.gafi.search.ledger import RESULT, CandidateResult, read_result
from experiments.gafi.search.selection import Row
from suite.errors import BadInput
from suite.manifest import read_json, write_json


@dataclass(frozen=True)
class FinishedRun:
    """One trained classifier of the search, of a MultiGAN or of a control."""

    folder: Path
    result: CandidateResult

    @property
    def has_epochs(self) -> bool:
        """Whether the weights of all its epochs were kept."""
        return all(f"{EPOCHS}/{epoch_file(row.epoch)}" in self.result.weights for row in self.result.history)

    @property
    def judged(self) -> dict[int, float]:
        """{epoch: accuracy} on the split that chose."""
        return {row.epoch: row.split_accuracy for row in self.result.history}


def finished_runs(stage_folder: Path) -> list[FinishedRun]:
    """All results of a finished stage, by GAN, then epoch, stddev, threshold. Raises BadInput for none."""
    folders = sorted(path.parent for path in stage_folder.rglob(RESULT))
    runs = [FinishedRun(folder, read_result(folder)) for folder in folders]
    if not runs:
        raise BadInput("holds no results", file=stage_folder, fix="run this stage again")
    return sorted(runs, key=lambda run: [grid_place(source) for source in run.result.candidate.sources])


def grid_place(source: Any) -> tuple:
    """Order of a source in the grids: GAN, epoch, stddev, threshold; no filter comes before any."""
    threshold = -1.0 if source.threshold is None else source.threshold
    return (source.index, source.epoch, source.stddev, threshold)


class Judge:
    """Measures classifiers of one architecture on one split."""

    def __init__(self, trainer: Any, images: np.ndarray, labels: np.ndarray, *, num_classes: int) -> None:
        """trainer: classifier.trainer.ClassifierTrainer; images (n, H, W, C), labels int (n,)."""
        from experiments.gafi.classifier.trainer import as_device

        self.trainer, self.labels, self.num_classes = trainer, np.asarray(labels), num_classes
        self.images = as_device(images)

    def scores(self, state: Any) -> ClassScores:
        """Accuracy, per class, confusion of a nn.state.ModelState."""
        answers = self.trainer.predict(state, self.images).argmax(axis=1)
        return class_scores(answers, self.labels, num_classes=self.num_classes)

    def scores_of(self, path: Path) -> ClassScores:
        """The same of weights on the disk. Raises BadInput for those of another architecture."""
        from experiments.gafi.nn.state import from_arrays, load_arrays

        return self.scores(from_arrays(self.trainer.model, load_arrays(path), where=path))

    def epochs(self, run: FinishedRun, cache: Path) -> dict[int, float]:
        """{epoch: accuracy} of all kept epochs; {} where they were not kept.

        cache: folder that remembers finished runs, so that a stopped stage goes on where it was.
        """
        if not run.has_epochs:
            return {}
        path = cache / f"{run.result.key}.json"
        known = read_json(path)
        if known is None:
            found = {
                row.epoch: self.scores_of(run.folder / EPOCHS / epoch_file(row.epoch)).accuracy
                for row in run.result.history
            }
            write_json(path, {str(epoch): accuracy for epoch, accuracy in found.items()})
            return found
        return {int(epoch): accuracy for epoch, accuracy in known.items()}

    def best(self, run: FinishedRun) -> ClassScores:
        """Scores of the weights that the search chose."""
        return self.scores_of(run.folder / BEST)


def selection_rows(
    runs: Sequence[FinishedRun], other: Mapping[str, Mapping[int, float]], by: str
) -> list[Row]:
    """Every choice there was: each epoch of each run, with its accuracy on both splits.

    other: {key: {epoch: accuracy}} on the split that did not choose. by: the one that did. Runs without kept
    epochs and repeated keys are left out.
    """
    not_by = "test" if by == "val" else "val"
    rows, seen = [], set()
    for run in runs:
        known = other.get(run.result.key, {})
        if run.result.key in seen or not known:
            continue
        seen.add(run.result.key)
        for epoch, judged in run.judged.items():
            accuracy = {by: judged, not_by: known[epoch]}
            rows.append(Row(candidate=run.result.candidate.name, epoch=epoch, accuracy=accuracy))
    return rows


def step_points(
    runs: Sequence[FinishedRun], step: str, other: Mapping[str, Mapping[int, float]]
) -> Iterator[dict[str, Any]]:
    """The points of a search curve in the order of the grid.

    `test` and `test_best` are None where the weights of the epochs were not kept.
    """
    for run in runs:
        source, result = run.result.candidate.source, run.result
        known = other.get(result.key, {})
        yield {
            "x": {"ckpt": source.epoch, "stddev": source.stddev, "threshold": source.threshold}[step],
            "name": result.candidate.name,
            "judged": result.score,
            "epoch": result.best_epoch,
            "test": known.get(result.best_epoch),
            "test_best": max(known.values()) if known else None,
            "reused_from": result.reused_from,
        }
