"""The flags of the commands by hand, and the settings that they stand for.

    args = parser_of("synth").parse(words)
    config = settings_of(args)              # a SampleSynthesisConfig of one object

Precedence: the file of `--scale` (default paper: the published values) < flags < `-o section.key=value`.
Published flags (names.py) keep their names and, at scale paper, their defaults.
"""

from __future__ import annotations

import argparse
import json
import os
import typing
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

from experiments.sample_synthesis.config import CONFIG, CONFIGS, SampleSynthesisConfig
from experiments.sample_synthesis.config_sections import ObjectConfig
from experiments.sample_synthesis.names import ALL, FLAGS, OBJECTS, VARIANTS
from suite.by_hand import Parser
from suite.config import load_config
from suite.errors import BadInput
from suite.runs import choose

PROGRAM = "python -m experiments.sample_synthesis"
SCALES = tuple(sorted(path.stem for path in CONFIGS.glob("*.yaml")))
ARMS = {  # word of --arm: the arm's name in tables
    "pretrain": "pretrained",
    "scratch": "from_scratch",
    "finetune": "finetuned",
    "mixed": "mixed",
    "matched": "matched",
    "pretrained": "pretrained",
    "from_scratch": "from_scratch",
    "finetuned": "finetuned",
}
METRICS = ("compat", "voc", "coco")
ABLATIONS = ("pretraining", "naive", "nogan")
DATA_SETS = ("fddb", "cub", "cars", "qr", "mobilenetv2")
SUMMARIES = {
    "synth": "synthetic images with their boxes, in the published layout",
    "train": "one detector: one arm, one number of real images",
    "evaluate": "average precision of a trained detector on real images",
    "ablate": "one ablation of one object, from pictures to its table",
    "convert": "a published data set, or packaged ImageNet weights, into the form that is read here",
    "reproduce": "the whole chain at a scale; what is done is not redone",
    "report": "the page of a run of the whole chain whose stages are done",
}
PATHS = {  # published flag that names a folder: the kind that a stand-in turns into when it is given
    "--voc_dir": ("backgrounds", "photos", "voc"),
    "--fake_objects_dir": ("source", "standin", "folder"),
    "--real_objects_dir": ("nogan", "standin", "folder"),
}
TRAINING = {  # flag of `train`: setting
    "--steps": "train.steps_per_epoch",
    "--batch": "train.batch",
    "--lr": "train.lr",
    "--init": "detector.init",
    "--image-size": "detector.image_size",
    "--imagenet-weights": "detector.weights",
    "--threads": "compute.threads",
}


def parser_of(verb: str) -> Parser:
    """The flags of a command by hand."""
    parser = Parser(prog=f"{PROGRAM} {verb}", description=SUMMARIES[verb], allow_abbrev=False)
    {"synth": _synth, "train": _train, "evaluate": _evaluate, "ablate": _ablate, "convert": _convert}[verb](
        parser
    )
    return parser


def _common(parser: argparse.ArgumentParser, *, out: bool = True) -> None:
    parser.add_argument("--object", choices=OBJECTS, default="qr", help="default qr")
    parser.add_argument(
        "--scale", default="paper", metavar="SCALE",
        help=f"settings to begin with: {', '.join(SCALES)} (default paper; small needs no data set)",
    )  # fmt: skip
    parser.add_argument(
        "--data-dir", "--data_dir", type=Path, metavar="DIR",
        help="the published `data/` (default $DATA_DIR, or data)",
    )  # fmt: skip
    parser.add_argument("--seed", type=_seed, default=0, help="default 0")
    parser.add_argument("--compat", choices=("none", "upstream"), help="upstream: with the published faults")
    parser.add_argument(
        "-o", "--override", action="append", default=[], metavar="KEY=VALUE",
        help="any setting; may repeat, wins over flags",
    )  # fmt: skip
    if out:
        parser.add_argument("--force", action="store_true", help="move a result of other settings aside")


def _synth(parser: argparse.ArgumentParser) -> None:
    _common(parser)
    parser.add_argument("--variant", choices=VARIANTS, default="masked", help="default masked")
    parser.add_argument(
        "--out", "--output_dir", dest="out", type=Path, metavar="DIR",
        help="default: the published one (qr_codes_fake, faces_fake_naive, ...) below runs/",
    )  # fmt: skip
    parser.add_argument(
        "--workers", type=int, default=1, help="processes; no image depends on it (default 1)"
    )
    parser.add_argument(
        "--mask-provider", choices=("alpha", "grabcut", "redo", "analytic", "none"), help="masks"
    )
    parser.add_argument("--mask-weights", type=Path, metavar="FILE", help="of ReDO: ours, or a published one")
    group = parser.add_argument_group("published flags", "defaults at scale paper: qr / face / bird / car")
    for flag, setting in FLAGS.items():
        names = ("--num", flag) if flag == "--num_samples" else (flag,)
        kind = _kind(setting)
        group.add_argument(
            *names, dest=setting, default=argparse.SUPPRESS, type=Path if flag in PATHS else kind,
            metavar="DIR" if flag in PATHS else kind.__name__.upper(),
            help=f"{setting}, {_published(setting)}",
        )  # fmt: skip


def _train(parser: argparse.ArgumentParser) -> None:
    _common(parser)
    parser.add_argument(
        "--arm", choices=tuple(ARMS), required=True, help="what it sees, and what it starts from"
    )
    parser.add_argument("--arch", default=None, metavar="ARCH", help="default: the first of the settings")
    parser.add_argument(
        "--real-n", "--real_n", type=int, metavar="N", help="real images (all arms but pretrain)"
    )
    parser.add_argument(
        "--factor", type=int, default=1, help="mixed: synthetic images per real one (default 1)"
    )
    parser.add_argument("--variant", choices=VARIANTS, default="masked", help="of synthetic images")
    parser.add_argument(
        "--epochs", type=int, help="of pretrain, scratch, finetune; mixed has twice those, matched 40 more"
    )
    parser.add_argument(
        "--synthetic",
        type=Path,
        metavar="DIR",
        help="a folder of `synth`; without it they are made while training",
    )
    parser.add_argument("--weights", type=Path, metavar="FILE", help="weights.npz to start from (finetune)")
    parser.add_argument("--run", type=int, default=1, help="number of the run, from 1: other initial weights")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="the result; <DIR>.part meanwhile"
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="cuda never falls back")
    for flag, setting in TRAINING.items():
        kind = {"--lr": float, "--init": str, "--imagenet-weights": Path}.get(flag, int)
        parser.add_argument(flag, dest=setting, type=kind, default=argparse.SUPPRESS, help=setting)


def _evaluate(parser: argparse.ArgumentParser) -> None:
    _common(parser, out=False)
    parser.add_argument(
        "--weights", type=Path, required=True, metavar="FILE", help="a weights.npz of `train`"
    )
    parser.add_argument("--split", choices=("train", "valid", "test"), default="test", help="default test")
    parser.add_argument("--metric", choices=METRICS, default="compat", help="default compat: as published")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="cuda never falls back")


def _ablate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("ablation", choices=ABLATIONS)
    _common(parser)
    parser.add_argument("--out", type=Path, metavar="DIR", help="default runs/ablate/<object>-<ablation>")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="cuda never falls back")


def _convert(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("kind", choices=DATA_SETS)
    parser.add_argument(
        "root", type=Path, nargs="?", metavar="DIR",
        help="default: its published folder below --data-dir; of mobilenetv2 torchvision's file",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the files are written")
    parser.add_argument(
        "--num-valid", type=int, default=100, help="qr: split off the training list (default 100)"
    )
    parser.add_argument("--split-file", type=Path, metavar="FILE", help="cub: `image_id split` per line")
    parser.add_argument(
        "--shift-to-zero", action="store_true",
        help="cars: boxes that count pixels from 0 (the annotations, and the published code, count from 1)",
    )  # fmt: skip
    parser.add_argument(
        "--data-dir", "--data_dir", type=Path, metavar="DIR",
        help="the published `data/` (default $DATA_DIR, or data)",
    )  # fmt: skip


# --- flags -> settings ---


def settings_of(args: argparse.Namespace) -> SampleSynthesisConfig:
    """The settings of one object that scale, flags and overrides describe. Raises BadInput."""
    scale = choose(args.scale, list(SCALES), "scale")
    if args.data_dir is not None:
        os.environ["DATA_DIR"] = os.path.abspath(args.data_dir)
    path = CONFIGS / f"{scale}.yaml"
    variant = getattr(args, "variant", "masked")
    if variant not in ALL[args.object].variants:
        fix = f"it has {', '.join(ALL[args.object].variants)}"
        raise BadInput(f"{args.object} has no variant {variant}", fix=fix)
    ablations = [args.ablation] if hasattr(args, "ablation") else [variant] if variant != "masked" else []
    overrides = [f"objects=[{args.object}]", f"ablations=[{','.join(ablations)}]"]
    if args.compat is not None:
        overrides.append(f"compat={args.compat}")
    overrides += _object_flags(args, load_config(CONFIG, path).of(args.object))
    overrides += [f"{key}={_text(getattr(args, key))}" for key in TRAINING.values() if hasattr(args, key)]
    return load_config(CONFIG, path, [*overrides, *args.override])


def _object_flags(args: argparse.Namespace, below: ObjectConfig) -> Iterator[str]:
    """Overrides of the object's sections."""
    name = args.object
    for flag, setting in FLAGS.items():
        if not hasattr(args, setting):
            continue
        yield f"{name}.{setting}={_text(getattr(args, setting))}"
        if flag in PATHS:
            section, stand_in, kind = PATHS[flag]
            if getattr(below, section).kind == stand_in:
                yield f"{name}.{section}.kind={kind}"
    if getattr(args, "mask_provider", None):
        yield f"{name}.masks.provider={args.mask_provider}"
    if getattr(args, "mask_weights", None):
        yield f"{name}.masks.weights={_text(args.mask_weights)}"
    if getattr(args, "workers", None) is not None:
        yield f"compute.workers={args.workers}"


def _text(value: Any) -> str:
    """A value as YAML; folders become absolute, since they were typed for the current one."""
    return json.dumps(os.path.abspath(value) if isinstance(value, Path) else value)


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 0 on")
    return int(text)


def _kind(setting: str) -> type:
    """int or float: what a published flag's text is read as; str for a folder."""
    section, key = setting.split(".")
    schema = typing.get_type_hints(ObjectConfig)[section]
    hint = typing.get_type_hints(schema)[key]
    assert key in {field.name for field in fields(schema)}
    return hint if hint in (int, float) else str


def _published(setting: str) -> str:
    """The published defaults of a setting, by object, for the help."""
    section, key = setting.split(".")
    paper = load_config(CONFIG, CONFIGS / "paper.yaml")
    values = [str(getattr(getattr(paper.of(name), section), key) or "-") for name in OBJECTS]
    return f"default {values[0]}" if len(set(values)) == 1 else f"default {' / '.join(values)}"
