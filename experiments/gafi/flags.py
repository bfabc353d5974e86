"""The flags of the published commands: each is another name for a setting of the command's script.

    parser = Parser(prog=...); add_flags(parser, "pipeline"); args = parser.parse(words)
    config = settings_of("pipeline", args)      # a GafiConfig

Precedence: base defaults < the file of --cfg_file < flags < `-o SECTION.key=value`. A file is one of the
two-level files of a script (configs/<DATASET>/), with or without our own sections, or a scale of the chain.
"""

from __future__ import annotations

import argparse
import difflib
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from experiments.gafi.config import (
    FILES,
    SCRIPTS,
    GafiConfig,
    check_dataset,
    check_script,
    read_texts,
)
from suite.config import build, merge, parse_override, read_tree, to_tree
from suite.errors import BadInput

WHERE = "command line"
PROGRAM = "python -m experiments.gafi"
OURS = tuple(field.name for field in fields(GafiConfig) if field.name.isupper())  # may stand in any file


def _same(section: str, *keys: str) -> dict[str, str]:
    """Flags that are called like their key."""
    return {f"--{key}": f"{section}.{key}" for key in keys}


DATA = {
    **_same("DATA", "dataset"), "--img_size": "DATA.image_size",
    **_same("DATA", "categorical", "val_categorical", "normalize", "dequantize", "resize", "padding"),
    **_same("DATA", "horizontal_flip", "merge_train_val", "drop_remainder"),
}  # fmt: skip
LEARNING = {
    **_same("OPTIMIZATION", "optimizer", "lr", "momentum", "nesterov", "weight_decay"),
    **_same("OPTIMIZATION", "batch_size", "val_batch_size", "epochs"),
    "--model": "MODEL.name", "--width": "MODEL.width",
    **_same("AUG", "random_flip", "random_crop", "random_rotation", "random_zoom", "random_erasing"),
}  # fmt: skip
RUN = _same("RUN", "seed", "save_path", "extra_name", "mixed_precision")
CLS_PRE = {
    f"--cls_pre_{key}": f"CLS_PRE.{key}"
    for key in ("name", "optimizer", "random_erasing", "extra_name", "save_path")
}
GENERATING = ("apply_standing_stats", "standing_stats_bs", "filtering_attempts", "class_samples")

FLAGS: dict[str, dict[str, str]] = {  # script: {flag: setting}; all of them published
    "classifier": {**DATA, **LEARNING, **RUN},
    "gan": {
        **DATA,
        **_same("OPTIMIZATION", "optimizer", "g_lr", "g_beta1", "g_beta2", "d_lr", "d_beta1", "d_beta2"),
        **_same("OPTIMIZATION", "adam_eps", "g_updates_per_step", "d_updates_per_step"),
        **_same("OPTIMIZATION", "split_batch_d_steps", "acml_steps", "random_labels", "batch_size"),
        **_same("OPTIMIZATION", "val_batch_size", "total_steps", "epochs", "save_optimizer"),
        **_same("OPTIMIZATION", "save_optimizer_ckpt"),
        "--model_name": "MODEL.name",
        **_same("MODEL", "studiogan", "hier", "latent_dim", "shared_dim", "g_conv_dim", "g_depth"),
        **_same("MODEL", "apply_g_attn", "d_conv_dim", "d_depth", "apply_d_attn", "d_wide", "blur_resample"),
        **_same("MODEL", "residual_concat", "apply_g_ema", "g_ema_decay", "g_ema_start"),
        "--loss_type": "LOSS.type",
        **_same("LOSS", "grad_penalty_type", "grad_penalty_cost"),
        **CLS_PRE, **RUN,
        **_same("RUN", "save", "compute_metrics", "start_eval_epoch", "compute_classifier_stats", "reload"),
        **_same("RUN", "show_plots", "plot_with_title", "plot_title", "keep_images", "fixed_seed"),
    },
    "pipeline": {
        **DATA, **LEARNING, **CLS_PRE, **RUN,
        **_same("PIPELINE", "gan_name", "steps", "ckpt_epochs", "stddev_search", "threshold_search"),
        **_same("PIPELINE", "load_path", *GENERATING),
    },
    "multigan": {
        **DATA, **LEARNING, **CLS_PRE, **RUN,
        **_same("PIPELINE", "gan_names", "load_path", "one_gan_for_epoch", *GENERATING),
        **_same("PIPELINE", "best_class_samples", "best_extra_name"),
    },
}  # fmt: skip
AS_TEXT = ("steps", "gan_names", "ckpt_epochs", "stddev_search", "threshold_search")  # config.read_texts
FORMS = {"steps": "a,b,..", "gan_names": "a,b,.."}  # the others: a Python literal
TRUE, FALSE = ("true", "yes", "t", "y", "1"), ("false", "no", "f", "n", "0")


def add_flags(parser: argparse.ArgumentParser, script: str) -> None:
    """--cfg_file, -o and every published flag of a script, each with its setting and base default."""
    parser.add_argument(
        "--cfg_file", "--config", dest="cfg_file", type=Path, metavar="FILE",
        help=f"e.g. experiments/gafi/configs/FashionMNIST/{FILES[script]}; without it, the base defaults",
    )  # fmt: skip
    parser.add_argument(
        "-o", "--override", action="append", default=[], metavar="SECTION.key=VALUE",
        help=f"any setting of the script, or of {', '.join(OURS)}; may repeat, wins over flags",
    )  # fmt: skip
    group = parser.add_argument_group(
        "published flags", "each is one setting; the file's value counts before the default"
    )
    for flag, setting in FLAGS[script].items():
        hint, default = _setting(script, setting)
        key = setting.partition(".")[2]
        text = f"{setting}, default {_shown(default)}"
        form: dict[str, Any] = {
            "default": argparse.SUPPRESS,
            "dest": setting,
            "help": text.replace("%", "%%"),
        }
        if _kind(hint) is bool:
            form |= {"nargs": "?", "const": True, "type": _reader(read_bool, hint), "metavar": "BOOL"}
        elif key in AS_TEXT:
            form |= {"metavar": FORMS.get(key, "LIT")}
        else:
            kind = _kind(hint)
            form |= {"type": _reader(kind, hint), "metavar": {int: "INT", float: "FLOAT"}.get(kind, "NAME")}
        group.add_argument(flag, **form)


def settings_of(script: str, args: argparse.Namespace) -> GafiConfig:
    """The config that file, flags and overrides describe; what the script has no part in is filled to match.

    Raises BadInput for a file that cannot be read, unknown sections and keys, values of a wrong type.
    """
    where = str(args.cfg_file) if args.cfg_file else WHERE
    tree = read_tree(args.cfg_file) if args.cfg_file else {}
    is_chain = "dataset" in tree or any(name in tree for name in SCRIPTS)
    given = [_nested(name, getattr(args, name)) for name in FLAGS[script].values() if hasattr(args, name)]
    for part in (*given, *map(parse_override, args.override)):
        inside = next(iter(part)) in {field.name for field in fields(SCRIPTS[script])}
        tree = merge(tree, {script: part} if is_chain and inside else part)
    if is_chain:
        return build(GafiConfig, GafiConfig.expand(tree, Path(where)), where=where)
    return _from_script(script, tree, where)


def _from_script(script: str, tree: Mapping[str, Any], where: str) -> GafiConfig:
    """A config from one script's sections and ours."""
    schema = SCRIPTS[script]
    known = [field.name for field in fields(schema)] + list(OURS)
    for name in tree:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, n=3, cutoff=0.5)
            fix = f"did you mean {' or '.join(near)}?" if near else f"sections here: {', '.join(known)}"
            raise BadInput(f"unknown section `{name}`", file=where, fix=fix)
    sections = {name: value for name, value in tree.items() if name not in OURS}
    if isinstance(sections.get("DATA"), Mapping) and "dataset" in sections["DATA"]:
        check_dataset(sections["DATA"]["dataset"], where)
    own = build(schema, read_texts(sections, where), where=where)
    try:
        check_script(own)
    except ValueError as error:
        raise BadInput(str(error), file=where) from None
    ours = {
        name: dict(value) if isinstance(value, Mapping) else value
        for name, value in tree.items()
        if name in OURS
    }
    return build(GafiConfig, _complete(script, own, ours), where=where)


def _complete(script: str, own: Any, ours: dict[str, Any]) -> dict[str, Any]:
    """The tree of a whole config in which every script sees the data as `own` does."""
    data = to_tree(own)["DATA"]
    shared = {key: data[key] for key in ("dataset", "image_size", "normalize", "resize", "padding")}
    tree: dict[str, Any] = {name: {"DATA": shared} for name in SCRIPTS}
    tree[script] = to_tree(own)
    if script != "pipeline":  # its grid must name an epoch of the GAN; nothing else reads it here
        tree["pipeline"]["PIPELINE"] = {
            "ckpt_epochs": [tree["gan"].get("OPTIMIZATION", {}).get("epochs") or 500]
        }
    else:
        tree["gan"]["OPTIMIZATION"] = {"epochs": None}  # not known here: the GAN's own folder says it
    compute = {"gan_seeds": [own.RUN.seed if script == "gan" else 0]}
    return merge(
        {"dataset": data["dataset"], **tree}, {**ours, "COMPUTE": merge(compute, ours.get("COMPUTE") or {})}
    )


def read_bool(text: str) -> bool:
    """`True`, `yes`, `t`, `1`, ... as true; `False`, `no`, `f`, `0`, ... as false; in any case."""
    if text.lower() in TRUE:
        return True
    if text.lower() in FALSE:
        return False
    raise argparse.ArgumentTypeError(
        f"{text!r} is neither true nor false; write True, False, yes, no, t, f, 1 or 0"
    )


def _reader(kind: Callable[[str], Any], hint: Any) -> Callable[[str], Any]:
    """A function text -> value; `None` is null where the setting may be null."""
    nullable = types.NoneType in typing.get_args(hint)

    def read(text: str) -> Any:
        return None if nullable and text in ("None", "none", "null") else kind(text)

    read.__name__ = kind.__name__  # argparse names it where the text is wrong
    return read


def _setting(script: str, setting: str) -> tuple[Any, Any]:
    """(annotation, base default) of `SECTION.key`."""
    section, _, key = setting.partition(".")
    schema = typing.get_type_hints(SCRIPTS[script])[section]
    field = next(field for field in fields(schema) if field.name == key)
    assert field.default is not MISSING
    return typing.get_type_hints(schema)[key], field.default


def _kind(hint: Any) -> type:
    """bool, int, float or str: what a flag's text is read as."""
    options = [option for option in typing.get_args(hint) if option is not types.NoneType]
    for kind in (bool, int, float):
        if hint is kind or kind in options:
            return kind
    return str


def _shown(value: Any) -> str:
    """A default in one short piece of text."""
    if isinstance(value, tuple):
        return (
            f"{len(value)} values, {value[0]} to {value[-1]}" if len(value) > 3 else ",".join(map(str, value))
        )
    return "''" if value == "" else str(value)


def _nested(dotted: str, value: Any) -> dict[str, Any]:
    section, _, key = dotted.partition(".")
    return {section: {key: value}}
