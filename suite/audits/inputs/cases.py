"""The corpus as data: which command, on which damaged input, must say what.

A file of corpus/ has
  toolchain   the environment that its commands run in, `workflow` for those of the suite itself
  module      `python -m <module>`
  preload     modules that are imported once, before the cases are forked off
  fixtures    sound inputs, each made once: {make: generator, ...} or {run: words of the command}; `out` is
              its path, and later ones may read earlier ones
  commands    {name: {words, with: [paths of fixtures that are copied to the case], leaves: [globs]}}
  cases       rows {name, command, more, with, damage: [...], told, file, code, env, leaves, writes}
  shared      {use: another file's list of damages, without: [kinds], command, file, ...}: each as a case

`{here}` in words is the folder of the case, `{root}` the repository. `told` must be in the error line;
`file` is the input that the line must name, a path below the case's folder. `code` is 2 where it is not said,
3 for what is missing outside, 0 for items that are left out and counted (`told` is then in the output).
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from suite.errors import EXIT_BAD_INPUT
from suite.provenance import ROOT

CORPUS = Path(__file__).resolve().parent / "corpus"


@dataclass(frozen=True, kw_only=True)
class InputCase:
    """One malformed input of one command."""

    group: str
    name: str
    words: tuple[str, ...]
    damage: tuple[Mapping[str, Any], ...] = ()
    needs: tuple[str, ...] = ()  # paths of fixtures
    leaves: tuple[str, ...] = ()  # globs below the case's folder that may be there afterwards
    writes: tuple[str, ...] = ()  # globs of what the command may change although it refuses its input
    told: str = ""
    file: str | None = None
    code: int = EXIT_BAD_INPUT
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Part:
    """One file of the corpus."""

    name: str
    toolchain: str
    module: str
    preload: tuple[str, ...]
    fixtures: tuple[Mapping[str, Any], ...]
    cases: tuple[InputCase, ...]


def part_names() -> list[str]:
    """The files that have commands."""
    return sorted(path.stem for path in CORPUS.glob("*.yaml") if "module" in _read(path.stem))


def _read(name: str) -> dict[str, Any]:
    return yaml.safe_load((CORPUS / f"{name}.yaml").read_text(encoding="utf-8"))


def damages(name: str) -> list[dict[str, Any]]:
    """The rows {name, damage, told} of a file without commands, e.g. what can be wrong with a COCO file."""
    return _read(name)["damages"]


def load_part(name: str) -> Part:
    """A file of the corpus, its shared damages spelled out."""
    tree = _read(name)
    rows = list(tree.get("cases", ()))
    for shared in tree.get("shared", ()):
        without = shared.get("without", ())
        rows += [_shared(row, shared) for row in damages(shared["use"]) if row.get("kind") not in without]
    cases = tuple(_case(name, row, tree["commands"]) for row in rows)
    twice = {case.name for case in cases if sum(other.name == case.name for other in cases) > 1}
    if twice:
        raise ValueError(f"{name}.yaml: two cases are called {sorted(twice)[0]!r}")
    return Part(
        name=name, toolchain=tree["toolchain"], module=tree["module"],
        preload=tuple(tree.get("preload", ())), fixtures=tuple(tree.get("fixtures", ())), cases=cases,
    )  # fmt: skip


def _shared(row: Mapping[str, Any], shared: Mapping[str, Any]) -> dict[str, Any]:
    """A shared damage as a case: its edits are of `file`, unless they say otherwise."""
    damage = [{**edit, "path": edit.get("path", shared["file"])} for edit in row["damage"]]
    name = f"{shared['use']}: {row['name']}"
    return {**shared, "told": row["told"], "name": name, "damage": damage}


def _case(group: str, row: Mapping[str, Any], commands: Mapping[str, Mapping[str, Any]]) -> InputCase:
    command = commands[row["command"]]
    words = [*_words(command["words"]), *_words(row.get("more", ""))]
    return InputCase(
        group=group, name=f"{row['command']}: {row['name']}", words=tuple(words),
        damage=tuple(row.get("damage", ())),
        needs=(*command.get("with", ()), *row.get("with", ())),
        leaves=(*command.get("leaves", ()), *row.get("leaves", ())),
        writes=tuple(row.get("writes", ())), told=row["told"], file=row.get("file"),
        code=row.get("code", EXIT_BAD_INPUT), env=row.get("env", {}),
    )  # fmt: skip


def _words(text: str | Sequence[str]) -> list[str]:
    return shlex.split(text) if isinstance(text, str) else list(text)


def filled(text: str, here: Path) -> str:
    """A word with its folders in place."""
    return text.replace("{here}", str(here)).replace("{root}", str(ROOT))
