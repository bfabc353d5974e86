"""Networks with a handful of weights, for what is a matter of the step and not of BigGAN.

Both count their passes in training mode in `u`, and both keep what they were given while nothing is compiled.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import keras
import numpy as np
from keras import ops

from experiments.gafi.config_ours import ComputeSection
from experiments.gafi.config_sections import GanDataSection, GanModel, GanOptimization, GanRun, GanScript
from experiments.gafi.gan.step import GanStep, Networks
from experiments.gafi.gan.train import GanTrainer

SIZE, CHANNELS, CLASSES, LATENT = 4, 1, 3, 2


def script(*, lr: float = 0.05, run: dict | None = None, data: dict | None = None, **settings) -> GanScript:
    """Settings of a small GAN. settings: of MODEL where it has the key, else of OPTIMIZATION."""
    model = {name: value for name, value in settings.items() if hasattr(GanModel, name)}
    rest = {name: value for name, value in settings.items() if name not in model}
    base = GanModel(
        latent_dim=LATENT, shared_dim=2, g_conv_dim=4, d_conv_dim=4, g_ema_start=2, g_ema_decay=0.9
    )
    return GanScript(
        DATA=GanDataSection(**{"dataset": "FashionMNIST", "image_size": SIZE, **(data or {})}),
        OPTIMIZATION=GanOptimization(**{"batch_size": 2, "epochs": 2, "g_lr": lr, "d_lr": lr, **rest}),
        MODEL=replace(base, **model),
        RUN=GanRun(**{"fixed_seed": False, **(run or {})}),
    )


class StubGenerator(keras.Model):
    """tanh(z . kernel + table[label] - moving mean): the same picture content in every row."""

    def __init__(self) -> None:
        super().__init__(name="generator")
        self.seen: list[tuple[np.ndarray, np.ndarray]] = []
        self.build()

    def build(self, input_shape: None = None) -> None:
        first = keras.initializers.RandomNormal(stddev=0.5, seed=1)
        self.kernel = self.add_weight(shape=(LATENT, SIZE * SIZE), initializer=first, name="kernel")
        self.table = self.add_weight(shape=(CLASSES, 1), initializer="zeros", name="table")
        self.moving_mean = self.add_weight(
            shape=(LATENT,), initializer="zeros", name="moving_mean", trainable=False
        )
        self.u = self.add_weight(shape=(), initializer="zeros", name="u", trainable=False)

    def call(self, inputs, training: bool = False):
        z, labels = inputs
        if training:
            note(self.seen, z, labels)
            self.moving_mean.assign(0.9 * self.moving_mean.value + 0.1 * ops.mean(z, axis=0))
            self.u.assign(self.u.value + 1.0)
        x = ops.matmul(z - self.moving_mean.value, self.kernel.value)
        x = x + ops.take(self.table.value, labels, axis=0)
        return ops.reshape(ops.tanh(x), (-1, SIZE, SIZE, CHANNELS))


class StubDiscriminator(keras.Model):
    """<kernel, x> + table[label]."""

    def __init__(self) -> None:
        super().__init__(name="discriminator")
        self.seen: list[tuple[np.ndarray, np.ndarray]] = []
        self.build()

    def build(self, input_shape: None = None) -> None:
        first = keras.initializers.RandomNormal(stddev=0.5, seed=2)
        self.kernel = self.add_weight(shape=(SIZE * SIZE, 1), initializer=first, name="kernel")
        self.table = self.add_weight(shape=(CLASSES, 1), initializer="zeros", name="table")
        self.u = self.add_weight(shape=(), initializer="zeros", name="u", trainable=False)

    def call(self, inputs, training: bool = False):
        x, labels = inputs
        if training:
            note(self.seen, x, labels)
            self.u.assign(self.u.value + 1.0)
        flat = ops.reshape(x, (-1, SIZE * SIZE))
        return ops.matmul(flat, self.kernel.value) + ops.take(self.table.value, labels, axis=0)


def note(seen: list, first, second) -> None:
    """Keep what a network was given, if it is numbers and not a graph."""
    if isinstance(first, np.ndarray) or hasattr(first, "numpy"):
        seen.append((np.asarray(first), np.asarray(second)))


def networks() -> Networks:
    return Networks(generator=StubGenerator(), discriminator=StubDiscriminator(), num_classes=CLASSES)


class StubTrainer(GanTrainer):
    """A trainer of the two stubs; `train` cannot tell it from another one."""

    def __init__(self, script: GanScript, *, seed: int = 5, **compute) -> None:
        self.script, self.seed = script, seed
        self.compute = ComputeSection(**compute)
        self.channels, self.image_size = CHANNELS, SIZE
        rest = replace(script.OPTIMIZATION, epochs=1, total_steps=1)
        self.step = compiled_step(replace(script, RUN=GanRun(), OPTIMIZATION=rest))
        self.networks = self.step.networks  # nothing writes into their variables


@cache
def compiled_step(script: GanScript) -> GanStep:
    """One for all trainers whose settings differ in nothing that a step knows of."""
    return GanStep(networks(), script)


def pictures(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(count, SIZE, SIZE, 1) float32 in [-1, 1], all different, and labels."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1, 1, (count, SIZE, SIZE, CHANNELS)).astype(np.float32)
    return x, rng.integers(0, CLASSES, count)
