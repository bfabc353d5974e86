"""What is measured of a GAN while it trains: columns of history.csv (`compute_metrics`, off by default).

The same latents and labels in every epoch, drawn from the generator that would be kept; the real pictures are
those of the validation split, which is the test split where train and validation are merged, as published. By
hand only: it needs the classifier of real pictures, which the stage `train-gan` of a run does not wait for.

With `compute_classifier_stats`: `c_acc_real` and `c_acc_fake`, the classifier's accuracy on these pictures
after each epoch (the published code has it on the batches of training).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from experiments.gafi.config import GafiConfig
from experiments.gafi.data.dataset import Dataset
from experiments.gafi.gan.step import GanState
from experiments.gafi.nn.backend import jit, to_numpy
from experiments.gafi.nn.state import apply
from suite.seeds import item_rng

BATCH = 256  # pictures in one call of the generator
STREAM = "gafi.gan.meter"


def fixed_fakes(seed: int, count: int, *, num_classes: int, latent_dim: int) -> tuple[np.ndarray, np.ndarray]:
    """(latents (n, latent_dim) float32, labels (n,) int32): standard normal, uniform; of every epoch."""
    rng = item_rng(seed, STREAM, 0)
    latents = rng.standard_normal((count, latent_dim)).astype(np.float32)
    return latents, rng.integers(0, num_classes, count).astype(np.int32)


class EpochMeter:
    """`meter(epoch, state) -> {column: value}` for gan/train.py."""

    def __init__(
        self, config: GafiConfig, dataset: Dataset, generator: Any, *, classifier: Path, seed: int
    ) -> None:
        """generator: the network that is trained. classifier: a folder of `train-classifier`."""
        from experiments.gafi.classifier.stage import load_classifier
        from experiments.gafi.metrics.features import extractors
        from experiments.gafi.metrics.quality import Comparer, cut_to

        self.run = config.gan.RUN
        networks = extractors(config.METRICS.extractor, *load_classifier(classifier), random_seed=seed)
        self.comparer = Comparer(*networks, nearest=config.METRICS.nearest, num_classes=dataset.num_classes)
        count = min(config.METRICS.num_fakes, dataset.counts["val"])  # the published code cuts fakes to reals
        images, labels = cut_to(count, dataset.splits["val"], item_rng(seed, STREAM, 1))
        self.real = self.comparer.look(images, labels)
        self.fakes = fixed_fakes(
            seed, count, num_classes=dataset.num_classes, latent_dim=config.gan.MODEL.latent_dim
        )
        self._generate = jit(lambda at, z, labels: apply(generator, at, (z, labels), training=False)[0])

    def __call__(self, epoch: int, state: GanState) -> Mapping[str, float | None]:
        if epoch < self.run.start_eval_epoch:
            return {}
        fake = self.comparer.look(self._draw(state), self.fakes[1])
        row = dict(self.comparer.compare(self.real, fake)) if self.run.compute_metrics else {}
        if self.run.compute_classifier_stats:
            for name, seen in (("c_acc_real", self.real), ("c_acc_fake", fake)):
                row[name] = float((seen.by_real.probabilities.argmax(axis=1) == seen.labels).mean())
        return row

    def _draw(self, state: GanState) -> np.ndarray:
        """The fixed fakes as pictures; a last batch is padded, so that one shape is compiled."""
        latents, labels = self.fakes
        padding = -len(labels) % BATCH
        latents, labels = np.pad(latents, ((0, padding), (0, 0))), np.pad(labels, (0, padding))
        made = [
            to_numpy(self._generate(state.sampler, latents[i : i + BATCH], labels[i : i + BATCH]))
            for i in range(0, len(labels), BATCH)
        ]
        return np.concatenate(made)[: len(self.fakes[1])]
