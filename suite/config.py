"""YAML -> frozen dataclasses. Dotted overrides win, an unknown key is an error with near matches.

A file may name another one it overlays: `base: paper.yaml` (relative to itself). So `paper.yaml` holds the
published setting line by line, and the other scales say only what differs.
"""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml

from suite.errors import BadInput

T = TypeVar("T")
BASE_KEY = "base"


def load_config(schema: type[T], path: str | Path, overrides: Sequence[str] = ()) -> T:
    """Read `path` (and the files it overlays), apply `key=value` overrides, check types, return
    `schema(...)`.

    A schema with a classmethod `expand(tree, path)` gets the merged tree first and returns the one that is
    checked: so it can lay it over other files, or read a shorthand.

    Raises BadInput naming the file, the key, near matches and the expected type.
    """
    path = Path(path)
    tree = read_tree(path)
    for text in overrides:
        tree = merge(tree, parse_override(text))
    compose = getattr(schema, "expand", None)
    if compose is not None:
        tree = compose(tree, path)
    return build(schema, tree, where=str(path))


def read_tree(path: Path, seen: tuple[Path, ...] = ()) -> dict[str, Any]:
    """The merged mapping of a config file and its bases, as plain dicts and lists."""
    if path.resolve() in seen:
        raise BadInput(
            "config files overlay each other in a circle", file=path, fix=f"remove one `{BASE_KEY}:` line"
        )
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, IsADirectoryError, UnicodeDecodeError) as error:
        raise BadInput(
            f"cannot read the config file ({type(error).__name__})", file=path, fix="check --config"
        ) from None
    try:
        tree = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" at line {mark.line + 1}" if mark else ""
        raise BadInput(f"not valid YAML{line}", file=path, fix="check indentation and quotes") from None
    if not isinstance(tree, dict):
        raise BadInput("a config file must be a mapping of keys to values", file=path)
    base = tree.pop(BASE_KEY, None)
    if base is None:
        return tree
    return merge(read_tree(path.parent / str(base), (*seen, path.resolve())), tree)


def merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Deep merge of two mappings; the values of `above` win, lists are replaced whole."""
    out = dict(below)
    for key, value in above.items():
        both = isinstance(value, Mapping) and isinstance(out.get(key), Mapping)
        out[key] = merge(out[key], value) if both else value
    return out


def parse_override(text: str) -> dict[str, Any]:
    """`a.b=1` -> {"a": {"b": 1}}; the value is read as YAML."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise BadInput(
            f"override {text!r} is not of the form key=value", fix="write e.g. -o render.samples=16"
        )
    try:
        tree: Any = yaml.safe_load(value)
    except yaml.YAMLError:
        raise BadInput(f"override {text!r}: the value is not valid YAML", fix="quote it") from None
    for part in reversed(key.strip().split(".")):
        tree = {part: tree}
    return tree


def build(schema: type[T], tree: Mapping[str, Any], *, where: str, prefix: str = "") -> T:
    """Instantiate the dataclass `schema` from a mapping, recursively; missing keys without a default are
    errors.
    """
    fields = {f.name: f for f in dataclasses.fields(schema)}  # type: ignore[arg-type]
    hints = typing.get_type_hints(schema)
    for key in tree:
        if key not in fields:
            near = difflib.get_close_matches(str(key), fields, n=3, cutoff=0.5)
            fix = f"did you mean {' or '.join(near)}?" if near else f"known keys here: {', '.join(fields)}"
            raise BadInput(f"unknown key `{prefix}{key}`", file=where, fix=fix)
    values = {}
    for name, field in fields.items():
        if name in tree:
            values[name] = convert(hints[name], tree[name], where=where, key=prefix + name)
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            if dataclasses.is_dataclass(hints[name]):
                values[name] = build(hints[name], {}, where=where, prefix=f"{prefix}{name}.")
            else:
                raise BadInput(
                    f"missing key `{prefix}{name}`",
                    file=where,
                    fix="add it, or overlay paper.yaml with `base:`",
                )
    try:
        return schema(**values)
    except ValueError as error:  # a __post_init__ check of the dataclass
        raise BadInput(str(error), file=where) from None


def convert(hint: Any, value: Any, *, where: str, key: str) -> Any:
    """`value` as the annotated type, or BadInput. Integers are accepted as floats, lists become tuples."""
    if dataclasses.is_dataclass(hint):
        if not isinstance(value, Mapping):
            raise _wrong(hint, value, where, key)
        return build(hint, value, where=where, prefix=f"{key}.")
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return _convert_union(hint, args, value, where, key)
    if origin is typing.Literal:
        if value in args:
            return value
        raise BadInput(f"`{key}` is {value!r}", file=where, fix=f"choose one of {', '.join(map(str, args))}")
    if origin is tuple:
        return _convert_tuple(hint, args, value, where, key)
    if hint is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if hint is float and isinstance(value, str):  # YAML 1.1 reads 1e-4 as a string
        try:
            return float(value)
        except ValueError:
            raise _wrong(hint, value, where, key) from None
    if hint in (int, str, bool) and type(value) is hint:
        return value
    if typing.get_origin(hint) is dict and isinstance(value, Mapping):
        return {k: convert(args[1], v, where=where, key=f"{key}.{k}") for k, v in value.items()}
    raise _wrong(hint, value, where, key)


def _convert_union(hint: Any, args: tuple, value: Any, where: str, key: str) -> Any:
    if value is None and type(None) in args:
        return None
    for option in (a for a in args if a is not type(None)):
        try:
            return convert(option, value, where=where, key=key)
        except BadInput:
            continue
    raise _wrong(hint, value, where, key)


def _convert_tuple(hint: Any, args: tuple, value: Any, where: str, key: str) -> tuple:
    if not isinstance(value, (list, tuple)):
        raise _wrong(hint, value, where, key)
    if len(args) == 2 and args[1] is Ellipsis:
        args = (args[0],) * len(value)
    if len(args) != len(value):
        raise BadInput(f"`{key}` has {len(value)} values, needs {len(args)}", file=where)
    return tuple(
        convert(a, v, where=where, key=f"{key}[{i}]")
        for i, (a, v) in enumerate(zip(args, value, strict=True))
    )


def _wrong(hint: Any, value: Any, where: str, key: str) -> BadInput:
    name = getattr(hint, "__name__", str(hint)) if not typing.get_args(hint) else str(hint)
    return BadInput(f"`{key}` is {value!r}", file=where, fix=f"expected {name}")


def to_tree(config: Any) -> Any:
    """A frozen config as plain dicts and lists, for JSON, YAML and keys."""
    if dataclasses.is_dataclass(config):
        return {f.name: to_tree(getattr(config, f.name)) for f in dataclasses.fields(config)}
    if isinstance(config, (list, tuple)):
        return [to_tree(v) for v in config]
    if isinstance(config, dict):
        return {k: to_tree(v) for k, v in config.items()}
    return config


def dump(config: Any) -> str:
    """The resolved config as YAML text (printed at the start of a stage and saved beside its result)."""
    return yaml.safe_dump(to_tree(config), sort_keys=False, width=110)
