"""Training updates: resumed to the step, refused where a loss is no number, with refinement switched in."""

import json
from itertools import count

import pytest
import torch
from torch import nn

from experiments.imaginarynet.config_weak import WeakConfig
from experiments.imaginarynet.detectors.weak.learner import WeakLearner
from experiments.imaginarynet.learn.torch_loop import Hooks, fit
from suite.errors import BadInput, Stopped


class Net(nn.Module):
    """Two losses of a linear layer, with dropout from the generator that it is given."""

    def __init__(self):
        super().__init__()
        self.line = nn.Linear(3, 1)
        nn.init.constant_(self.line.weight, 0.5)
        nn.init.zeros_(self.line.bias)
        self.calls = []

    def forward(self, batch, *, generator, refine):
        self.calls.append(([row["image_id"] for row in batch], refine))
        inputs = torch.stack([row["x"] for row in batch])
        kept = torch.rand(inputs.shape, generator=generator) < 0.8
        found = self.line(inputs * kept).mean()
        losses = {"loss_midn": found.square()}
        if refine:
            losses["loss_refine1"] = (found - 1).square()
        return losses


def batches(first):
    """Batch s has the one picture s."""
    for number in count(first):
        yield [{"image_id": number, "x": torch.full((3,), 1.0 + number % 5)}]


SETTINGS = WeakConfig(
    refinements=1, refine_weights=(1.0,), iterations=7, iter_size=2, batch=1, lr=0.01, steps=(5,),
    checkpoint_every=3, log_every=2, refine_start=2,
)  # fmt: skip


def make(settings=SETTINGS, seed=3):
    return WeakLearner(
        Net(), settings, batches, seed=seed, name="toy", is_refinement=lambda name: False
    )  # fmt: skip


def stop_after(updates):
    """Hooks of a run that gets SIGTERM after so many updates."""
    asked = count()

    def check():
        if next(asked) == updates:
            raise Stopped("stopped")

    return Hooks(check_stop=check)


def bits(learner):
    return [parameter.detach().numpy().tobytes() for parameter in learner.model.parameters()]


@pytest.mark.parametrize("updates", [1, 3, 4])
def test_a_stopped_run_ends_with_the_bits_and_the_curve_of_the_run_that_was_not(updates, tmp_path):
    whole = make()
    rows = fit(whole, path=tmp_path / "whole.pt")
    with pytest.raises(Stopped):
        fit(make(), path=tmp_path / "cut.pt", hooks=stop_after(updates))
    again = make()
    assert json.dumps(fit(again, path=tmp_path / "cut.pt")) == json.dumps(rows)
    assert bits(again) == bits(whole)
    assert len(again.model.calls) == 2 * (SETTINGS.iterations - updates)


def test_another_seed_gives_other_dropout(tmp_path):
    one, two = make(seed=3), make(seed=4)
    fit(one, path=tmp_path / "one.pt")
    fit(two, path=tmp_path / "two.pt")
    assert bits(one) != bits(two)


def test_an_update_takes_the_next_batches_and_refines_from_its_update_on(tmp_path):
    learner = make()
    rows = fit(learner, path=tmp_path / "state.pt")
    assert [ids for ids, _ in learner.model.calls] == [[number] for number in range(14)]
    assert [refine for _, refine in learner.model.calls] == [False] * 4 + [True] * 10
    assert [row["step"] for row in rows] == [2, 4, 6, 7]
    assert rows[0]["loss_refine1"] == 0 and rows[1]["loss_refine1"] > 0
    assert rows[-1]["loss"] == pytest.approx(rows[-1]["loss_midn"] + rows[-1]["loss_refine1"])
    assert [row["lr"] for row in rows] == pytest.approx([0.01, 0.01, 0.001, 0.001])


def test_a_loss_that_is_no_number_is_refused_with_the_pictures_and_leaves_the_weights():
    learner = make()
    learner.step()
    with torch.no_grad():
        learner.model.line.bias.fill_(float("inf"))
    before = bits(learner)
    with pytest.raises(BadInput, match=r"toy: not finite in update 1: .*pictures 2, 3; lower oicr.lr"):
        learner.step()
    assert bits(learner) == before and learner.steps == 1


def test_a_state_of_another_network_is_refused(tmp_path):
    learner = make()
    state = {**learner.state(), "model": {"other": torch.zeros(1)}}
    with pytest.raises(BadInput, match="a state of other settings; delete it"):
        make().load(state, tmp_path / "state.pt")
