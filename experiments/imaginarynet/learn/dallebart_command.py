"""The command that makes the tiny DalleBart from a corpus, a VQGAN and a tokenizer.

    python -m experiments.imaginarynet train-dallebart --corpus data/t2i-corpus --vqgan runs/vqgan/vqgan \
        --tokenizer runs/tokenizer --out runs/dallebart

The folder gets `dallebart/`, curves.csv and training.json. The same command again goes on after a kill or
SIGTERM, and is up to date where the folder is finished.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from experiments.imaginarynet.learn import command
from experiments.imaginarynet.learn.hooks import make_hooks
from suite.errors import Missing
from suite.manifest import file_digest

NAME = "train-dallebart"
SUMMARY = "the tiny DalleBart (text to codes) from a corpus, a VQGAN and a tokenizer"
VERSION = 1


def add_flags(parser: argparse.ArgumentParser) -> None:
    """The flags of the command; what is not given is the recipe's."""
    command.add_folders(parser, "dallebart/, curves.csv, training.json")
    parser.add_argument("--vqgan", type=Path, required=True, metavar="DIR", help="vqgan/ of `train-vqgan`")
    parser.add_argument("--tokenizer", type=Path, required=True, metavar="DIR", help="of `train-tokenizer`")
    command.add_phase(parser)


def run(args: argparse.Namespace) -> command.Lines:
    """Do it; yields the lines to be printed. Raises BadInput, Missing, Stopped."""
    from experiments.imaginarynet.dallebart.text import read_tokenizer, tokenizer_digest
    from experiments.imaginarynet.learn.corpus import read_corpus
    from experiments.imaginarynet.learn.dallebart import DalleBartRecipe, train
    from experiments.imaginarynet.vqgan import checkpoint

    command.use_device(args.device)
    tokenizer = read_tokenizer(args.tokenizer)
    weights = args.vqgan / checkpoint.WEIGHTS
    if not weights.is_file():
        raise Missing("no such file", file=weights, fix="give the folder vqgan/ that train-vqgan made")
    recipe = DalleBartRecipe()
    recipe = replace(recipe, phase=command.changed(recipe.phase, args))
    parts = {
        "version": VERSION, "recipe": asdict(recipe), "seed": args.seed, "device": args.device,
        "corpus": command.corpus_digests(args.corpus), "vqgan": file_digest(weights),
        "tokenizer": tokenizer_digest(args.tokenizer),
    }  # fmt: skip

    def work(states: Path, out: Path) -> str:
        facts = train(
            read_corpus(args.corpus), tokenizer, checkpoint.load(args.vqgan), recipe,
            seed=args.seed, work=states, out=out, hooks=make_hooks(NAME),
        )  # fmt: skip
        frequencies = facts["held_out_loss_of_frequencies"]
        return f"held-out loss {facts['held_out_loss']:.3f} nats (by frequency alone {frequencies:.3f})"

    yield from command.bring_up(NAME, args.out, parts, work)


def main(argv: Sequence[str]) -> int:
    """Parse, run, return the exit code (suite/errors.py)."""
    return command.main(argv, name=NAME, summary=SUMMARY, add_flags=add_flags, run=run)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
