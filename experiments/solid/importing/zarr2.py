"""Zarr format 2 by hand: `.zarray` files and chunks, decoded without a Zarr library and without pickle.

zarr-python 3 cannot open the published store: it does not know the object codec `vlen-array`, with which
arrays of variable length lie in the chunks (numcodecs, VLenArray):

    uint32 number of items, then for each item: uint32 bytes, the bytes     (little-endian)

An item that was never set is written as zero bytes, in a chunk that was written; a chunk that was never
written has no file. Both mean "missing", and both are None here.

Arrays without an object codec are decoded by their dtype. Refused: pickled objects and unknown codecs.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from math import prod
from pathlib import Path
from typing import Any, Protocol

import numcodecs
import numpy as np

from experiments.solid.importing.parts import Joined
from suite.errors import BadInput, Missing

COMPRESSORS = ("blosc", "zstd", "lz4", "zlib", "gzip", "bz2")
OBJECT_CODEC = "vlen-array"
MAX_ITEMS = 1 << 26  # of a chunk; a damaged header must not ask for more memory than there is
META, GROUP = ".zarray", ".zgroup"
BLOSC_HEADER = 16  # bytes


class Files(Protocol):
    """Where the store's files are; names are POSIX paths below the store."""

    def read(self, name: str) -> bytes | bytearray | None:
        """The whole file, or None where there is none."""

    def where(self, name: str) -> str:
        """The file's name for messages."""


class Folder:
    """A store that lies unpacked."""

    def __init__(self, path: Path) -> None:
        if not path.is_dir():
            raise Missing("no such folder", file=path, fix="--source names the folder of the published store")
        self.path = path

    def read(self, name: str) -> bytes | None:
        try:
            return (self.path / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def where(self, name: str) -> str:
        return str(self.path / name)


class Archive:
    """A store inside a tar file in parts; `index` is that of `parts.read_index`."""

    def __init__(self, parts: list[Path], index: Mapping[str, tuple[int, int]]) -> None:
        self.parts, self.index = parts, index
        self._joined: tuple[int, Joined] | None = None
        groups = [name.removesuffix(GROUP) for name in index if name.split("/")[-1] == GROUP]
        if not groups:
            raise BadInput(f"the archive holds no {GROUP}", file=parts[0], fix="this is no Zarr 2 store")
        self.root = min(groups, key=lambda name: (name.count("/"), name))

    def read(self, name: str) -> bytearray | None:
        found = self.index.get(self.root + name)
        return None if found is None else self._stream().read_exactly(*found)

    def where(self, name: str) -> str:
        found = self.index.get(self.root + name)
        part = self.parts[self._stream().part_at(found[0])] if found else self.parts[0]
        return f"{part}: {self.root}{name}"

    def _stream(self) -> Joined:
        if self._joined is None or self._joined[0] != os.getpid():  # a forked worker opens its own
            self._joined = os.getpid(), Joined(self.parts)
        return self._joined[1]


@dataclass(frozen=True)
class Array2:
    """One array of a Zarr 2 store."""

    files: Files
    name: str
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    dtype: np.dtype | None  # None: items of variable length
    item: np.dtype  # of the elements of an item
    order: str
    separator: str
    compressor: Mapping[str, Any] | None
    fill: Any

    @classmethod
    def open(cls, files: Files, name: str) -> Array2:
        """Read `<name>/.zarray`. Missing: no such array; BadInput: not Zarr 2, or a codec we do not read."""
        data = files.read(f"{name}/{META}")
        where = files.where(f"{name}/{META}")
        if data is None:
            raise Missing(f"the store has no array {name!r}", file=where, fix="give a store of SOLID's code")
        try:
            meta = json.loads(bytes(data))
            version, kind, filters = meta["zarr_format"], meta["dtype"], meta["filters"] or []
            shape, chunks = tuple(meta["shape"]), tuple(meta["chunks"])
            order, compressor, fill = meta["order"], meta["compressor"], meta["fill_value"]
        except (ValueError, KeyError, TypeError) as error:
            raise BadInput(f"no array description ({error})", file=where, fix="get the file again") from None
        if version != 2:
            raise BadInput(f"Zarr format {version}, expected 2", file=where, fix="give the published store")
        if len(shape) != len(chunks) or min((*shape, *chunks), default=0) < 1 or order not in ("C", "F"):
            raise BadInput(f"shape {shape} in chunks {chunks}, order {order}", file=where, fix="get it again")
        if compressor is not None and compressor.get("id") not in COMPRESSORS:
            what = f"compressor {compressor.get('id')!r} is not read, only {', '.join(COMPRESSORS)}"
            raise BadInput(what, file=where, fix="write the array with one of these")
        dtype, item = _types(kind, filters, where)
        separator = meta.get("dimension_separator", ".")
        return cls(files, name, shape, chunks, dtype, item, order, separator, compressor, fill)

    @property
    def grid(self) -> tuple[int, ...]:
        """Chunks along each axis."""
        return tuple(-(-size // step) for size, step in zip(self.shape, self.chunks, strict=True))

    def file_of(self, position: tuple[int, ...]) -> str:
        """Name of a chunk's file."""
        return f"{self.name}/{self.separator.join(map(str, position))}"

    def rows(self, start: int, stop: int) -> np.ndarray:
        """Elements of rows start..stop-1, (stop - start, ...): numbers, or objects (1-D array or None).

        Reads every chunk that touches the rows, whole. BadInput: a chunk that does not decode.
        """
        shape = (stop - start, *self.shape[1:])
        found = (
            np.full(shape, None, object)
            if self.dtype is None
            else np.full(shape, self.fill if self.fill is not None else 0, self.dtype)
        )
        step = self.chunks[0]
        for first in range(start // step, -(-stop // step)):
            for rest in product(*map(range, self.grid[1:])):
                chunk = self.chunk((first, *rest))
                if chunk is None:
                    continue
                low, high = max(start, first * step), min(stop, (first + 1) * step)
                inner = tuple(
                    slice(k * c, min((k + 1) * c, n))
                    for k, c, n in zip(rest, self.chunks[1:], self.shape[1:], strict=True)
                )
                take = tuple(slice(0, part.stop - part.start) for part in inner)
                found[(slice(low - start, high - start), *inner)] = chunk[
                    (slice(low - first * step, high - first * step), *take)
                ]
        return found

    def chunk(self, position: tuple[int, ...]) -> np.ndarray | None:
        """One whole chunk, padding included; None where it was never written."""
        name = self.file_of(position)
        data: Any = self.files.read(name)
        if data is None:
            return None
        where = self.files.where(name)
        try:
            if self.compressor is not None:
                if self.compressor["id"] == "blosc":
                    check_blosc(data)
                data = numcodecs.get_codec(dict(self.compressor)).decode(data)
            count = prod(self.chunks)
            if self.dtype is None:
                flat = np.empty(count, object)
                for k, value in enumerate(decode_items(memoryview(data).cast("B"), self.item, count)):
                    flat[k] = value
            else:
                flat = np.frombuffer(data, self.dtype)
            return flat.reshape(self.chunks, order=self.order)
        except (ValueError, RuntimeError, TypeError, OSError, EOFError) as error:  # what the codecs raise
            fix = "get the file again; its rows are all in this chunk"
            raise BadInput(f"the chunk does not decode ({error})", file=where, fix=fix) from None


def check_blosc(data: bytes | bytearray) -> None:
    """ValueError unless the frame is as long as its header says: the library reads on behind a shorter one.

    Header of Blosc 1: four bytes, then uint32 decompressed bytes, block size, bytes of the whole frame.
    """
    if len(data) < BLOSC_HEADER or int.from_bytes(data[12:16], "little") != len(data):
        raise ValueError(f"{len(data)} bytes are no whole Blosc frame")


def _types(kind: Any, filters: list, where: str) -> tuple[np.dtype | None, np.dtype]:
    """(element type or None for variable length, type of an item's elements)."""
    names = [entry.get("id") if isinstance(entry, dict) else None for entry in filters]
    if "pickle" in names:
        raise BadInput(
            "its elements are pickled, and pickles are not read, because reading one runs the code in it",
            file=where,
            fix="write the array with the object codec vlen-array where you trust it",
        )
    if kind != "|O" and not names:
        dtype = np.dtype(kind)
        if dtype.hasobject:
            raise BadInput(f"element type {kind!r} is not read", file=where, fix="give the published store")
        return dtype, dtype
    if kind == "|O" and names == [OBJECT_CODEC]:
        item = np.dtype(filters[0]["dtype"])
        if not item.hasobject and item.itemsize:
            return None, item.newbyteorder("<") if item.byteorder == "=" else item
    raise BadInput(f"element type {kind!r} with filters {names} is not read", file=where, fix="see --help")


def decode_items(data: memoryview, item: np.dtype, count: int) -> Iterator[np.ndarray | None]:
    """The `count` items of a vlen-array chunk, views into `data`; None for one of zero bytes. ValueError."""
    if len(data) < 4:
        raise ValueError(f"{len(data)} bytes are no chunk")
    stored = int.from_bytes(data[:4], "little")
    if stored != count or count > MAX_ITEMS:
        raise ValueError(f"the chunk holds {stored} items, expected {count}")
    position = 4
    for number in range(count):
        size = int.from_bytes(data[position : position + 4], "little")
        position += 4
        if position + size > len(data) or position > len(data):
            raise ValueError(f"item {number} ends after the chunk")
        if size % item.itemsize:
            raise ValueError(f"item {number} has {size} bytes, no whole number of {item}")
        yield np.frombuffer(data[position : position + size], item) if size else None
        position += size
