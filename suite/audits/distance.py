"""How far two files of numbers are apart.

Covers .json, .jsonl, .csv, .safetensors, .npy and .npz with the standard library alone: the environment that
orders stages has no numpy. Anything else has no distance: its bytes are equal or not.
"""

from __future__ import annotations

import array
import ast
import csv
import io
import json
import math
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

TYPES = {  # safetensors' names and numpy's -> struct's
    "F64": "d", "F32": "f", "F16": "e", "I64": "q", "I32": "i", "I16": "h", "I8": "b", "U8": "B",
    "<f8": "d", "<f4": "f", "<f2": "e", "<i8": "q", "<i4": "i", "<i2": "h", "|i1": "b", "|u1": "B",
    "<u8": "Q", "<u4": "I", "<u2": "H", "BOOL": "?", "|b1": "?",
}  # fmt: skip
Numbers = dict[str, list[float]]  # place in the file -> numbers


class Unlike(Exception):
    """The two differ in more than numbers."""


def distance(first: Path, second: Path) -> float | None:
    """The largest |a - b| / max(1, |a|, |b|) over all numbers; None where there is none to be told: another
    format, other names, shapes or texts.
    """
    read = READERS.get(first.suffix)
    if read is None:
        return None
    try:
        one, other = read(first.read_bytes()), read(second.read_bytes())
        return max((_apart(a, b) for a, b in _pairs(one, other)), default=0.0)
    except (Unlike, ValueError, KeyError, struct.error, zipfile.BadZipFile):
        return None


def _pairs(one: Numbers, other: Numbers) -> Iterator[tuple[float, float]]:
    if one.keys() != other.keys():
        raise Unlike
    for name, numbers in one.items():
        if len(numbers) != len(other[name]):
            raise Unlike
        yield from zip(numbers, other[name], strict=True)


def _apart(a: float, b: float) -> float:
    if a == b or (math.isnan(a) and math.isnan(b)):
        return 0.0
    apart = abs(a - b) / max(1.0, abs(a), abs(b))
    return math.inf if math.isnan(apart) else apart


def _flatten(tree: Any, place: str, numbers: Numbers) -> None:
    """The numbers of a JSON tree by place; a text is part of the place, so that texts have to be equal."""
    if isinstance(tree, dict):
        for name, value in tree.items():
            _flatten(value, f"{place}/{name}", numbers)
    elif isinstance(tree, list):
        for index, value in enumerate(tree):
            _flatten(value, f"{place}/{index}", numbers)
    elif isinstance(tree, int | float) and not isinstance(tree, bool):
        numbers[place] = [float(tree)]
    else:
        numbers[f"{place}={tree!r}"] = []


def _json(content: bytes) -> Numbers:
    numbers: Numbers = {}
    _flatten(json.loads(content), "", numbers)
    return numbers


def _json_lines(content: bytes) -> Numbers:
    numbers: Numbers = {}
    _flatten([json.loads(line) for line in content.splitlines()], "", numbers)
    return numbers


def _csv(content: bytes) -> Numbers:
    numbers: Numbers = {}
    for row, cells in enumerate(csv.reader(io.StringIO(content.decode("utf-8")))):
        for column, cell in enumerate(cells):
            try:
                numbers[f"{row}/{column}"] = [float(cell)]
            except ValueError:
                numbers[f"{row}/{column}={cell}"] = []
    return numbers


def _array(content: bytes, kind: str) -> list[float]:
    code = TYPES[kind]
    if code in "e?":  # not among array's types
        return [float(value) for (value,) in struct.iter_unpack(f"<{code}", content)]
    return array.array(code, content).tolist()


def _safetensors(content: bytes) -> Numbers:
    (length,) = struct.unpack("<Q", content[:8])
    header, data = json.loads(content[8 : 8 + length]), content[8 + length :]
    rows = {name: row for name, row in header.items() if name != "__metadata__"}
    return {
        f"{name} {row['dtype']} {row['shape']}": _array(data[slice(*row["data_offsets"])], row["dtype"])
        for name, row in rows.items()
    }


def _npy(content: bytes, name: str = "") -> Numbers:
    wide = content[6] > 1  # format 2 and 3 have a length of four bytes
    start = 12 if wide else 10
    (length,) = struct.unpack("<I" if wide else "<H", content[8:start])
    header = ast.literal_eval(content[start : start + length].decode("latin1"))
    place = f"{name} {header['descr']} {header['shape']} {header['fortran_order']}"
    return {place: _array(content[start + length :], header["descr"])}


def _npz(content: bytes) -> Numbers:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {k: v for name in archive.namelist() for k, v in _npy(archive.read(name), name).items()}


READERS: dict[str, Callable[[bytes], Numbers]] = {
    ".json": _json, ".jsonl": _json_lines, ".csv": _csv,
    ".safetensors": _safetensors, ".npy": _npy, ".npz": _npz,
}  # fmt: skip
