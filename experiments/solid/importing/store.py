"""`import-store`: a store of the published code (Zarr 2) becomes a store of ours (Zarr 3), shard by shard.

    python -m experiments.solid import-store --parts DIR --out data/solid      # SOLID.zarr.tar.00 ... .23
    python -m experiments.solid import-store --source SOLID.zarr --out data/solid --classes shapenet_ids.txt
    python -m experiments.solid pretrain --config ... --clean data/solid --store data/solid \\
        --targets data/solid --queries data/solid --check data/solid --out DIR

Result: `solid.zarr`, `classes.json`, `import.json` (what was missing or given up, row by row). The folder
stands for the five inputs of `pretrain`: every row has passed the invariants that `check` verifies. Killed at
any moment, the same command goes on; a chunk that does not decode costs its shard, the others are converted,
and the next run tries it again.

Memory: one shard of masks is unpacked at a time and process, n x H x W bytes per picture, which is 1.6 GB for
256 pictures of 640 x 480 with 20 objects; --jobs is bounded by what is free.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from experiments.solid.importing.convert import MISSING, Published, query_samples, target_samples
from experiments.solid.importing.parts import find_parts, read_index
from experiments.solid.importing.zarr2 import Archive, Files, Folder
from experiments.solid.store.samples import GivenUp
from experiments.solid.store.schema import CLASSES_NAME, STORE_NAME, Group, StoreLayout
from experiments.solid.store.writer import (
    commit_query_shard,
    commit_target_shard,
    create_store,
    read_layout,
    reset_group,
)
from suite.by_hand import Parser, bring_up
from suite.errors import BadInput, Missing
from suite.family import process_pool
from suite.manifest import file_digest, key_of, read_json, write_json
from suite.paths import listing_digest
from suite.stage import Context, Job, Stage

RESULT, INDEX = "import.json", "parts.json"
BYTES_PER_JOB = 3 << 30  # see the module docstring; with the compressed bytes and the label maps
Task = tuple[Group, int]


@dataclass(frozen=True)
class Settings:
    """What was asked for. Paths are absolute."""

    source: str | None
    parts: str | None
    prefix: str  # of the arrays' names: "" or "0/"
    classes: str | None
    max_objects: int
    query_resolution: int
    skip_damaged: bool
    jobs: int


def state_of(settings: Settings) -> Any:
    """What decides the result: the files' names and sizes; of parts, the names and the first bytes.

    Sizes of parts are left out: a part that was cut short and is downloaded again belongs to the same import.
    """
    classes = file_digest(Path(settings.classes)) if settings.classes else None
    if settings.parts is None:
        return {"listing": listing_digest(Path(settings.source or "")), "classes": classes}
    parts = find_parts(Path(settings.parts))
    with parts[0].open("rb") as stream:
        head = stream.read(4096)
    return {"parts": [path.name for path in parts], "head": key_of({"bytes": head.hex()}), "classes": classes}


STAGE = Stage(
    system="solid",
    name="import-store",
    summary="convert a published Zarr 2 store",
    toolchain="blender",
    version=1,
    run="experiments.solid.importing.store:convert",
    config=("prefix", "max_objects", "query_resolution"),
    decides=("zarr", "numcodecs", "numpy"),
    outside=state_of,
    uses_gpu=False,
)


def parser() -> Parser:
    """The command's flags."""
    made = Parser(prog="python -m experiments.solid import-store", allow_abbrev=False)
    where = made.add_mutually_exclusive_group(required=True)
    where.add_argument("--source", type=Path, metavar="DIR", help="the unpacked store")
    where.add_argument("--parts", type=Path, metavar="DIR", help="folder with NAME.tar.00, .01, ...")
    made.add_argument("--out", required=True, type=Path, metavar="DIR", help="the result")
    made.add_argument("--prefix", default="", metavar="0/", help="in a store of several resolutions, which")
    made.add_argument("--classes", type=Path, metavar="FILE", help="names: shapenet_ids.txt or shapenet.json")
    made.add_argument("--max-objects", type=int, default=25, help="most boxes per picture (default 25)")
    made.add_argument("--query-resolution", type=int, default=384, help="longest side of a query (384)")
    made.add_argument("--skip-damaged", action="store_true", help="give up the rows of damaged chunks")
    made.add_argument("--jobs", type=int, default=0, help="processes (default: by cores and free memory)")
    made.add_argument("--force", action="store_true", help="move what stands at --out aside")
    return made


def run(args: argparse.Namespace) -> Iterator[str]:
    """The command; yields what it prints."""
    if not 1 <= args.max_objects <= 255:
        raise BadInput(f"--max-objects {args.max_objects}", fix="use 1..255 (label maps are uint8)")
    if args.source is not None:
        Folder(args.source)  # says so where there is none
    if args.classes is not None and not args.classes.is_file():
        raise Missing("no such file", file=args.classes, fix="--classes names a list of models")
    settings = Settings(
        source=_absolute(args.source), parts=_absolute(args.parts), classes=_absolute(args.classes),
        prefix=args.prefix.rstrip("/") + "/" if args.prefix else "", max_objects=args.max_objects,
        query_resolution=args.query_resolution, skip_damaged=args.skip_damaged,
        jobs=args.jobs if args.jobs > 0 else default_jobs(),
    )  # fmt: skip
    job = Job(stage=STAGE, config=settings, seed=0, device="cpu", inputs={}, out=args.out)
    fix = "choose another --out, or add --force to move it aside"
    yield from bring_up(job, force=args.force, fix=fix)
    tree = read_json(job.out / RESULT)
    for group in ("targets", "queries"):
        row = tree[group]
        yield f"{group}: {row['good']} converted, {row['missing']} missing, {len(row['given_up'])} given up"
    yield f"all of them: {job.out / RESULT}"


def _absolute(path: Path | None) -> str | None:
    return None if path is None else os.path.abspath(path)


def default_jobs() -> int:
    """As many processes as there are cores and memory for."""
    pages = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return max(1, min(len(os.sched_getaffinity(0)), pages // BYTES_PER_JOB))


def open_files(settings: Settings, index: Path) -> Files:
    """The store's files. `index`: where the walk over a tar file is kept."""
    if settings.parts is None:
        return Folder(Path(settings.source or ""))
    parts = find_parts(Path(settings.parts))
    return Archive(parts, read_index(parts, index))


def convert(ctx: Context) -> None:
    """The stage: make the empty store, convert the shards that are left, report."""
    settings: Settings = ctx.config
    if settings.parts is not None:
        _walk_parts(ctx, settings)
    files = open_files(settings, ctx.work / INDEX)
    store = Published.open(files, settings.prefix)
    layout = _prepare(ctx, store, settings)
    tasks: list[Task] = [
        (group, shard) for group in ("queries", "targets") for shard in range(layout.num_shards(group))
    ]
    left = [task for task in tasks if not _report_path(ctx.work, task).exists()]
    damaged: list[tuple[Task, str]] = []
    with ctx.progress(len(tasks), done=len(tasks) - len(left)) as bar:
        for task, complaint in convert_all(ctx, left):
            if complaint is not None:
                ctx.event("damaged", group=task[0], shard=task[1], reason=complaint)
                damaged.append((task, complaint))
            bar.advance()
    if damaged:
        raise BadInput(
            f"{len(damaged)} of {len(tasks)} shards could not be converted, first {damaged[0][1]}",
            file=settings.parts or settings.source,
            fix="the others are kept: get these files again, or add --skip-damaged, and run it again",
        )
    _finish(ctx, tasks, layout)


def _walk_parts(ctx: Context, settings: Settings) -> None:
    """Index the archive, stoppable."""
    parts = find_parts(Path(settings.parts or ""))
    read_index(parts, ctx.work / INDEX, on_member=lambda done, total: ctx.check_stop())


def _prepare(ctx: Context, store: Published, settings: Settings) -> StoreLayout:
    """The empty store and its class table, unless an earlier start made them."""
    path = ctx.out / STORE_NAME
    if not (ctx.work / "prepared").exists():
        store.check_ids()
        height, width = store.resolution()
        num_classes, num_shots = store.queries.shape
        images = store.targets["images"]
        layout = StoreLayout(
            num_images=images.shape[0], num_classes=num_classes, num_shots=num_shots,
            max_objects=settings.max_objects, height=height, width=width,
            query_resolution=settings.query_resolution,
            shard_size=min(images.chunks[0], images.shape[0]),
            query_shard_size=min(store.queries.chunks[0], num_classes),
        )  # fmt: skip
        table = [{"id": name} for name in class_names(settings.classes, num_classes)]
        classes = ctx.out / CLASSES_NAME
        classes.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
        if not path.exists():
            create_store(path, layout, classes_sha256=file_digest(classes))
        for group in ("targets", "queries"):
            reset_group(path, group, key=ctx.key)
        (ctx.work / "prepared").touch()
    return read_layout(path)


def class_names(file: str | None, count: int) -> list[str]:
    """Ids of all classes: lines of a text file, "model" of a JSON list, or numbers. BadInput: wrong count."""
    if file is None:
        return [f"class{number:05d}" for number in range(count)]
    text = Path(file).read_text(encoding="utf-8")
    try:
        names = [row["model"] for row in json.loads(text)] if file.endswith(".json") else text.split()
    except (ValueError, TypeError, KeyError) as error:
        raise BadInput(f"no list of models ({error})", file=file, fix='use [{"model": path}, ...]') from None
    if len(names) != count or len(set(names)) != count:
        what = f"{len(names)} names, {len(set(names))} different ones; the store has {count} classes"
        raise BadInput(what, file=file, fix="give the list that the store was made with, or leave it out")
    return names


def convert_all(ctx: Context, tasks: list[Task]) -> Iterator[tuple[Task, str | None]]:
    """Convert, in any order; each with None or why it could not be."""
    jobs = min(ctx.config.jobs, len(tasks))
    if jobs <= 1:
        for task in tasks:
            ctx.check_stop()
            yield task, convert_shard(task, ctx.config, ctx.out, ctx.work)
        return
    left, running = iter(tasks), {}
    with process_pool(jobs) as pool:

        def feed() -> None:
            for task in left:
                running[pool.submit(convert_shard, task, ctx.config, ctx.out, ctx.work)] = task
                if len(running) >= jobs:
                    return

        feed()
        while running:  # on SIGTERM the shards at hand are finished and kept
            done: set[Future] = wait(running, return_when=FIRST_COMPLETED).done
            for future in done:
                yield running.pop(future), future.result()
            ctx.check_stop()
            feed()


def convert_shard(task: Task, settings: Settings, out: Path, work: Path) -> str | None:
    """Convert one shard and leave its report; None, or why it could not be read."""
    group, shard = task
    path = out / STORE_NAME
    layout = read_layout(path)
    rows = layout.shard_rows(group, shard)
    unflagged = 0
    try:
        store = Published.open(open_files(settings, work / INDEX), settings.prefix)
        if group == "targets":
            samples, unflagged = target_samples(store, layout, shard)
        else:
            samples = query_samples(store, layout, shard)
    except BadInput as error:
        if not settings.skip_damaged:
            return str(error)
        samples = [GivenUp(error.what)] * len(rows)
    commit = commit_target_shard if group == "targets" else commit_query_shard
    commit(path, shard, samples)
    reasons = {
        row: sample.reason
        for row, sample in zip(rows, samples, strict=True)
        if isinstance(sample, GivenUp) and sample.reason != MISSING
    }
    missing = [
        row for row, s in zip(rows, samples, strict=True) if isinstance(s, GivenUp) and s.reason == MISSING
    ]
    report = {"missing": missing, "given_up": reasons, "unflagged": unflagged, "rows": len(rows)}
    write_json(_report_path(work, task), report)
    return None


def _report_path(work: Path, task: Task) -> Path:
    return work / f"{task[0]}-{task[1]:05d}.json"


def _finish(ctx: Context, tasks: list[Task], layout: StoreLayout) -> None:
    """Write import.json; BadInput where nothing at all was good."""
    tree: dict[str, Any] = {"layout": asdict(layout)}
    for group in ("targets", "queries"):
        reports = [read_json(_report_path(ctx.work, task)) for task in tasks if task[0] == group]
        given_up = {row: reason for report in reports for row, reason in report["given_up"].items()}
        missing = [row for report in reports for row in report["missing"]]
        good = sum(report["rows"] for report in reports) - len(given_up) - len(missing)
        tree[group] = {
            "good": good, "missing": len(missing), "missing_rows": _ranges(missing), "given_up": given_up,
            "without_flag": sum(report["unflagged"] for report in reports),
        }  # fmt: skip
        ctx.count(f"{group}_good", good)
        ctx.count(f"{group}_missing", len(missing))
        ctx.count(f"{group}_given_up", len(given_up))
        if not good:
            first = next(iter(given_up.values()), MISSING)
            fix = "give the published store; --max-objects and --query-resolution must fit it"
            raise BadInput(f"no row of {group} is usable, first: {first}", file=ctx.final, fix=fix)
        if given_up:
            row, reason = next(iter(given_up.items()))
            ctx.warn(f"{len(given_up)} {group} given up, first {row}: {reason}")
    write_json(ctx.out / RESULT, tree)


def _ranges(rows: list[int]) -> list[list[int]]:
    """[first, last] of each run of consecutive rows."""
    found: list[list[int]] = []
    for row in rows:
        if found and found[-1][1] == row - 1:
            found[-1][1] = row
        else:
            found.append([row, row])
    return found
