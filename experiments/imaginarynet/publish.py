"""The published layout at the top of the output folder: prompt.txt, image/, annotation/."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from experiments.imaginarynet.config import ImaginaryNetConfig
from experiments.imaginarynet.store.manifest import in_order, read_shards
from suite.errors import BadInput
from suite.manifest import read_json, read_manifest, write_json

TOP = ("prompt.txt", "image", "annotation")  # of the folder `published` of an export
BESIDE = ("manifest.jsonl", "classes.csv")
MARK = ".published.json"  # which export stands at the top


def publish(export: Path, home: Path) -> tuple[int, bool]:
    """Link an export's files to the top of the output folder; the number of pictures, and whether it is new.

    What another export left there goes away. A kill in between is mended by the next call: the mark is
    taken away first and set last.
    """
    manifest = read_manifest(export)
    if manifest is None:
        raise BadInput("is no finished stage", file=export, fix="run `export` first")
    pictures = manifest["counts"].get("pictures", 0)
    if read_json(home / MARK) == {"key": manifest["key"]} and all((home / name).exists() for name in TOP):
        return pictures, False
    (home / MARK).unlink(missing_ok=True)
    fresh = home / ".publish.part"
    shutil.rmtree(fresh, ignore_errors=True)
    shutil.copytree(export / "published", fresh, copy_function=link)
    for name in BESIDE:
        link(export / name, fresh / name)
    for name in (*TOP, *BESIDE):
        remove(home / name)
        os.replace(fresh / name, home / name)
    fresh.rmdir()
    write_json(home / MARK, {"key": manifest["key"]})
    return pictures, True


def link(source: str | Path, target: str | Path) -> None:
    """A hard link, or a copy where the disk has none."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def remove(path: Path) -> None:
    """A file or a folder, where there is one."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_prompts(prompts: Path, home: Path, config: ImaginaryNetConfig) -> int:
    """`description TAB label` of the first round's prompts, as published; returns their number.

    Where an export stands at the top, its prompt.txt, which has all rounds, stays.
    """
    each = config.images.samples_per_prompt
    rows = [row for row in in_order(read_shards(prompts)) if row.number % each == 0]
    if (home / MARK).is_file():
        return len(rows)
    target = home / TOP[0]
    temporary = target.with_name(f".{target.name}.tmp")
    temporary.write_text("".join(f"{row.prompt}\t{row.label}\n" for row in rows), encoding="utf-8")
    os.replace(temporary, target)
    return len(rows)
