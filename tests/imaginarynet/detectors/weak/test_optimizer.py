"""Who learns how fast: groups, schedule, and the gradient of several passes."""

import pytest
import torch
from torch import nn

from experiments.imaginarynet.config_weak import WeakConfig
from experiments.imaginarynet.detectors.weak.optimizer import (
    build_sgd,
    finish_gradients,
    parameter_groups,
    rate_share,
    set_share,
)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.frozen = nn.Linear(2, 2).requires_grad_(False)
        self.trunk = nn.Conv2d(2, 2, 3)
        self.norm = nn.BatchNorm2d(2)
        self.refine = nn.Linear(2, 3)


def is_refinement(name):
    return name.startswith("refine")


def rate_of(optimizer, parameter):
    """(learning rate, decay) of one parameter."""
    group = next(g for g in optimizer.param_groups if any(p is parameter for p in g["params"]))
    return pytest.approx((group["lr"], group["weight_decay"]))


def test_biases_learn_twice_as_fast_without_decay_and_refinement_ten_and_twenty_times():
    net = Net()
    settings = WeakConfig(lr=0.01, weight_decay=0.0005, bias_lr=2.0, refine_lr=10.0)
    optimizer = build_sgd(net, settings, is_refinement=is_refinement)
    assert rate_of(optimizer, net.trunk.weight) == (0.01, 0.0005)
    assert rate_of(optimizer, net.trunk.bias) == (0.02, 0.0)
    assert rate_of(optimizer, net.norm.weight) == (0.01, 0.0)
    assert rate_of(optimizer, net.refine.weight) == (0.1, 0.0005)
    assert rate_of(optimizer, net.refine.bias) == (0.2, 0.0)


def test_every_parameter_that_learns_is_in_one_group_and_no_other_is_in_any():
    net = Net()
    groups = parameter_groups(net, WeakConfig(), is_refinement=is_refinement)
    found = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(found) == sorted(id(p) for p in net.parameters() if p.requires_grad)


def test_the_rate_drops_after_the_named_updates():
    settings = WeakConfig(steps=(4, 7), gamma=0.1, warmup=0)
    shares = [rate_share(settings, update) for update in range(9)]
    assert shares == pytest.approx([1, 1, 1, 1, 0.1, 0.1, 0.1, 0.01, 0.01])


def test_the_rate_rises_linearly_at_the_start():
    settings = WeakConfig(steps=(), warmup=4, warmup_factor=0.2)
    assert [rate_share(settings, update) for update in range(6)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1, 1])


def test_setting_the_share_keeps_the_ratios_of_the_groups():
    net = Net()
    optimizer = build_sgd(net, WeakConfig(lr=0.01, refine_lr=10.0), is_refinement=is_refinement)
    before = [group["lr"] for group in optimizer.param_groups]
    set_share(optimizer, 0.1)
    set_share(optimizer, 0.5)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([rate / 2 for rate in before])


@pytest.mark.parametrize(("reduce", "factor"), [("mean", 1 / 3), ("sum", 1.0)])
def test_gradients_of_several_passes_are_averaged_or_added_up(reduce, factor):
    net = nn.Linear(2, 1, bias=False)
    inputs = torch.arange(6.0).reshape(3, 1, 2)
    for row in inputs:
        net(row).sum().backward()
    finish_gradients(net.parameters(), WeakConfig(iter_size=3, iter_reduce=reduce))
    torch.testing.assert_close(net.weight.grad, inputs.sum(0) * factor)


def test_clipping_bounds_the_norm_and_tells_what_it_was():
    net = nn.Linear(2, 1, bias=False)
    net.weight.grad = torch.tensor([[3.0, 4.0]])
    norm = finish_gradients(net.parameters(), WeakConfig(iter_size=1, clip_norm=1.0))
    assert float(norm) == pytest.approx(5.0)
    torch.testing.assert_close(net.weight.grad, torch.tensor([[0.6, 0.8]]))
    norm = finish_gradients(net.parameters(), WeakConfig(iter_size=1, clip_norm=10.0))
    assert float(norm) == pytest.approx(1.0)
    torch.testing.assert_close(net.weight.grad, torch.tensor([[0.6, 0.8]]))
