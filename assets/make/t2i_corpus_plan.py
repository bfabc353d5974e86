"""How the text-to-image corpus is cut into checkpoints. No Blender here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from assets.make.t2i_corpus_scene import Scene

SEED, COUNT = 0, 6400
CHUNK = 20  # pictures a checkpoint
VERSION = 1  # raised whenever the code changes what a picture looks like


def chunks(count: int) -> Iterator[tuple[int, range]]:
    """Number and indices of every checkpoint that the first `count` pictures need; all are full."""
    for number, start in enumerate(range(0, count, CHUNK)):
        yield number, range(start, start + CHUNK)


def checkpoint(work: Path, number: int) -> Path:
    """The file of one checkpoint."""
    return work / f"{number:05d}.npz"


def rows_of(scenes: Sequence[Scene]) -> list[dict[str, str | int]]:
    """What the corpus says about the pictures of some scenes."""
    return [
        {"id": f"{scene.index:06d}", "caption": scene.caption, "class": scene.word, "split": scene.split}
        for scene in scenes
    ]
