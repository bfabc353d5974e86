"""Manifests: the record a finished stage leaves, and the rules by which it counts as finished.

Done means: `manifest.json` is there, its key equals the wanted one, and every output it lists still exists
with the recorded size. Digests are compared by the `check` verbs, not on every start.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from suite.errors import BadInput

MANIFEST = "manifest.json"
KEY_FILE = "key.json"  # in every work folder from its first second; says whose work it is
WORK = ".work"  # checkpoints: kept until the manifest stands, so that a kill in the last second costs nothing
SCHEMA = 1


def part_of(out: Path) -> Path:
    """The work folder of an output folder: `<out>.part`."""
    return out.with_name(out.name + ".part")


def key_of(parts: Mapping[str, Any]) -> str:
    """SHA-256 over the canonical JSON of what decides a stage's output."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), allow_nan=True)
    return hashlib.sha256(text.encode()).hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_json(path: Path, tree: Any) -> None:
    """Write JSON to a temporary name, flush it to the disk, rename: the file is whole or absent."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8") as stream:
            json.dump(tree, stream, indent=1, sort_keys=True)
            stream.write("\n")
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def read_json(path: Path) -> Any | None:
    """The parsed file, or None where it is absent or cut short (a kill inside another program's write)."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError, UnicodeDecodeError):
        return None


def describe_outputs(
    folder: Path, outside: Iterable[Path], *, base: Path, final: Path
) -> list[dict[str, Any]]:
    """Path, bytes and SHA-256 of every file below `folder` and of the registered files `outside`.

    Paths are relative to `base` (the stage's --out), as they will be once `folder` is renamed to `final`,
    so a run can be moved as a whole. Key and manifest files are not outputs, nor is anything hidden
    (`.work`).
    """
    rows = []
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        inside = path.relative_to(folder)
        if path.name in (MANIFEST, KEY_FILE) or any(part.startswith(".") for part in inside.parts):
            continue
        rows.append(_row(path, os.path.relpath(final / inside, base)))
    rows += [_row(path, os.path.relpath(path, base)) for path in sorted(set(outside))]
    return rows


def _row(path: Path, name: str) -> dict[str, Any]:
    return {"path": name, "bytes": path.stat().st_size, "sha256": file_digest(path)}


def read_manifest(out: Path) -> dict[str, Any] | None:
    """The manifest of a finished folder, or None."""
    tree = read_json(out / MANIFEST)
    return tree if isinstance(tree, dict) and "key" in tree else None


def is_done(out: Path, key: str, *, base: Path | None = None) -> bool:
    """Whether `out` holds a finished result of this key with all its files (by size)."""
    manifest = read_manifest(out)
    if manifest is None or manifest["key"] != key:
        return False
    return not missing_outputs(out, manifest, base=base)


def missing_outputs(out: Path, manifest: Mapping[str, Any], *, base: Path | None = None) -> list[str]:
    """Recorded outputs that are gone or have another size."""
    root = base or out
    gone = []
    for row in manifest["outputs"]:
        try:
            if (root / row["path"]).stat().st_size != row["bytes"]:
                gone.append(row["path"])
        except (FileNotFoundError, NotADirectoryError):
            gone.append(row["path"])
    return gone


def open_part(part: Path, key: str) -> None:
    """Make the work folder, or go on in it if it is of the same key; discard it otherwise."""
    found = read_json(part / KEY_FILE)
    if found is not None and found.get("key") == key:
        return
    discard(part)
    part.mkdir(parents=True)
    write_json(part / KEY_FILE, {"key": key})


def discard(folder: Path) -> None:
    """Delete a folder. It loses its name first: a kill in the middle leaves nothing that looks foreign."""
    doomed = folder.with_name(f".{folder.name}.gone")
    if doomed.exists():  # of such a kill
        shutil.rmtree(doomed)
    if folder.exists():
        folder.rename(doomed)
        shutil.rmtree(doomed)


def refuse_foreign(*folders: Path) -> None:
    """BadInput where a result, or its work folder, would replace what no stage has made.

    Hidden files do not count: a kill inside the first write leaves one.
    """
    for folder in folders:
        if folder.exists() and not folder.is_dir():
            what = "a file stands where a folder is needed"
            raise BadInput(what, file=folder, fix="choose another --out")
        if not folder.is_dir() or any((folder / name).exists() for name in (KEY_FILE, MANIFEST)):
            continue
        if any(not path.name.startswith(".") for path in folder.iterdir()):
            what = "holds files that no stage has made"
            raise BadInput(what, file=folder, fix="choose another --out, or move them away")


def commit(part: Path, out: Path) -> None:
    """One atomic rename of the work folder to its final name; an older result is moved aside first."""
    old = out.with_name(f".{out.name}.old")
    if old.exists():
        shutil.rmtree(old)
    if out.exists():
        out.rename(old)
    part.rename(out)
    for leftover in (old, out / WORK):
        if leftover.exists():
            shutil.rmtree(leftover)


def input_key(name: str, folder: Path) -> str:
    """The key of a finished input folder; BadInput tells which stage is missing."""
    manifest = read_manifest(folder)
    if manifest is None:
        raise BadInput(
            f"--{name} is not a finished stage (no readable {MANIFEST})",
            file=folder,
            fix="run that stage first",
        )
    return manifest["key"]


def shard_key(stage_key: str, shard: int) -> str:
    """The key of one shard of a wide stage."""
    return key_of({"stage_key": stage_key, "shard": shard})


def shard_done(out: Path, stage_key: str, shard: int) -> bool:
    """Whether a shard is finished with all its files, in the finished stage or in its work folder."""
    key = shard_key(stage_key, shard)
    return any(is_done(home / f"{shard:05d}", key, base=home) for home in (part_of(out), out))


def reopen(out: Path) -> Path:
    """Turn a finished wide stage into a work folder again, so that only what it lacks is redone.

    Returns the work folder. Safe to repeat.
    """
    part = part_of(out)
    if out.exists():
        (out / MANIFEST).unlink(missing_ok=True)
        discard(part)
        out.rename(part)
    return part
