"""What the stage `objects` is cut into, and which folders of the user decide its result. Needs no numpy."""

from __future__ import annotations

from typing import Any

from experiments.sample_synthesis.cells import variants
from experiments.sample_synthesis.config import SampleSynthesisConfig
from experiments.sample_synthesis.config_sections import SourceConfig
from suite.paths import data_path, listing_digest

PictureVariant = str  # masked or nogan; naive pastes the pictures of masked


def object_shards(config: SampleSynthesisConfig) -> tuple[tuple[str, PictureVariant], ...]:
    """(object, masked or nogan) in the order of the shards."""
    return tuple(
        (name, variant) for name in config.objects for variant in variants(config, name) if variant != "naive"
    )


def source_of(config: SampleSynthesisConfig, name: str, variant: str) -> SourceConfig:
    """The section that names the pictures of a variant."""
    settings = config.of(name)
    return settings.nogan if variant == "nogan" else settings.source


def folders_state(config: SampleSynthesisConfig) -> dict[str, Any]:
    """Digest of the listing of every folder of the user that is read, for the stage's key; None: absent."""
    state: dict[str, Any] = {}
    for name, variant in object_shards(config):
        folder = source_of(config, name, variant).folder
        state[f"{name} {variant}"] = listing_digest(data_path(folder)) if folder else None
        folder = config.of(name).backgrounds.folder
        state[f"{name} backgrounds"] = listing_digest(data_path(folder)) if folder else None
    return state
