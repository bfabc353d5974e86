"""A tiny trainer and images whose class is their brightness."""

from __future__ import annotations

import numpy as np

from experiments.gafi.classifier.trainer import ClassifierTrainer
from experiments.gafi.config_ours import ComputeSection
from experiments.gafi.config_sections import (
    AugSection,
    ClassifierModel,
    ClassifierOptimization,
    ClassifierScript,
    DataSection,
)

PLAIN = AugSection(random_flip=False, random_crop=False, random_erasing=False)
SIZE, CLASSES = 8, 3


def make_script(*, aug=PLAIN, model="resnet14", batch=16, lr=0.05, optimizer="sgdw", **data):
    return ClassifierScript(
        DATA=DataSection(**data),
        OPTIMIZATION=ClassifierOptimization(
            batch_size=batch, val_batch_size=batch, lr=lr, optimizer=optimizer, epochs=3
        ),
        MODEL=ClassifierModel(name=model, width=4),
        AUG=aug,
    )


def make_trainer(*, compute=None, **settings):
    return ClassifierTrainer(
        make_script(**settings), image_shape=(SIZE, SIZE, 1), num_classes=CLASSES,
        compute=compute or ComputeSection(),
    )  # fmt: skip


def make_images(num=40, seed=0):
    """uint8 (num,SIZE,SIZE,1) and their labels: dark, grey or bright."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, CLASSES, num)
    noise = rng.integers(0, 60, (num, SIZE, SIZE, 1))
    return (labels[:, None, None, None] * 90 + noise).astype(np.uint8), labels
