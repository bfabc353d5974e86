"""Writing the store: empty, reset, one whole shard at a time.

Two processes may write different shards at once: a shard's files belong to it alone, each is written once and
appears by an atomic rename. `valid` is withdrawn first and written last, so a kill leaves a shard that reads
as absent, never a half-valid one; committing the same shard again gives the same files. Not covered: a power
cut (files are renamed, not flushed); the digests in the shard manifests tell.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import zarr
from zarr.storage import LocalStore

from experiments.solid.store.samples import GivenUp, QuerySample, TargetSample, pack_scene
from experiments.solid.store.schema import (
    GIVEN_UP,
    GROUPS,
    STORE_NAME,
    VALID,
    Group,
    StoreLayout,
    array_arguments,
    group_attributes,
    layout_from_attributes,
    quiet_bytes_dtype,
    root_attributes,
)
from suite.errors import BadInput
from suite.manifest import read_json


def store_path(path: Path) -> Path:
    """`path` itself if it is a store, else the store inside the folder that create-store made."""
    inside = Path(path) / STORE_NAME
    return inside if inside.is_dir() else Path(path)


def create_store(path: Path, layout: StoreLayout, *, classes_sha256: str) -> Path:
    """Make an empty store at `path`: sizes in the root; a group appears when its stage starts.

    `classes_sha256` is the digest of the classes.json beside the store. Raises BadInput if `path` exists.
    """
    if path.exists():
        raise BadInput("the store exists already", file=path, fix="choose another folder or remove it")
    zarr.create_group(LocalStore(path), attributes=root_attributes(layout, classes_sha256))
    return path


def read_layout(path: Path) -> StoreLayout:
    """Sizes of the store at `path`. Raises BadInput if it is no store of ours or a newer one."""
    path = store_path(path)
    tree = read_json(path / "zarr.json")
    attributes = tree.get("attributes", {}) if isinstance(tree, dict) else {}
    return layout_from_attributes(attributes, str(path))


def group_key(path: Path, group: Group) -> str | None:
    """Key of the stage that fills the group; None while the group does not exist."""
    tree = read_json(store_path(path) / group / "zarr.json")
    return tree.get("attributes", {}).get("key") if isinstance(tree, dict) else None


def reset_group(path: Path, group: Group, *, key: str) -> bool:
    """Make the group ready for the stage of this key; called once, before any of its shards.

    Nothing happens if the group was filled under the same key. Otherwise all its samples are dropped. Returns
    whether it was reset: finished shards of the stage are then gone too. A kill in between costs nothing
    else: the new group is built aside and renamed.
    """
    path = store_path(path)
    layout = read_layout(path)
    if group_key(path, group) == key:
        return False
    fresh, old = path / f".{group}.new", path / f".{group}.old"
    for leftover in (fresh, old):
        shutil.rmtree(leftover, ignore_errors=True)
    with quiet_bytes_dtype(), named_os_errors(path):
        made = zarr.create_group(LocalStore(fresh), attributes=group_attributes(layout, group, key))
        for name, spec in GROUPS[group].items():
            made.create_array(name, **array_arguments(spec, layout, group))
        if (path / group).exists():
            (path / group).rename(old)
        fresh.rename(path / group)
    shutil.rmtree(old, ignore_errors=True)
    return True


def commit_target_shard(path: Path, shard: int, samples: Sequence[TargetSample | GivenUp]) -> list[Path]:
    """Write shard `shard` of `targets`; `samples` are all its rows in order. Returns the files it wrote."""
    layout = read_layout(path)
    rows = layout.shard_rows("targets", shard)
    found = _finished(samples, rows, TargetSample)
    here = [(i, s) for i, s in enumerate(found) if s is not None]
    columns = _empty_columns("targets", layout, len(rows))
    for i, sample in here:
        n = len(sample.bboxes)
        _check_shapes(sample, layout, rows[i])
        columns["images"][i] = sample.image
        columns["label_maps"][i] = sample.label_map
        columns["scenes"][i] = pack_scene(sample.scene)
        columns["num_boxes"][i] = n
        columns["attempts"][i] = sample.attempts
        for name in ("bboxes", "visibility", "mask_bbox_ratio", "angles"):
            columns[name][i, :n] = getattr(sample, name)
    columns["valid"][:] = [GIVEN_UP if s is None else VALID for s in found]
    return _commit(path, "targets", shard, columns, rows)


def commit_query_shard(path: Path, shard: int, samples: Sequence[QuerySample | GivenUp]) -> list[Path]:
    """Write shard `shard` of `queries`; `samples` are all its classes. Returns the files it wrote."""
    layout = read_layout(path)
    rows = layout.shard_rows("queries", shard)
    found = _finished(samples, rows, QuerySample)
    columns = _empty_columns("queries", layout, len(rows))
    columns["query_ids"][:] = rows
    for i, sample in enumerate(found):
        if sample is None:
            continue
        if sample.class_id != rows[i] or len(sample.shots) != layout.num_shots:
            raise ValueError(f"class {rows[i]}: got class {sample.class_id} with {len(sample.shots)} shots")
        columns["images"][i] = sample.shots
        columns["num_views"][i] = sample.num_views
    columns["valid"][:] = [VALID if s is not None and s.num_views else GIVEN_UP for s in found]
    return _commit(path, "queries", shard, columns, rows)


def shard_files(path: Path, group: Group, shard: int) -> dict[str, Path]:
    """The files that belong to one shard, by array name; `valid` last."""
    files = {}
    for name, spec in GROUPS[group].items():
        inner = "/".join("0" for _ in spec.trailing)
        files[name] = store_path(path) / group / name / "c" / str(shard) / inner
    return files


@contextlib.contextmanager
def named_os_errors(path: Path) -> Iterator[None]:
    """Give an OSError without a file name (a full disk names none) the path of the store."""
    try:
        yield
    except OSError as error:
        if error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def _commit(path: Path, group: Group, shard: int, columns: dict[str, np.ndarray], rows: range) -> list[Path]:
    path = store_path(path)
    if group_key(path, group) is None:
        raise BadInput(
            f"the store has no group {group}", file=path, fix="call reset_group before the first shard"
        )
    files = shard_files(path, group, shard)
    # zarr reads the old shard before it replaces it, so a damaged one would stop the repair: it goes first.
    for name in reversed(list(files)):
        _withdraw(files[name])
    with quiet_bytes_dtype(), named_os_errors(path):
        opened = zarr.open_group(LocalStore(path / group), mode="r+")
        for name in files:
            opened[name][rows.start : rows.stop] = columns[name]
    return list(files.values())


def _withdraw(file: Path) -> None:
    """Remove a shard file and what a killed write left beside it."""
    file.unlink(missing_ok=True)
    if file.parent.is_dir():
        for partial in file.parent.glob(f"{file.name}.*.partial"):
            partial.unlink(missing_ok=True)


def _finished(samples: Sequence[object], rows: range, kind: type) -> list:
    """The samples of a shard, None where one was given up; anything else is a bug of the caller."""
    if len(samples) != len(rows):
        raise ValueError(
            f"{len(samples)} samples for rows {rows.start}..{rows.stop - 1}; commit a shard as a whole"
        )
    for row, sample in zip(rows, samples, strict=True):
        if not isinstance(sample, (kind, GivenUp)):
            raise TypeError(f"row {row}: {type(sample).__name__} in place of {kind.__name__}")
    return [None if isinstance(sample, GivenUp) else sample for sample in samples]


def _empty_columns(group: Group, layout: StoreLayout, num_rows: int) -> dict[str, np.ndarray]:
    """Arrays of the fill values, one row per sample of a shard."""
    columns = {}
    for name, spec in GROUPS[group].items():
        shape = (num_rows, *array_arguments(spec, layout, group)["shape"][1:])
        columns[name] = np.full(shape, spec.fill, dtype=object if spec.dtype == "bytes" else spec.dtype)
    return columns


def _check_shapes(sample: TargetSample, layout: StoreLayout, row: int) -> None:
    n = len(sample.bboxes)
    wanted: Sequence[tuple[str, tuple[int, ...]]] = (
        ("label_map", (layout.height, layout.width)),
        ("bboxes", (n, 5)),
        ("visibility", (n,)),
        ("mask_bbox_ratio", (n,)),
        ("angles", (n, 3)),
    )
    for name, shape in wanted:
        if getattr(sample, name).shape != shape:
            raise ValueError(f"target {row}: {name} is {getattr(sample, name).shape}, expected {shape}")
    if not 1 <= n <= layout.max_objects:
        raise ValueError(f"target {row}: {n} boxes, expected 1..{layout.max_objects}")
