"""CUB-200-2011: one bird and one box per photograph, and a split that no generator has seen the test images
of.

    sets = cub(Path("data/CUB_200_2011/CUB_200_2011"))

`images.txt` (`id path`), `bounding_boxes.txt` (`id x y width height`) and the published split file, `id
split` a line, 0 train, 1 valid, 2 test. Where that file is not there it is made again from the two lists that
it was made from: the names of DM-GAN's test images and ReDO's split (0 train). Test are the images of the
first list that ReDO did not train on; the other ids, in the order of images.txt, are shuffled with seed 6789,
and the first 1,000 validate.
"""

from __future__ import annotations

import pickletools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from experiments.sample_synthesis.data.build import build
from experiments.sample_synthesis.data.tablefile import read_text
from experiments.sample_synthesis.data.types import SPLITS, Account, Listed, ListedBox, RealSet
from experiments.sample_synthesis.data.where import SPLIT_FILE, absent
from suite.errors import BadInput, Missing

REDO_SPLIT = "redo_train_val_test_split.txt"
DMGAN_TEST = ("dmgan_test_filenames.pickle", "dmgan_test_filenames.txt")
SPLIT_SEED = 6789
NUM_VALID = 1000
CODES = {"0": "train", "1": "valid", "2": "test"}
LABEL = "bird"


def cub(root: Path, *, split_file: Path | None = None, threads: int = 1) -> dict[str, RealSet]:
    """The three splits. split_file: by default our_train_test_split.txt in `root` or the folder above. Raises
    Missing where the set or the split is not there, BadInput for what is damaged.
    """
    root = cub_root(root)
    account = Account(root)
    file, listed = list_cub(root, account, split_file=split_file)
    return {
        split: build(
            rows, images_dir=root / "images", split=split, label=LABEL, source="cub", account=account,
            file=file, threads=threads,
        )
        for split, rows in listed.items()
    }  # fmt: skip


def cub_root(root: Path) -> Path:
    """The folder with images.txt: `root` or the one of the set's name in it. Raises Missing."""
    if not (root / "images.txt").is_file() and (root / "CUB_200_2011" / "images.txt").is_file():
        root = root / "CUB_200_2011"
    for name in ("images.txt", "bounding_boxes.txt"):
        if not (root / name).is_file():
            raise absent("cub", root / name)
    return root


def list_cub(
    root: Path, account: Account, *, split_file: Path | None = None
) -> tuple[Path, dict[str, list[Listed]]]:
    """(file of the split, {split: its photographs and boxes}), no photograph opened yet."""
    paths = dict(_pairs(root / "images.txt"))
    boxes = _boxes(root / "bounding_boxes.txt", account)
    file, codes = read_split(root, list(paths), paths, split_file)
    listed: dict[str, list[Listed]] = {split: [] for split in SPLITS}
    for place, (key, code) in enumerate(codes.items()):
        if key not in boxes:
            raise BadInput(
                f"has no box of image {key}", file=root / "bounding_boxes.txt", fix="copy the file again"
            )
        rows = listed[CODES[code]]
        rows.append(Listed(paths[key], boxes[key], place, f"image {key}", {"cub_id": int(key)}))
    return file, listed


def read_split(
    root: Path, ids: Sequence[str], paths: Mapping[str, str], split_file: Path | None
) -> tuple[Path, dict[str, str]]:
    """(file, {id: "0", "1" or "2"}) from the split file, or made again from the two lists. Raises Missing."""
    places = [split_file] if split_file is not None else [root / SPLIT_FILE, root.parent / SPLIT_FILE]
    for path in places:
        if path.is_file():
            return path, _checked(path, set(ids))
    if split_file is None:
        lists = [_first(root, (REDO_SPLIT,)), _first(root, DMGAN_TEST)]
        if all(lists):
            return lists[0], make_split(ids, paths, redo=_checked(lists[0], set(ids)), dmgan=_names(lists[1]))
    what = "the published split of CUB is not here"
    fix = f"put {SPLIT_FILE} there (`id split` a line), or its sources {REDO_SPLIT} and {DMGAN_TEST[0]}"
    raise Missing(what, file=places[0], fix=fix)


def make_split(
    ids: Sequence[str], paths: Mapping[str, str], *, redo: Mapping[str, str], dmgan: Sequence[str]
) -> dict[str, str]:
    """{id: code} by the published rule. `redo`: {id: code of ReDO}; `dmgan`: paths of its test images,
    without ending. Raises BadInput for a name that images.txt does not have.
    """
    by_name = {path.removesuffix(".jpg"): key for key, path in paths.items()}
    unknown = [name for name in dmgan if name.removesuffix(".jpg") not in by_name]
    if unknown:
        raise BadInput(
            f"{len(unknown)} names of DM-GAN's list are not in images.txt, first {unknown[0]!r:.80}"
        )
    test = {by_name[name.removesuffix(".jpg")] for name in dmgan} & {
        key for key in ids if redo.get(key) != "0"
    }
    rest = [key for key in ids if key not in test]
    np.random.RandomState(SPLIT_SEED).shuffle(rest)
    valid = set(rest[:NUM_VALID])
    return {key: "2" if key in test else "1" if key in valid else "0" for key in ids}


def string_constants(path: Path) -> list[str]:
    """The strings in a pickle, in order, without unpickling it: its instructions are listed, none is carried
    out. Raises BadInput.
    """
    kinds = (
        "STRING",
        "BINSTRING",
        "SHORT_BINSTRING",
        "UNICODE",
        "BINUNICODE",
        "SHORT_BINUNICODE",
        "BINUNICODE8",
    )
    try:
        return [str(value) for code, value, _ in pickletools.genops(path.read_bytes()) if code.name in kinds]
    # What pickletools raises for bytes that are no pickle or a cut one.
    except (ValueError, IndexError, KeyError, UnicodeDecodeError) as error:
        raise BadInput(
            f"is no pickled list of names ({str(error):.60})", file=path, fix="copy it again"
        ) from None


def split_text(sets: Mapping[str, RealSet]) -> str:
    """The published form of the split: `id code` a line, by id."""
    codes = {split: code for code, split in CODES.items()}
    rows = [
        (image.extra["cub_id"], codes[split]) for split, real in sets.items() for image in real.coco.images
    ]
    return "".join(f"{key} {code}\n" for key, code in sorted(rows))


def _first(root: Path, names: Sequence[str]) -> Path | None:
    places = (folder / name for folder in (root, root.parent) for name in names)
    return next((path for path in places if path.is_file()), None)


def _names(path: Path) -> list[str]:
    if path.suffix == ".pickle":
        return [name for name in string_constants(path) if "/" in name]
    return read_text(path).split()


def _pairs(path: Path) -> Iterator[tuple[str, str]]:
    """(first, rest) of every line; BadInput for a line without two words or an id that occurs twice."""
    seen = set()
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        if not line.strip():
            continue
        key, _, rest = line.strip().partition(" ")
        if not rest or not key.isdigit() or key in seen:
            what = (
                f"line {number}: {line!r:.60} is no `id value`"
                if key not in seen
                else f"line {number}: id twice"
            )
            raise BadInput(what, file=path, fix="copy the file again")
        seen.add(key)
        yield key, rest.strip()


def _checked(path: Path, ids: set[str]) -> dict[str, str]:
    codes = dict(_pairs(path))
    for key, code in codes.items():
        if key not in ids or code not in CODES:
            what = f"`{key} {code}`: " + (
                "no such id in images.txt" if key not in ids else "the split is 0, 1 or 2"
            )
            raise BadInput(what, file=path, fix="check which file this is")
    return codes


def _boxes(path: Path, account: Account) -> dict[str, tuple[ListedBox, ...]]:
    """The box of every id, corners; an empty tuple where it was damaged, and counted. Raises BadInput."""
    found: dict[str, tuple[ListedBox, ...]] = {}
    for number, (key, rest) in enumerate(_pairs(path), start=1):
        where, cells = f"line {number}", rest.split()
        box = account.box(_corners(cells), file=path, where=where)
        found[key] = () if box is None else (ListedBox(box, where),)
    return found


def _corners(cells: list[str]) -> list[object]:
    """x, y, width, height -> x1, y1, x2, y2; cells that are no numbers stay, for the account to refuse."""
    try:
        x, y, width, height = map(float, cells)
    except ValueError:
        return list(cells)
    return [x, y, x + width, y + height]
