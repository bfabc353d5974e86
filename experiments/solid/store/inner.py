"""Reads one inner chunk of a shard straight from its file: what a loader asks for hundreds of times a second.

zarr answers each request through its event loop and a thread for every codec, about two milliseconds of
processor time an array, more than decoding takes. A shard is simple (Zarr 3, sharding_indexed): encoded inner
chunks, then at the end of the file an index of (offset, length) pairs of uint64 and its CRC-32C.

Everything unusual (another codec, a missing file, a wrong checksum, an empty chunk) is answered by None: then
the caller asks zarr, whose errors and fill values stay the only ones.
"""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path

import google_crc32c  # of zarr
import numpy as np
from numcodecs.zstd import Zstd

_INDEX = [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}]
_ABSENT = 2**64 - 1  # offset of an inner chunk that was never written
_CODECS = {"vlen-bytes": ["vlen-bytes"], "zstd": ["bytes", "zstd"]}  # by the last one: all, in order
_ZSTD = Zstd()


class InnerChunks:
    """Inner chunks of one sample each, of one sharded array of bytes or of uint8. Keeps no file open."""

    def __init__(self, folder: Path, rows: int, shape: tuple[int, ...], codec: str) -> None:
        self.folder, self.rows, self.shape, self.codec = folder, rows, shape, codec

    @classmethod
    def open(cls, folder: Path) -> InnerChunks | None:
        """The array in `folder`, or None if it is not of this simple kind."""
        try:
            meta = json.loads((folder / "zarr.json").read_text(encoding="utf-8"))
            (outer,) = meta["codecs"]
            names = [codec["name"] for codec in outer["configuration"]["codecs"]]
            rows, *shape = meta["chunk_grid"]["configuration"]["chunk_shape"]
            simple = (
                outer["name"] == "sharding_indexed"
                and outer["configuration"]["index_codecs"] == _INDEX
                and outer["configuration"]["index_location"] == "end"
                and outer["configuration"]["chunk_shape"] == [1, *shape]
                and meta["shape"][1:] == shape
                and _CODECS.get(names[-1]) == names
                and meta["data_type"] == ("variable_length_bytes" if names == ["vlen-bytes"] else "uint8")
                and (len(shape) == 0) == (names == ["vlen-bytes"])
                and meta["chunk_key_encoding"]["configuration"]["separator"] == "/"
            )
        except (OSError, ValueError, KeyError, TypeError, IndexError):
            return None  # zarr will say what is wrong
        return cls(folder, rows, tuple(shape), names[-1]) if simple else None

    def read(self, row: int) -> bytes | np.ndarray | None:
        """The row's bytes or its uint8 array; None: ask zarr."""
        shard, place = divmod(row, self.rows)
        data = self._encoded(self.folder.joinpath("c", str(shard), *("0" for _ in self.shape)), place)
        if data is None:
            return None
        if self.codec == "vlen-bytes":
            count, length = struct.unpack_from("<II", data) if len(data) >= 8 else (0, 0)
            return data[8:] if count == 1 and length == len(data) - 8 else None
        values = np.empty(self.shape, np.uint8)
        try:
            _ZSTD.decode(data, values)
        except (RuntimeError, ValueError):
            return None
        return values

    def _encoded(self, file: Path, place: int) -> bytes | None:
        try:
            with open(file, "rb", buffering=0) as shard:
                size, length = os.fstat(shard.fileno()).st_size, 16 * self.rows + 4
                index = os.pread(shard.fileno(), length, max(size - length, 0))
                if len(index) != length or google_crc32c.value(index[:-4]) != int.from_bytes(
                    index[-4:], "little"
                ):
                    return None
                offset, count = struct.unpack_from("<QQ", index, 16 * place)
                if offset == _ABSENT or offset + count > size - length:
                    return None
                data = os.pread(shard.fileno(), count, offset)
        except OSError:
            return None
        return data if len(data) == count else None
