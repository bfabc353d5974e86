"""`shapenet-index`: the class list of a ShapeNetCore.v2 folder, in the published order, checked against it.

    python -m experiments.solid shapenet-index ShapeNetCore.v2 --out shapenet.json [--ids shapenet_ids.txt]
    make reproduce-solid SCALE=paper OVERRIDES='meshes.folder=... meshes.list_file=shapenet.json'

The folder is <synset>/<hash>/models/model_normalized.obj; the order is that of the bytes of "<synset>/<hash>"
(`shapenet_ids.txt` of the published code). Written: the list `[{"model": path}, ...]` that `meshes.list_file`
reads, position = class, and beside it `<stem>_ids.txt` with one id per line, no newline at the end.

The published list has 52,447 ids in 55 synsets, but 51,186 different hashes: 1,256 models stand in two or
three synsets, each place a class of its own. --dedupe keeps the first of the files with equal bytes (equal
shapes in different files are found later, by `meshes.skip_twins`).
"""

from __future__ import annotations

import argparse
import json
import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from suite.by_hand import Parser
from suite.errors import BadInput, Missing
from suite.manifest import file_digest

MODEL = "models/model_normalized.obj"
NUM_LISTED = 10  # ids named in a line; the files hold all
# Models by synset in the published shapenet_ids.txt.
PUBLISHED = {
    "02691156": 4044, "02747177": 343, "02773838": 83, "02801938": 113, "02808440": 856, "02818832": 233,
    "02828884": 1812, "02843684": 73, "02871439": 452, "02876657": 497, "02880940": 186, "02924116": 939,
    "02933112": 1571, "02942699": 113, "02946921": 108, "02954340": 56, "02958343": 3513, "02992529": 831,
    "03001627": 6775, "03046257": 650, "03085013": 65, "03207941": 93, "03211117": 1092, "03261776": 73,
    "03325088": 744, "03337140": 298, "03467517": 797, "03513137": 162, "03593526": 596, "03624134": 424,
    "03636649": 2318, "03642806": 460, "03691459": 1597, "03710193": 94, "03759954": 67, "03761084": 152,
    "03790512": 337, "03797390": 214, "03928116": 239, "03938244": 96, "03948459": 307, "03991062": 594,
    "04004475": 165, "04074963": 66, "04090263": 2372, "04099429": 85, "04225987": 152, "04256520": 3172,
    "04330267": 218, "04379243": 8435, "04401088": 1089, "04460130": 132, "04468005": 389, "04530566": 1936,
    "04554684": 169,
}  # fmt: skip


def parser() -> Parser:
    """The command's flags."""
    made = Parser(prog="python -m experiments.solid shapenet-index", allow_abbrev=False)
    made.add_argument("folder", type=Path, help="ShapeNetCore.v2")
    made.add_argument("--out", type=Path, required=True, metavar="FILE", help="the list, e.g. shapenet.json")
    made.add_argument(
        "--ids", type=Path, metavar="FILE", help="compare with this list, e.g. shapenet_ids.txt"
    )
    made.add_argument("--dedupe", action="store_true", help="keep one of the models with equal files")
    return made


def run(args: argparse.Namespace) -> Iterator[str]:
    """The command; yields what it prints."""
    if args.out.suffix != ".json":
        raise BadInput(f"--out {args.out} is no .json file", fix="name it shapenet.json")
    ids, hollow = find_ids(args.folder)
    yield f"{len(ids)} models in {len({name.split('/')[0] for name in ids})} synsets"
    yield from _few("without a model file", hollow)
    yield from differences(ids)
    if args.ids is not None:
        yield from compare(ids, read_ids(args.ids))
    yield from shared_hashes(ids)
    if args.dedupe:
        twins = equal_files(args.folder, ids)
        ids = [name for name in ids if name not in twins]
        yield f"--dedupe: {len(twins)} models left out, {len(ids)} kept"
        yield from _few("left out", [f"{name} (= {first})" for name, first in twins.items()])
    listed = args.out.with_name(f"{args.out.stem}_ids.txt")
    _write(args.out, json.dumps([{"model": f"{name}/{MODEL}"} for name in ids], indent=0) + "\n")
    _write(listed, "\n".join(ids))
    yield f"written: {args.out}, {listed}"
    settings = {"folder": args.folder, "list_file": args.out, "num_classes": len(ids)}
    yield "use: " + " ".join(f"-o meshes.{name}={value}" for name, value in settings.items())


def find_ids(folder: Path) -> tuple[list[str], list[str]]:
    """(ids "<synset>/<hash>" with a model file, those without one), each in the order of their bytes.

    Missing: no such folder, or nothing in it that looks like ShapeNetCore.v2.
    """
    if not folder.is_dir():
        raise Missing("no such folder", file=folder, fix="give the folder ShapeNetCore.v2 (shapenet.org)")
    found, hollow = [], []
    for synset in _folders(folder):
        if not (len(synset) == 8 and synset.isdigit()):
            continue  # taxonomy, documentation, whatever else lies there
        for model in _folders(folder / synset):
            name = f"{synset}/{model}"
            (found if (folder / name / MODEL).is_file() else hollow).append(name)
    if not found:
        what = f"holds no <synset>/<hash>/{MODEL}"
        raise Missing(what, file=folder, fix="unpack ShapeNetCore.v2 there, or use MESHES= for other folders")
    return sorted(found, key=os.fsencode), sorted(hollow, key=os.fsencode)


def _folders(place: Path) -> list[str]:
    with os.scandir(place) as entries:
        return [entry.name for entry in entries if entry.is_dir()]


def differences(ids: Sequence[str]) -> Iterator[str]:
    """A line for each synset whose number of models is not the published one."""
    counts = Counter(name.partition("/")[0] for name in ids)
    odd = [synset for synset in sorted({*counts, *PUBLISHED}) if counts[synset] != PUBLISHED.get(synset, 0)]
    for synset in odd:
        published = PUBLISHED.get(synset)
        known = f"{published} published" if published is not None else "not published"
        yield f"synset {synset}: {counts[synset]} here, {known}"
    total = sum(PUBLISHED.values())
    if odd:
        yield f"{len(odd)} synsets differ; in all {len(ids)} models here, {total} published"
    else:
        yield f"every synset has the published number of models, {total} in all"


def read_ids(path: Path) -> list[str]:
    """The lines of an id list. BadInput: not one id per line, or one twice."""
    try:
        names = path.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"cannot be read ({type(error).__name__})", file=path, fix="check the path") from None
    for name in names:
        if name.count("/") != 1:
            raise BadInput(f"{name!r} is no <synset>/<hash>", file=path, fix="one id per line")
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise BadInput(f"{twice[0]} stands there twice", file=path, fix="remove one")
    return names


def compare(ids: Sequence[str], wanted: Sequence[str]) -> Iterator[str]:
    """How the ids that are here differ from a list."""
    missing, more = sorted({*wanted} - {*ids}), sorted({*ids} - {*wanted})
    if not missing and not more:
        same = "the same ids" if list(ids) == list(wanted) else "the same ids in another order"
        yield f"--ids: {same}"
        return
    yield from _few("--ids: listed but not here", missing)
    yield from _few("--ids: here but not listed", more)


def shared_hashes(ids: Sequence[str]) -> Iterator[str]:
    """One line about hashes that stand in several synsets: classes that nothing tells apart."""
    places: dict[str, list[str]] = defaultdict(list)
    for name in ids:
        places[name.partition("/")[2]].append(name)
    shared = {model: names for model, names in places.items() if len(names) > 1}
    if shared:
        extra = sum(len(names) - 1 for names in shared.values())
        first = next(iter(shared.values()))
        told = f"{extra} classes too many (first: {' '.join(first)})"
        yield f"{len(shared)} hashes stand in several synsets, {told}"


def equal_files(folder: Path, ids: Sequence[str]) -> dict[str, str]:
    """{later id: first id} of model files with equal bytes. Only files of equal size are read."""
    by_size: dict[int, list[str]] = defaultdict(list)
    for name in ids:
        by_size[(folder / name / MODEL).stat().st_size].append(name)
    first: dict[str, str] = {}
    twins = {}
    for names in by_size.values():
        for name in names if len(names) > 1 else ():
            kept = first.setdefault(file_digest(folder / name / MODEL), name)
            if kept != name:
                twins[name] = kept
    return {name: twins[name] for name in ids if name in twins}


def _few(what: str, names: Sequence[str]) -> Iterator[str]:
    if names:
        more = f", ... ({len(names)} in all)" if len(names) > NUM_LISTED else ""
        yield f"{what}: {', '.join(names[:NUM_LISTED])}{more}"


def _write(path: Path, text: str) -> None:
    """The file appears whole or not at all; an older one is replaced."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except FileNotFoundError:
        raise BadInput("no such folder", file=path.parent, fix="make it, or choose another --out") from None
    finally:
        temporary.unlink(missing_ok=True)
