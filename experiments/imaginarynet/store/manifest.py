"""The manifest: one candidate a row, in a file of JSON lines that is only ever appended to.

    rows = read_rows(stage_folder / CANDIDATES)
    write_rows(out / CANDIDATES, [replace(row, status="accepted", kept=True) for row in rows])

A kill inside a write leaves a last line without its end: readers pass over it, and the next append cuts it
off. Any other damage is an error. The published code keeps no link from a picture to its prompt, seed or
score (published code, `--outputdir`).
"""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from suite.errors import BadInput

CANDIDATES = "candidates.jsonl"
STATUSES = ("queued", "done", "failed", "rejected", "accepted")
DECIDED = {"accepted": True, "rejected": False}  # status -> kept
IDENTIFIER = re.compile(r"(\d{5,})-(\d{6,})")


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One candidate picture: how it came about, where it lies, what was decided about it.

    `queued`: has a prompt, no picture yet. `done`: has a picture. `failed`: there is none; `reason` says
    why. `rejected`, `accepted`: decided by the filter.
    """

    candidate_id: str  # "00003-000017": class, number within the class
    class_id: int  # place in the class list, from 0
    class_name: str  # as in the class file
    label: str  # the class name without spaces
    number: int  # counts over rounds, from 0
    round: int  # of replacement, from 1
    prompt: str
    prompt_source: str  # "lm:<model>", "bare" or "archive"
    negative_prompt: str = ""
    backend: str  # "dalle-mini", "stablediffusion" or "archive"
    models: Mapping[str, str] = field(default_factory=dict)  # role -> SHA-256 of the weights
    params: Mapping[str, Any] = field(default_factory=dict)  # settings of sampling
    seed: int  # unsigned, 64 bits
    status: str = "queued"
    reason: str = ""  # of `failed`
    path: str = ""  # "<stage>/<shard>:<member>" (a narrow stage has no shard); empty before
    sha256: str = ""  # of the picture file
    width: int = 0  # pixels
    height: int = 0  # pixels
    scores: tuple[float, ...] | None = None  # probability of every class of the list, by the filter's model
    top1: int | None = None  # class with the highest score
    p_label: float | None = None  # score of the candidate's own class
    kept: bool | None = None  # None before the filter
    labels: tuple[int, ...] = ()  # classes that the filter gives a kept picture; empty: its own class alone
    decision: Mapping[str, Any] | None = None  # {"policy": .., "threshold": .., ..}

    @property
    def image_labels(self) -> tuple[int, ...]:
        """The classes that the picture counts for, ascending."""
        return tuple(sorted({self.class_id, *self.labels}))


def candidate_id(class_id: int, number: int) -> str:
    """The name of a candidate; sorts by class, then by number."""
    return f"{class_id:05d}-{number:06d}"


def split_id(name: str) -> tuple[int, int]:
    """(class index, number). Raises ValueError for anything else."""
    found = IDENTIFIER.fullmatch(name)
    if found is None:
        raise ValueError(f"no candidate id: {name!r}")
    return int(found[1]), int(found[2])


def to_line(row: Candidate) -> str:
    """One line of JSON, without its end; equal rows give equal lines. Raises ValueError for NaN."""
    return json.dumps(asdict(row), ensure_ascii=False, allow_nan=False)


def from_tree(tree: Any) -> Candidate:
    """A row from its JSON value. Raises ValueError that names what is wrong."""
    if not isinstance(tree, dict):
        raise ValueError("is no object")
    known = {one.name for one in fields(Candidate)}
    if unknown := sorted(tree.keys() - known):
        raise ValueError(f"has the unknown key {unknown[0]!r}")
    listed = {k: tuple(tree[k]) for k in ("scores", "labels") if tree.get(k) is not None}
    try:
        row = Candidate(**{**tree, **listed})
    except TypeError as error:
        raise ValueError(f"lacks a key ({error})") from None
    check_row(row)
    return row


def check_row(row: Candidate) -> None:
    """ValueError where a row contradicts itself."""
    name = row.candidate_id
    wrong = [
        (split_id(name) != (row.class_id, row.number), "is not made of its class and number"),
        (row.status not in STATUSES, f"has the unknown status {row.status!r}"),
        (row.label != row.class_name.replace(" ", ""), "has a label that is not its class without spaces"),
        (row.status in ("done", "accepted", "rejected") and not row.sha256, "has no picture"),
        (row.status == "failed" and not row.reason, "failed without a reason"),
        (row.kept != DECIDED.get(row.status), "is kept, or not, against its status"),
        (row.scores is not None and not 0 <= row.class_id < len(row.scores), "has no score for its class"),
    ]
    for is_wrong, what in wrong:
        if is_wrong:
            raise ValueError(f"{name} {what}")


def check_rows(rows: Iterable[Candidate], file: Path) -> None:
    """BadInput where two rows have one id."""
    seen: set[str] = set()
    for row in rows:
        if row.candidate_id in seen:
            raise BadInput(f"holds {row.candidate_id} twice", file=file, fix="run its stage again")
        seen.add(row.candidate_id)


def read_rows(path: Path) -> list[Candidate]:
    """The rows of a manifest in the order of the file; a last line without its end is passed over.

    Raises BadInput where the file is missing, a line is damaged or an id occurs twice.
    """
    try:
        text = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise BadInput("is missing", file=path, fix="run its stage again") from None
    rows = []
    for number, line in enumerate(text[: text.rfind(b"\n") + 1].splitlines(), start=1):
        try:
            rows.append(from_tree(json.loads(line)))
        except ValueError as error:  # JSON and UTF-8 errors are among them
            what = f"line {number} is damaged ({error})"
            raise BadInput(what, file=path, fix="run its stage again") from None
    check_rows(rows, path)
    return rows


def read_shards(folder: Path) -> list[Candidate]:
    """The rows of all shards of a finished wide stage, in their order; of the stage itself if it is narrow.

    Raises BadInput as `read_rows` does, and for an id in two shards.
    """
    if (folder / CANDIDATES).is_file():
        return read_rows(folder / CANDIDATES)
    rows = [row for path in sorted(folder.glob(f"*/{CANDIDATES}")) for row in read_rows(path)]
    check_rows(rows, folder)
    return rows


def in_order(rows: Iterable[Candidate]) -> list[Candidate]:
    """By class, then by number: the order of every export, whatever the order of work was."""
    return sorted(rows, key=lambda row: (row.class_id, row.number))


def write_rows(path: Path, rows: Iterable[Candidate]) -> None:
    """Write a whole manifest or nothing. Raises BadInput where an id occurs twice, OSError with the file."""
    rows = list(rows)
    check_rows(rows, path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as stream:
            _put(stream, rows)
        os.replace(temporary, path)
    except OSError as error:  # a full disk names no file by itself
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        temporary.unlink(missing_ok=True)


def append_rows(path: Path, rows: Sequence[Candidate]) -> None:
    """Add rows and flush them to the disk; a torn last line of an earlier kill is cut off first.

    Raises BadInput while another process appends, OSError with the file.
    """
    with _locked(path):
        try:
            with path.open("r+b" if path.exists() else "w+b") as stream:
                stream.truncate(_end_of_lines(stream))
                stream.seek(0, os.SEEK_END)
                _put(stream, rows)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(path)) from error


def _put(stream: Any, rows: Iterable[Candidate]) -> None:
    for row in rows:
        check_row(row)
        stream.write(to_line(row).encode() + b"\n")
    stream.flush()
    os.fsync(stream.fileno())


def _end_of_lines(stream: Any) -> int:
    """Bytes up to and with the last line end."""
    size = stream.seek(0, os.SEEK_END)
    end = size
    while end > 0:
        start = max(0, end - 65536)
        stream.seek(start)
        found = stream.read(end - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One writer at a time; the lock dies with its holder."""
    with path.with_name(f".{path.name}.lock").open("a") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BadInput("another process writes to it", file=path, fix="wait for it, or stop it") from None
        yield
