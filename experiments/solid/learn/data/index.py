"""The small arrays of a store, read once and shared by all loader processes and ranks as memory maps.

An index is a folder: `rows.npy` (n,) int64, the finished targets; `offsets.npy` (n + 1,) int64 and
`boxes.npy` (total, 5) int32 (x1, y1, x2, y2, class; half-open pixels), the boxes of the k-th of them at
`boxes[offsets[k]:offsets[k + 1]]`; `shots.npy` (C, S) bool, which query views exist; `index.json`, written
last. The published loader keeps all boxes and all queries in the memory of every process instead.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from experiments.solid.store.create import read_classes
from experiments.solid.store.reader import SolidStore
from experiments.solid.store.schema import NO_BOX, VALID, StoreLayout
from suite.errors import BadInput
from suite.manifest import read_json, write_json

ARRAYS = ("rows", "offsets", "boxes", "shots")
FACTS = "index.json"
# Damaged samples are left out and counted. Above this share of them something is wrong with the whole store,
# and training on what is left would hide it.
MAX_DAMAGED_SHARE = 0.05


@dataclass(frozen=True)
class StoreIndex:
    """Which targets and queries can be read, and what is on every target. All arrays are read-only."""

    path: Path
    layout: StoreLayout
    keys: dict[str, str]  # of the stages that filled the store's groups
    damaged: int  # targets that are finished by their flag, but whose boxes cannot be read
    rows: np.ndarray
    offsets: np.ndarray
    boxes: np.ndarray
    shots: np.ndarray

    @classmethod
    def build(
        cls, store: SolidStore, path: Path, *, on_shard: Callable[[int, int], None] | None = None
    ) -> StoreIndex:
        """Read every shard's flags and boxes and write the index to folder `path`, replacing what is there.

        `on_shard(done, total)` is called after each shard. Raises BadInput: class table and store differ, a
        class id outside the table, more than 5 % damaged targets, nothing to train on, no query at all.
        """
        check_classes(store, store.classes, where=store.path)
        rows, counts, boxes, damaged = _targets(store, on_shard)
        if damaged > MAX_DAMAGED_SHARE * (len(rows) + damaged):
            raise BadInput(
                f"{damaged} of {len(rows) + damaged} finished targets are damaged",
                file=store.path,
                fix="run check --repair, then targets",
            )
        if not len(rows):
            raise BadInput("the store holds no finished target", file=store.path, fix="run targets")
        shots = _shots(store)
        if not shots.any():
            raise BadInput("no class has a query picture", file=store.path, fix="run queries")
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        arrays = {"rows": rows, "offsets": offsets, "boxes": boxes, "shots": shots}
        facts = {"layout": dataclasses.asdict(store.layout), "keys": _keys(store), "damaged": damaged}
        _write(Path(path), arrays, facts)
        return cls.open(path)

    @classmethod
    def open(cls, path: Path) -> StoreIndex:
        """Map an index that `build` wrote. BadInput: it is missing, cut off or not an index."""
        path = Path(path)
        facts = read_json(path / FACTS)
        fix = "delete it; it is made again"
        if not isinstance(facts, dict):
            raise BadInput("no store index", file=path, fix=fix)
        try:
            layout = StoreLayout(**facts["layout"])
            arrays = {
                name: np.load(path / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in ARRAYS
            }
            index = cls(path=path, layout=layout, keys=facts["keys"], damaged=facts["damaged"], **arrays)
        except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
            raise BadInput(f"the index is damaged ({error})", file=path, fix=fix) from None
        fits = (
            len(index.offsets) == len(index.rows) + 1
            and len(index.boxes) == index.offsets[-1]
            and index.shots.shape == (layout.num_classes, layout.num_shots)
        )
        if not fits:
            raise BadInput("the arrays of the index do not fit each other", file=path, fix=fix)
        return index

    def __reduce__(self) -> tuple:
        return type(self).open, (self.path,)  # a pickled memory map would carry its data

    def check(self, store: SolidStore) -> None:
        """BadInput unless the index was made from this store in its present state."""
        ours, theirs = dataclasses.asdict(self.layout), dataclasses.asdict(store.layout)
        wrong = [
            f"{name} {ours[name]} (store: {size})" for name, size in theirs.items() if ours[name] != size
        ]
        if not wrong and self.keys != _keys(store):
            wrong = ["other keys of targets or queries"]
        if wrong:
            what = f"the index is of another store than {store.path}: {', '.join(wrong)}"
            raise BadInput(what, file=self.path, fix="delete the index; it is made again")

    @property
    def num_classes(self) -> int:
        """K: classes of the store, with and without queries."""
        return self.layout.num_classes

    @property
    def has_query(self) -> np.ndarray:
        """(C,) bool: classes with at least one query view. The others are not trained on."""
        return self.shots.any(axis=1)

    def boxes_of(self, row: int) -> np.ndarray:
        """(n, 5) int32 boxes and classes of one target; row k - 1 belongs to label k of its label map."""
        k = int(np.searchsorted(self.rows, row))
        if k == len(self.rows) or self.rows[k] != row:
            raise IndexError(f"target {row} is not in the index")
        return np.asarray(self.boxes[self.offsets[k] : self.offsets[k + 1]])

    def classes_of(self, row: int) -> np.ndarray:
        """(m,) int64, sorted: the classes on one target."""
        return np.unique(self.boxes_of(row)[:, 4]).astype(np.int64)

    def train_rows(self, held_out: int) -> np.ndarray:
        """Targets to train on: all but those among the store's last `held_out` rows. BadInput if none."""
        usable = self._rows_with_queries()
        rows = usable[usable < self.layout.num_images - held_out]
        if not len(rows):
            what = f"held_out={held_out} of {self.layout.num_images} pictures leaves none to train on"
            raise BadInput(what, file=self.path, fix="lower pretrain.held_out, or render more targets")
        return rows

    def held_out_rows(self, held_out: int) -> np.ndarray:
        """Targets among the last `held_out` rows of the store; may be fewer, where some are missing."""
        usable = self._rows_with_queries()
        return usable[usable >= self.layout.num_images - held_out]

    def _rows_with_queries(self) -> np.ndarray:
        """Targets that show at least one class with a query."""
        good = np.concatenate([[0], np.cumsum(self.has_query[self.boxes[:, 4]])])
        return np.asarray(self.rows)[good[self.offsets[1:]] > good[self.offsets[:-1]]]


def check_classes(store: SolidStore, classes: list[dict] | Path, *, where: Path | None = None) -> None:
    """BadInput unless the class table, or the classes.json that holds it, is the one of the store."""
    if not isinstance(classes, list):
        where, classes = classes, read_classes(classes)
    fix = "run create-store, targets and queries again for this class table"
    if len(classes) != store.layout.num_classes:
        what = f"{len(classes)} classes, the store at {store.path} has {store.layout.num_classes}"
        raise BadInput(what, file=where, fix=fix)
    for position, (one, other) in enumerate(zip(classes, store.classes, strict=False)):
        if one.get("id") != other.get("id"):
            what = f"class {position} is {one.get('id')!r}, in the store it is {other.get('id')!r}"
            raise BadInput(what, file=where, fix=fix)


def _keys(store: SolidStore) -> dict[str, str | None]:
    return {group: store.key(group) for group in ("targets", "queries")}


def _targets(
    store: SolidStore, on_shard: Callable[[int, int], None] | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Rows (n,), box counts (n,), boxes (total, 5) of the readable targets; number of damaged ones."""
    rows, counts, boxes, damaged = [], [], [np.zeros((0, 5), np.int32)], 0
    num_shards = store.layout.num_shards("targets")
    for shard in range(num_shards):
        finished = np.flatnonzero(store.states("targets", shard) == VALID)
        if len(finished):
            try:
                n = store.read_column("targets", "num_boxes", shard)[finished]
                found = store.read_column("targets", "bboxes", shard)[finished]
            except BadInput:  # one broken file costs the shard; the share above decides whether to go on
                n, found = np.zeros(len(finished), np.int32), np.zeros((len(finished), 0, 5), np.int32)
            filled = np.arange(found.shape[1]) < n[:, None]
            good = (n > 0) & ((found != NO_BOX).all(axis=2) == filled).all(axis=1)
            damaged += int((~good).sum())
            rows.append(store.layout.shard_rows("targets", shard).start + finished[good])
            counts.append(n[good])
            boxes.append(found[good][filled[good]])
        if on_shard:
            on_shard(shard + 1, num_shards)
    joined = np.concatenate(boxes)
    if len(joined) and not 0 <= joined[:, 4].min() <= joined[:, 4].max() < store.layout.num_classes:
        what = f"a target shows class {joined[:, 4].max()}, the store has {store.layout.num_classes} classes"
        raise BadInput(what, file=store.path, fix="run targets again")
    empty = [np.zeros(0, np.int64)]
    return np.concatenate(empty + rows), np.concatenate(empty + counts), joined, damaged


def _shots(store: SolidStore) -> np.ndarray:
    """(C, S) bool. Pictures are read only where a view is lacking: the count of views tells of the rest."""
    layout = store.layout
    shots = np.zeros((layout.num_classes, layout.num_shots), dtype=bool)
    for shard in range(layout.num_shards("queries")):
        rows = layout.shard_rows("queries", shard)
        finished = store.states("queries", shard) == VALID
        if not finished.any():
            continue
        try:
            num_views = store.read_column("queries", "num_views", shard)
        except BadInput:
            num_views = np.zeros(len(rows), np.int32)
        for class_id in np.asarray(rows)[finished & (num_views != layout.num_shots)]:
            shots[class_id] = _views_of(store, int(class_id))
        shots[np.asarray(rows)[finished & (num_views == layout.num_shots)]] = True
    return shots


def _views_of(store: SolidStore, class_id: int) -> list[bool]:
    found = []
    for shot in range(store.layout.num_shots):
        try:
            store.read_query(class_id, shot)
        except BadInput:
            found.append(False)
        else:
            found.append(True)
    return found


def _write(path: Path, arrays: dict[str, np.ndarray], facts: dict) -> None:
    """The folder appears whole: it is written aside and renamed."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    for name, array in arrays.items():
        np.save(aside / f"{name}.npy", array, allow_pickle=False)
    write_json(aside / FACTS, facts)
    shutil.rmtree(path, ignore_errors=True)
    os.replace(aside, path)
