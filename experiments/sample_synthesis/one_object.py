"""Every object has stages of its own, `qr-synth`, `face-synth`, ..., with the same function behind them.

So another OBJECT= takes nothing away and what is done of one object stays done. The function behind a stage
sees settings with one object only, and its inputs under their plain names: `objects`, `synth`, ...
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from experiments.sample_synthesis.config import SampleSynthesisConfig
from experiments.sample_synthesis.names import OBJECTS
from suite.stage import Context, resolve

PACKAGE = "experiments.sample_synthesis"
RUNS = {  # verb: the function behind it
    "objects": "objects.stage:run",
    "train-redo": "redo.stage:run_train",
    "redo-masks": "redo.stage:run_masks",
    "synth": "synth.stage:run",
    "data": "data.stage:run",
    "pretrain": "train.stage:run_pretrain",
    "cells": "train.stage:run_cells",
    "evaluate": "metrics.stage:run",
}


def run(ctx: Context) -> None:
    """A stage of one object, whose name is that of the stage: `<object>-<verb>`."""
    name, verb = split(ctx.stage.name)
    resolve(f"{PACKAGE}.{RUNS[verb]}")(of_object(ctx, name))


def split(stage: str) -> tuple[str, str]:
    """(object, verb) of a stage's name."""
    name, _, verb = stage.partition("-")
    return name, verb


def only(config: SampleSynthesisConfig, name: str) -> SampleSynthesisConfig:
    """The settings with one object."""
    return replace(config, objects=(name,))


def of_object(ctx: Context, name: str) -> Context:
    """The context with settings and inputs of one object; counts, warnings and facts are those of `ctx`."""
    inputs = {plain(key): folder for key, folder in ctx.inputs.items() if split(key)[0] in (name, key)}
    return replace(ctx, config=only(ctx.config, name), inputs=inputs)


def plain(key: str) -> str:
    """`synth` of `qr-synth`; a name without an object stays as it is."""
    name, verb = split(key)
    return verb if name in OBJECTS else key


def folders(inputs: dict[str, Path], verb: str) -> dict[str, Path]:
    """{object: folder} of those inputs that a verb made, in the order of the objects (for the report)."""
    return {name: inputs[f"{name}-{verb}"] for name in OBJECTS if f"{name}-{verb}" in inputs}
