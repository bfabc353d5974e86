"""The command that makes the tiny VQGAN from a corpus.

    python -m experiments.imaginarynet train-vqgan --corpus data/t2i-corpus --out runs/vqgan

The folder gets `vqgan/`, curves.csv and training.json. The same command again goes on after a kill or
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

NAME = "train-vqgan"
SUMMARY = "the tiny VQGAN (picture tokenizer) from a corpus"
VERSION = 1


def add_flags(parser: argparse.ArgumentParser) -> None:
    """The flags of the command; what is not given is the recipe's."""
    command.add_folders(parser, "vqgan/, curves.csv, training.json")
    command.add_phase(parser)


def run(args: argparse.Namespace) -> command.Lines:
    """Do it; yields the lines to be printed. Raises BadInput, Missing, Stopped."""
    from experiments.imaginarynet.learn.corpus import read_corpus
    from experiments.imaginarynet.learn.vqgan import VQGANRecipe, train

    command.use_device(args.device)
    recipe = VQGANRecipe()
    recipe = replace(recipe, phase=command.changed(recipe.phase, args))
    parts = {
        "version": VERSION, "recipe": asdict(recipe), "seed": args.seed, "device": args.device,
        "corpus": command.corpus_digests(args.corpus),
    }  # fmt: skip

    def work(states: Path, out: Path) -> str:
        corpus, hooks = read_corpus(args.corpus), make_hooks(NAME)
        facts = train(corpus, recipe, seed=args.seed, work=states, out=out, hooks=hooks)
        return f"held-out PSNR {facts['held_out_psnr']:.2f} dB, perplexity {facts['held_out_perplexity']:.0f}"

    yield from command.bring_up(NAME, args.out, parts, work)


def main(argv: Sequence[str]) -> int:
    """Parse, run, return the exit code (suite/errors.py)."""
    return command.main(argv, name=NAME, summary=SUMMARY, add_flags=add_flags, run=run)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
