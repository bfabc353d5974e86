"""The flags of `generate`, `prompts`, `images`, `filter` and `export`, and the settings that they stand for.

    args = parser_of("generate").parse(words)
    choice = settings_of(args)              # settings and seed

Published flags keep their names and defaults (published code, `imaginarynet.py`). Precedence: the file of
`--scale`, which says which models there are < flags < `-o section.key=value`. `generate` begins there each
time; the single steps go on from what the output folder was begun with, and take what is given anew.
"""

from __future__ import annotations

import argparse
import json
import os
import typing
from argparse import SUPPRESS, BooleanOptionalAction
from dataclasses import dataclass
from pathlib import Path

from experiments.imaginarynet.classes import class_names, classes_of
from experiments.imaginarynet.config import CONFIG, CONFIGS, ImaginaryNetConfig
from experiments.imaginarynet.config_sections import Backend, Format
from suite.by_hand import Parser
from suite.config import load_config
from suite.errors import BadInput
from suite.manifest import read_json
from suite.runs import choose

PROGRAM = "python -m experiments.imaginarynet"
SCALES = tuple(sorted(path.stem for path in CONFIGS.glob("*.yaml")))
STEPS = {  # command: what it does up to
    "generate": "the whole chain: prompts, pictures, filter, exports, in the published layout",
    "prompts": "the first round's descriptions alone",
    "images": "the first round's pictures, and what they need",
    "filter": "up to the decision which pictures are kept; with --threshold alone, only that decision",
    "export": "the same as generate, with the settings that the folder was begun with",
}
OUTPUT = "dallemini_coco_GPT_10W"
PUBLISHED = {  # setting: default of the published flag
    "classes": "COCO.txt",
    "num": 1250,
    "prompts.source": "bare",
    "images.backend": "dalle-mini",
    "clip.enabled": False,
    "clip.cpu": False,
    "filter.threshold": 0.6,
}
CONFIG_FILE = "config.yaml"  # in the output folder: the settings that it was made with
SEED_FILE = "seed.json"


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What a command by hand is to make."""

    config: ImaginaryNetConfig
    seed: int


def parser_of(verb: str) -> Parser:
    """The flags of a command by hand."""
    parser = Parser(prog=f"{PROGRAM} {verb}", description=STEPS[verb], allow_abbrev=False)
    _published(parser.add_argument_group("published flags"))
    _ours(parser.add_argument_group("ours"))
    _where(parser.add_argument_group("where it runs"))
    return parser


def _published(group: argparse._ArgumentGroup) -> None:
    def add(flag: str, **facts: object) -> None:
        group.add_argument(flag, default=SUPPRESS, **facts)  # type: ignore[arg-type]

    add("--seed", type=whole_number, help="of prompts and pictures alike (default 0)")
    add("--num", type=int, help="prompts per class, as the published code counts (default 1250)")
    add(
        "--classfile",
        metavar="FILE",
        help="one name a line; or VOC.txt, COCO.txt, tabletop.txt (default COCO.txt)",
    )
    add("--outputdir", type=Path, metavar="DIR", help=f"default {OUTPUT}")
    add("--gpt", action=BooleanOptionalAction, help="descriptions by the language model, not the bare prompt")
    add("--clip", action=BooleanOptionalAction, help="keep what CLIP takes for its class; replace the others")
    add("--cpu", action=BooleanOptionalAction, help="CLIP on the CPU")
    add("--backend", choices=typing.get_args(Backend), help="default dalle-mini")
    add("--threshold", type=float, help="CLIP's probability must be above it (default 0.6)")


def _ours(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--num-total", type=int, default=SUPPRESS, help="prompts in all, as the published README counts"
    )
    group.add_argument(
        "--scale", default=SUPPRESS, metavar="SCALE",
        help=f"models and the rest: {', '.join(SCALES)} (default small: the models of this repository)",
    )  # fmt: skip
    group.add_argument(
        "--formats", default=SUPPRESS, metavar="A,B",
        help=f"exports beside the published layout: {', '.join(typing.get_args(Format))}",
    )  # fmt: skip
    group.add_argument(
        "-o", "--override", action="append", default=[], metavar="KEY=VALUE",
        help="any setting; may repeat, wins over flags",
    )  # fmt: skip


def _where(group: argparse._ArgumentGroup) -> None:
    def default(name: str) -> str:
        return os.environ.get(name) or "auto"

    group.add_argument("--place", choices=("auto", "venv", "docker", "here"), default=default("PLACE"))
    group.add_argument("--device", choices=("auto", "cpu", "cuda"), default=default("DEVICE"))
    group.add_argument("--accel", choices=("auto", "cpu", "cuda"), default=default("ACCEL"))
    group.add_argument("--jobs", default=default("JOBS"), help="processes; no picture depends on it")


def whole_number(text: str) -> int:
    """A seed. Raises ArgumentTypeError."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 0 on")
    return int(text)


def output_of(args: argparse.Namespace) -> Path:
    """The folder of `--outputdir`, absolute."""
    return Path(os.path.abspath(getattr(args, "outputdir", OUTPUT)))


def settings_of(args: argparse.Namespace, *, goes_on: bool = False) -> Choice:
    """The settings and the seed that scale, flags and overrides describe. Raises BadInput.

    goes_on: begin with what the output folder holds, where it holds something.
    """
    home = output_of(args)
    saved = home / CONFIG_FILE
    if goes_on and saved.is_file():
        if hasattr(args, "scale"):
            raise BadInput(
                "has its settings already", file=saved, fix="leave --scale out, or name another --outputdir"
            )
        seed = getattr(args, "seed", int((read_json(home / SEED_FILE) or {}).get("seed", 0)))
        config = load_config(CONFIG, saved, [*_given(args, {}), *args.override])
        return Choice(config=_with_names(config, saved, [*_given(args, {}), *args.override]), seed=seed)
    scale = choose(getattr(args, "scale", "small"), list(SCALES), "scale")
    overrides = [*_given(args, PUBLISHED), "diffusion_samples=0", "setting=[]", *args.override]
    path = CONFIGS / f"{scale}.yaml"
    config = load_config(CONFIG, path, overrides)
    return Choice(config=_with_names(config, path, overrides), seed=getattr(args, "seed", 0))


def _with_names(config: ImaginaryNetConfig, path: Path, overrides: list[str]) -> ImaginaryNetConfig:
    """The same with the class names themselves, so that the class file may go, and the published layout."""
    formats = [name for name in config.export.formats if name != "published"]
    names = json.dumps(list(classes_of(config)))
    formats_text = f"export.formats=[{','.join(['published', *formats])}]"
    return load_config(CONFIG, path, [*overrides, f"classes={names}", formats_text])


def _given(args: argparse.Namespace, defaults: dict[str, object]) -> list[str]:
    """Overrides: the defaults, and over them what the flags say."""
    words = {
        "num": "num", "num_total": "num_total", "backend": "images.backend", "clip": "clip.enabled",
        "cpu": "clip.cpu", "threshold": "filter.threshold",
    }  # fmt: skip
    found = dict(defaults)
    found |= {setting: getattr(args, name) for name, setting in words.items() if hasattr(args, name)}
    if hasattr(args, "num") and not hasattr(args, "num_total"):
        found["num_total"] = None  # the last one that was said
    if hasattr(args, "gpt"):
        found["prompts.source"] = "lm" if args.gpt else "bare"
    if hasattr(args, "classfile"):
        found["classes"] = _class_file(args.classfile)
    if "classes" in found:
        found["classes"] = list(class_names(found["classes"]))
    if hasattr(args, "formats"):
        found["export.formats"] = [word for word in args.formats.split(",") if word]
    return [f"{setting}={json.dumps(value)}" for setting, value in found.items()]


def _class_file(text: str) -> str:
    """A file of the current folder by its full path; anything else as it is."""
    return os.path.abspath(text) if Path(text).is_file() else text
