"""All settings of ImaginaryNet's generation.

    config = load_config(CONFIG, "experiments/imaginarynet/configs/smoke.yaml", ["filter.threshold=0.7"])
    config.classes, config.images.backend, config.dalle_mini.condition_scale

Folders of models begin with `data/`, which is DATA_DIR, or are names below DATA_DIR/weights, or absolute.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from experiments.imaginarynet.config_sections import (
    ClipConfig,
    ComputeConfig,
    DalleMiniConfig,
    DiffusionConfig,
    ExportConfig,
    FilterConfig,
    ImagesConfig,
    PromptsConfig,
    ReplaceConfig,
)
from suite.errors import BadInput

CONFIGS = Path(__file__).resolve().parent / "configs"


@dataclass(frozen=True)
class ImaginaryNetConfig:
    """Everything that one run of the chain needs."""

    classes: str | tuple[str, ...] = "tabletop"  # voc, coco, tabletop, a class file, or the names themselves
    num: int = 1250  # prompts per class, as the published code counts
    num_total: int | None = None  # prompts in all, as its README counts; None: `num` per class
    prompts: PromptsConfig = field(default_factory=PromptsConfig)
    images: ImagesConfig = field(default_factory=ImagesConfig)
    dalle_mini: DalleMiniConfig = field(default_factory=DalleMiniConfig)
    diffusion: DiffusionConfig = field(default_factory=DiffusionConfig)
    clip: ClipConfig = field(default_factory=ClipConfig)
    filter: FilterConfig = field(default_factory=FilterConfig)
    replace: ReplaceConfig = field(default_factory=ReplaceConfig)
    export: ExportConfig = field(default_factory=ExportConfig)
    diffusion_samples: int = 0  # pictures of the diffusion backend beside the set, unfiltered; 0: none
    compute: ComputeConfig = field(default_factory=ComputeConfig)

    def __post_init__(self) -> None:
        if not self.classes:
            raise ValueError("`classes` is empty; name voc, coco, tabletop, a class file, or classes")
        for name in ("num", "num_total"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"`{name}` is {value}, must be at least 1")
        if self.diffusion_samples < 0:
            raise ValueError(f"`diffusion_samples` is {self.diffusion_samples}, must be at least 0")


CONFIG = ImaginaryNetConfig


def _number(key: str, text: str) -> str:
    """`key=text`, where the text is a number of pictures."""
    if not text.isdigit() or int(text) < 1:
        raise BadInput(f"{text!r} is no number of pictures", fix="write a whole number from 1 on")
    return f"{key}={text}"


# Environment variables of this system alone (suite.runs.own_overrides); the names are those of the Makefile.
VARIABLES = {
    "CLASSES": lambda text: f"classes={json.dumps(text.split(',') if ',' in text else text)}",
    "NUM": lambda text: _number("num", text),
    "BACKEND": lambda text: f"images.backend={text}",
    "THRESHOLD": lambda text: f"filter.threshold={text}",
}
