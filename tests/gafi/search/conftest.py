"""A bench of seconds: stub generator and judge in closed form, a small real classifier, greys as data."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from experiments.gafi.search.chain import Chain
from tests.gafi.search.samples import CHAIN

CLASSES, SIZE = 3, 8
TINY_CHAIN = replace(
    CHAIN, class_samples=6, search_every=2, search_epochs=3, best_epochs=4, threshold_grid=(0.0, 0.6)
)


@dataclass
class Counted:
    """Calls of a bench: what was opened, which generators were asked for, epochs that were trained."""

    opened: int = 0
    sources: list = field(default_factory=list)
    epochs: list = field(default_factory=list)


def greys(per_class: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """uint8 (K * per_class, 8, 8, 1) images around the centre of their class, and their labels."""
    labels = np.repeat(np.arange(CLASSES), per_class)
    centres = (255 * (labels + 0.5) / CLASSES)[:, None, None, None]
    noise = np.random.default_rng(seed).normal(0, 8, (len(labels), SIZE, SIZE, 1))
    return np.clip(centres + noise, 0, 255).astype(np.uint8), labels.astype(np.int64)


def make_greys():
    """A data set of 20, 6 and 7 images of each class."""
    from experiments.gafi.config_ours import SubsetSection
    from experiments.gafi.config_sections import DataSection
    from experiments.gafi.data.dataset import make_dataset
    from experiments.gafi.data.raw import Part, RawDataset

    train, val, test = (Part(*greys(n, seed)) for n, seed in ((20, 0), (6, 1), (7, 2)))
    raw = RawDataset("FashionMNIST", train, val, test, ("dark", "grey", "light"), "given")
    return make_dataset(
        DataSection(dataset="FashionMNIST", image_size=SIZE), SubsetSection(), raw, as_uint8=True
    )


@pytest.fixture(scope="session")
def trainer():
    from experiments.gafi.classifier.trainer import ClassifierTrainer
    from experiments.gafi.config_ours import ComputeSection
    from experiments.gafi.config_sections import (
        AugSection,
        ClassifierModel,
        DataSection,
        PipelineOptimization,
        PipelineScript,
    )

    script = PipelineScript(
        DATA=DataSection(dataset="FashionMNIST", image_size=SIZE),
        OPTIMIZATION=PipelineOptimization(batch_size=9, lr=0.01),
        MODEL=ClassifierModel(name="resnet14", width=4),
        AUG=AugSection(random_flip=False, random_crop=False, random_erasing=False),
    )
    return ClassifierTrainer(
        script, image_shape=(SIZE, SIZE, 1), num_classes=CLASSES, compute=ComputeSection()
    )


@pytest.fixture(scope="session")
def scorer():
    from experiments.gafi.sampling.score import Scorer
    from tests.gafi import fakes

    made = fakes.generator(CLASSES, image_shape=(SIZE, SIZE, 1))
    return Scorer(made, fakes.classifier(CLASSES), batch_size=16)


@pytest.fixture
def counted():
    return Counted()


@pytest.fixture
def bench(trainer, scorer, counted, monkeypatch):
    """A fresh bench with a data set of its own; generators differ by a shift of their images."""
    import keras

    from experiments.gafi.nn.state import ModelState
    from experiments.gafi.search.candidate import Bench

    def scorer_of(source):
        counted.sources.append(source)
        shift = np.float32(source.epoch / 1000 + source.index / 100)
        return scorer.with_generator(ModelState([keras.ops.convert_to_tensor(shift)], []))

    train_epoch = trainer.train_epoch

    def counting(*args, epoch, **kwargs):
        counted.epochs.append(epoch)
        return train_epoch(*args, epoch=epoch, **kwargs)

    monkeypatch.setattr(trainer, "train_epoch", counting)
    return Bench(
        trainer=trainer, scorer_of=scorer_of, dataset=make_greys(), cap=20, fallback="unfiltered",
        keep_epochs=True,
    )  # fmt: skip


@pytest.fixture
def chain() -> Chain:
    return TINY_CHAIN
