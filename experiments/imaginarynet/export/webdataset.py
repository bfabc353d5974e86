"""WebDataset: tar files of `<id>.jpg`, `<id>.cls` and `<id>.json`, closed at a number of pictures."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from experiments.imaginarynet.export.source import LEVEL, Source, ending, labels_of
from experiments.imaginarynet.store.manifest import Candidate
from experiments.imaginarynet.store.tar import write_tar

PER_TAR = 1000  # pictures


def write_webdataset(source: Source, out: Path, *, per_tar: int = PER_TAR) -> int:
    """Write `<split>-000000.tar` and on, at least one; returns the number of pictures."""
    out.mkdir(parents=True, exist_ok=True)
    for number, start in enumerate(range(0, max(len(source.kept), 1), per_tar)):
        members = _members(source, source.kept[start : start + per_tar])
        write_tar(out / f"{source.split}-{number:06d}.tar", members)
    return len(source.kept)


def description(row: Candidate, source: Source) -> dict[str, Any]:
    """What is known of a picture: its row and its labels by name."""
    tree = asdict(row)
    return {**tree, "labels": labels_of(row, source.class_names), "label_level": LEVEL, "source": "imaginary"}


def _members(source: Source, rows: list[Candidate]) -> Iterator[tuple[str, bytes]]:
    for row in rows:
        text = json.dumps(description(row, source), sort_keys=True, ensure_ascii=False)
        yield row.candidate_id + ending(row), source.pictures.read(row)
        yield row.candidate_id + ".cls", str(row.class_id).encode()
        yield row.candidate_id + ".json", text.encode()
