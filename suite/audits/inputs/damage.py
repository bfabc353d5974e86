"""Edits that make a sound input malformed. Each is a row {do: name, path, ...}; paths are below the case."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any


def apply(here: Path, row: Mapping[str, Any]) -> None:
    """One edit of the files below `here`."""
    facts = dict(row)
    EDITS[facts.pop("do")](here / facts.pop("path"), **facts)


def write(path: Path, *, text: str = "", octets: str | None = None, times: int = 1) -> None:
    """The whole file: a text, or bytes in hex; `times` in a row."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes((bytes.fromhex(octets) if octets is not None else text.encode()) * times)


def cut(path: Path, *, keep: float) -> None:
    """Only the first part of the bytes stays: a share, or so many from 1 on."""
    data = path.read_bytes()
    path.write_bytes(data[: int(keep if keep >= 1 else len(data) * keep)])


def remove(path: Path) -> None:
    """The file or folder is gone."""
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def folder(path: Path) -> None:
    """An empty folder, in the place of what was there."""
    if path.is_file():
        path.unlink()
    path.mkdir(parents=True, exist_ok=True)


def copy(path: Path, *, source: str) -> None:
    """A copy of another file of the case, `source` below the same folder as `path`."""
    shutil.copy(path.parent / source, path)


def zeros(path: Path, *, at: float, num: int) -> None:
    """Some bytes become 0, from a share of the file on."""
    data = bytearray(path.read_bytes())
    start = int(len(data) * at)
    data[start : start + num] = bytes(len(data[start : start + num]))
    path.write_bytes(data)


def replace(path: Path, *, old: str, new: str, zeros: int = 0) -> None:
    """The first occurrence of a text in a text file, which has to be there; `zeros` digits 0 behind it."""
    text = path.read_text(encoding="utf-8")
    if old not in text:
        raise ValueError(f"{path} does not hold {old!r}")
    path.write_text(text.replace(old, new + "0" * zeros, 1), encoding="utf-8")


def line(path: Path, *, number: int, text: str, times: int = 1) -> None:
    """Another line in the place of line `number`, counted from 0, and of the `times` - 1 after it."""
    lines = path.read_text(encoding="utf-8").splitlines()
    lines[number : number + times] = [text] * times
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def set_json(path: Path, *, at: list, value: Any) -> None:
    """A value in a JSON file, at a list of keys and positions."""
    tree = json.loads(path.read_text(encoding="utf-8"))
    _dig(tree, at[:-1])[at[-1]] = value
    path.write_text(json.dumps(tree), encoding="utf-8")


def drop_json(path: Path, *, at: list) -> None:
    """A key of a JSON file is gone."""
    tree = json.loads(path.read_text(encoding="utf-8"))
    del _dig(tree, at[:-1])[at[-1]]
    path.write_text(json.dumps(tree), encoding="utf-8")


def repeat_json(path: Path, *, at: list, position: int = 0) -> None:
    """An item of a list in a JSON file is there twice."""
    tree = json.loads(path.read_text(encoding="utf-8"))
    items = _dig(tree, at)
    items.append(items[position])
    path.write_text(json.dumps(tree), encoding="utf-8")


def _dig(tree: Any, at: list) -> Any:
    for key in at:
        tree = tree[key]
    return tree


def picture(path: Path, *, size: list[int], mode: str = "RGB") -> None:
    """A picture of one colour, of (width, height)."""
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, tuple(size)).save(path)


def arrays(path: Path, *, put: Mapping[str, Any] | None = None, drop: list[str] | None = None) -> None:
    """Arrays of a .npz file: new ones {name: {shape, dtype, value}}, and those that go.

    dtype object makes a file that only pickle could read.
    """
    import numpy as np

    with np.load(path, allow_pickle=False) as found:
        content = {name: found[name] for name in found.files if name not in (drop or ())}
    for name, facts in (put or {}).items():
        content[name] = np.full(facts["shape"], facts.get("value", 0), facts["dtype"])
    np.savez(path, **content)


def pickled(path: Path) -> None:
    """A file of pickle in the place of what is expected: nothing may run it."""
    import pickle

    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(_Trap(str(path.parent / "was-run"))))


class _Trap:
    """Pickled, it makes a file when it is loaded."""

    def __init__(self, target: str) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.target,)


EDITS: dict[str, Callable[..., None]] = {
    "write": write,
    "cut": cut,
    "remove": remove,
    "folder": folder,
    "copy": copy,
    "zeros": zeros,
    "replace": replace,
    "line": line,
    "set": set_json,
    "drop": drop_json,
    "repeat": repeat_json,
    "picture": picture,
    "arrays": arrays,
    "pickle": pickled,
}
