"""What the models behind imaginary pictures took to train: figures of their README, kept as data.

embedded_parts(config_of_the_run)        # config: as its manifests hold it, plain values
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from experiments.compare.cost import Part

FILE = Path(__file__).with_name("elsewhere.yaml")
EMBEDDED = "embedded-tiny"


def embedded_parts(config: Mapping[str, Any]) -> list[Part]:
    """The models that a run with these settings loads; those of others count nothing, and say so."""
    tree = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    known, others = tree, tree["not_counted"]
    images = config.get("images", {})
    section, key = ("dalle_mini", "embedded")
    if images.get("backend") == "stablediffusion":
        section, key = "diffusion", "diffusion"
    parts = [Part("ImageNet weights of the detector", 0.0, note=f"not counted: {others['detector']}")]
    if config.get("prompts", {}).get("source") == "lm":
        parts.insert(0, Part("language model", 0.0, note=f"not counted: {others['prompts']}"))
    if config.get(section, {}).get("model") == EMBEDDED:
        rows = known["embedded"][:1] + known["diffusion"] if key == "diffusion" else known["embedded"]
        parts += [_part(row) for row in rows]
    else:
        parts.append(Part("text-to-image model", 0.0, note=f"not counted: {others['published']}"))
    clip = config.get("clip", {})
    if clip.get("enabled") and clip.get("model") == EMBEDDED:
        parts += [_part(row) for row in known["clip"]]
    return parts


def _part(row: Mapping[str, Any]) -> Part:
    return Part(f"training {row['name']}", float(row["cpu_seconds"]), note=row["note"])
