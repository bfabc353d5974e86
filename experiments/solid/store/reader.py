"""Random access to a finished store, from any process, with memory and reads independent of the shard size.

Reading one sample costs, per array, one shard index and one inner chunk; nothing is cached. The store may be
opened before a DataLoader forks or be pickled to its workers: each process opens the files itself on first
use.
"""

from __future__ import annotations

import os
import zlib
from functools import cached_property
from pathlib import Path

import numpy as np
import zarr
from zarr.abc.store import Store
from zarr.storage import LocalStore

from experiments.solid.store.create import read_classes
from experiments.solid.store.inner import InnerChunks
from experiments.solid.store.samples import QuerySample, TargetSample, decode_png, unpack_scene
from experiments.solid.store.schema import (
    CLASSES_NAME,
    GIVEN_UP,
    GROUPS,
    NO_BOX,
    VALID,
    Group,
    StoreLayout,
    quiet_bytes_dtype,
)
from experiments.solid.store.writer import group_key, read_layout, shard_files, store_path
from suite.errors import BadInput


class MissingSample(BadInput):
    """The sample was never written, was given up, or has lost its data. One case for a loader: skip it."""


class SolidStore:
    """A store opened for reading; `len()` is the number of target rows, finished or not."""

    def __init__(self, path: Path, *, wrap: type[Store] | None = None):
        """`wrap`, a zarr WrapperStore class, is put around the files; the tests count bytes with it."""
        self.path = store_path(Path(path))
        self.layout: StoreLayout = read_layout(self.path)
        self._wrap = wrap
        self._opened: tuple[int, dict[str, zarr.Group]] = (os.getpid(), {})
        self._inner: dict[str, InnerChunks | None] = {}

    @classmethod
    def open(cls, path: Path, *, wrap: type[Store] | None = None) -> SolidStore:
        """Open `solid.zarr` or the folder that holds it. BadInput: no store, or made by newer code."""
        return cls(path, wrap=wrap)

    def __len__(self) -> int:
        return self.layout.num_images

    def __reduce__(self) -> tuple:
        return type(self).open, (self.path,)

    @cached_property
    def classes(self) -> list[dict]:
        """The class table beside the store; position = class id."""
        return read_classes(self.path.parent / CLASSES_NAME)

    def key(self, group: Group) -> str | None:
        """Key of the stage that filled the group."""
        return group_key(self.path, group)

    def valid(self, group: Group) -> np.ndarray:
        """(rows,) bool: which samples are finished. Reads one small file per shard."""
        return self.states(group) == VALID

    def states(self, group: Group, shard: int | None = None) -> np.ndarray:
        """(rows,) uint8: 0 absent, 1 finished, 2 given up; of one shard or of all."""
        shards = range(self.layout.num_shards(group)) if shard is None else [shard]
        states = []
        for one in shards:
            rows = self.layout.shard_rows(group, one)
            try:
                states.append(self._array(group, "valid")[rows.start : rows.stop])
            except (MissingSample, ValueError):  # no group yet; or a truncated file: no row can be trusted
                states.append(np.zeros(len(rows), np.uint8))
        return np.concatenate(states)

    def read_target(self, index: int) -> TargetSample:
        """One annotated picture; its PNG is decoded by `.rgb()`. MissingSample, or BadInput: damaged."""
        row = self._finished("targets", index)
        n = int(row("num_boxes"))
        if not 0 <= n <= self.layout.max_objects:
            raise BadInput(f"num_boxes is {n}", file=self._name("targets", index))
        bboxes, label_map, visibility = row("bboxes"), row("label_maps"), row("visibility")
        # A deleted shard file reads as the fill value, without an error.
        if (bboxes[:n] == NO_BOX).any() or (bboxes[n:] != NO_BOX).any():
            raise BadInput(f"bboxes does not hold {n} rows", file=self._name("targets", index))
        if label_map.max() != n or np.isnan(visibility[:n]).any():
            raise BadInput(
                f"label map or visibility does not hold {n} objects", file=self._name("targets", index)
            )
        return TargetSample(
            image=self._bytes(row, "images", "targets", index),
            label_map=label_map,
            bboxes=bboxes[:n],
            visibility=visibility[:n],
            mask_bbox_ratio=row("mask_bbox_ratio")[:n],
            angles=row("angles")[:n],
            attempts=int(row("attempts")),
            scene=unpack_scene(self._bytes(row, "scenes", "targets", index)),
        )

    def read_picture(self, index: int, num_boxes: int) -> tuple[np.ndarray, np.ndarray]:
        """Picture (H, W, 3) uint8 RGB and label map (H, W) uint8 of a finished sample of `num_boxes` objects.

        Opens two arrays where `read_target` opens ten: for a loader that keeps the small ones in an index.
        MissingSample: the picture's data is lost; BadInput: it is damaged.
        """
        row, name = _Row(self, "targets", index, direct=True), self._name("targets", index)
        label_map = row("label_maps")
        if label_map.max() != num_boxes:  # a deleted shard file reads as zeros, without an error
            raise BadInput(f"label map holds {label_map.max()} of {num_boxes} objects", file=name)
        data = self._bytes(row, "images", "targets", index)
        try:
            rgb = decode_png(data)
        except BadInput as error:
            raise BadInput(str(error), file=name) from None
        if rgb.shape[:2] != label_map.shape:
            raise BadInput(f"picture and label map differ: {rgb.shape}, {label_map.shape}", file=name)
        return rgb, label_map

    def read_column(self, group: Group, name: str, shard: int) -> np.ndarray:
        """One array over all rows of a shard, for building an index. BadInput if its file does not decode."""
        rows = self.layout.shard_rows(group, shard)
        try:
            return self._array(group, name)[rows.start : rows.stop]
        except (ValueError, RuntimeError, TypeError, zlib.error) as error:  # what zarr's codecs raise
            file = shard_files(self.path, group, shard)[name]
            raise BadInput(f"{name} does not decode ({error})", file=file) from None

    def read_scene(self, index: int) -> str:
        """The scene file of one target, JSON."""
        return unpack_scene(self._bytes(self._finished("targets", index), "scenes", "targets", index))

    def read_query(self, class_id: int, shot: int) -> np.ndarray:
        """One cropped view, (h, w, 3) uint8. MissingSample where the class or the view is missing."""
        if not 0 <= shot < self.layout.num_shots:
            raise IndexError(f"shot {shot} of {self.layout.num_shots}")
        self._finished("queries", class_id)
        data = self._slice("queries", "images", (class_id, shot))
        if not data:
            raise MissingSample(f"shot {shot} is missing", file=self._name("queries", class_id))
        try:
            return decode_png(data)
        except BadInput as error:
            raise BadInput(f"shot {shot}: {error}", file=self._name("queries", class_id)) from None

    def read_query_sample(self, class_id: int) -> QuerySample:
        """All views of one class as PNG bytes. BadInput if fewer are left than were written."""
        row = self._finished("queries", class_id)
        sample = QuerySample(class_id, tuple(row("images")))
        if sample.num_views != int(row("num_views")):
            lost = [shot for shot, data in enumerate(sample.shots) if not data]
            raise BadInput(
                f"{sample.num_views} of {int(row('num_views'))} views are left, shots {lost} are empty",
                file=self._name("queries", class_id),
            )
        if int(row("query_ids")) != class_id:
            raise BadInput(f"query_ids says {int(row('query_ids'))}", file=self._name("queries", class_id))
        return sample

    def _finished(self, group: Group, index: int) -> _Row:
        """Access to the row's arrays, after its flag says that it is finished."""
        rows = self.layout.rows(group)
        if not 0 <= index < rows:
            raise IndexError(f"{group} {index} of {rows}")
        row = _Row(self, group, index)
        state = int(row("valid"))
        if state != VALID:
            why = "was given up" if state == GIVEN_UP else "was never finished"
            raise MissingSample(why, file=self._name(group, index))
        return row

    def _bytes(self, row: _Row, name: str, group: Group, index: int) -> bytes:
        data = row(name)
        if not data:
            raise MissingSample(f"{name} is empty", file=self._name(group, index))
        return data

    def _slice(self, group: Group, name: str, where: tuple[int, ...]) -> np.ndarray | bytes:
        """One element as an array, a scalar or bytes; BadInput if its chunk does not decode."""
        array = self._array(group, name)
        try:
            # Slices of length one: zarr returns nested 0-d arrays for a plain index into bytes.
            value = array[tuple(slice(i, i + 1) for i in where)]
        except (ValueError, RuntimeError, TypeError, zlib.error) as error:  # what zarr's codecs raise
            file = shard_files(self.path, group, where[0] // self.layout.rows_per_shard(group))[name]
            raise BadInput(f"{name} of row {where[0]} does not decode ({error})", file=file) from None
        return value[(0,) * len(where)]

    def _direct(self, group: Group, name: str, index: int) -> np.ndarray | bytes | None:
        """One row's value without zarr; None where only zarr can tell."""
        if self._wrap or not 0 <= index < self.layout.rows(group):
            return None
        key = f"{group}/{name}"
        if key not in self._inner:
            self._inner[key] = InnerChunks.open(self.path / group / name)
        chunks = self._inner[key]
        return chunks.read(index) if chunks else None

    def _array(self, group: Group, name: str) -> zarr.Array:
        pid, arrays = self._opened
        if pid != os.getpid():  # a forked worker: files and event loop of the parent are not ours
            self._opened = pid, arrays = os.getpid(), {}
        if group not in arrays:
            if self.key(group) is None:
                raise MissingSample(f"no {group} have been written", file=self.path, fix=f"run {group}")
            files: Store = LocalStore(self.path / group, read_only=True)
            with quiet_bytes_dtype():
                opened = zarr.open_group(self._wrap(files) if self._wrap else files, mode="r")
                arrays[group] = {member: opened[member] for member in GROUPS[group]}
        return arrays[group][name]

    def _name(self, group: Group, index: int) -> str:
        return f"{self.path} {group} {index}"


class _Row:
    """`row(name)`: the value of one array at one row; `direct`: past zarr where that can be."""

    def __init__(self, store: SolidStore, group: Group, index: int, *, direct: bool = False):
        self._store, self._group, self._index, self._past_zarr = store, group, index, direct

    def __call__(self, name: str) -> np.ndarray | bytes:
        value = self._store._direct(self._group, name, self._index) if self._past_zarr else None
        return self._store._slice(self._group, name, (self._index,)) if value is None else value
