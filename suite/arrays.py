"""Files of named arrays (.npz): written whole or not at all, read without unpickling."""

from __future__ import annotations

import io
import os
import zipfile
import zlib
from pathlib import Path

import numpy as np

from suite.errors import BadInput


def write_arrays(path: Path, **arrays: np.ndarray) -> None:
    """Write an uncompressed .npz; an OSError names the file.

    The archive is made in memory first: numpy's zip writer, when the disk refuses it, prints a traceback of
    its own while it is torn down.
    """
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(buffer.getbuffer())
        os.replace(temporary, path)
    except OSError as error:  # a full disk names no file by itself
        temporary.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from error


def read_arrays(path: Path, *, fix: str = "make it again") -> dict[str, np.ndarray]:
    """All arrays of an .npz. Raises BadInput where it is missing or damaged; `fix`: what to do then."""
    try:
        with zipfile.ZipFile(path):  # numpy would read a bare .npy as well
            pass
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except FileNotFoundError:
        raise BadInput("no such file", file=path, fix="train it first, or check the path") from None
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise BadInput(f"cannot be read as .npz ({type(error).__name__})", file=path, fix=fix) from None
