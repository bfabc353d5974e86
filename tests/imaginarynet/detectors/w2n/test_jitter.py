"""The jitter test (U5): a constant regressor has no spread, and every picture is tested."""

from __future__ import annotations

import pytest
import torch

from experiments.imaginarynet.detectors.w2n.jitter import box_spread, shifted, shifts, spread

BOXES = torch.tensor([[10.0, 20, 50, 40], [0, 0, 8, 16]])
LABELS = torch.tensor([0, 1])
SIZE = (64.0, 48.0)


def drawn(count=2, copies=10, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return shifts(count, copies=copies, share=0.06, generator=generator)


def test_a_regressor_that_always_finds_the_same_box_has_no_spread():
    def fixed(boxes, labels):
        return BOXES[labels]

    assert box_spread(BOXES, LABELS, fixed, by=drawn(), size=SIZE).tolist() == [0, 0]


def test_a_regressor_that_changes_nothing_has_the_spread_of_the_shifts():
    by = drawn()
    found = box_spread(BOXES[:1], LABELS[:1], lambda boxes, labels: boxes, by=by[:1], size=(900.0, 900.0))
    width, height = 40, 20
    std = by[0].std(0)  # uniform in +-6 %: about 0.035
    expected = 2 * (std[0] * width + std[1] * height) / (2 * (width + height))
    assert found.item() == pytest.approx(expected.item(), rel=1e-4)
    assert found.item() > 0.02  # so that such a detector is not trusted


def test_a_copy_is_shifted_as_a_whole_within_the_share():
    by = drawn(copies=50)
    moved = shifted(BOXES[:1] + 200, by[:1], (900.0, 900.0))
    sides = moved[..., 2:] - moved[..., :2]
    assert torch.allclose(sides, torch.tensor([40.0, 20.0]).expand(1, 50, 2), atol=1e-3)
    away = (moved[..., :2] - (BOXES[:1, :2] + 200)).abs().amax((0, 1))
    assert (away <= torch.tensor([2.4, 1.2]) + 1e-3).all()
    assert (away > torch.tensor([1.0, 0.5])).all()


def test_copies_stay_inside_of_the_picture():
    edge = torch.tensor([[0.0, 0, 64, 48]])
    moved = shifted(edge, drawn(1), SIZE)
    assert (moved >= 0).all()
    assert (moved <= torch.tensor([64.0, 48, 64, 48])).all()


def test_the_spread_is_a_sum_of_four_standard_deviations_over_the_sides():
    copies = torch.tensor([[[0.0, 0, 10, 10], [2, 0, 10, 14]]])
    expected = (2**0.5 + 0 + 0 + 8**0.5) / (2 * 20)
    assert spread(copies, torch.tensor([[0.0, 0, 10, 10]])).item() == pytest.approx(expected)


def test_a_box_without_sides_is_never_trusted():
    assert spread(torch.zeros(1, 3, 4), torch.full((1, 4), 5.0)).item() == float("inf")


def test_each_copy_is_regressed_for_the_class_of_its_box():
    seen = []

    def note(boxes, labels):
        seen.append(labels)
        return boxes

    box_spread(BOXES, LABELS, note, by=drawn(copies=3), size=SIZE)
    assert seen[0].tolist() == [0, 0, 0, 1, 1, 1]


def test_a_picture_without_boxes_needs_no_regressor():
    assert box_spread(BOXES[:0], LABELS[:0], None, by=drawn(0), size=SIZE).shape == (0,)
