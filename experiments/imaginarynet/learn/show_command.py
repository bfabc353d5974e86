"""The command that draws what a training left: its curves, and sheets of what the networks make.

    .tox/jax/bin/python -m experiments.imaginarynet show-training runs/vqgan --corpus data/t2i-corpus \
        --out runs/shown
    .tox/jax/bin/python -m experiments.imaginarynet show-training runs/dallebart --vqgan runs/vqgan/vqgan \
        --tokenizer runs/tokenizer --corpus data/t2i-corpus --out runs/shown
    .tox/detectron2/bin/python -m experiments.imaginarynet show-training runs/clip runs/diffusion ...

curves     every *.csv of a folder, as `<folder>-<table>-<panel>.svg`
vqgan      held-out pictures and below them their reconstructions, `<folder>-vqgan.png`
dallebart  a row of samples for every class, `<folder>-dallebart.png`
diffusion  the same, `<folder>-diffusion.png`
clip       top-1 of held-out pictures by class, `<folder>-clip-classes.svg` and .csv

A folder is shown as far as it goes; what this Python has no framework for is said and passed over, unless
`--parts` asks for it. The same command writes the same pictures again.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

from suite.errors import BadInput, Missing

CURVES = "curves"
FRAMEWORKS = {"vqgan": "jax", "dallebart": "jax", "clip": "torch", "diffusion": "torch"}
PARTS = (CURVES, *FRAMEWORKS)
HELD_OUT = 30  # pictures on the sheet of reconstructions
TOKENIZER = "tokenizer.json"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """The flags of the command."""
    parser.add_argument("folders", type=Path, nargs="+", metavar="DIR", help="that a training command made")
    parser.add_argument("--corpus", type=Path, required=True, metavar="DIR", help="what they learned from")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="gets the pictures")
    parser.add_argument("--parts", nargs="+", choices=PARTS, help="default: all that is there")
    parser.add_argument("--vqgan", type=Path, metavar="DIR", help="for dallebart; default: beside it")
    parser.add_argument("--tokenizer", type=Path, metavar="DIR", help="for dallebart; default: beside it")
    parser.add_argument("--classes", help="of the samples: names with commas; default: those of the corpus")
    parser.add_argument("--per-class", type=int, default=10, help="samples of a class; default 10")
    parser.add_argument("--template", default="A photo of {c}", help="of the prompts; default %(default)r")
    parser.add_argument("--condition-scale", type=float, default=10.0, help="of dallebart; default 10")
    parser.add_argument("--guidance", type=float, default=9.0, help="of diffusion; default 9")
    parser.add_argument("--steps", type=int, default=50, help="of diffusion; default 50")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)


def run(args: argparse.Namespace) -> Iterator[str]:
    """Do it; yields the lines to be printed. Raises BadInput, Missing."""
    for name in ("per_class", "steps", "threads"):
        if getattr(args, name) < 1:
            raise BadInput(f"--{name.replace('_', '-')} {getattr(args, name)}: must be 1 or more")
    if "{c}" not in args.template:
        raise BadInput(f"--template {args.template!r} has no {{c}}", fix='write it like "A photo of {c}"')
    for folder in args.folders:
        parts = parts_of(folder, args.parts)
        for part in parts:
            if args.parts is None and part != CURVES and find_spec(FRAMEWORKS[part]) is None:
                yield f"{folder}: {part} passed over, this Python has no {FRAMEWORKS[part]}"
                continue
            for path in _show(part, folder, args):
                yield str(path)


def parts_of(folder: Path, wanted: Sequence[str] | None) -> list[str]:
    """What of a folder can be shown, or what was asked for. Raises Missing where it is not there."""
    there = [CURVES] if any(folder.glob("*.csv")) else []
    there += [part for part in FRAMEWORKS if (folder / part).is_dir()]
    absent = [part for part in wanted or () if part not in there]
    if absent or not there:
        what = f"no {' and no '.join(absent)} there" if absent else "nothing there that a training made"
        raise Missing(what, file=folder, fix="give the --out of a training command")
    return [part for part in PARTS if part in (wanted or there) and part in there]


def _show(part: str, folder: Path, args: argparse.Namespace) -> list[Path]:
    """Draw one part; returns the files."""
    from experiments.imaginarynet.learn import show

    name = folder.resolve().name
    if part == CURVES:
        tables = sorted(folder.glob("*.csv"))
        return [
            path
            for table in tables
            for path in show.draw_curves(table, args.out, name=f"{name}-{table.stem}")
        ]
    from experiments.imaginarynet.learn import show_models
    from experiments.imaginarynet.learn.corpus import read_corpus

    corpus = read_corpus(args.corpus)
    held_out, target = corpus.part("val"), args.out / f"{name}-{part}.png"
    if part == "clip":
        scores = show_models.clip_scores(folder / part, held_out, threads=args.threads)
        return show.draw_accuracy(show.accuracy_rows(scores, held_out), args.out, name=f"{name}-clip")
    if part == "vqgan":
        pictures = held_out.pictures[show.in_turn(held_out, HELD_OUT)]
        remade = show_models.reconstructions(folder / part, pictures, threads=args.threads)
        return [show.write_sheet(target, show.pair_sheet(pictures, remade, what="reconstructed"))]
    names = tuple(args.classes.split(",")) if args.classes else corpus.class_names
    sampling = show_models.Sampling(
        per_class=args.per_class, seed=args.seed, template=args.template, threads=args.threads,
        condition_scale=args.condition_scale, guidance=args.guidance, steps=args.steps,
    )  # fmt: skip
    if part == "dallebart":
        drawn = show_models.dallebart_samples(_folders(folder, args), names, sampling)
    else:
        drawn = show_models.diffusion_samples((folder / part).resolve(), names, sampling)
    return [show.write_sheet(target, show.prompt_sheet(drawn))]


def _folders(folder: Path, args: argparse.Namespace) -> dict[str, Path]:
    """Of the transformer, its image tokenizer and its tokenizer. Raises Missing."""
    own = folder / "dallebart"
    found = {
        "dallebart": own,
        "vqgan": args.vqgan or folder / "vqgan",
        "tokenizer": args.tokenizer or (own if (own / TOKENIZER).is_file() else folder),
    }
    for name, file in (("vqgan", "config.json"), ("tokenizer", TOKENIZER)):
        if not (found[name] / file).is_file():
            raise Missing(f"no {name} for dallebart ({file})", file=found[name], fix=f"give --{name} DIR")
    return {name: path.resolve() for name, path in found.items()}
