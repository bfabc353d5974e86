"""Arms: a setting (which pictures, and what is known of them) with a detector that can learn from it.

    for arm in arms_of(config):
        arm.name, config.settings[arm.setting], arm.section

The stages of an arm are `train-<arm>` and `evaluate-<arm>`; `arm_of_stage` is the way back.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from experiments.imaginarynet.config_detectors import SettingConfig

if TYPE_CHECKING:
    from experiments.imaginarynet.config import ImaginaryNetConfig

WEAK = ("wsddn", "oicr")  # learn from image-level labels, and score proposals
SEMI = ("unbiased-teacher", "soft-teacher")  # learn from boxes and from pictures without
DETECTORS = (*WEAK, "w2n", *SEMI, "faster-rcnn")
AUTO = "auto"
STEPS = ("train", "evaluate")
RUN_ONLY = ("checkpoint_every", "save_every", "workers")  # detectors' settings that no result depends on
SETTING_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


@dataclass(frozen=True)
class Arm:
    """A setting and a detector, both by name."""

    setting: str
    detector: str

    @property
    def name(self) -> str:
        """As stages, folders and tables call it: isod-oicr."""
        return f"{self.setting}-{self.detector}"

    @property
    def section(self) -> str:
        """The settings' section of the detector."""
        return self.detector.replace("-", "_")

    @property
    def is_weak(self) -> bool:
        """Whether the detector itself is one of WSDDN's kind, which scores proposals."""
        return self.detector in WEAK

    @property
    def train(self) -> str:
        """Name of the stage that trains it."""
        return f"train-{self.name}"

    @property
    def evaluate(self) -> str:
        """Name of the stage that measures it."""
        return f"evaluate-{self.name}"

    @property
    def teacher(self) -> Arm | None:
        """The arm whose boxes this one learns from; W2N's is OICR in the same setting."""
        return Arm(self.setting, "oicr") if self.detector == "w2n" else None


def fits(detector: str, setting: SettingConfig) -> bool:
    """Whether a detector can learn from what a setting says of its pictures, and uses all of it."""
    if setting.image_labels:
        return detector in (*WEAK, "w2n")
    return detector in SEMI if setting.unlabelled else detector == "faster-rcnn"


def auto_detector(setting: SettingConfig) -> str:
    """The detector that the paper has for such a setting."""
    if setting.image_labels:
        return "oicr"
    return "unbiased-teacher" if setting.unlabelled else "faster-rcnn"


def pick(
    names: Iterable[str], detectors: Iterable[str], settings: Mapping[str, SettingConfig]
) -> tuple[Arm, ...]:
    """Every pair that fits, by settings, then detectors. Raises ValueError for a setting without any."""
    wanted = tuple(detectors)
    found: list[Arm] = []
    for name in names:
        if name not in settings:
            raise ValueError(f"`setting` names {name!r}; `settings` has {', '.join(settings)}")
        setting = settings[name]
        meant = [auto_detector(setting) if word == AUTO else word for word in wanted]
        arms = [Arm(name, detector) for detector in dict.fromkeys(meant) if fits(detector, setting)]
        if not arms:
            able = ", ".join(detector for detector in DETECTORS if fits(detector, setting))
            raise ValueError(f"no detector of {', '.join(wanted)} fits the setting {name!r}; it needs {able}")
        found += arms
    return tuple(found)


def arms_of(config: ImaginaryNetConfig) -> tuple[Arm, ...]:
    """The arms of these settings, and none where they are for generation alone."""
    return pick(config.setting, config.detector, config.settings)


def trained_arms(config: ImaginaryNetConfig) -> tuple[Arm, ...]:
    """The arms with those that one of them learns from, each after what it needs."""
    found = [other for arm in arms_of(config) for other in (arm.teacher, arm) if other is not None]
    return tuple(dict.fromkeys(found))


def arm_of_stage(stage: str, config: ImaginaryNetConfig) -> Arm:
    """The arm of `train-<arm>` or `evaluate-<arm>`. Raises ValueError for another stage."""
    for arm in trained_arms(config):
        if stage in (arm.train, arm.evaluate):
            return arm
    raise ValueError(f"{stage} is the stage of no arm of these settings")
