"""What a backend of Keras computes from the same weights, pictures and draws, as named arrays.

    KERAS_BACKEND=tensorflow .tox/tensorflow/bin/python -m tests.gafi.jax.arrays reference.npz

test_parity.py calls `compute` on JAX and compares. Each backend has its own generators of random numbers,
which agree in law alone; so draws come from the host, or from a closed form in whole numbers, which both
compute exactly.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from experiments.gafi.classifier.trainer import ClassifierTrainer
from experiments.gafi.config import GafiConfig
from experiments.gafi.config_sections import AugSection
from experiments.gafi.gan import step as gan
from experiments.gafi.nn import backend
from experiments.gafi.nn.augment import Draws, augment_with
from experiments.gafi.nn.classifiers import apply_features, build_classifier
from experiments.gafi.nn.discriminator import build_discriminator
from experiments.gafi.nn.generator import build_generator
from experiments.gafi.nn.state import (
    apply,
    from_arrays,
    load_arrays,
    names_of,
    save_arrays,
    state_of,
    to_arrays,
)
from suite.config import load_config
from suite.seeds import item_rng

SIDE, CHANNELS, CLASSES, SEED = 16, 1, 10, 3
STEPS = 3  # of the GAN
NO_AUGMENTATION = AugSection(
    random_flip=False, random_crop=False, random_rotation=False, random_zoom=False, random_erasing=False
)


def settings() -> GafiConfig:
    """The smallest published form of everything, at 16 pixels."""
    return load_config(GafiConfig, "experiments/gafi/configs/tiny.yaml")


def pictures(num: int) -> np.ndarray:
    """float32 (num, SIDE, SIDE, CHANNELS) in [-1, 1]."""
    return item_rng(SEED, "parity.pictures", 0).uniform(-1, 1, (num, SIDE, SIDE, CHANNELS)).astype(np.float32)


def labels(num: int) -> np.ndarray:
    """int32 (num,): every class by turns."""
    return (np.arange(num) % CLASSES).astype(np.int32)


def latents(num: int, dim: int) -> np.ndarray:
    """float32 (num, dim) from N(0, 1)."""
    return item_rng(SEED, "parity.latents", 0).standard_normal((num, dim)).astype(np.float32)


def whole_number_draws(key: Any, shape: Sequence[int]) -> Any:
    """float32 of `shape` in [0, 1), a closed form of the key and the place: exact on every backend."""
    place = ops.reshape(ops.arange(math.prod(shape), dtype="int32"), tuple(shape))
    phase = ops.bitwise_and(ops.bitwise_xor(key[0], key[1]), 1023)
    return ops.cast(ops.bitwise_and(place * 389 + phase * 577, 1023), "float32") / 1024.0


def uniform(key: Any, shape: Sequence[int], low: float = 0.0, high: float = 1.0) -> Any:
    """In the place of backend.uniform."""
    return whole_number_draws(key, shape) * (high - low) + low


def normal(key: Any, shape: Sequence[int]) -> Any:
    """In the place of backend.normal: mean 0 and deviation 1, but uniform."""
    return (whole_number_draws(key, shape) - 0.5) * math.sqrt(12.0)


def named(prefix: str, names: Iterable[str], values: Iterable[Any]) -> dict[str, np.ndarray]:
    """{prefix/name: array}."""
    return {f"{prefix}/{n}": backend.to_numpy(v) for n, v in zip(names, values, strict=True)}


def answers(net: keras.Model, *, training: bool) -> Callable:
    """`(state, inputs) -> (outputs, new other)`, compiled."""
    return backend.jit(lambda state, given: apply(net, state, given, training=training))


def of_networks(config: GafiConfig) -> dict[str, np.ndarray]:
    """Initial weights of the three networks, what they answer, and what a pass in training moves."""
    model = config.gan.MODEL
    shape = {"num_classes": CLASSES, "channels": CHANNELS, "image_size": SIDE, "seed": SEED}
    inputs = {
        "generator": (build_generator(model, **shape), (latents(6, model.latent_dim), labels(6))),
        "discriminator": (build_discriminator(model, **shape), (pictures(6), labels(6))),
        "classifier": (build_classifier(config.classifier.MODEL, **shape), pictures(6)),
        "simple": (build_classifier(replace(config.classifier.MODEL, name="simple"), **shape), pictures(6)),
    }
    out = {}
    for name, (net, given) in inputs.items():
        given = keras.tree.map_structure(ops.convert_to_tensor, given)
        state, names = state_of(net), names_of(net)
        infer, train = answers(net, training=False), answers(net, training=True)
        out |= {f"{name}/initial/{key}": value for key, value in to_arrays(net, state).items()}
        out[f"{name}/inference"] = backend.to_numpy(infer(state, given)[0])
        if name == "simple":  # its dropout draws
            continue
        answer, other = train(state, given)
        out[f"{name}/training"] = backend.to_numpy(answer)
        out |= named(f"{name}/moved", names.other, other)
        if name == "classifier":
            out[f"{name}/features"] = backend.to_numpy(apply_features(net, state, given))
    return out


def of_augmentation() -> dict[str, np.ndarray]:
    """All augmentations at once and one by one, with given draws."""
    rng, num = item_rng(SEED, "parity.draws", 0), 8
    draws = Draws(
        angle=rng.uniform(-0.6, 0.6, num).astype(np.float32),
        flip=rng.random(num) < 0.5,
        zoom=rng.uniform(0.8, 1.2, num).astype(np.float32),
        crop=rng.integers(0, 9, (num, 2)).astype(np.int32),
        erase_size=rng.integers(3, 9, (num, 2)).astype(np.int32),
        erase_center=rng.integers(0, SIDE, (num, 2)).astype(np.int32),
        noise=rng.standard_normal((num, SIDE, SIDE, CHANNELS)).astype(np.float32),
    )
    erasing = ("erase_size", "erase_center", "noise")
    alone = {name: (name,) for name in ("angle", "flip", "zoom", "crop")} | {"erasing": erasing}
    apply_draws = backend.jit(lambda images, chosen: augment_with(images, chosen, fill=-1.0))
    out = {}
    for name, kept in {**alone, "all": Draws._fields}.items():
        chosen = Draws(**{field: ops.convert_to_tensor(getattr(draws, field)) for field in kept})
        out[f"augment/{name}"] = backend.to_numpy(apply_draws(ops.convert_to_tensor(pictures(num)), chosen))
    return out


def of_classifier_step(config: GafiConfig) -> dict[str, np.ndarray]:
    """One step on a batch: loss, right answers, weights, moving statistics, the optimiser's slots."""
    script = replace(config.classifier, AUG=NO_AUGMENTATION)
    trainer = ClassifierTrainer(
        script, image_shape=(SIDE, SIDE, CHANNELS), num_classes=CLASSES, compute=config.COMPUTE
    )
    (trainable, other), slots = trainer.initial(SEED)
    key, rate = np.zeros(2, np.int32), np.float32(0.1)
    given = (pictures(20), labels(20), key, rate)
    trainable, other, slots, loss, hits = trainer.step(
        trainable, other, slots, *map(ops.convert_to_tensor, given)
    )
    names = names_of(trainer.model)
    return {
        "classifier step/loss": backend.to_numpy(loss),
        "classifier step/hits": backend.to_numpy(hits),
        **named("classifier step/weights", names.trainable, trainable),
        **named("classifier step/other", names.other, other),
        **named("classifier step/slots", map(str, range(len(slots))), slots),
    }


def of_gan_steps(config: GafiConfig) -> dict[str, np.ndarray]:
    """Losses of STEPS steps, and the whole state after the first."""
    gan.normal, gan.uniform = normal, uniform
    script, num = config.gan, gan.basket_size(config.gan)
    shape = {"num_classes": CLASSES, "channels": CHANNELS, "image_size": SIDE}
    networks = gan.Networks(
        generator=build_generator(script.MODEL, **shape, seed=SEED),
        discriminator=build_discriminator(script.MODEL, **shape, seed=SEED + 1),
        num_classes=CLASSES,
    )
    step, state = gan.GanStep(networks, script), gan.initial_state(networks, script)
    images, wanted = (ops.convert_to_tensor(array) for array in (pictures(num), labels(num)))
    out: dict[str, np.ndarray] = {}
    for number in range(STEPS):
        index = np.roll(np.arange(num, dtype=np.int32), number)
        keys = np.array([[number, 17], [number, 91]], np.int32)
        state, found = step(state, images, wanted, *map(ops.convert_to_tensor, (index, keys)))
        out[f"gan step/losses/{number}"] = backend.to_numpy(found)
        if number == 0:
            out |= of_gan_state(networks, state)
    return out


def of_gan_state(networks: gan.Networks, state: gan.GanState) -> dict[str, np.ndarray]:
    """Everything that a step changes."""
    model = networks.generator
    given = tuple(map(ops.convert_to_tensor, (latents(6, model.latent_dim), labels(6))))
    out = {
        "gan step/step": backend.to_numpy(state.step),
        "gan step/inference": backend.to_numpy(answers(model, training=False)(state.generator, given)[0]),
    }
    for part, net in (("generator", networks.generator), ("discriminator", networks.discriminator)):
        names, current = names_of(net), getattr(state, part)
        out |= named(f"gan step/{part}/weights", names.trainable, current.trainable)
        out |= named(f"gan step/{part}/other", names.other, current.other)
    out |= named("gan step/average", names_of(networks.generator).trainable, state.ema.trainable)
    for name, slots in (("g_slots", state.g_slots), ("d_slots", state.d_slots)):
        out |= named(f"gan step/{name}", map(str, range(len(slots))), slots)
    return out


def of_checkpoint(path: Path) -> np.ndarray:
    """The pictures of the generator whose weights lie in `path`, whichever backend wrote them."""
    model = settings().gan.MODEL
    net = build_generator(model, num_classes=CLASSES, channels=CHANNELS, image_size=SIDE, seed=SEED + 9)
    state = from_arrays(net, load_arrays(path), where=path)
    given = tuple(map(ops.convert_to_tensor, (latents(6, model.latent_dim), labels(6))))
    return backend.to_numpy(answers(net, training=False)(state, given)[0])


def compute() -> dict[str, np.ndarray]:
    """All of the above."""
    config = settings()
    backend.setup(threads=1, device="cpu")
    return {
        **of_networks(config),
        **of_augmentation(),
        **of_classifier_step(config),
        **of_gan_steps(config),
    }


if __name__ == "__main__":
    save_arrays(Path(sys.argv[1]), compute())
