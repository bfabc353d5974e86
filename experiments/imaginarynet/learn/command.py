"""What the commands that train have in common: flags, a folder that is whole or goes on, the log."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from suite import manifest as record
from suite.by_hand import Parser, key_at
from suite.errors import BadInput, Missing, guard
from suite.stage import STOP

if TYPE_CHECKING:
    from experiments.imaginarynet.learn.loop import Phase

Lines = Iterator[str]


def add_folders(parser: argparse.ArgumentParser, gets: str) -> None:
    """--corpus, --out and --seed; gets: what stands in --out afterwards."""
    parser.add_argument("--corpus", type=Path, required=True, metavar="DIR", help="captioned pictures")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help=f"gets {gets}")
    parser.add_argument("--seed", type=int, default=0)


def add_phase(parser: argparse.ArgumentParser) -> None:
    """--steps, --batch, --lr, --device; what is not given is the recipe's."""
    parser.add_argument("--steps", type=int)
    parser.add_argument("--batch", type=int)
    parser.add_argument("--lr", type=float)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="cuda never falls back")


def changed(phase: Phase, args: argparse.Namespace) -> Phase:
    """A phase with what the flags say. Raises BadInput."""
    given = {name: getattr(args, name) for name in ("steps", "batch", "lr")}
    return replace(phase, **{name: value for name, value in given.items() if value is not None})


def use_device(name: str) -> None:
    """Let JAX compute on `cpu` or `cuda`. Raises Missing without such a GPU."""
    import jax

    jax.config.update("jax_platforms", name)
    try:
        jax.devices()
    except RuntimeError:
        what, fix = f"--device {name}: no GPU that JAX can use", "leave --device out"
        raise Missing(what, fix=fix) from None


def corpus_digests(folder: Path) -> dict[str, str]:
    """Digests of the files that a corpus is; they enter a result's key. Raises Missing."""
    from experiments.imaginarynet.learn import corpus as reader

    for name in (reader.IMAGES, reader.CAPTIONS):
        if not (folder / name).is_file():
            raise Missing("no such file", file=folder / name, fix="make t2i-corpus, or check --corpus")
    return {name: record.file_digest(folder / name) for name in (reader.IMAGES, reader.CAPTIONS)}


def bring_up(
    name: str, out: Path, parts: Mapping[str, Any], work: Callable[[Path, Path], str]
) -> Lines:
    """Make `out`, or go on making it, unless it is there; yields the lines to be printed.

    parts: what decides the result. work: (folder of states, folder of results) -> a line of figures.
    Raises BadInput for an `out` that holds something else, and what `work` raises.
    """
    key, part = record.key_of(dict(parts)), record.part_of(out)
    if record.is_done(out, key):
        yield f"{name}: up to date"
        return
    if key_at(out) is not None:
        raise BadInput("holds something else", file=out, fix="choose another --out")
    record.open_part(part, key)
    (part / record.WORK).mkdir(exist_ok=True)
    told = work(part / record.WORK, part)
    outputs = record.describe_outputs(part, (), base=out, final=out)
    tree = {"schema": record.SCHEMA, "key": key, "key_parts": dict(parts), "stage": name, "outputs": outputs}
    record.write_json(part / record.MANIFEST, tree)
    record.commit(part, out)
    yield f"{name}: done, {told}, in {out}"


def main(
    argv: Sequence[str], *, name: str, summary: str,
    add_flags: Callable[[argparse.ArgumentParser], None], run: Callable[[argparse.Namespace], Lines],
) -> int:  # fmt: skip
    """Parse, run, return the exit code (suite/errors.py)."""

    def all_lines() -> None:
        parser = Parser(prog=name, description=summary, allow_abbrev=False)
        add_flags(parser)
        STOP.install()
        try:
            for line in run(parser.parse(argv)):
                print(line, flush=True)
        except ModuleNotFoundError as error:
            fix = "use .tox/jax/bin/python (python3 workflow/bootstrap.py jax makes it), or Docker"
            raise Missing(f"{sys.executable} has no {error.name}", fix=fix) from None

    return guard(all_lines)
