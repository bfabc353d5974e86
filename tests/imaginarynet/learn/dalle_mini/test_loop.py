from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from experiments.imaginarynet.learn.loop import STATE, Hooks, Learner, Order, Phase, fit
from suite.errors import BadInput, Stopped

PHASE = Phase(steps=10, batch=2, lr=0.1, measure_every=4, save_every=3)


class Killed(BaseException):
    """What a kill is to the files: nothing after it is written."""


def learner(*, killed_at: int | None = None) -> Learner:
    """Adds each step's batch to a sum that depends on the order of the steps."""

    def batch(step: int) -> np.ndarray:
        if step == killed_at:
            raise Killed
        return np.float32([step + 1, 2 * step])

    def step(state, found):
        total = (state["total"] * np.float32(1.25) + found).astype(np.float32)
        return {"total": total, "steps": state["steps"] + 1}, {"loss": found.sum(), "other": total[0]}

    def measure(state):
        return {"held_out": float(state["total"][1])}

    return Learner(name="sum", step=step, batch=batch, measure=measure)


def start():
    return {"total": np.zeros(2, np.float32), "steps": np.zeros((), np.int32)}


def run(folder: Path, *, killed_at: int | None = None, phase: Phase = PHASE, hooks: Hooks | None = None):
    files = {"work": folder / "work", "curves": folder / "c.csv"}
    return fit(learner(killed_at=killed_at), start(), phase, **files, hooks=hooks)


def files(folder: Path) -> list[bytes]:
    return [(folder / "work" / STATE).read_bytes(), (folder / "c.csv").read_bytes()]


@pytest.mark.parametrize("kills", [[0], [2], [3], [4], [9], [1, 5, 7, 8]])
def test_a_killed_training_that_goes_on_ends_as_one_that_was_not(tmp_path: Path, kills: list[int]):
    whole, _ = run(tmp_path / "whole")
    for at in kills:
        with pytest.raises(Killed):
            run(tmp_path / "killed", killed_at=at)
    resumed, rows = run(tmp_path / "killed")
    assert np.array_equal(resumed["total"], whole["total"]) and resumed["steps"] == PHASE.steps
    assert files(tmp_path / "killed") == files(tmp_path / "whole")
    assert [row["step"] for row in rows] == [4, 8, 10]


def test_a_stopped_training_has_lost_no_step(tmp_path: Path):
    asked = iter([False] * 5 + [True])

    def check_stop() -> None:
        if next(asked):
            raise Stopped("stopped")

    resumed_at = []
    with pytest.raises(Stopped):
        run(tmp_path / "stopped", hooks=Hooks(check_stop=check_stop))
    told = Hooks(event=lambda name, **facts: resumed_at.append((name, facts.get("step"))))
    run(tmp_path / "stopped", hooks=told)
    run(tmp_path / "whole")
    assert resumed_at[0] == ("resumed", 5)
    assert files(tmp_path / "stopped") == files(tmp_path / "whole")


def test_a_row_holds_the_means_since_the_row_before(tmp_path: Path):
    _, rows = run(tmp_path)
    losses = [3 * step + 1 for step in range(10)]
    expected = [np.mean(losses[:4]), np.mean(losses[4:8]), np.mean(losses[8:])]
    assert [row["loss"] for row in rows] == pytest.approx(expected)


def test_a_damaged_state_is_one_line_and_not_a_new_beginning(tmp_path: Path):
    run(tmp_path)
    path = tmp_path / "work" / STATE
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(BadInput, match="state.npz: .*delete it to begin anew"):
        run(tmp_path)


def test_a_state_of_another_network_is_refused(tmp_path: Path):
    run(tmp_path)
    other = {"total": np.zeros(3, np.float32), "steps": np.zeros((), np.int32)}
    with pytest.raises(BadInput, match="another network"):
        fit(learner(), other, PHASE, work=tmp_path / "work", curves=tmp_path / "c.csv")


def test_a_loss_that_is_not_finite_ends_the_training(tmp_path: Path):
    broken = replace(learner(), step=lambda state, found: (state, {"loss": np.float32("nan")}))
    with pytest.raises(BadInput, match="step 0 of sum.*lower --lr"):
        fit(broken, start(), PHASE, work=tmp_path, curves=tmp_path / "c.csv")


@pytest.mark.parametrize("count, batch", [(7, 3), (3, 7), (5, 5), (1, 4)])
def test_every_epoch_shows_every_item_once(count: int, batch: int):
    order = Order(0, "test", count=count, batch=batch)
    seen = np.concatenate([order.rows(step) for step in range(count * 4)])
    epochs = seen[: len(seen) // count * count].reshape(-1, count)
    assert all(sorted(epoch) == list(range(count)) for epoch in epochs.tolist())


def test_the_rows_of_a_step_do_not_depend_on_the_steps_asked_before():
    whole = Order(3, "test", count=11, batch=4)
    before = [whole.rows(step).tolist() for step in range(12)]
    assert [Order(3, "test", count=11, batch=4).rows(step).tolist() for step in range(12)] == before
    assert [Order(4, "test", count=11, batch=4).rows(step).tolist() for step in range(12)] != before


@pytest.mark.parametrize("change", [{"steps": 0}, {"batch": -1}, {"lr": 0.0}])
def test_a_phase_that_trains_nothing_is_refused(change):
    with pytest.raises(BadInput, match=f"{next(iter(change))} .*must be above 0"):
        replace(PHASE, **change)
