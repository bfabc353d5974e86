"""The learning rate by epoch."""

from __future__ import annotations

from collections import Counter

import pytest

from experiments.gafi.config_ours import ComputeSection
from experiments.gafi.nn.schedule import lr_at


def test_a_hundred_epochs_run_59_at_the_full_rate_20_at_a_tenth_and_21_at_a_hundredth():
    rates = [lr_at(epoch, lr=0.1) for epoch in range(1, 101)]
    assert Counter(round(rate, 9) for rate in rates) == {0.1: 59, 0.01: 20, 0.001: 21}
    assert rates == sorted(rates, reverse=True)
    assert rates[58] == 0.1 and rates[59] == pytest.approx(0.01) and rates[79] == pytest.approx(0.001)


def test_the_published_milestones_are_epochs_whatever_the_total():
    assert ComputeSection().lr_milestones == (60, 80)
    assert lr_at(300, lr=0.1) == lr_at(80, lr=0.1)


def test_milestones_are_settings():
    assert [lr_at(e, lr=1.0, milestones=(2, 3)) for e in (1, 2, 3, 4)] == [1.0, 0.1, 0.01, 0.01]
    assert lr_at(1000, lr=0.5, milestones=()) == 0.5
