"""Scores of masks when nobody said which region is the object."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.sample_synthesis.redo.evaluate import score
from suite.errors import BadInput

# 4 of 16 pixels are the object in the first picture, 8 in the second.
TRUTH = np.zeros((2, 4, 4), bool)
TRUTH[0, :2, :2] = TRUTH[1, :2] = True


def test_true_masks_and_their_complements_are_perfect():
    for masks, inverted in ((TRUTH, False), (~TRUTH, True)):
        found = score(masks.astype(np.float32), TRUTH)
        assert (found.accuracy, found.iou, found.set_accuracy, found.set_iou) == (1, 1, 1, 1)
        assert found.set_is_inverted is inverted


def test_one_inverted_picture_costs_nothing_as_published_but_half_of_the_set():
    masks = TRUTH.copy()
    masks[1] = ~masks[1]
    found = score(masks.astype(np.float32), TRUTH)
    assert (found.accuracy, found.iou) == (1, 1)
    assert (found.set_accuracy, found.set_iou) == (0.5, 0.5)


def test_scores_by_hand():
    masks = np.zeros((2, 4, 4), np.float32)
    masks[0, :2] = 0.6  # 8 pixels, 4 of them right: IoU 4/8, accuracy 12/16
    masks[1, 0] = 0.6  # 4 pixels, all right: IoU 4/8, accuracy 12/16; its complement: 4/16 and 4/16
    found = score(masks, TRUTH)
    assert (found.iou, found.accuracy) == (0.5, 0.75)


def test_a_constant_mask_scores_what_the_constant_columns_say():
    found = score(np.ones((2, 4, 4), np.float32), TRUTH)
    assert found.iou == found.constant_iou == pytest.approx((4 / 16 + 8 / 16) / 2)
    assert found.accuracy == found.constant_accuracy == pytest.approx((12 / 16 + 8 / 16) / 2)


def test_two_empty_masks_agree():
    assert score(np.zeros((1, 4, 4), np.float32), np.zeros((1, 4, 4), bool)).iou == 1.0


@pytest.mark.parametrize("shape", [(1, 4, 4), (2, 4, 5), (0, 4, 4)])
def test_masks_of_another_number_or_size_are_refused(shape):
    with pytest.raises(BadInput):
        score(np.zeros(shape, np.float32), TRUTH if len(shape) and shape[0] else np.zeros(shape, bool))
