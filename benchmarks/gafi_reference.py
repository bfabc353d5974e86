"""The per-class host loop of GaFi's published pipeline, for benchmarks/gafi.py.

Written anew from its description. For each class: latents, `generator.predict`, `classifier.predict`, masks
in numpy, until the class is full. Each candidate of a search makes all its sets anew and trains a new Keras
model by one `fit` per epoch. What the published code does besides, and this does not: clearing the Keras
session, saving the models.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from experiments.gafi.classifier.trainer import ClassifierTrainer
from experiments.gafi.nn.augment import augment
from experiments.gafi.sampling.latents import StreamKey, scaled_latents

BATCH_SIZE = 128


def generate_dataset(
    generator: keras.Model,
    classifier: keras.Model,
    *,
    per_class: int,
    classes: int,
    stddev: float,
    threshold: float,
    stream: StreamKey,
) -> tuple[np.ndarray, np.ndarray]:
    """(images (N, H, W, C) float32, labels (N,) int64) on the host, without a limit of attempts."""
    sets = []
    for label in range(classes):
        kept, number, drawn = [], 0, 0
        while number < per_class:
            more = (per_class - number) * (1 if number == 0 else 2)
            z = scaled_latents(stream, label, drawn, drawn + more, dim=generator.latent_dim, stddev=stddev)
            images = generator.predict((z, np.full(more, label)), batch_size=BATCH_SIZE, verbose=0)
            logits = classifier.predict(images, batch_size=BATCH_SIZE, verbose=0)
            odds = np.exp(logits - logits.max(axis=1, keepdims=True))
            probability = odds[:, label] / odds.sum(axis=1)
            mask = (logits.argmax(axis=1) == label) & (probability > np.float32(threshold))
            kept.append(images[mask])
            number, drawn = number + int(mask.sum()), drawn + more
        sets.append(np.concatenate(kept)[:per_class])
    return np.concatenate(sets), np.repeat(np.arange(classes), per_class)


class Augmented(keras.Model):
    """A classifier with the augmentation in front of it, as the published models have it."""

    def __init__(self, network: keras.Model, settings: Any):
        super().__init__(name="augmented")
        self.network, self.settings = network, settings
        self.noise = keras.random.SeedGenerator(0)

    def call(self, images: Any, training: bool = False) -> Any:
        if training:
            key = keras.random.randint((2,), -(2**31), 2**31 - 1, dtype="int32", seed=self.noise)
            images = augment(images, key, self.settings, fill=-1.0)
        return self.network(images, training=training)


def train_candidate(
    trainer: ClassifierTrainer,
    network: keras.Model,
    make: Callable[[int], tuple[np.ndarray, np.ndarray]],
    *,
    epochs: int,
    every: int,
    val: tuple[np.ndarray, np.ndarray],
) -> Counter:
    """Seconds of the phases data, training, evaluation. trainer: its settings; network: untrained."""
    rule, seconds = trainer.script.OPTIMIZATION, Counter()
    model = Augmented(network, trainer.script.AUG)
    model.compile(
        keras.optimizers.SGD(rule.lr, rule.momentum, nesterov=rule.nesterov, weight_decay=rule.weight_decay),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    for epoch in range(epochs):
        started = time.perf_counter()
        if epoch % every == 0:
            images, labels = make(epoch // every)
        made = time.perf_counter()
        model.fit(batches(images, labels, rule.batch_size, seed=epoch), epochs=1, shuffle=False, verbose=0)
        trained = time.perf_counter()
        model.evaluate(*val, batch_size=rule.val_batch_size, verbose=0)
        seconds += Counter(
            data=made - started, training=trained - made, evaluation=time.perf_counter() - trained
        )
    return seconds


def batches(images: np.ndarray, labels: np.ndarray, batch_size: int, *, seed: int) -> tf.data.Dataset:
    """As published: shuffled within 1024, but the last, smaller batch is dropped (one static shape)."""
    made = tf.data.Dataset.from_tensor_slices((images, labels)).cache().shuffle(1024, seed=seed)
    return made.batch(batch_size, drop_remainder=True).prefetch(tf.data.AUTOTUNE)
