"""A folder of the published code as a manifest and shards of ours: prompt.txt, image/ and annotation/.

    python -m experiments.imaginarynet import-archive old_run --classfile VOC.txt --out runs/old

Every picture keeps its bytes and becomes a candidate of state `done`, as the stage `images` leaves it: it can
be scored, filtered and exported. What the annotation says of size and box is dropped: the published code
writes 256 x 256 and a box from (0, 0) to (256, 256) whatever the picture is, so sizes are read from the
pictures. The layout has no link from a picture to its prompt; a prompt is taken over where prompt.txt has one
line per picture with the same labels in the same order, which is so where nothing was filtered.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from experiments.imaginarynet.classes import class_names, label_of
from experiments.imaginarynet.store.manifest import CANDIDATES, Candidate, candidate_id, write_rows
from experiments.imaginarynet.store.pictures import IMAGES, digest, size_of
from experiments.imaginarynet.store.tar import write_tar
from suite import manifest as record
from suite.by_hand import key_at
from suite.datasets.faults import Fault
from suite.datasets.voc_xml import read_voc_xml
from suite.errors import BadInput
from suite.paths import listing_digest

NAME = "import-archive"
VERSION = 1
SHARD = 1000  # pictures
PROMPTS, IMAGE, ANNOTATION = "prompt.txt", "image", "annotation"
SUFFIXES = (".jpg", ".jpeg", ".png")


def add_flags(parser: argparse.ArgumentParser) -> None:
    """The flags of the command."""
    parser.add_argument("archive", type=Path, metavar="DIR", help="holds image/, annotation/ and prompt.txt")
    parser.add_argument("--classfile", metavar="FILE", help="voc, coco, tabletop, a file; else by prompt.txt")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="gets shards and the manifest")


def run(args: argparse.Namespace) -> Iterator[str]:
    """Do it; yields the lines to be printed. Raises BadInput."""
    names = class_names(args.classfile) if args.classfile else None
    parts = {"version": VERSION, "classes": names, "archive": listing_digest(args.archive)}
    key, part = record.key_of(parts), record.part_of(args.out)
    if record.is_done(args.out, key):
        yield f"{NAME}: up to date"
        return
    if key_at(args.out) is not None:
        raise BadInput("holds something else", file=args.out, fix="choose another --out")
    rows = read_archive(args.archive, names)
    record.open_part(part, key)
    shards = write_shards(args.archive, rows, part)
    counts = Counter(row.status for row in rows)
    outputs = record.describe_outputs(part, (), base=args.out, final=args.out)
    tree = {"schema": record.SCHEMA, "system": "imaginarynet", "stage": NAME, "key": key, "key_parts": parts}
    tree["counts"] = {"pictures": counts["done"], "failed": counts["failed"]}
    tree["shards"] = [{"shard": shard} for shard in range(shards)]
    record.write_json(part / record.MANIFEST, {**tree, "outputs": outputs})
    record.commit(part, args.out)
    linked = sum(bool(row.prompt) for row in rows)
    yield f"{NAME}: {counts['done']} pictures of {len({row.class_id for row in rows})} classes in {args.out}"
    if linked < len(rows):
        yield f"{len(rows) - linked} without a prompt: {PROMPTS} has not one line per picture"
    yield from (f"left out: {row.candidate_id}: {row.reason}" for row in rows if row.status == "failed")


def read_archive(archive: Path, names: Sequence[str] | None = None) -> list[Candidate]:
    """One row per annotation file, in their order; `failed` where its picture is missing or unreadable.

    names: the class list; None: the labels of prompt.txt, or of the annotations, in order of appearance.
    Raises BadInput where the folder is no such archive, or a label is none of the classes.
    """
    files = sorted((archive / ANNOTATION).glob("*.xml"))
    if not files or not (archive / IMAGE).is_dir():
        what = f"is no folder of the published code: it needs {IMAGE}/ and {ANNOTATION}/ with files in them"
        raise BadInput(what, file=archive, fix="name the folder that --outputdir was")
    prompts = read_prompts(archive / PROMPTS)
    found = [_annotation(path) for path in files]
    labels = [label for _, objects in found for label in objects]
    names = tuple(dict.fromkeys([*(label for _, label in prompts), *labels])) if names is None else names
    place = {label_of(name): index for index, name in enumerate(names)}
    is_linked = [label for _, label in prompts] == [objects[0] for _, objects in found]
    numbers: Counter[int] = Counter()
    rows = []
    for index, (path, (file_name, objects)) in enumerate(zip(files, found, strict=True)):
        if unknown := [label for label in objects if label not in place]:
            what = f"{unknown[0]!r} is none of the {len(names)} classes"
            raise BadInput(what, file=path, fix="name the --classfile that it was made with")
        own = place[objects[0]]
        row = _row(own, numbers[own], names[own], prompt=prompts[index][0] if is_linked else "")
        others = tuple(sorted({place[label] for label in objects} - {own}))
        rows.append(_with_picture(archive / IMAGE / file_name, row, others))
        numbers[own] += 1
    return rows


def read_prompts(path: Path) -> list[tuple[str, str]]:
    """(prompt, label) of each line of prompt.txt; none where there is no such file. Raises BadInput."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except FileNotFoundError:
        return []
    except (UnicodeDecodeError, IsADirectoryError) as error:
        raise BadInput(f"cannot be read ({type(error).__name__})", file=path, fix="leave it out") from None
    rows = []
    for number, line in enumerate(lines, start=1):
        prompt, tab, label = line.rstrip("\r").partition("\t")
        if line and not (tab and label):
            raise BadInput(f"line {number} is not `prompt TAB class`", file=path, fix="leave the file out")
        if line:
            rows.append((prompt, label))
    return rows


def write_shards(archive: Path, rows: Sequence[Candidate], out: Path) -> int:
    """`00000/candidates.jsonl` and `00000/images.tar`, and so on; returns the number of shards."""
    starts = range(0, len(rows), SHARD)
    for shard, start in enumerate(starts):
        folder = out / f"{shard:05d}"
        folder.mkdir(exist_ok=True)
        kept = [_placed(row, shard) for row in rows[start : start + SHARD]]
        done = (row for row in kept if row.status == "done")
        members = ((row.path.partition(":")[2], archive / IMAGE / row.params["file"]) for row in done)
        write_tar(folder / IMAGES, members)
        write_rows(folder / CANDIDATES, kept)
    return len(starts)


def _annotation(path: Path) -> tuple[str, list[str]]:
    """(file of the picture, names of its objects: one, as published)."""
    try:
        found = read_voc_xml(path)
    except Fault as fault:
        raise fault.error(path) from None
    if not found.objects:
        raise BadInput("has no object, so no class", file=path, fix="take the file away")
    return found.file_name, [one.name for one in found.objects]


def _row(class_id: int, number: int, class_name: str, *, prompt: str) -> Candidate:
    return Candidate(
        candidate_id=candidate_id(class_id, number), class_id=class_id, class_name=class_name,
        label=label_of(class_name), number=number, round=1, prompt=prompt, prompt_source="archive",
        backend="archive", seed=0,  # the published code keeps no seed
    )  # fmt: skip


def _with_picture(path: Path, row: Candidate, others: tuple[int, ...]) -> Candidate:
    """The row with what its picture file tells. others: further classes of the annotation."""
    facts = {**vars(row), "labels": others, "params": {"file": path.name}}
    if path.suffix.lower() not in SUFFIXES or not path.is_file():
        return Candidate(**{**facts, "status": "failed", "reason": f"no picture {path.name}"})
    data = path.read_bytes()
    try:
        width, height = size_of(data, file=path)
    except BadInput as error:
        return Candidate(**{**facts, "status": "failed", "reason": f"{path.name} {error.what}"})
    return Candidate(**{**facts, "status": "done", "sha256": digest(data), "width": width, "height": height})


def _placed(row: Candidate, shard: int) -> Candidate:
    """The row with the place of its picture in the shard."""
    if row.status != "done":
        return row
    suffix = Path(row.params["file"]).suffix.lower()
    return Candidate(**{**vars(row), "path": f"{NAME}/{shard:05d}:{row.candidate_id}{suffix}"})
