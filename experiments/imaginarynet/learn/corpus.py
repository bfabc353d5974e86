"""A corpus of captioned pictures: what the embedded models learn from. One folder, three files.

    images.npy      uint8 (n, side, side, 3), RGB, sRGB values, rows from above
    captions.jsonl  a row a picture, in the order of images.npy: {"id", "caption", "class", "split", "sha256"}
    corpus.json     {"schema", "pictures", "side", "classes", ...}: the names, and how the corpus was made

`split` is "train" or "val"; `class` is the main thing that the picture shows, a word of `classes`;
`sha256` is over the picture's bytes. `assets/make/t2i_corpus.py` writes such a folder; any other program may.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from suite.errors import BadInput, Missing
from suite.manifest import read_json, write_json

IMAGES, CAPTIONS, LISTING = "images.npy", "captions.jsonl", "corpus.json"
SPLITS = ("train", "val")
SCHEMA = 1
_REMEDY = "make it again (make t2i-corpus), or check --corpus"


@dataclass(frozen=True, eq=False)
class Corpus:
    """Pictures with a caption and a class each."""

    pictures: np.ndarray  # uint8 (n, side, side, 3)
    captions: tuple[str, ...]  # (n,)
    class_ids: np.ndarray  # int64 (n,), into class_names
    class_names: tuple[str, ...]
    split: np.ndarray  # (n,) of "train" or "val"

    def __len__(self) -> int:
        return len(self.captions)

    def part(self, split: str) -> Corpus:
        """The pictures of one split. Raises BadInput for another word than train or val."""
        if split not in SPLITS:
            raise BadInput(f"a corpus has no split {split!r}", fix=f"choose one of {', '.join(SPLITS)}")
        rows = np.flatnonzero(self.split == split)
        return replace(
            self, pictures=self.pictures[rows], captions=tuple(self.captions[row] for row in rows),
            class_ids=self.class_ids[rows], split=self.split[rows],
        )  # fmt: skip


def read_corpus(folder: Path, *, check_digests: bool = False) -> Corpus:
    """Read a folder. Missing where there is none; BadInput where its files do not belong together.

    `check_digests` also compares every picture with its `sha256`.
    """
    folder = Path(folder)
    listing = read_json(folder / LISTING)
    if listing is None:
        raise Missing("no finished corpus", file=folder / LISTING, fix=_REMEDY)
    pictures = _read_pictures(folder / IMAGES)
    rows = _read_rows(folder / CAPTIONS)
    if not len(pictures) == len(rows) == listing.get("pictures"):
        raise BadInput(
            f"{len(pictures)} pictures, {len(rows)} captions, {listing.get('pictures')} in {LISTING}",
            file=folder, fix=_REMEDY,
        )  # fmt: skip
    names = tuple(listing.get("classes", ()))
    number = {name: index for index, name in enumerate(names)}
    for line, row in enumerate(rows, start=1):
        if row["class"] not in number or row["split"] not in SPLITS:
            raise BadInput(f"line {line}: class or split unknown", file=folder / CAPTIONS, fix=_REMEDY)
    if check_digests:
        for picture, row in zip(pictures, rows, strict=True):
            if picture_digest(picture) != row["sha256"]:
                raise BadInput(f"picture {row['id']} is not as written", file=folder / IMAGES, fix=_REMEDY)
    return Corpus(
        pictures=pictures,
        captions=tuple(row["caption"] for row in rows),
        class_ids=np.array([number[row["class"]] for row in rows], dtype=np.int64),
        class_names=names,
        split=np.array([row["split"] for row in rows], dtype="<U5"),
    )


def write_corpus(folder: Path, corpus: Corpus, *, ids: Sequence[str], made: dict[str, Any]) -> None:
    """Write the three files, corpus.json last. `made`: what else it says. Raises BadInput on odd shapes."""
    _check_pictures(corpus.pictures, folder)
    if not len(corpus) == len(corpus.pictures) == len(ids) == len(corpus.class_ids) == len(corpus.split):
        raise BadInput("pictures and captions differ in number", file=folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / LISTING).unlink(missing_ok=True)
    np.save(folder / IMAGES, corpus.pictures, allow_pickle=False)
    with (folder / CAPTIONS).open("w", encoding="utf-8") as stream:
        for index, name in enumerate(ids):
            row = {
                "id": name, "caption": corpus.captions[index],
                "class": corpus.class_names[corpus.class_ids[index]], "split": str(corpus.split[index]),
                "sha256": picture_digest(corpus.pictures[index]),
            }  # fmt: skip
            stream.write(json.dumps(row) + "\n")
    listing = {"schema": SCHEMA, "pictures": len(corpus), "side": int(corpus.pictures.shape[1])}
    write_json(folder / LISTING, {**made, **listing, "classes": list(corpus.class_names)})


def picture_digest(picture: np.ndarray) -> str:
    """SHA-256, hex, of a picture's bytes in row order."""
    return hashlib.sha256(np.ascontiguousarray(picture).tobytes()).hexdigest()


def _read_pictures(path: Path) -> np.ndarray:
    try:
        pictures = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise Missing("no such file", file=path, fix=_REMEDY) from None
    except (ValueError, EOFError, OSError) as error:
        raise BadInput(f"cannot be read as .npy ({type(error).__name__})", file=path, fix=_REMEDY) from None
    if not isinstance(pictures, np.ndarray):  # an .npz under this name
        raise BadInput("not a single array", file=path, fix=_REMEDY)
    _check_pictures(pictures, path)
    return pictures


def _check_pictures(pictures: np.ndarray, path: Path) -> None:
    shape = pictures.shape
    if pictures.dtype != np.uint8 or len(shape) != 4 or shape[1] != shape[2] or shape[3] != 3:
        raise BadInput(f"{pictures.dtype} {shape}, expected uint8 (n, side, side, 3)", file=path, fix=_REMEDY)


def _read_rows(path: Path) -> list[dict[str, str]]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise Missing("no such file", file=path, fix=_REMEDY) from None
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
            rows.append({key: str(row[key]) for key in ("id", "caption", "class", "split", "sha256")})
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise BadInput(
                f"line {number}: not a row of a corpus ({type(error).__name__})", file=path, fix=_REMEDY
            ) from None
    return rows
