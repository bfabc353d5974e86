"""What the stage `objects` is cut into, and which folders of the user decide its result. Needs no numpy."""

from __future__ import annotations

from typing import Any

from experiments.sample_synthesis.cells import variants
from experiments.sample_synthesis.config import SampleSynthesisConfig
from experiments.sample_synthesis.config_sections import SourceConfig
from suite.manifest import file_digest
from suite.paths import data_path, listing_digest
from suite.provenance import ROOT

RENDERS = ROOT / "assets" / "sample_synthesis" / "objects"  # stand-ins: <object>/*.png, RGBA
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
    """What is read from outside, for the stage's key: digest of the listing of every folder of the user, of
    the content of stand-in renders; None: absent, or inside an installed package, whose version is in the
    key.
    """
    state: dict[str, Any] = {}
    for name, variant in object_shards(config):
        source = source_of(config, name, variant)
        if source.kind == "standin":
            renders = sorted((RENDERS / name).glob("*.png"))
            state[f"{name} {variant}"] = [file_digest(path) for path in renders] or None
        else:
            state[f"{name} {variant}"] = _listing(source.folder)
        state[f"{name} backgrounds"] = _listing(config.of(name).backgrounds.folder)
    return state


def _listing(folder: str | None) -> str | None:
    return listing_digest(data_path(folder)) if folder else None
