"""A painter with the models of tiny_models.py, and candidates for it."""

import numpy as np

from experiments.imaginarynet.config_sections import DalleMiniConfig
from experiments.imaginarynet.images.dalle_mini import DalleMini


def settings(folder, **changes):
    """Settings that name the models below `folder`."""
    facts = {"model": str(folder / "dallebart"), "vqgan": str(folder / "vqgan"), "condition_scale": 3.0}
    return DalleMiniConfig(**{**facts, "dtype": "float32", **changes})


def load(folder, *, batch, devices, **changes):
    """The painter of these settings."""
    return DalleMini.load(settings(folder, **changes), batch=batch, devices=devices)


def candidates(count):
    """(prompts, seeds)."""
    prompts = [f"A photo of a {name}" for name in ("red mug", "lemon on a wooden floor", "traffic light")]
    seeds = np.random.default_rng(5).integers(0, 2**64, count, dtype=np.uint64)
    return [prompts[i % 3] for i in range(count)], [int(seed) for seed in seeds]
