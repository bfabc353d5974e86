"""Folders that a config names."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path


def data_path(text: str) -> Path:
    """The absolute path of a config's folder; `data/...` lies below DATA_DIR where that is set.

    In a container DATA_DIR is not set: the folder is mounted at data/.
    """
    path = Path(text)
    moved = os.environ.get("DATA_DIR")
    if moved and not path.is_absolute() and path.parts[:1] == ("data",):
        path = Path(moved).joinpath(*path.parts[1:])
    return Path(os.path.abspath(path))


def listing_digest(folder: Path) -> str | None:
    """SHA-256 over the relative path and size of every file below `folder`; None if it is no folder.

    It notices files that come, go or change in size, at the price of a walk. Times are left out: a copy of
    the folder is the same input. A file changed in place at the same size is not noticed.
    """
    if not folder.is_dir():
        return None
    rows = []
    for place, _, files in os.walk(folder):
        for name in files:
            path = Path(place, name)
            rows.append(f"{path.relative_to(folder).as_posix()}\0{path.lstat().st_size}\n")
    digest = hashlib.sha256()
    for row in sorted(rows):
        digest.update(os.fsencode(row))
    return digest.hexdigest()
