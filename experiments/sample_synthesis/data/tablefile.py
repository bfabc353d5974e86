"""The text files of the published data sets: lines, or CSV with a header and one box a row."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from pathlib import Path

from suite.errors import BadInput


def read_text(path: Path) -> str:
    """The text of a file. Raises BadInput where it is none."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise BadInput("not a text file", file=path, fix="copy it again") from None


def read_rows(
    path: Path, *, needed: Sequence[str], known: Sequence[str] = ()
) -> Iterator[tuple[int, dict[str, str | None]]]:
    """(line number, {column: cell}) of every row; a cell that is not there is None.

    Raises BadInput: no header, a needed column is missing, one is neither needed nor known, or no CSV.
    """
    reader = csv.reader(io.StringIO(read_text(path), newline=""))
    try:
        columns = [name.strip() for name in next(reader, [])]
        for name in needed:
            if name not in columns:
                what = f"has no column `{name}` (its columns: {', '.join(columns) or 'none'})"
                raise BadInput(what, file=path, fix=f"the header needs {','.join(needed)}")
        for name in columns:
            if name not in (*needed, *known):
                fix = f"known columns: {', '.join((*needed, *known))}"
                raise BadInput(f"line 1: unknown column `{name}`", file=path, fix=fix)
        for cells in reader:
            if any(cells):
                yield reader.line_num, dict(zip_longest(columns, cells[: len(columns)]))
    except csv.Error as error:
        raise BadInput(f"line {reader.line_num}: {error}", file=path, fix="copy the file again") from None


def number_text(value: float) -> str:
    """A coordinate as text: whole numbers without a point."""
    return str(int(value)) if float(value).is_integer() else repr(float(value))
