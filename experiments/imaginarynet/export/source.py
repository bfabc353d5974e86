"""What every format is written from: the kept candidates in order, and one file of each picture."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from experiments.imaginarynet.classes import label_of
from experiments.imaginarynet.store.manifest import Candidate, in_order
from experiments.imaginarynet.store.pictures import Pictures

LEVEL = "image"  # what the labels say something about: the picture, not a box


@dataclass(eq=False)
class Source:
    """All candidates of a run, and their pictures."""

    class_names: Sequence[str]  # in the order of the class file
    rows: Sequence[Candidate]
    pictures: Pictures
    split: str
    hard_links: bool = True  # formats share one file per picture where the disk can
    samples_per_prompt: int = 1
    _files: dict[str, Path] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.rows = in_order(self.rows)
        self.kept = [row for row in self.rows if row.kept]

    def place(self, row: Candidate, target: Path) -> None:
        """Put the picture of a row at a path."""
        target.parent.mkdir(parents=True, exist_ok=True)
        first = self._files.get(row.candidate_id)
        if first is not None and self.hard_links:
            try:
                os.link(first, target)
                return
            except OSError:  # a file system without hard links, or their limit is reached
                self.hard_links = False
        write_file(target, self.pictures.read(row))
        self._files.setdefault(row.candidate_id, target)


def ending(row: Candidate) -> str:
    """Of the picture's file, with the dot."""
    return Path(row.path).suffix


def file_name(row: Candidate) -> str:
    """`00003-000017.jpg`: leads back to the row of the manifest, whatever else is kept."""
    return row.candidate_id + ending(row)


def hidden_name(row: Candidate) -> str:
    """A file name that tells nothing of the class: from a SHA-256 over id and picture."""
    return hashlib.sha256(f"{row.candidate_id}|{row.sha256}".encode()).hexdigest()[:16] + ending(row)


def labels_of(row: Candidate, class_names: Sequence[str]) -> list[str]:
    """The labels of a picture, in the order of the classes."""
    return [label_of(class_names[index]) for index in row.image_labels]


def write_file(path: Path, data: bytes | str) -> None:
    """Write a file and the folders above it; an OSError names the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        path.write_bytes(data.encode() if isinstance(data, str) else data)
    except OSError as error:  # a full disk names no file by itself
        raise OSError(error.errno, error.strerror, str(path)) from error


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """A text file with Unix line ends."""
    write_file(path, "".join(f"{line}\n" for line in lines))
