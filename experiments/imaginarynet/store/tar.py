"""Tar files of pictures: equal members give equal bytes, and every member is read by its place.

Uncompressed, in the order given, with nothing of the machine or the clock in the headers; readable by `tar`
and by WebDataset.
"""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterable
from pathlib import Path

from suite.errors import BadInput

MODE = 0o644
END = bytes(2 * tarfile.BLOCKSIZE)  # what a whole tar ends with


def write_tar(path: Path, members: Iterable[tuple[str, bytes | Path]]) -> int:
    """Write members (name, bytes or a file to take them from), whole or nothing; returns their number.

    Raises ValueError for a name that occurs twice, OSError with the file.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    names: set[str] = set()
    try:
        with tarfile.open(temporary, "w", format=tarfile.USTAR_FORMAT) as archive:
            for name, content in members:
                if name in names:
                    raise ValueError(f"member {name!r} occurs twice")
                names.add(name)
                data = content.read_bytes() if isinstance(content, Path) else content
                archive.addfile(_info(name, len(data)), io.BytesIO(data))
        os.replace(temporary, path)
    except OSError as error:  # a full disk names no file by itself
        raise OSError(error.errno, error.strerror, error.filename or str(path)) from error
    finally:
        temporary.unlink(missing_ok=True)
    return len(names)


def _info(name: str, size: int) -> tarfile.TarInfo:
    """A header without time, owner or host."""
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = size, MODE, 0
    return info


def _check_end(path: Path, end: int) -> None:
    """ReadError unless the two empty blocks of the format follow the last member, whose bytes end at `end`.

    tarfile itself takes a file that is cut between two members, or whose next header is damaged, for whole.
    """
    with path.open("rb") as stream:
        stream.seek(-(-end // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE)
        if stream.read(len(END)) != END:
            raise tarfile.ReadError("it is cut off or damaged behind the last readable member")


class TarReader:
    """Members of one tar file by name. The headers are read once; a member costs one read at its place."""

    def __init__(self, path: Path) -> None:
        """Raises BadInput where the file is missing or damaged."""
        self.path = path
        try:
            with tarfile.open(path, "r:") as archive:
                self._places = {m.name: (m.offset_data, m.size) for m in archive if m.isfile()}
            _check_end(path, max((sum(place) for place in self._places.values()), default=0))
        except FileNotFoundError:
            raise BadInput("is missing", file=path, fix="run its stage again") from None
        except tarfile.TarError as error:
            raise BadInput(f"cannot be read as tar ({error})", file=path, fix="run its stage again") from None
        self._size = path.stat().st_size

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, name: str) -> bool:
        return name in self._places

    @property
    def names(self) -> tuple[str, ...]:
        """Members in the order of the file."""
        return tuple(self._places)

    def read(self, name: str) -> bytes:
        """The bytes of a member; needs no open file, so threads may share the reader. Raises BadInput."""
        if name not in self._places:
            raise BadInput(f"holds no {name}", file=self.path, fix="run its stage again")
        offset, size = self._places[name]
        handle = os.open(self.path, os.O_RDONLY)
        try:
            data = os.pread(handle, size, offset)
        finally:
            os.close(handle)
        if len(data) != size:
            raise BadInput(f"is cut off within {name}", file=self.path, fix="run its stage again")
        return data
