"""The command that makes the tokenizer of the tiny DalleBart from the captions of a corpus.

    python -m experiments.imaginarynet train-tokenizer --corpus data/t2i-corpus --out runs/tokenizer

The folder gets tokenizer.json and training.json.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from experiments.imaginarynet.learn import command
from suite.manifest import write_json

NAME = "train-tokenizer"
SUMMARY = "the tokenizer of the tiny DalleBart from the captions of a corpus"
VERSION = 1


def add_flags(parser: argparse.ArgumentParser) -> None:
    """The flags of the command. A tokenizer has no randomness, so there is no seed."""
    parser.add_argument("--corpus", type=Path, required=True, metavar="DIR", help="captioned pictures")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="gets tokenizer.json")
    parser.add_argument("--vocabulary", type=int, default=600, help="tokens at most; default 600")


def run(args: argparse.Namespace) -> command.Lines:
    """Do it; yields the lines to be printed. Raises BadInput, Missing."""
    from experiments.imaginarynet.learn.corpus import read_corpus
    from experiments.imaginarynet.learn.tokenizer import TokenizerRecipe, train

    recipe = TokenizerRecipe(vocabulary=args.vocabulary)
    digests = command.corpus_digests(args.corpus)
    parts = {"version": VERSION, "recipe": asdict(recipe), "corpus": digests}

    def work(states: Path, out: Path) -> str:
        facts = train(read_corpus(args.corpus).part("train").captions, recipe, out=out)
        write_json(out / "training.json", facts | {"recipe": asdict(recipe)})
        return f"{facts['tokens']} tokens, longest caption {facts['longest_caption']}"

    yield from command.bring_up(NAME, args.out, parts, work)


def main(argv: Sequence[str]) -> int:
    """Parse, run, return the exit code (suite/errors.py)."""
    return command.main(argv, name=NAME, summary=SUMMARY, add_flags=add_flags, run=run)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
