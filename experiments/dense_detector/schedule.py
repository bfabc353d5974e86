"""Learning rate by step, as closed forms: a resumed run needs no scheduler state but the step."""

from __future__ import annotations

import math

from experiments.dense_detector.config import Train

# Branch research: warm-up by epochs, then two drops; (first epoch, factor).
RESEARCH_EPOCHS = ((0, 0.1), (5, 1.0), (20, 0.1), (60, 0.01))


def lr_factor(train: Train, step: int, *, steps_per_epoch: int, num_steps: int) -> float:
    """What `train.lr` is multiplied by at `step` (from 0) of `num_steps`.

    warmup_cosine: linear over `warmup_steps`, then half a cosine down to 0 after the last step. step: x 0.1
    every 2 epochs (branch master). epochs_research: RESEARCH_EPOCHS. constant: 1.
    """
    epoch = step // steps_per_epoch
    if train.schedule == "constant":
        return 1.0
    if train.schedule == "step":
        return 0.1 ** (epoch // 2)
    if train.schedule == "epochs_research":
        return [factor for first, factor in RESEARCH_EPOCHS if first <= epoch][-1]
    if step < train.warmup_steps:
        return (step + 1) / train.warmup_steps
    done = (step - train.warmup_steps) / max(1, num_steps - train.warmup_steps)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
