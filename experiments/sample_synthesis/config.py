"""All settings of sample synthesis.

    config = load_config(CONFIG, "experiments/sample_synthesis/configs/smoke.yaml", ["train.runs=3"])
    config.of("qr").synthesis.num_samples, config.detector.archs, config.train.lr

`compat: upstream` is short for every switch of that section. Folders begin with `data/`, which is DATA_DIR,
or are absolute.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from experiments.sample_synthesis.config_sections import (
    AblationConfig,
    CompatConfig,
    ComputeConfig,
    DetectorConfig,
    ObjectConfig,
    RedoConfig,
    TrainConfig,
)
from experiments.sample_synthesis.names import OBJECTS
from suite.errors import BadInput
from suite.runs import choose

CONFIGS = Path(__file__).resolve().parent / "configs"
UPSTREAM = {item.name: True for item in fields(CompatConfig)}


@dataclass(frozen=True)
class SampleSynthesisConfig:
    """Everything that one run of the chain needs."""

    qr: ObjectConfig
    face: ObjectConfig
    bird: ObjectConfig
    car: ObjectConfig
    objects: tuple[Literal["qr", "face", "bird", "car"], ...] = ("qr",)
    arms: tuple[Literal["from_scratch", "finetuned", "matched"], ...] = ("from_scratch", "finetuned")
    ablations: tuple[Literal["pretraining", "naive", "nogan"], ...] = ()
    detector: DetectorConfig = field(default_factory=DetectorConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    ablation: AblationConfig = field(default_factory=AblationConfig)
    compat: CompatConfig = field(default_factory=CompatConfig)
    redo: RedoConfig = field(default_factory=RedoConfig)
    compute: ComputeConfig = field(default_factory=ComputeConfig)

    @classmethod
    def expand(cls, tree: Mapping[str, Any], path: Path) -> dict[str, Any]:
        """`compat: upstream` -> all switches true, `compat: none` -> all false. Raises BadInput."""
        compat = tree.get("compat")
        if isinstance(compat, str):
            if compat not in ("upstream", "none"):
                fix = "write upstream, none, or its switches"
                raise BadInput(f"`compat` is {compat!r}", file=path, fix=fix)
            tree = {**tree, "compat": UPSTREAM if compat == "upstream" else {}}
        return dict(tree)

    def __post_init__(self) -> None:
        for name in ("objects", "arms", "ablations"):
            values = getattr(self, name)
            if len(set(values)) != len(values):
                raise ValueError(f"`{name}` is {list(values)}; name each once")
        if not self.objects:
            raise ValueError(f"`objects` is empty; choose from {', '.join(OBJECTS)}")
        for name in OBJECTS:
            self._check(name)

    def _check(self, name: str) -> None:
        """What the sections of an object cannot know of each other."""
        settings = self.of(name)
        is_qr = name == "qr"
        for source, text in ((settings.source, "source"), (settings.nogan, "nogan")):
            if (source.kind == "library") != is_qr:
                only = "QR symbols come from `library`" if is_qr else "`library` draws QR symbols"
                raise ValueError(f"`{name}.{text}.kind` is {source.kind}; {only}")
        if is_qr and settings.masks.provider != "analytic":
            raise ValueError(f"`qr.masks.provider` is {settings.masks.provider}; a QR symbol's is `analytic`")
        if settings.masks.provider == "redo" and settings.source.size != self.redo.size:
            what = f"`{name}.source.size` is {settings.source.size}, `redo.size` {self.redo.size}"
            raise ValueError(f"{what}; the mask network sees pictures of one size")

    def of(self, name: str) -> ObjectConfig:
        """The settings of an object by its name."""
        return getattr(self, name)


CONFIG = SampleSynthesisConfig


def chosen_objects(text: str) -> str:
    """The override that OBJECT=qr|face|bird|car|all stands for; several are separated by commas."""
    names = (
        list(OBJECTS)
        if text == "all"
        else [choose(word, [*OBJECTS, "all"], "object") for word in text.split(",")]
    )
    return f"objects=[{','.join(names)}]"


# Environment variables of this system alone (suite.runs.own_overrides).
VARIABLES = {"OBJECT": chosen_objects}
