"""Stage index: look into every mesh, skip what is unusable, number the rest.

index.json   ordered list, position = class id: {"id", "model" (path below the meshes folder), "sha256",
             "license", "source", "num_vertices", "num_faces", "extent", "textured", "name", "class"}
rejected.json  list in the same order of what was skipped: {"id", "model", "reason", "twin_of" (for twins)}

The published chain drops a mesh that fails without a word and trains on twins as if they were different
classes (SOLID, published code). Here every loss is counted, too many of them stop the stage, and a
class count that differs from the expected one is an error, because class id = label = row of the query table.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from experiments.solid.meshes.geometry import find_twins
from experiments.solid.meshes.validate import NO_LIMITS, Limits, inspect
from suite.errors import BadInput
from suite.family import process_pool

INDEX, REJECTED = "index.json", "rejected.json"
FEW = 200  # below this, starting worker processes costs more than it saves
CHUNK = 16  # meshes a worker takes at a time


def run(ctx: Any) -> None:
    """Stage function."""
    folder = ctx.inputs["meshes"]
    rows = json.loads((folder / "meshes.json").read_text(encoding="utf-8"))
    _check_unique(rows, folder / "meshes.json")
    answers = []
    with ctx.progress(len(rows), "meshes") as progress:
        paths = [folder / row["model"] for row in rows]
        settings = ctx.config.meshes
        limits = Limits(settings.max_file_mb, settings.max_faces)
        for answer in inspect_all(paths, folder, limits):
            answers.append(answer)
            progress.advance()
            ctx.check_stop()
    kept, rejected = select(rows, answers, skip_twins=ctx.config.meshes.skip_twins)
    _write(ctx.out / INDEX, kept)
    _write(ctx.out / REJECTED, rejected)
    _count(ctx, answers, kept, rejected)
    check_counts(kept, rejected, ctx.config.meshes, file=ctx.out / REJECTED)


def inspect_all(paths: Sequence[Path], root: Path, limits: Limits = NO_LIMITS) -> Iterator[dict]:
    """The answers of `inspect` in the order of `paths`, on all cores where that pays."""
    root = Path(os.path.realpath(root / "models")) if (root / "models").is_symlink() else root
    worker = partial(inspect, root=str(root), limits=limits)
    names = [str(path) for path in paths]
    if len(names) < FEW:
        yield from map(worker, names)
        return
    with process_pool(len(os.sched_getaffinity(0))) as pool:
        try:
            yield from pool.map(worker, names, chunksize=CHUNK)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def select(
    rows: Sequence[dict], answers: Sequence[dict], *, skip_twins: bool
) -> tuple[list[dict], list[dict]]:
    """(index entries, rejected entries) of meshes.json rows and the answers about them, in that order."""
    usable = []
    reasons: dict[int, dict] = {}
    for position, (row, answer) in enumerate(zip(rows, answers, strict=True)):
        if "reason" in answer:
            reasons[position] = {"reason": answer["reason"]}
        elif row["sha256"] not in (None, answer["facts"]["sha256"]):
            reasons[position] = {"reason": "the file is not the one that was collected (SHA-256 differs)"}
        else:
            usable.append(position)
    if skip_twins:
        for later, (earlier, why) in _twins([answers[p]["facts"] for p in usable]).items():
            name = rows[usable[earlier]]["id"]
            reasons[usable[later]] = {"reason": f"twin of {name}: {why}", "twin_of": name}
    kept = [_entry(rows[p], answers[p]["facts"]) for p in usable if p not in reasons]
    rejected = [{"id": rows[p]["id"], "model": rows[p]["model"], **reasons[p]} for p in sorted(reasons)]
    return kept, rejected


def _twins(facts: Sequence[dict]) -> dict[int, tuple[int, str]]:
    """{later position: (kept position, "same file" or "same geometry")}."""
    found = {
        later: (earlier, "same geometry")
        for later, earlier in find_twins([np.array(f["signature"]) for f in facts]).items()
    }
    first: dict[str, int] = {}
    for position, fact in enumerate(facts):
        earlier = first.setdefault(fact["sha256"], position)
        if earlier != position and earlier not in found:
            found[position] = (earlier, "same file")
    return found


def _entry(row: dict, facts: dict) -> dict:
    fields = ("sha256", "num_vertices", "num_faces", "extent", "textured")
    return {
        "id": row["id"], "name": row["name"], "class": row["class"], "model": row["model"],
        "license": row["license"], "source": row["source"], **{name: facts[name] for name in fields},
    }  # fmt: skip


def check_counts(kept: Sequence[dict], rejected: Sequence[dict], settings: Any, *, file: Path) -> None:
    """BadInput when too many meshes are unusable (twins do not count) or their number is not as expected."""
    bad = [row for row in rejected if "twin_of" not in row]
    total = len(kept) + len(rejected)
    if len(bad) > settings.max_bad_share * total or not kept:
        first = f"first: {bad[0]['model']}: {bad[0]['reason']}" if bad else "all are twins"
        raise BadInput(
            f"{len(bad)} of {total} meshes are unusable, allowed: {settings.max_bad_share:.3g} ({first})",
            file=file, fix="mend or remove them, or raise meshes.max_bad_share",
        )  # fmt: skip
    if settings.num_classes is not None and settings.num_classes != len(kept):
        raise BadInput(
            f"{len(kept)} usable meshes, meshes.num_classes is {settings.num_classes}",
            file=file, fix=f"set -o meshes.num_classes={len(kept)} or null, or mend the rejected meshes",
        )  # fmt: skip


def _check_unique(rows: Sequence[dict], file: Path) -> None:
    for field in ("id", "model"):
        seen: dict[str, int] = {}
        for position, row in enumerate(rows):
            if row[field] in seen:
                raise BadInput(
                    f"entries {seen[row[field]]} and {position} have the same {field} {row[field]!r}",
                    file=file, fix="rename one of the meshes",
                )  # fmt: skip
            seen[row[field]] = position


def _count(ctx: Any, answers: Sequence[dict], kept: Sequence[dict], rejected: Sequence[dict]) -> None:
    twins = [row for row in rejected if "twin_of" in row]
    ctx.count("classes", len(kept))
    ctx.count("textured", sum(row["textured"] for row in kept))
    ctx.count("twins", len(twins))
    ctx.count("unusable", len(rejected) - len(twins))
    if rejected:
        first = rejected[0]
        told = f"first {first['model']}: {first['reason']}; all of them: {ctx.final / REJECTED}"
        ctx.warn(f"{len(rejected)} of {len(kept) + len(rejected)} meshes rejected, {told}")
    for row in rejected:
        ctx.event("rejected", mesh=row["id"], reason=row["reason"])
    odd = sum("material library is missing" in answer.get("facts", {}).get("notes", ()) for answer in answers)
    if odd:
        ctx.warn(f"{odd} OBJ files name a material library that is missing; they stay grey")


def _write(path: Path, rows: list[dict]) -> None:
    path.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
