"""That training finds the object: a minute's worth of it, on shapes of one colour on plain backgrounds.

So short a training ends far from a segmentation: a centred disc agrees with these objects better (IoU 0.43)
than the masks do. What it shows is that the masks move towards the object without a label: away from where
they began, beyond a mask that covers everything, and with the picture, not only with the place.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from experiments.sample_synthesis.config_sections import RedoConfig
from experiments.sample_synthesis.redo.evaluate import score
from experiments.sample_synthesis.redo.train import RedoTrainer, architecture_of
from tests.sample_synthesis.redo.scenes import scenes

SIDE, STEPS, NUM_TRAIN, NUM_TEST = 32, 100, 400, 100
SETTINGS = RedoConfig(nf=8, size=SIDE, latent=4, batch=12, steps=STEPS, lr=1e-3, lr_mask=3e-4)


@pytest.mark.slow
def test_masks_move_towards_the_object_without_a_label():
    widths = dataclasses.replace(architecture_of(SETTINGS), nf_mask=32, nf_discriminator=16)
    trainer = RedoTrainer(SETTINGS, seed=1, architecture=widths)
    pictures, truth = scenes(NUM_TRAIN + NUM_TEST, side=SIDE)
    unseen, true = pictures[NUM_TRAIN:], truth[NUM_TRAIN:]
    before = score(trainer.masks(unseen), true)
    for _ in range(STEPS):
        trainer.step(pictures, np.arange(NUM_TRAIN))
    masks = trainer.masks(unseen)
    after, of_others = score(masks, true), score(masks, np.roll(true, 1, axis=0))
    told = f"before {before}, after {after}, against other pictures' objects {of_others}"
    assert after.set_iou > 1.3 * before.set_iou, told
    assert after.set_iou > 1.3 * after.constant_iou, told
    assert after.set_iou > 1.1 * of_others.set_iou, told
