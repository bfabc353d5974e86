"""The pictures of one shard: kept one by one while they are made, one tar file when all are there.

    shard = ShardWriter(ctx, rows, image_format="jpeg", quality=75)
    for batch in batches(shard.missing):
        shard.put(batch, pictures)
        ctx.check_stop()
    shard.finish()

A kill costs the batch at hand: what `put` returned from is on the disk and is not made again.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from experiments.imaginarynet.store.manifest import (
    CANDIDATES,
    Candidate,
    append_rows,
    check_rows,
    read_rows,
    write_rows,
)
from experiments.imaginarynet.store.pictures import ENDINGS, IMAGES, digest, encode, size_of
from experiments.imaginarynet.store.tar import write_tar
from suite.stage import Context


class ShardWriter:
    """Takes the queued rows of a shard and leaves `candidates.jsonl` and `images.tar` in the work folder."""

    def __init__(
        self, ctx: Context, rows: Sequence[Candidate], *, image_format: str = "jpeg", quality: int = 75
    ) -> None:
        """rows: all rows of the shard, in the order in which they are written; a failed one is passed on.

        Takes up what a kill left.
        """
        self.ctx, self.rows = ctx, tuple(rows)
        check_rows(self.rows, ctx.out / CANDIDATES)
        self.image_format, self.quality = image_format, quality
        self.ending = ENDINGS[image_format]
        self._folder = ctx.work / "pictures"
        self._folder.mkdir(exist_ok=True)
        self._log = ctx.work / CANDIDATES
        self._made = {row.candidate_id: row for row in self.rows if row.status == "failed"}  # no prompt
        self._take_up()

    @property
    def missing(self) -> list[Candidate]:
        """The rows that have neither a picture nor a failure yet, in order."""
        return [row for row in self.rows if row.candidate_id not in self._made]

    def put(
        self,
        rows: Sequence[Candidate],
        pictures: Iterable[np.ndarray],
        *,
        models: Mapping[str, str] | None = None,
        params: Mapping[str, Any] | None = None,
    ) -> None:
        """Keep the pictures of some rows, uint8 (H, W, 3) each. models, params: what made them."""
        files = [encode(picture, self.image_format, quality=self.quality) for picture in pictures]
        self.put_files(rows, files, models=models, params=params)

    def put_files(
        self,
        rows: Sequence[Candidate],
        files: Sequence[bytes],
        *,
        models: Mapping[str, str] | None = None,
        params: Mapping[str, Any] | None = None,
    ) -> None:
        """The same with picture files as they are, in the format of the shard; sizes are read from them."""
        done = []
        for row, data in zip(rows, files, strict=True):
            name = f"{row.candidate_id}.{self.ending}"
            width, height = size_of(data, file=name)
            self._write(name, data)
            done.append(
                replace(
                    row, status="done", path=f"{self.place}:{name}", sha256=digest(data), width=width,
                    height=height, models=dict(row.models if models is None else models),
                    params=dict(row.params if params is None else params),
                )
            )  # fmt: skip
        self._keep(done)

    def fail(self, row: Candidate, reason: str) -> None:
        """Record that there is no picture of a row, and why; the run goes on."""
        self._keep([replace(row, status="failed", reason=reason)])

    def finish(self) -> list[Candidate]:
        """Write the shard's two files; returns its rows. Raises ValueError while some are missing."""
        if self.missing:
            raise ValueError(f"{len(self.missing)} of {len(self.rows)} pictures are missing")
        rows = [self._made[row.candidate_id] for row in self.rows]
        names = [f"{row.candidate_id}.{self.ending}" for row in rows if row.status == "done"]
        write_tar(self.ctx.out / IMAGES, ((name, self._folder / name) for name in names))
        write_rows(self.ctx.out / CANDIDATES, rows)
        self.ctx.count("pictures", len(names))
        if failed := len(rows) - len(names):
            self.ctx.count("failed", failed)
            self.ctx.warn(f"{failed} pictures failed; the manifest says why")
        return rows

    @property
    def place(self) -> str:
        """What stands before the colon in the path of a row."""
        shard = "" if self.ctx.shard is None else f"/{self.ctx.shard:05d}"
        return self.ctx.stage.name + shard

    def _keep(self, rows: Sequence[Candidate]) -> None:
        append_rows(self._log, rows)
        self._made.update({row.candidate_id: row for row in rows})

    def _write(self, name: str, data: bytes) -> None:
        path = self._folder / name
        temporary = path.with_name(f".{name}.tmp")
        try:
            temporary.write_bytes(data)
            os.replace(temporary, path)
        except OSError as error:  # a full disk names no file by itself
            temporary.unlink(missing_ok=True)
            raise OSError(error.errno, error.strerror, str(path)) from error

    def _take_up(self) -> None:
        """Rows that failed before there was a prompt; and those of an earlier attempt whose picture is there,
        whole and of the same candidate.
        """
        self._made = {row.candidate_id: row for row in self.rows if row.status == "failed"}
        if not self._log.exists():
            return
        wanted = {row.candidate_id: row for row in self.rows}
        kept = [row for row in read_rows(self._log) if self._is_good(row, wanted.get(row.candidate_id))]
        write_rows(self._log, kept)
        self._made |= {row.candidate_id: row for row in kept}

    def _is_good(self, row: Candidate, asked: Candidate | None) -> bool:
        if asked is None or (row.seed, row.prompt) != (asked.seed, asked.prompt):
            return False
        if row.status == "failed":
            return True
        path = self._folder / f"{row.candidate_id}.{self.ending}"
        return path.is_file() and digest(path.read_bytes()) == row.sha256
