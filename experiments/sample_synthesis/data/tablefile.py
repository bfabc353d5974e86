"""The CSV files of the published data sets: a header, one box a row."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

from suite.errors import BadInput


def read_rows(
    path: Path, *, needed: Sequence[str], known: Sequence[str] = ()
) -> Iterator[tuple[int, dict[str, str | None]]]:
    """(line number, {column: cell}) of every row; a cell that is not there is None.

    Raises BadInput: no header, a needed column is missing, or one is neither needed nor known.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise BadInput("not a text file", file=path, fix="copy it again") from None
    reader = csv.DictReader(io.StringIO(text, newline=""), restkey="")
    columns = [name.strip() for name in reader.fieldnames or ()]
    reader.fieldnames = columns
    for name in needed:
        if name not in columns:
            what = f"has no column `{name}` (its columns: {', '.join(columns) or 'none'})"
            raise BadInput(what, file=path, fix=f"the header needs {','.join(needed)}")
    for name in columns:
        if name not in (*needed, *known):
            fix = f"known columns: {', '.join((*needed, *known))}"
            raise BadInput(f"line 1: unknown column `{name}`", file=path, fix=fix)
    return ((reader.line_num, row) for row in reader)


def number_text(value: float) -> str:
    """A coordinate as text: whole numbers without a point."""
    return str(int(value)) if float(value).is_integer() else repr(float(value))
