"""Runs are found in the order of the grid; what choosing by test gives is measured on their own weights."""

from dataclasses import replace

import numpy as np
import pytest

from experiments.gafi.metrics.runs import FinishedRun, Judge, finished_runs, selection_rows, step_points
from experiments.gafi.nn.state import save_arrays, to_arrays
from experiments.gafi.search.candidate import BEST, EPOCHS
from experiments.gafi.search.ledger import write_result
from experiments.gafi.search.selection import bias
from suite.errors import BadInput
from tests.gafi.search.conftest import CLASSES, SIZE, greys, trainer  # noqa: F401  (a fixture)
from tests.gafi.search.samples import CANDIDATE, other, result_of

KEPT = {f"{EPOCHS}/epoch_{epoch:03d}.npz": "e" * 64 for epoch in (1, 2)}


def put(folder, candidate, score):
    folder.mkdir(parents=True)
    write_result(folder, result_of(candidate, score))


def test_runs_come_by_gan_and_grid_however_the_shards_are_cut(tmp_path):
    wanted = [(0, 20, 1.0), (0, 20, 1.25), (0, 100, 1.0), (1, 3, 1.0)]
    for place, (gan, epoch, stddev) in enumerate(reversed(wanted)):
        put(
            tmp_path / f"{place:05d}" / "x" / "y",
            other(CANDIDATE, index=gan, epoch=epoch, stddev=stddev),
            0.5,
        )
    found = [run.result.candidate.source for run in finished_runs(tmp_path)]
    assert [(s.index, s.epoch, s.stddev) for s in found] == wanted


def test_a_stage_without_results_is_one_line(tmp_path):
    with pytest.raises(BadInput, match="holds no results; run this stage again"):
        finished_runs(tmp_path)


def test_every_epoch_of_every_run_is_a_choice_once(tmp_path):
    first = FinishedRun(tmp_path, result_of(CANDIDATE, 0.5))
    again = FinishedRun(tmp_path, replace(result_of(CANDIDATE, 0.5), reused_from="ckpt"))
    unknown = FinishedRun(tmp_path, result_of(other(CANDIDATE, epoch=9), 0.9))
    known = {first.result.key: {1: 0.6, 2: 0.4}}
    rows = selection_rows([first, again, unknown], known, "val")
    assert [(row.epoch, row.accuracy) for row in rows] == [
        (1, {"val": 0.25, "test": 0.6}),
        (2, {"val": 0.5, "test": 0.4}),
    ]
    found = bias(rows)
    assert found.points == pytest.approx(20)  # val takes epoch 2 (0.4), test takes epoch 1 (0.6)


def test_chosen_by_test_the_other_split_is_val(tmp_path):
    run = FinishedRun(tmp_path, result_of(replace(CANDIDATE, split="test"), 0.5))
    rows = selection_rows([run], {run.result.key: {1: 0.7, 2: 0.6}}, "test")
    assert rows[0].accuracy == {"test": 0.25, "val": 0.7}
    assert bias(rows).points == pytest.approx(25)  # val would have taken epoch 1


def test_the_points_of_a_search_curve_have_test_of_the_same_epoch_and_its_best(tmp_path):
    runs = [FinishedRun(tmp_path, result_of(other(CANDIDATE, stddev=s), 0.5)) for s in (1.0, 1.5)]
    points = list(step_points(runs, "stddev", {runs[0].result.key: {1: 0.6, 2: 0.4}}))
    assert [point["x"] for point in points] == [1.0, 1.5]
    assert [point["judged"] for point in points] == [0.5, 0.5]
    assert [point["test"] for point in points] == [0.4, None]
    assert [point["test_best"] for point in points] == [0.6, None]


def test_weights_are_judged_once_and_remembered(trainer, tmp_path):  # noqa: F811
    """The judge agrees with the trainer's own evaluation; the second call reads no weights."""
    images, labels = greys(5, seed=3)
    judge = Judge(trainer, images, labels, num_classes=CLASSES)
    folder, accuracies = tmp_path / "run", {}
    (folder / EPOCHS).mkdir(parents=True)
    for epoch in (1, 2):
        state = trainer.initial(epoch).model
        save_arrays(folder / EPOCHS / f"epoch_{epoch:03d}.npz", to_arrays(trainer.model, state))
        accuracies[epoch] = trainer.evaluate(state, images, labels)[1]
    save_arrays(folder / BEST, to_arrays(trainer.model, trainer.initial(2).model))
    run = FinishedRun(folder, replace(result_of(CANDIDATE, 0.5), weights=KEPT))
    cache = tmp_path / "cache"
    cache.mkdir()
    assert judge.epochs(run, cache) == pytest.approx(accuracies)
    assert judge.best(run).accuracy == pytest.approx(accuracies[2])
    for path in (folder / EPOCHS).iterdir():
        path.unlink()
    assert judge.epochs(run, cache) == pytest.approx(accuracies)


def test_without_kept_weights_nothing_is_known(trainer, tmp_path):  # noqa: F811
    judge = Judge(trainer, np.zeros((3, SIZE, SIZE, 1), np.uint8), np.arange(3), num_classes=CLASSES)
    assert judge.epochs(FinishedRun(tmp_path, result_of(CANDIDATE, 0.5)), tmp_path) == {}
