"""The benchmark of whole steps: every way takes the same step."""

import pytest

from benchmarks.solid_pretrain_whole import WAYS, measure, pictures, stepper
from experiments.solid.config import SolidConfig
from suite.config import load_config
from suite.provenance import ROOT


@pytest.fixture(scope="module")
def case():
    config = load_config(SolidConfig, ROOT / "experiments/solid/configs/tiny.yaml")
    return config, pictures(config, 2, "cpu")


def losses(case, name, steps):
    precision, last, published = WAYS[name]
    step = stepper(*case, "cpu", precision, channels_last=last, published=published)
    return [step().item() for _ in range(steps)]


def test_every_way_takes_the_same_first_step(case):
    # Later ones part: proposals that differ in the last bit are sampled differently.
    first, second = losses(case, "float32, plain", 2)
    assert losses(case, "published, float32", 2) == pytest.approx([first, second], rel=1e-3)
    assert losses(case, "float32, channels last", 1) == pytest.approx([first], rel=1e-4)
    for name in ("bfloat16, plain", "bfloat16, channels last"):
        assert losses(case, name, 1) == pytest.approx([first], rel=0.02)
    assert first != second  # the step moved the network


def test_the_least_of_several_steps_counts():
    calls = []
    assert measure(lambda: calls.append(1), 4, "cpu") >= 0
    assert len(calls) == 4
