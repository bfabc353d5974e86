"""Render the corpus that ImaginaryNet's embedded models learn from: captioned 64 x 64 pictures of one thing.

    python -m assets.make.t2i_corpus --out data/t2i-corpus                  # what `make t2i-corpus` does
    python -m assets.make.t2i_corpus --out data/t2i-corpus --count 600      # ... with COUNT=600

In Blender's environment. The folder is read by experiments/imaginarynet/learn/corpus.py; twenty pictures are
a checkpoint in the work folder, so a stopped command goes on where it was. sheet.png shows the first sixty
pictures. Nothing of assets/tabletop is used: not its meshes, textures or branches of
random numbers, so that tabletop stays unseen by the models.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from assets.make.t2i_corpus_plan import CHUNK, COUNT, SEED, VERSION, checkpoint, chunks
from assets.make.t2i_corpus_scene import CLASSES, TABLETOP, VARIANTS
from assets.make.workers import run_workers
from experiments.imaginarynet.learn.corpus import Corpus, write_corpus
from suite.arrays import read_arrays
from suite.errors import BadInput, guard
from suite.manifest import read_json, write_json
from suite.stage import STOP

WORK = "work"  # below --out, unless --work is given
OWNER = "made.json"  # in the work folder: whose checkpoints they are
SHEET, COLUMNS, ZOOM, GAP = 60, 10, 2, 4


def made_by(seed: int) -> dict[str, int]:
    """What the checkpoints of a work folder have in common."""
    return {"seed": seed, "version": VERSION}


def open_work(work: Path, seed: int) -> None:
    """Make the work folder. Raises BadInput where it holds another seed's or version's checkpoints."""
    work.mkdir(parents=True, exist_ok=True)
    found = read_json(work / OWNER)
    if found is None and not any(work.glob("*.npz")):
        write_json(work / OWNER, made_by(seed))
    elif found != made_by(seed):
        raise BadInput("holds pictures of another seed or version", file=work, fix="remove the folder")


def render_all(work: Path, *, count: int, seed: int, workers: int) -> None:
    """Start the workers, show how far they are, stop them if one fails or this process is stopped."""
    command = [sys.executable, "-m", "assets.make.t2i_corpus_render", "--work", str(work)]
    command += ["--count", str(count), "--seed", str(seed)]
    run_workers(command, workers, total=count, num_done=lambda: num_done(work, count))


def num_done(work: Path, count: int) -> int:
    """Pictures in finished checkpoints."""
    numbers = [number for number, _ in chunks(count) if checkpoint(work, number).exists()]
    return min(count, CHUNK * len(numbers))


def assemble(out: Path, work: Path, *, count: int, seed: int) -> Corpus:
    """Write the corpus from finished checkpoints. Raises BadInput where one is missing or another's."""
    pictures, rows = [], []
    for number, indices in chunks(count):
        path = checkpoint(work, number)
        arrays = read_arrays(path, fix="remove it and start again")
        found = json.loads(arrays["rows"].tobytes())
        if len(arrays["pictures"]) != len(found) or found[0]["id"] != f"{indices[0]:06d}":
            raise BadInput("holds other pictures", file=path, fix="remove it and start again")
        pictures.append(arrays["pictures"])
        rows += found
    rows = rows[:count]
    names = tuple(sorted({row["class"] for row in rows} | set(CLASSES)))
    corpus = Corpus(
        pictures=np.concatenate(pictures)[:count], captions=tuple(row["caption"] for row in rows),
        class_ids=np.array([names.index(row["class"]) for row in rows], dtype=np.int64), class_names=names,
        split=np.array([row["split"] for row in rows], dtype="<U5"),
    )  # fmt: skip
    made = {"made_by": "assets/make/t2i_corpus.py", **made_by(seed), "tabletop_classes": list(TABLETOP),
            "variants_per_class": VARIANTS}  # fmt: skip
    write_corpus(out, corpus, ids=[row["id"] for row in rows], made=made)
    return corpus


def sheet(pictures: np.ndarray) -> Image.Image:
    """The first pictures (n, side, side, 3) uint8 side by side, twice as large."""
    side = pictures.shape[1] * ZOOM
    shown = pictures[:SHEET]
    rows = -(-len(shown) // COLUMNS)
    picture = Image.new("RGB", (COLUMNS * (side + GAP), rows * (side + GAP)), (255, 255, 255))
    for k, pixels in enumerate(shown):
        large = Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC)
        picture.paste(large, (k % COLUMNS * (side + GAP), k // COLUMNS * (side + GAP)))
    return picture


def make(out: Path, *, work: Path, count: int, seed: int, workers: int | None = None) -> None:
    """Render what is missing and write the corpus. Raises BadInput or Stopped."""
    if count < 1:
        raise BadInput(f"COUNT={count}", fix="choose one picture or more")
    open_work(work, seed)
    render_all(work, count=count, seed=seed, workers=workers or len(os.sched_getaffinity(0)))
    corpus = assemble(out, work, count=count, seed=seed)
    sheet(corpus.pictures).save(out / "sheet.png")
    print(f"t2i-corpus: {len(corpus)} pictures in {out}")


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description="Render the text-to-image corpus.")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the corpus is written")
    parser.add_argument("--work", type=Path, metavar="DIR", help="checkpoints (default: <out>/work)")
    parser.add_argument("--count", type=int, default=COUNT, metavar="N", help=f"pictures (default: {COUNT})")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--workers", type=int, metavar="N", help="processes (default: one a core)")
    options = parser.parse_args()
    out = options.out.resolve()
    STOP.install()
    make(
        out, work=(options.work or out / WORK).resolve(), count=options.count, seed=options.seed,
        workers=options.workers,
    )  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(guard(main))
