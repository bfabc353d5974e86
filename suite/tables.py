"""Tables and logs as files: CSV out and in, JSON lines in. Floats keep full precision; None is empty."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from suite.errors import BadInput


def csv_text(rows: Iterable[Mapping[str, object]]) -> str:
    """CSV with a header: the keys of the first row, which all rows have."""
    rows = list(rows)
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def read_csv(path: Path) -> list[dict[str, str]]:
    """The rows of a table; BadInput where it is missing."""
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            return list(csv.DictReader(stream))
    except FileNotFoundError:
        raise BadInput("is missing", file=path, fix="run its stage again") from None


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """The lines of a log; BadInput where it is missing or cut."""
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except (FileNotFoundError, json.JSONDecodeError):
        raise BadInput("is missing or damaged", file=path, fix="run its stage again") from None
