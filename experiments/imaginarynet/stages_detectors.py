"""The stages of the detectors: proposals, then two for each arm (arms.py), its training and its measures.

`detector_stages` picks those that the settings need. W2N learns from the boxes of OICR in the same setting,
whose training is there even where OICR itself is not measured. Of the settings, those enter a stage's key
that decide its result: another setting or detector beside an arm leaves what the arm has done as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import partial
from pathlib import Path
from typing import Any

from experiments.imaginarynet.arms import RUN_ONLY, SEMI, WEAK, Arm, arms_of, trained_arms
from experiments.imaginarynet.classes import class_names, classes_of, label_of
from experiments.imaginarynet.config import ImaginaryNetConfig
from experiments.imaginarynet.stage_maker import make_stage
from suite.errors import BadInput
from suite.manifest import key_of
from suite.outside import tabletop_state
from suite.paths import data_path, listing_digest
from suite.stage import Stage

KNOWN_CLASSES = {"tabletop": "tabletop", "voc": "voc"}  # target: its list of classes.py
SEARCH = ("numpy", "pillow", "opencv-contrib-python-headless")
TORCH = ("torch", "torchvision", "numpy", "pillow")
MMDET = (*TORCH, "mmdet", "mmengine")
MEASURES = (*TORCH, "pycocotools")
TRAIN_SPLITS = ("train", "limit")
SPLITS = ("data", "root", *TRAIN_SPLITS, "test")
RUNS = dict.fromkeys(WEAK, "weak") | {"w2n": "w2n"} | dict.fromkeys((*SEMI, "faster-rcnn"), "semi")
SUMMARIES = {
    "wsddn": "WSDDN, from the labels of pictures",
    "oicr": "OICR, from the labels of pictures",
    "w2n": "W2N, from the boxes that OICR finds",
    "unbiased-teacher": "Unbiased Teacher, from boxes and pictures without",
    "soft-teacher": "SoftTeacher, from boxes and pictures without",
    "faster-rcnn": "Faster R-CNN, from boxes",
}


# --- which there are ---


def needs_generation(config: ImaginaryNetConfig) -> bool:
    """Whether this run makes a set: for a detector that learns from it, or for its own sake."""
    return not config.setting or any(uses_export(config, arm) for arm in arms_of(config))


def uses_imaginary(config: ImaginaryNetConfig, arm: Arm) -> bool:
    """Whether the arm's setting names imaginary pictures."""
    return "imaginary" in config.settings[arm.setting].sources


def uses_export(config: ImaginaryNetConfig, arm: Arm) -> bool:
    """Whether these are the ones that this run makes."""
    return config.imaginary.folder is None and uses_imaginary(config, arm)


def detector_stages(config: ImaginaryNetConfig) -> Iterator[Stage]:
    """The stages of these settings in order; none where they are for generation alone."""
    trained, measured = trained_arms(config), arms_of(config)
    scoring = [arm for arm in trained if _needs_proposals(arm)]
    if scoring:
        yield _proposals(config, scoring)
    for arm in trained:
        yield _train(config, arm)
        if arm in measured:
            yield _evaluate(config, arm)


def _needs_proposals(arm: Arm) -> bool:
    """W2N's training reads them, too: its labels are OICR's choice among them."""
    return arm.is_weak or arm.teacher is not None


def _proposals(config: ImaginaryNetConfig, arms: list[Arm]) -> Stage:
    """Of every picture that an arm may read, so that one more arm is no reason to search anew."""
    imaginary = [arm for arm in arms if uses_imaginary(config, arm)]
    return make_stage(
        "proposals", "boxes that may hold an object, from pixels alone", "detectors.proposals.stage:run",
        inputs=("export",) if any(uses_export(config, arm) for arm in imaginary) else (),
        num_shards=num_proposal_shards, uses_gpu=False, decides=SEARCH,
        prepare="experiments.imaginarynet.detectors.proposals.stage:prepare",
        outside=partial(_outside, imaginary=bool(imaginary), files=True),
        config=("proposals", *_target(*SPLITS), *_imaginary(bool(imaginary))),
    )  # fmt: skip


def _train(config: ImaginaryNetConfig, arm: Arm) -> Stage:
    setting = config.settings[arm.setting]
    is_export, is_imaginary = uses_export(config, arm), uses_imaginary(config, arm)
    real = {"real", "real-unlabelled"} & set(setting.sources)
    split = ("boxed", "unlabelled") if setting.boxes or "real-unlabelled" in setting.sources else ()
    inputs = [*(["export"] if is_export else []), *(["proposals"] if _needs_proposals(arm) else [])]
    if arm.teacher is not None:
        inputs.append(arm.teacher.train)
    return make_stage(
        arm.train, f"{SUMMARIES[arm.detector]}, in the setting {arm.setting}",
        f"detectors.{RUNS[arm.detector]}.train_stage:run", inputs=tuple(inputs),
        decides=TORCH if arm.is_weak else MMDET,
        outside=partial(_outside, imaginary=is_imaginary, section=arm.section),
        config=(
            f"settings.{arm.setting}", *_target("data", "root", *(TRAIN_SPLITS if real else ()), *split),
            *_imaginary(is_imaginary), *_section(config, arm),
        ),
    )  # fmt: skip


def _evaluate(config: ImaginaryNetConfig, arm: Arm) -> Stage:
    return make_stage(
        arm.evaluate, f"AP and CorLoc of {arm.name} on the target", "detectors.evaluate:run",
        inputs=(arm.train, *(("proposals",) if arm.is_weak else ())),
        decides=MEASURES if arm.is_weak else (*MMDET, "pycocotools"), outside=_outside,
        config=("evaluate", *_target(*SPLITS)),
    )  # fmt: skip


def num_proposal_shards(config: ImaginaryNetConfig, inputs: Mapping[str, Path] | None = None) -> int:
    """As the settings say: pictures are dealt by their digests, whose number need not be known before."""
    return config.proposals.shards


# --- what of the settings enters a key ---


def _target(*names: str) -> tuple[str, ...]:
    return tuple(f"target.{name}" for name in names)


def _imaginary(is_used: bool) -> tuple[str, ...]:
    return ("imaginary",) if is_used else ()


def _section(config: ImaginaryNetConfig, arm: Arm) -> tuple[str, ...]:
    """The settings of the detector, but for those of a run."""
    return tuple(_deciding(getattr(config, arm.section), arm.section))


def _deciding(settings: Any, prefix: str) -> Iterator[str]:
    """W2N's settings hold those of its student."""
    for field in fields(settings):
        value = getattr(settings, field.name)
        if is_dataclass(value):
            yield from _deciding(value, f"{prefix}.{field.name}")
        elif field.name not in RUN_ONLY:
            yield f"{prefix}.{field.name}"


# --- what lies outside of the settings: data sets and weights of the user ---


def target_state(config: ImaginaryNetConfig) -> str | None:
    """Which real pictures there are: tabletop's digest list, or the user's files.

    Raises BadInput for a class that the target is known not to have, before anything is made in vain.
    """
    known = KNOWN_CLASSES.get(config.target.data)
    there = {label_of(name).casefold() for name in class_names(known)} if known else None
    for name in class_names(config.classes) if there is not None else ():
        if label_of(name).casefold() not in there:
            fix = "leave it out, name another `target`, or make the set alone: SETTING=none"
            raise BadInput(f"the target {config.target.data} has no class {name!r} to measure on", fix=fix)
    if config.target.data == "tabletop":
        return tabletop_state()
    return listing_digest(config.target.folder) if config.target.folder else None


def imaginary_state(config: ImaginaryNetConfig) -> Any:
    """The classes of this run's set, or the files of the one that is named in its place."""
    folder = config.imaginary.path
    return list(classes_of(config)) if folder is None else listing_digest(folder)


def weights_state(config: ImaginaryNetConfig, section: str) -> Any:
    """Names and sizes of the weights' files that a detector begins with, in a folder of the user."""
    settings = getattr(config, section)
    name = getattr(getattr(settings, "student", settings), "weights", None)
    path = data_path(str(Path("data/weights") / name)) if name else None
    if path is None or not path.exists():
        return name
    return listing_digest(path) if path.is_dir() else key_of({"name": name, "size": path.stat().st_size})


def files_state(config: ImaginaryNetConfig) -> list[tuple[str, int | None]]:
    """Names and sizes of the proposals that were made elsewhere; a size of None: there is no such file."""
    paths = zip(config.proposals.files, config.proposals.paths, strict=True)
    return [(name, path.stat().st_size if path.is_file() else None) for name, path in paths]


def _outside(
    config: ImaginaryNetConfig, *, imaginary: bool = False, section: str | None = None, files: bool = False
) -> Any:
    # What a detector is of; where it learns from this run's set, the state of that names the classes.
    is_named = section is None or (imaginary and config.imaginary.path is None)
    return {
        **({} if is_named else {"classes": list(class_names(config.classes))}),
        **({"proposals": files_state(config)} if files else {}),
        "target": target_state(config),
        "imaginary": imaginary_state(config) if imaginary else None,
        "weights": weights_state(config, section) if section else None,
    }
