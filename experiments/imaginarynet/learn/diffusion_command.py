"""The command that makes the tiny latent diffusion pipeline from a corpus.

    python -m experiments.imaginarynet train-diffusion --corpus data/t2i-corpus --out runs/diffusion

The folder gets `diffusion/`, the two curves and training.json. The same command again goes on after a kill or
SIGTERM, and is up to date where the folder is finished.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.imaginarynet.learn.command import add_folders, bring_up, corpus_digests
from experiments.imaginarynet.learn.hooks import make_hooks
from suite.by_hand import Parser
from suite.errors import BadInput, Missing, guard
from suite.stage import STOP

if TYPE_CHECKING:
    from experiments.imaginarynet.learn.torch_loop import Phase

NAME = "train-diffusion"
SUMMARY = "the tiny latent diffusion pipeline (autoencoder, UNet, text encoder) from a corpus"
VERSION = 1


def add_flags(parser: argparse.ArgumentParser) -> None:
    """The flags of the command; what is not given is the recipe's."""
    add_folders(parser, "diffusion/ and the curves")
    parser.add_argument("--vae-steps", type=int, help="of the autoencoder")
    parser.add_argument("--vae-batch", type=int)
    parser.add_argument("--vae-lr", type=float)
    parser.add_argument("--steps", type=int, help="of the UNet")
    parser.add_argument("--batch", type=int)
    parser.add_argument("--lr", type=float)
    parser.add_argument("--threads", type=int, default=2, help="default 2; sums depend on it")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="cuda never falls back")


def run(args: argparse.Namespace) -> Iterator[str]:
    """Do it; yields the lines to be printed. Raises BadInput, Missing, Stopped."""
    import torch

    from experiments.imaginarynet.learn import corpus as reader
    from experiments.imaginarynet.learn.diffusion import DiffusionRecipe, train

    if args.device == "cuda" and not torch.cuda.is_available():
        raise Missing("--device cuda: no GPU that PyTorch can use", fix="leave --device out")
    torch.set_num_threads(args.threads)
    base = DiffusionRecipe()
    recipe = replace(
        base,
        autoencoder=_changed(base.autoencoder, args.vae_steps, args.vae_batch, args.vae_lr, word="vae-"),
        unet=_changed(base.unet, args.steps, args.batch, args.lr, word=""),
    )
    corpus = reader.read_corpus(args.corpus)
    parts = {
        "version": VERSION, "recipe": asdict(recipe), "seed": args.seed, "device": args.device,
        "threads": args.threads, "corpus": corpus_digests(args.corpus),
    }  # fmt: skip

    def work(states: Path, out: Path) -> str:
        facts = train(
            corpus, recipe, seed=args.seed, work=states, out=out, device=args.device, hooks=make_hooks(NAME)
        )
        psnr, loss = facts["autoencoder"]["held_out_psnr"], facts["unet"]["held_out_loss"]
        return f"held-out PSNR {psnr:.2f} dB, held-out loss {loss:.4f}"

    yield from bring_up(NAME, args.out, parts, work)


def _changed(phase: Phase, steps: int | None, batch: int | None, lr: float | None, *, word: str) -> Phase:
    """A phase with what the flags say. Raises BadInput."""
    for flag, value in (("steps", steps), ("batch", batch), ("lr", lr)):
        if value is not None and not value > 0:
            raise BadInput(f"--{word}{flag} {value}: must be above 0")
    given = {"steps": steps, "batch": batch, "lr": lr}
    return replace(phase, **{name: value for name, value in given.items() if value is not None})


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
