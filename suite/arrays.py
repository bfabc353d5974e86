"""Writing .npz files so that a full disk or a kill leaves a whole file or none."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np


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
