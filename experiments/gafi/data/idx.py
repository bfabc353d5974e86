"""The IDX format of MNIST and its kin, packed by gzip or plain.

Two zero bytes, 0x08 for unsigned bytes, the number of dimensions, each as a big-endian 32-bit number, then
the bytes.
"""

from __future__ import annotations

import gzip
import struct
import zlib
from pathlib import Path

import numpy as np

from suite.errors import BadInput

MAX_BYTES = 2**31  # forty times the largest of the known files; a header that asks for more is damaged
UNSIGNED_BYTE = 0x08


def read_idx(path: Path, num_dims: int) -> np.ndarray:
    """The array uint8 with `num_dims` dimensions. Raises BadInput for anything but exactly such a file."""
    fix = "fetch it again: make fetch-fashion-mnist"
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
            header = stream.read(4 + 4 * num_dims)
            if len(header) < 4 + 4 * num_dims or header[:4] != bytes([0, 0, UNSIGNED_BYTE, num_dims]):
                raise BadInput(f"no IDX file of bytes with {num_dims} dimensions", file=path, fix=fix)
            shape = struct.unpack(f">{num_dims}I", header[4:])
            num_bytes = int(np.prod(shape, dtype=object))
            if num_bytes > MAX_BYTES:
                raise BadInput(f"the header promises {num_bytes} bytes", file=path, fix=fix)
            data = stream.read(num_bytes + 1)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise BadInput(f"cut short or damaged ({type(error).__name__})", file=path, fix=fix) from None
    if len(data) != num_bytes:
        found = f"{len(data)} bytes" if len(data) < num_bytes else "more"
        raise BadInput(f"the header promises {num_bytes} bytes, there are {found}", file=path, fix=fix)
    return np.frombuffer(data, np.uint8).reshape(shape)
