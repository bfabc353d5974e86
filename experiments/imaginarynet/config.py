"""All settings of ImaginaryNet: the generation, and the detectors that learn from the result.

    config = load_config(CONFIG, "experiments/imaginarynet/configs/smoke.yaml", ["filter.threshold=0.7"])
    config.classes, config.images.backend, config.dalle_mini.condition_scale

Folders of models begin with `data/`, which is DATA_DIR, or are names below DATA_DIR/weights, or absolute.
`setting` and `detector` say which detectors are trained (arms.py); `setting: []` is the generation alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from experiments.imaginarynet.arms import SETTING_NAME, WEAK, pick
from experiments.imaginarynet.config_detectors import (
    EvaluateConfig,
    ImaginaryConfig,
    ProposalsConfig,
    SettingConfig,
    TargetConfig,
)
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
from experiments.imaginarynet.config_semi import SemiConfig
from experiments.imaginarynet.config_w2n import W2NConfig
from experiments.imaginarynet.config_weak import WeakConfig, wsddn_defaults
from suite.config import merge, read_tree
from suite.errors import BadInput

DetectorName = Literal[
    "auto", "wsddn", "oicr", "w2n", "unbiased-teacher", "soft-teacher", "faster-rcnn"
]  # those of arms.py

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
    setting: tuple[str, ...] = ()  # names of `settings` that detectors are trained in; none: generation alone
    detector: tuple[DetectorName, ...] = ("auto",)  # auto: the paper's for each setting
    settings: dict[str, SettingConfig] = field(default_factory=dict)
    target: TargetConfig = field(default_factory=TargetConfig)
    imaginary: ImaginaryConfig = field(default_factory=ImaginaryConfig)
    proposals: ProposalsConfig = field(default_factory=ProposalsConfig)
    wsddn: WeakConfig = field(default_factory=wsddn_defaults)
    oicr: WeakConfig = field(default_factory=WeakConfig)
    w2n: W2NConfig = field(default_factory=W2NConfig)
    unbiased_teacher: SemiConfig = field(default_factory=SemiConfig)
    soft_teacher: SemiConfig = field(default_factory=SemiConfig)
    faster_rcnn: SemiConfig = field(default_factory=SemiConfig)
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)

    @classmethod
    def expand(cls, tree: Mapping[str, Any], path: Path) -> dict[str, Any]:
        """Lay the sections of WSDDN and OICR over the published variant that they name. Raises BadInput."""
        return {**tree, **{name: _with_variant(name, tree[name], path) for name in WEAK if name in tree}}

    def __post_init__(self) -> None:
        if not self.classes:
            raise ValueError("`classes` is empty; name voc, coco, tabletop, a class file, or classes")
        for name in ("num", "num_total"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"`{name}` is {value}, must be at least 1")
        if self.diffusion_samples < 0:
            raise ValueError(f"`diffusion_samples` is {self.diffusion_samples}, must be at least 0")
        self._check_detectors()

    def _check_detectors(self) -> None:
        for name in ("setting", "detector"):
            values = getattr(self, name)
            if len(set(values)) != len(values):
                raise ValueError(f"`{name}` is {list(values)}; name each once")
        if not self.detector:
            raise ValueError("`detector` is empty; write [auto], or names")
        for name in self.settings:
            if not SETTING_NAME.fullmatch(name):
                raise ValueError(f"`settings` has {name!r}; need small letters, digits and single hyphens")
        for name in ("soft_teacher", "faster_rcnn"):
            if getattr(self, name).use_image_labels:
                raise ValueError(f"`{name}.use_image_labels` has no effect; it is of unbiased_teacher alone")
        arms = pick(self.setting, self.detector, self.settings)  # raises where they do not fit
        sources = {source for arm in arms for source in self.settings[arm.setting].sources}
        if "imaginary" in sources and self.imaginary.folder is None and "coco" not in self.export.formats:
            raise ValueError("`export.formats` lacks coco, which detectors read; add it, or `setting: []`")


def _with_variant(detector: str, section: Any, path: Path) -> Any:
    """A section with the values of its variant (`oicr-caffe`, or `caffe`) below its own."""
    name = section.get("variant") if isinstance(section, Mapping) else None
    if name is None:
        return section
    name = name if str(name).startswith(f"{detector}-") else f"{detector}-{name}"
    known = sorted(file.stem for file in (CONFIGS / "weak").glob(f"{detector}-*.yaml"))
    if name not in known:
        fix = f"choose one of {', '.join(known)}"
        raise BadInput(f"`{detector}.variant` is {section['variant']!r}", file=path, fix=fix)
    return merge(read_tree(CONFIGS / "weak" / f"{name}.yaml"), {**section, "variant": name})


CONFIG = ImaginaryNetConfig


def _number(key: str, text: str) -> str:
    """`key=text`, where the text is a number of pictures."""
    if not text.isdigit() or int(text) < 1:
        raise BadInput(f"{text!r} is no number of pictures", fix="write a whole number from 1 on")
    return f"{key}={text}"


def _names(key: str, text: str) -> str:
    """`key=[...]` from words with commas between; `none` is the empty list."""
    words = [word.strip() for word in text.split(",") if word.strip() != "none"]
    return f"{key}={json.dumps(words)}"


# Environment variables of this system alone (suite.runs.own_overrides); the names are those of the Makefile.
VARIABLES = {
    "CLASSES": lambda text: f"classes={json.dumps(text.split(',') if ',' in text else text)}",
    "NUM": lambda text: _number("num", text),
    "BACKEND": lambda text: f"images.backend={text}",
    "THRESHOLD": lambda text: f"filter.threshold={text}",
    "SETTING": lambda text: _names("setting", text),
    "DETECTOR": lambda text: _names("detector", text),
}
