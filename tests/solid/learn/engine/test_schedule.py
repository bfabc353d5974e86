import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import suite.compat.detectron2  # noqa: F401

# isort: split
from detectron2.config import get_cfg
from detectron2.solver import LRMultiplier, WarmupParamScheduler, build_lr_scheduler
from fvcore.common.param_scheduler import CosineParamScheduler

from experiments.solid.learn.engine.schedule import optimizer, set_lr, warmup_cosine, warmup_steps

PUBLISHED = {"warmup": 10_000, "warmup_factor": 1e-4, "schedule": 1_000_000, "final_factor": 0.01}


def test_the_published_run_stops_at_a_learning_rate_of_0_0155():
    assert 0.1 * warmup_cosine(750_000, **PUBLISHED) == pytest.approx(0.0155, abs=5e-6)
    assert warmup_cosine(750_000, **PUBLISHED) == pytest.approx(0.01 + 0.99 * (1 - math.sqrt(0.5)) / 2)


def test_the_cosine_starts_at_the_warmup_factor_and_ends_at_the_final_factor():
    assert warmup_cosine(0, **PUBLISHED) == 1e-4
    assert warmup_cosine(1_000_000, **PUBLISHED) == pytest.approx(0.01)
    assert warmup_cosine(500_000, **PUBLISHED) == pytest.approx((1 + 0.01) / 2)


@given(st.integers(1, 50), st.integers(100, 400))
def test_the_cosine_rises_to_the_end_of_the_warmup_and_falls_from_there(warmup, schedule):
    factors = [
        warmup_cosine(s, warmup=warmup, warmup_factor=0.001, schedule=schedule, final_factor=0.01)
        for s in range(schedule + 1)
    ]
    assert max(factors) == factors[warmup]
    assert factors[: warmup + 1] == sorted(factors[: warmup + 1])
    assert factors[warmup:] == sorted(factors[warmup:], reverse=True)


def rates(scheduler, chosen, count):
    found = []
    for _ in range(count):
        found.append(chosen.param_groups[0]["lr"])
        chosen.step()
        scheduler.step()
    return found


def test_the_cosine_is_that_of_detectron2s_lazy_configs():
    model = nn.Linear(1, 1)
    sgd = torch.optim.SGD(model.parameters(), 0.1)
    published = WarmupParamScheduler(CosineParamScheduler(1.0, 0.01), 1e-4, 20 / 320, "linear")
    theirs = rates(LRMultiplier(sgd, published, 320), sgd, 320)
    shape = {"warmup": 20, "warmup_factor": 1e-4, "schedule": 320, "final_factor": 0.01}
    assert theirs == pytest.approx([0.1 * warmup_cosine(s, **shape) for s in range(320)], rel=1e-9)


def test_the_stairs_are_those_of_detectron2s_yaml_configs():
    cfg = get_cfg()
    cfg.SOLVER.MAX_ITER, cfg.SOLVER.STEPS, cfg.SOLVER.BASE_LR = 90, (60, 80), 0.02
    cfg.SOLVER.WARMUP_ITERS, cfg.SOLVER.WARMUP_FACTOR = 10, 1e-3
    sgd = torch.optim.SGD(nn.Linear(1, 1).parameters(), 0.02)
    theirs = rates(build_lr_scheduler(cfg, sgd), sgd, 90)
    shape = {"warmup": 10, "warmup_factor": 1e-3, "steps": (60, 80)}
    assert theirs == pytest.approx([0.02 * warmup_steps(s, **shape) for s in range(90)], rel=1e-9)


def test_the_published_stairs_divide_by_ten_at_both_steps():
    shape = {"warmup": 1000, "warmup_factor": 1e-3, "steps": (60_000, 80_000)}
    found = [warmup_steps(s, **shape) for s in (0, 500, 1000, 59_999, 60_000, 79_999, 80_000)]
    assert found == pytest.approx([0.001, 0.5005, 1, 1, 0.1, 0.1, 0.01])


def test_norm_layers_decay_by_their_own_weight_and_every_group_gets_the_learning_rate():
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))
    sgd = optimizer(model, lr=0.3, momentum=0.9, weight_decay=4e-5, weight_decay_norm=0.0)
    decay = {id(p): group["weight_decay"] for group in sgd.param_groups for p in group["params"]}
    assert [decay[id(p)] for p in model[0].parameters()] == [4e-5, 4e-5]
    assert [decay[id(p)] for p in model[1].parameters()] == [0.0, 0.0]
    set_lr(sgd, 0.125)
    assert {group["lr"] for group in sgd.param_groups} == {0.125}
