"""The command that makes the tiny CLIP from a corpus.

    python -m experiments.imaginarynet train-clip --corpus data/t2i-corpus --out runs/clip

The folder gets `clip/`, the curve and training.json. The same command again goes on after a kill or SIGTERM,
and is up to date where the folder is finished.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from experiments.imaginarynet.learn.hooks import make_hooks
from suite import manifest as record
from suite.by_hand import Parser, key_at
from suite.errors import BadInput, guard
from suite.stage import STOP

NAME = "train-clip"
SUMMARY = "the tiny CLIP of the filter from a corpus"
VERSION = 1


def add_flags(parser: argparse.ArgumentParser) -> None:
    """The flags of the command; what is not given is the recipe's."""
    parser.add_argument("--corpus", type=Path, required=True, metavar="DIR", help="captioned pictures")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="gets clip/ and the curve")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--batch", type=int)
    parser.add_argument("--lr", type=float)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2, help="default 2; sums depend on it")


def run(args: argparse.Namespace) -> Iterator[str]:
    """Do it; yields the lines to be printed. Raises BadInput, Missing, Stopped."""
    flags = {name: getattr(args, name) for name in ("steps", "batch", "lr")}
    given = {name: value for name, value in flags.items() if value is not None}
    for name, value in {**given, "threads": args.threads}.items():
        if not value > 0:
            raise BadInput(f"--{name} {value}: must be above 0")
    import torch

    from experiments.imaginarynet.learn import corpus as reader
    from experiments.imaginarynet.learn.clip import ClipRecipe, train

    torch.set_num_threads(args.threads)
    recipe = ClipRecipe()
    recipe = replace(recipe, phase=replace(recipe.phase, **given))
    corpus = reader.read_corpus(args.corpus)
    digests = {n: record.file_digest(args.corpus / n) for n in (reader.IMAGES, reader.CAPTIONS)}
    parts = {"version": VERSION, "recipe": asdict(recipe), "seed": args.seed, "corpus": digests}
    key, part = record.key_of(parts | {"threads": args.threads}), record.part_of(args.out)
    if record.is_done(args.out, key):
        yield f"{NAME}: up to date"
        return
    if key_at(args.out) is not None:
        raise BadInput("holds something else", file=args.out, fix="choose another --out")
    record.open_part(part, key)
    (part / record.WORK).mkdir(exist_ok=True)
    facts = train(corpus, recipe, seed=args.seed, work=part / record.WORK, out=part, hooks=make_hooks(NAME))
    outputs = record.describe_outputs(part, (), base=args.out, final=args.out)
    record.write_json(part / record.MANIFEST, {"schema": record.SCHEMA, "key": key, "key_parts": parts,
                                               "stage": NAME, "outputs": outputs})  # fmt: skip
    record.commit(part, args.out)
    found = facts["held_out"]
    yield f"{NAME}: done, in {args.out}"
    yield f"held out: top-1 {found['accuracy']:.3f}, softened {found['accuracy_soft']:.3f}"
    for row in found["classes"]:
        if row["pictures"]:
            yield f"  {row['name']:<16}{row['accuracy']:.3f} {row['accuracy_soft']:.3f} of {row['pictures']}"


def main(argv: Sequence[str]) -> int:
    """Parse, run, return the exit code (suite/errors.py)."""

    def all_lines() -> None:
        parser = Parser(prog=NAME, description=SUMMARY, allow_abbrev=False)
        add_flags(parser)
        STOP.install()
        for line in run(parser.parse(argv)):
            print(line, flush=True)

    return guard(all_lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
