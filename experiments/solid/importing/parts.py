"""A tar file in numbered parts (SOLID.zarr.tar.00 ... .23) as one stream, read where it lies.

Nothing is unpacked: one walk over the tar headers, which skips the data, notes where each member's bytes
begin; after that a member is a seek and a read. The walk is kept in a file as it goes, so that a kill costs
seconds of it. Member names are checked as if they were to be unpacked: no absolute path, no "..", no link.

Not covered: compressed archives (they cannot be read in the middle) and sparse members.
"""

from __future__ import annotations

import bisect
import io
import re
import tarfile
from collections.abc import Callable, Sequence
from itertools import accumulate
from pathlib import Path, PurePosixPath
from typing import Any

from suite.errors import BadInput, Missing
from suite.manifest import read_json, write_json

BLOCK = 512  # bytes of a tar block
PART = re.compile(r"(?P<stem>.+)\.(?P<number>\d{1,4})")
SAVE_EVERY = 2000  # members between two copies of the index on the disk
COMPRESSED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd"}


def find_parts(folder: Path) -> list[Path]:
    """The parts in `folder`, in order. Missing: no folder, no parts, a gap; BadInput: two sets of parts."""
    if not folder.is_dir():
        raise Missing(
            "no such folder of parts", file=folder, fix="--parts names the folder with *.tar.00 ..."
        )
    found: dict[str, dict[int, Path]] = {}
    for path in sorted(folder.iterdir()):
        match = PART.fullmatch(path.name)
        if match and match["stem"].endswith(".tar") and path.is_file():
            numbers = found.setdefault(match["stem"], {})
            number = int(match["number"])
            if number in numbers:
                what = f"{numbers[number].name} and {path.name} are both part {number}"
                raise BadInput(what, file=folder, fix="remove one of them")
            numbers[number] = path
    if not found:
        raise Missing(
            "holds no parts of a tar file", file=folder, fix="put NAME.tar.00, NAME.tar.01, ... there"
        )
    if len(found) > 1:
        raise BadInput(f"holds parts of {', '.join(sorted(found))}", file=folder, fix="leave one set there")
    ((stem, numbers),) = found.items()
    gaps = sorted(set(range(max(numbers) + 1)) - set(numbers))
    if gaps:
        named = ", ".join(f"{stem}.{number:02d}" for number in gaps[:5]) + (", ..." if len(gaps) > 5 else "")
        raise Missing(
            f"part {named} is missing", file=folder, fix="download it; the same command then goes on"
        )
    return [numbers[number] for number in sorted(numbers)]


class Joined(io.RawIOBase):
    """The parts as one seekable stream of bytes, read only."""

    def __init__(self, parts: Sequence[Path]) -> None:
        super().__init__()
        self.parts = list(parts)
        self.sizes = [path.stat().st_size for path in parts]
        self.starts = [0, *accumulate(self.sizes)]
        self._position = 0
        self._open: tuple[int, io.BufferedReader] | None = None

    @property
    def size(self) -> int:
        """Bytes of all parts."""
        return self.starts[-1]

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer, across parts; fewer bytes only at the end of the last part."""
        view = memoryview(buffer).cast("B")
        done = 0
        while done < len(view) and self._position < self.size:
            number = self.part_at(self._position)
            inside = self._position - self.starts[number]
            stream = self._stream(number)
            stream.seek(inside)
            count = stream.readinto(view[done : done + self.sizes[number] - inside])
            if count == 0:
                break  # the part became shorter since it was measured
            self._position += count
            done += count
        return done

    def part_at(self, position: int) -> int:
        """Which part holds that byte; beyond the end, the last one."""
        return min(bisect.bisect_right(self.starts, position) - 1, len(self.parts) - 1)

    def read_exactly(self, position: int, count: int) -> bytearray:
        """`count` bytes from `position`. BadInput where the parts end before."""
        data = bytearray(count)
        self.seek(position)
        done = self.readinto(data)
        if done < count:
            raise BadInput(
                f"the parts end at byte {self._position}, {count - done} bytes too early",
                file=self.parts[-1],
                fix="download the last part again; a later one may be missing",
            )
        return data

    def close(self) -> None:
        if self._open is not None:
            self._open[1].close()
            self._open = None
        super().close()

    def _stream(self, number: int) -> io.BufferedReader:
        if self._open is None or self._open[0] != number:
            if self._open is not None:
                self._open[1].close()
            self._open = number, self.parts[number].open("rb")
        return self._open[1]


def read_index(
    parts: Sequence[Path], kept: Path, *, on_member: Callable[[int, int], None] = lambda done, total: None
) -> dict[str, tuple[int, int]]:
    """{member name: (first byte, bytes)} of all plain files of the archive, in the parts' own bytes.

    kept: where the walk is saved; a finished or half-finished one of the same parts is taken up again.
    on_member(byte, bytes in all) is called after each header and may raise to stop. Raises BadInput for parts
    that are no tar file in this order, that end too early, or that hold a link or a path that leads outside.
    """
    stream = Joined(parts)
    identity = [[path.name, size] for path, size in zip(parts, stream.sizes, strict=True)]
    tree = read_json(kept)
    if not isinstance(tree, dict) or tree.get("parts") != identity:
        tree = {"parts": identity, "next": 0, "complete": False, "members": {}}
        _check_magic(stream)
    if not tree["complete"]:
        try:
            _walk(stream, tree, on_member, lambda: write_json(kept, tree))
        finally:
            write_json(kept, tree)
    stream.close()
    return {name: (start, size) for name, (start, size) in tree["members"].items()}


def _walk(
    stream: Joined, tree: dict[str, Any], on_member: Callable[[int, int], None], save: Callable[[], None]
) -> None:
    """Read headers from `tree["next"]` on; `tree` holds whole members only, whenever this is left."""
    stream.seek(tree["next"])
    try:
        archive = tarfile.TarFile(fileobj=stream, mode="r")
        while (member := archive.next()) is not None:
            _note(member, tree, stream)
            archive.members.clear()  # it would keep a million of them
            if len(tree["members"]) % SAVE_EVERY == 0:
                save()
            on_member(tree["next"], stream.size)
    except tarfile.ReadError as error:
        raise _no_header(stream, tree["next"], str(error)) from None
    end = tree["next"]
    if stream.size < end + BLOCK or any(stream.read_exactly(end, BLOCK)):
        raise _no_header(stream, end, "no end mark")
    tree["complete"] = True


def _note(member: tarfile.TarInfo, tree: dict[str, Any], stream: Joined) -> None:
    where = stream.parts[stream.part_at(member.offset)]
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts:
        raise BadInput(
            f"member {member.name!r} leads outside", file=where, fix="this is not the released file"
        )
    if not (member.isreg() or member.isdir()) or member.issparse():
        what = f"member {member.name!r} is a link, a device or sparse"
        raise BadInput(what, file=where, fix="this is not the released file")
    size = member.size if member.isreg() else 0
    end = member.offset_data + -(-size // BLOCK) * BLOCK
    if end > stream.size:
        raise _no_header(stream, stream.size, f"{member.name} goes on")
    if member.isreg():
        tree["members"][path.as_posix()] = [member.offset_data, size]
    tree["next"] = end


def _check_magic(stream: Joined) -> None:
    head = bytes(stream.read_exactly(0, min(6, stream.size)))
    for magic, name in COMPRESSED.items():
        if head.startswith(magic):
            raise BadInput(
                f"the archive is compressed ({name}) and cannot be read in the middle",
                file=stream.parts[0],
                fix="decompress it: cat the parts, decompress, split again or unpack and use --source",
            )
    if stream.size < BLOCK:
        raise BadInput(f"{stream.size} bytes are no tar file", file=stream.parts[0], fix="download it again")


def _no_header(stream: Joined, position: int, why: str) -> BadInput:
    """The error for a place where a tar header should be and is not, with the likely reason."""
    if position + BLOCK > stream.size:
        return BadInput(
            f"the archive goes on after the last part here ({why})",
            file=stream.parts[-1],
            fix="download this part again, or the ones after it; the same command then goes on",
        )
    number = stream.part_at(position)
    odd = [
        path.name
        for path, size in zip(stream.parts[:-1], stream.sizes[:-1], strict=True)
        if size != stream.sizes[0]
    ]
    hint = f"; {odd[0]} has another size than the first part" if odd else ""
    return BadInput(
        f"no tar header at byte {position - stream.starts[number]} ({why}): a part before this place"
        f" is cut short or the parts are out of order{hint}",
        file=stream.parts[number],
        fix="compare the parts' sizes and checksums with the published ones",
    )
