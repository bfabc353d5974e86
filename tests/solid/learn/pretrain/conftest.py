"""One small detector and one batch for it, made of nothing but a seed."""

from __future__ import annotations

import pytest

NUM_CLASSES = 6


@pytest.fixture
def tree(tiny_config):
    """The LazyConfig tree of tiny.yaml over six classes."""
    from experiments.solid.learn.pretrain.lazy import lazy_pretrain

    return lazy_pretrain(tiny_config, num_classes=NUM_CLASSES, seed=0, device="cpu")


@pytest.fixture
def training(tree):
    """Model, optimiser and schedule of that tree, in training mode."""
    import torch

    from experiments.solid.learn.pretrain.lazy import make

    torch.manual_seed(0)
    made = make(tree, torch.device("cpu"))
    made.model.train()
    return made


@pytest.fixture
def model(training):
    return training.model


@pytest.fixture
def batch():
    """Two targets with three instances each, and queries of classes 0..3."""
    from tests.solid.learn.pretrain.batches import queries, targets

    return targets(), queries(4)
