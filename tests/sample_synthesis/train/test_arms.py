"""The arms: which images, in which order, how long."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from experiments.sample_synthesis.cells import Cell, cells, epochs
from experiments.sample_synthesis.train.arms import Available, recipe
from suite.errors import BadInput
from tests.sample_synthesis.train.toy import settings

AVAILABLE = Available(train=200, valid=50, synthetic=10_000, rows=np.arange(200)[::-1])
LONG = (
    "qr.grid={sizes: [10, 50], epochs_real: 20, epochs_pretrain: 40}",
    "train={batch: 16, steps_per_epoch: 25}",
)
LONG += ("ablation={factors: [1, 4], qr_images: 50}", "arms=[from_scratch, finetuned, matched]")
LONG += ("qr.synthesis.num_samples=10000", "train.runs=2")


def grid(*changes):
    config = settings(*LONG, *changes)
    return config, {cell.name: cell for cell in cells(config)}


def plan(name, *changes, available=AVAILABLE, seed=0):
    config, by_name = grid(*changes)
    return recipe(config, by_name[name], available, seed=seed)


def test_pretraining_sees_synthetic_images_alone():
    found = plan("qr-tiny-pretrained-run1")
    assert found.data == "synthetic" and len(found.order) == 40 * 25 * 16 and not len(found.real)


@pytest.mark.parametrize("order", ["buffer", "permutation"])
def test_real_arms_see_the_seeded_subset_and_nothing_else(order):
    small = plan("qr-tiny-from_scratch-10-run1", f"train.order={order}")
    large = plan("qr-tiny-from_scratch-50-run2", f"train.order={order}")
    assert set(small.order) == set(small.real) and len(set(small.real)) == 10
    assert set(small.real) < set(large.real)  # nested, and the same in all runs
    assert small.data == large.data == "real"


def test_matched_has_the_steps_of_pretraining_and_finetuning_together():
    config, by_name = grid()
    finetuned = by_name["qr-tiny-finetuned-10-run1"]
    matched = by_name["qr-tiny-matched-10-run1"]
    assert epochs(config, matched) == epochs(config, finetuned) + epochs(config, finetuned.parent)
    assert plan(matched.name).schedule.num_steps == 60 * 25


def test_runs_and_arms_have_orders_of_their_own():
    names = ["qr-tiny-finetuned-10-run1", "qr-tiny-finetuned-10-run2", "qr-tiny-from_scratch-10-run1"]
    assert len({plan(name).order.tobytes() for name in names}) == 3


def test_mixed_has_synthetic_images_in_proportion():
    found = plan("qr-tiny-mixed-50-4x-run1")
    is_real = found.order < AVAILABLE.train
    sigma = np.sqrt(0.2 * 0.8 / len(found.order))
    assert abs(is_real.mean() - 0.2) < 3 * sigma
    assert set(found.order[is_real]) == set(found.real)
    assert set(found.order[~is_real] - AVAILABLE.train) == set(range(200))  # the first 4 x 50


def test_compat_mixed_has_none():
    found = plan("qr-tiny-mixed-50-4x-run1", "compat.mixed_real_only=true")
    assert found.order.max() < AVAILABLE.train and set(found.order) == set(found.real)


def test_compat_takes_the_first_rows_in_the_pretraining_ablation_alone():
    compat = "compat.first_rows_subset=true"
    # `rows` says that the last positions come first in the published list.
    assert set(plan("qr-tiny-finetuned-50-1x-run1", compat).real) == set(range(150, 200))
    assert set(plan("qr-tiny-finetuned-50-run1", compat).real) != set(range(150, 200))
    assert set(plan("qr-tiny-finetuned-50-1x-run1").real) == set(plan("qr-tiny-finetuned-50-run1").real)


def test_matched_validation_is_no_larger_than_the_real_images():
    changes = "train.validation=matched"
    assert len(plan("qr-tiny-from_scratch-10-run1", changes).validation) == 10
    assert len(plan("qr-tiny-from_scratch-50-run1", changes).validation) == 50
    for pretraining in ("qr-tiny-pretrained-run1", "qr-tiny-pretrained-50-1x-run1"):
        assert len(plan(pretraining, changes).validation) == 0
    assert len(plan("qr-tiny-from_scratch-10-run1").validation) == 50


def test_more_images_than_there_are_end_in_one_line():
    with pytest.raises(BadInput, match="50 of 20 training images"):
        plan("qr-tiny-from_scratch-50-run1", available=replace(AVAILABLE, train=20))
    with pytest.raises(
        BadInput, match="10000 synthetic images, there are 7; set qr.synthesis.num_samples=10000"
    ):
        plan("qr-tiny-pretrained-run1", available=replace(AVAILABLE, synthetic=7))


def test_a_finetuned_cell_starts_from_the_pretraining_of_its_own_run_and_factor():
    _, by_name = grid()
    parent = by_name["qr-tiny-finetuned-50-4x-run2"].parent
    assert isinstance(parent, Cell) and parent in by_name.values()
    assert (parent.arm, parent.factor, parent.run) == ("pretrained", 4, 2)
