"""Training of ReDO: what a step changes, resuming, restarts, what is written."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch

from experiments.sample_synthesis.redo import train as training
from experiments.sample_synthesis.redo.masks import RedoMasks, tensors_digest
from experiments.sample_synthesis.redo.train import Hooks, RedoTrainer, train
from suite.errors import BadInput, Stopped
from suite.tables import read_csv


def flat(trainer: RedoTrainer) -> dict[str, torch.Tensor]:
    return {
        f"{part}.{name}": value.clone()
        for part, network in trainer.networks.items()
        for name, value in network.state_dict().items()
    }


def run(settings, pictures, folder, *, seed=1, hooks=None, truth=None):
    """(trainer, result) of a training in `folder`."""
    (folder / "work").mkdir(parents=True, exist_ok=True)
    trainer = RedoTrainer(settings, seed=seed)
    result = train(
        trainer, pictures[0], folder=folder, work=folder / "work", truth=truth, hooks=hooks or Hooks()
    )
    return trainer, result


def stop_after(steps: int) -> Hooks:
    """SIGTERM arrives when so many steps are done."""
    asked = iter(range(steps + 1))

    def check() -> None:
        if next(asked) == steps:
            raise Stopped("stopped")

    return Hooks(check_stop=check)


def test_a_step_changes_every_network_and_nothing_but_the_seed_decides_it(settings, pictures):
    rows = np.arange(10)
    trainers = [RedoTrainer(settings, seed=seed) for seed in (1, 1, 2)]
    before = flat(trainers[0])
    for trainer in trainers:
        assert np.isfinite(trainer.step(pictures[0], rows)).all()
    first, same, other = map(flat, trainers)
    for part in ("mask", "generators", "discriminator", "regressor"):
        names = [name for name in first if name.startswith(f"{part}.")]
        assert any(not torch.equal(before[name], first[name]) for name in names), part
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not torch.equal(first["mask.head.1.weight"], other["mask.head.1.weight"])


def test_optimisers_are_those_of_the_paper(settings):
    trainer = RedoTrainer(settings, seed=0)
    for name, optimizer in trainer.optimizers.items():
        group = optimizer.param_groups[0]
        is_mask = name == "mask"
        assert group["betas"] == (0.0, 0.9)
        assert group["lr"] == (1e-5 if is_mask else 1e-4)
        assert group["weight_decay"] == (1e-4 if is_mask else 0.0)


def test_the_discriminator_learns_from_its_own_loss_only(settings, pictures):
    # Its weights do not move when the others are updated, and its gradients are those of one batch.
    trainer = RedoTrainer(settings, seed=1)
    before = {name: value.clone() for name, value in trainer.networks["discriminator"].named_parameters()}
    x = torch.zeros(4, 3, 32, 32)
    trainer._redraw(x, torch.randn(4, 2, 4))
    after = dict(trainer.networks["discriminator"].named_parameters())
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(value.grad is None for value in after.values())
    assert all(value.requires_grad for value in after.values())


@pytest.mark.parametrize("stops", [1, 3])
def test_a_stopped_training_goes_on_to_the_same_weights_and_history(settings, pictures, tmp_path, stops):
    whole, result = run(settings, pictures, tmp_path / "whole", truth=pictures[1])
    with pytest.raises(Stopped):
        run(settings, pictures, tmp_path / "parts", truth=pictures[1], hooks=stop_after(stops))
    parts, again = run(settings, pictures, tmp_path / "parts", truth=pictures[1])
    assert tensors_digest(flat(whole)) == tensors_digest(flat(parts))
    assert again == result
    for name in ("history.csv", "mask.safetensors", "masks/000002.safetensors", "masks/000004.safetensors"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "parts" / name).read_bytes()


def test_the_history_has_a_row_per_checkpoint_with_scores_where_the_truth_is_known(
    settings, pictures, tmp_path
):
    trainer, result = run(settings, pictures, tmp_path, truth=pictures[1])
    rows = read_csv(tmp_path / "history.csv")
    assert [(row["attempt"], row["step"]) for row in rows] == [("0", "2"), ("0", "4")]
    assert 0 < float(rows[-1]["iou"]) <= 1 and float(rows[-1]["constant_iou"]) < 0.5
    assert result.steps == 4 and result.restarts == 0
    _, blind = run(settings, pictures, tmp_path / "blind")
    assert "iou" not in blind.rows[0]
    written = RedoMasks(tmp_path / "mask.safetensors").masks(pictures[0])
    np.testing.assert_array_equal(written, trainer.masks(pictures[0]))


def collapsing(settings, **changes):
    return dataclasses.replace(settings, restart_below=0.5001, **changes)  # any mask is below


def test_a_collapsed_mask_restarts_with_other_weights_as_often_as_allowed(settings, pictures, tmp_path):
    told, warned = [], []
    hooks = Hooks(event=lambda name, **facts: told.append((name, facts)), warn=warned.append)
    eager = collapsing(settings, restart_before=100, max_restarts=2)
    trainer, result = run(eager, pictures, tmp_path, hooks=hooks)
    assert result.restarts == 2 and result.collapsed and result.steps == 4
    assert [facts for name, facts in told if name == "restarted"] == [
        {"attempt": 1, "after": 2},
        {"attempt": 2, "after": 2},
    ]
    assert [(row["attempt"], row["step"]) for row in result.rows] == [(0, 2), (1, 2), (2, 2), (2, 4)]
    assert len({row["generator"] for row in result.rows}) == 4
    assert len(warned) == 2 and "after 2 restarts" in warned[0]
    assert trainer.attempt == 2


def test_nothing_restarts_late_or_while_both_regions_are_large(settings, pictures, tmp_path):
    for name, changed in {
        "late": collapsing(settings, restart_before=2),
        "large": dataclasses.replace(settings, restart_before=100, restart_below=0.001),
    }.items():
        assert run(changed, pictures, tmp_path / name)[1].restarts == 0, name


def test_a_restart_survives_a_kill(settings, pictures, tmp_path):
    eager = collapsing(settings, restart_before=100, max_restarts=1)
    whole, _ = run(eager, pictures, tmp_path / "whole")
    with pytest.raises(Stopped):
        run(eager, pictures, tmp_path / "parts", hooks=stop_after(3))
    parts, result = run(eager, pictures, tmp_path / "parts")
    assert result.restarts == 1
    assert tensors_digest(flat(whole)) == tensors_digest(flat(parts))


def test_a_loss_that_is_no_number_ends_the_training_with_its_step(settings, pictures):
    trainer = RedoTrainer(settings, seed=1)
    with torch.no_grad():
        trainer.networks["discriminator"].dense.bias.fill_(float("nan"))
    with pytest.raises(BadInput, match="step 0 .*discriminator nan"):
        trainer.step(pictures[0], np.arange(10))


@pytest.mark.parametrize("damage", ["no torch file", None])
def test_a_damaged_or_foreign_checkpoint_is_named(settings, pictures, tmp_path, damage):
    run(settings, pictures, tmp_path)
    if damage:
        (tmp_path / "work" / "state.pt").write_text(damage)
    wide = settings if damage else dataclasses.replace(settings, nf=12)
    with pytest.raises(BadInput, match=r"state.pt: .*delete it"):
        run(wide, pictures, tmp_path)


def test_pictures_of_another_size_are_refused(settings, tmp_path):
    with pytest.raises(BadInput, match="32 x 32 x 3"):
        run(settings, (np.zeros((4, 64, 64, 3), np.uint8), None), tmp_path)


def test_the_checkpoint_holds_tensors_and_plain_values_only(settings, pictures, tmp_path):
    run(settings, pictures, tmp_path)
    state = torch.load(tmp_path / "work" / "state.pt", weights_only=True)
    assert json.loads(state["journal"])["window"] == []
    assert set(state["networks"]) == set(training.NETWORKS)
