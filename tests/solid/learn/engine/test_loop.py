import dataclasses
import json
import math

import pytest
import torch

from experiments.solid.learn.engine.amp import Amp
from experiments.solid.learn.engine.checkpoint import load_checkpoint, load_model_tensors
from experiments.solid.learn.engine.loop import (
    CHECKPOINT,
    append_jsonl,
    start_step,
    train_loop,
    truncate_jsonl,
)
from suite.errors import BadInput, Stopped
from suite.stage import STOP, Context
from tests.solid.learn.engine import toy


def context(folder, **settings) -> Context:
    folder.mkdir(parents=True, exist_ok=True)
    return Context(
        stage=toy.STAGES["train"], config=toy.Toy(**settings), seed=5, device="cpu", inputs={}, out=folder,
        final=folder, key="k",
    )  # fmt: skip


def lines(folder, name="metrics.jsonl"):
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


class Kill(Exception):
    """Stands for a kill -9: nothing of ours handles it."""


def killed_at(monkeypatch, ctx, step):
    """Run the toy until iteration `step` begins, and no further."""
    real = toy.batch

    def batch(seed, index, size):
        if index == step:
            raise Kill
        return real(seed, index, size)

    with monkeypatch.context() as patch, pytest.raises(Kill):
        patch.setattr(toy, "batch", batch)
        toy.train(ctx)


SETTINGS = {"noise": 0.3, "iterations": 20}


@pytest.mark.parametrize("kills", [[0], [3], [4], [5, 6, 7], [9, 19]])
def test_a_run_that_was_killed_ends_in_the_same_bytes_as_an_undisturbed_one(tmp_path, monkeypatch, kills):
    toy.train(context(tmp_path / "calm", **SETTINGS))
    for step in kills:
        killed_at(monkeypatch, context(tmp_path / "killed", **SETTINGS), step)
    torch.manual_seed(0)  # whatever state the new process has
    toy.train(context(tmp_path / "killed", **SETTINGS))
    for name in ("metrics.jsonl", "even.jsonl", "model.safetensors"):
        assert (tmp_path / "calm" / name).read_bytes() == (tmp_path / "killed" / name).read_bytes(), name


def test_a_forgotten_generator_would_be_seen(tmp_path):
    toy.train(context(tmp_path / "one", **SETTINGS))
    other = dataclasses.replace(context(tmp_path / "other", **SETTINGS), seed=6)
    toy.train(other)
    assert lines(tmp_path / "one") != lines(tmp_path / "other")


def test_lines_come_after_the_first_every_nth_and_the_last_iteration(tmp_path):
    toy.train(context(tmp_path / "a", iterations=11, log_every=4))
    rows = lines(tmp_path / "a")
    assert [row["step"] for row in rows] == [1, 4, 8, 11]
    assert all(row["twice"] == 2 * row["step"] for row in rows)
    for row in rows:
        assert row["total_loss"] == pytest.approx(row["loss_square"] + row["loss_size"])


def test_a_line_is_the_mean_of_its_window_and_the_last_learning_rate(tmp_path):
    toy.train(context(tmp_path / "every", iterations=6, log_every=1))
    toy.train(context(tmp_path / "third", iterations=6, log_every=3))
    every, (first, second, third) = lines(tmp_path / "every"), lines(tmp_path / "third")
    assert first == every[0]
    mean = sum(row["loss_square"] for row in every[1:3]) / 2
    assert second["loss_square"] == pytest.approx(mean, rel=1e-12)
    assert third["lr"] == every[5]["lr"] and second["lr"] == every[2]["lr"]


def test_sigterm_saves_the_iteration_at_hand_and_the_same_command_goes_on(tmp_path, monkeypatch):
    toy.train(context(tmp_path / "calm", **SETTINGS))
    real = toy.batch

    def batch(seed, index, size):
        STOP.is_set = index == 6
        return real(seed, index, size)

    ctx = context(tmp_path / "stopped", **SETTINGS)
    with monkeypatch.context() as patch, pytest.raises(Stopped) as stopped:
        patch.setattr(STOP, "is_set", False)
        patch.setattr(toy, "batch", batch)
        toy.train(ctx)
    assert stopped.value.exit_code == 75
    assert start_step(ctx) == 7
    toy.train(ctx)
    assert (tmp_path / "calm/metrics.jsonl").read_bytes() == (tmp_path / "stopped/metrics.jsonl").read_bytes()


def test_a_finished_run_is_not_trained_again(tmp_path):
    ctx = context(tmp_path / "a", iterations=4)
    toy.train(ctx)
    before = (tmp_path / "a/metrics.jsonl").read_bytes()
    again = context(tmp_path / "a", iterations=4)
    toy.train(again)
    assert again.facts["first_iteration"] == 4
    assert (tmp_path / "a/metrics.jsonl").read_bytes() == before


def test_a_loss_that_is_no_number_is_refused_with_its_parts_and_its_samples(tmp_path):
    ctx = context(tmp_path / "a", poison=5)
    with pytest.raises(BadInput) as caught:
        toy.train(ctx)
    for word in (
        "iteration 5",
        "loss_square=nan",
        "loss_size=nan",
        "sample-0-0, sample-0-1",
        "learning rate",
    ):
        assert word in str(caught.value)
    assert start_step(ctx) == 4  # the poisoned parameters are nowhere
    saved = load_checkpoint(ctx.work / CHECKPOINT)["state"]["model"]
    assert all(torch.isfinite(value).all() for value in saved.values())


def loop(ctx, step, **options):
    settings = {"state": {}, "iterations": 3, "checkpoint_every": 1, "log_every": 1}
    settings |= {"sample_ids": lambda: [41, 42]}
    train_loop(ctx, step=step, **{**settings, **options})


@pytest.mark.parametrize("bad", [math.inf, -math.inf, math.nan])
def test_one_part_that_is_not_finite_is_enough(tmp_path, bad):
    def step(index):
        return {"loss_a": torch.tensor(1.0), "loss_b": torch.tensor(bad if index == 1 else 2.0)}

    with pytest.raises(BadInput, match="loss_b=.*41, 42"):
        loop(context(tmp_path / "a"), step)


def test_detectron2s_own_refusal_of_boxes_gets_the_samples(tmp_path):
    def step(index):
        raise FloatingPointError("Predicted boxes or scores contain Inf/NaN. Training has diverged.")

    with pytest.raises(BadInput, match="diverged.*iteration 0; samples 41, 42"):
        loop(context(tmp_path / "a"), step)


def test_a_checkpoint_of_another_program_or_another_number_of_ranks_is_refused(tmp_path):
    toy.train(context(tmp_path / "a", iterations=4))
    with pytest.raises(BadInput, match="another program"):
        loop(context(tmp_path / "a"), lambda index: {})
    path = context(tmp_path / "a").work / CHECKPOINT
    tree = load_checkpoint(path)
    torch.save(tree | {"ranks": tree["ranks"] * 2}, path)
    with pytest.raises(BadInput, match="by 2 ranks, there are 1"):
        toy.train(context(tmp_path / "a", iterations=4))


def test_truncation_keeps_whole_lines_up_to_the_step(tmp_path):
    path = tmp_path / "m.jsonl"
    for step in (1, 5, 10):
        append_jsonl(path, {"step": step})
    with path.open("a") as stream:
        stream.write('{"step": 12')
    truncate_jsonl(path, 20)
    assert path.read_text() == '{"step": 1}\n{"step": 5}\n{"step": 10}\n'
    truncate_jsonl(path, 5)
    assert path.read_text() == '{"step": 1}\n{"step": 5}\n'
    truncate_jsonl(path, 0)
    assert path.read_text() == ""


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_mixed_precision_learns_and_resumes_to_the_byte(tmp_path, monkeypatch, precision):
    settings = {**SETTINGS, "precision": precision}
    toy.train(context(tmp_path / "calm", **settings))
    killed_at(monkeypatch, context(tmp_path / "killed", **settings), 11)
    toy.train(context(tmp_path / "killed", **settings))
    assert (tmp_path / "calm/metrics.jsonl").read_bytes() == (tmp_path / "killed/metrics.jsonl").read_bytes()
    found = load_model_tensors(tmp_path / "calm/model.pth")
    assert {value.dtype for value in found.values()} == {torch.float32}
    toy.train(context(tmp_path / "exact", **SETTINGS))
    assert lines(tmp_path / "calm") != lines(tmp_path / "exact")


def test_a_scaled_loss_gives_the_gradients_of_the_loss():
    cpu = torch.device("cpu")
    found = []
    for precision in ("float32", "float16"):
        weight = torch.nn.Parameter(torch.tensor([2.0]))
        sgd = torch.optim.SGD([weight], 0.5)
        Amp(precision, cpu).update((3 * weight).sum(), sgd)
        found.append(weight.item())
    assert found == [0.5, 0.5]
