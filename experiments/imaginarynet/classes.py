"""Class lists: the names that pictures are made of, one a line, in the order of the file.

    class_names("voc")            # 20 names; also VOC, voc.txt, VOC.txt: case does not matter
    class_names("my/classes.txt") # a file of your own
    class_names(("mug", "chair")) # the names themselves

The published reader strips the line end and nothing else: a blank last line becomes a class without a name
(published code, `--classfile`). Here blank lines, a byte order mark and Windows line ends are passed over,
and what cannot be a class is an error with its line. Pure Python: the table of stages imports it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from suite.errors import BadInput
from suite.paths import data_path

if TYPE_CHECKING:
    from experiments.imaginarynet.config import ImaginaryNetConfig

FOLDER = Path(__file__).resolve().with_suffix("")
LISTS = {"voc": "VOC.txt", "coco": "COCO.txt", "tabletop": "tabletop.txt"}
SUFFIX = ".txt"


def class_names(spec: str | Sequence[str]) -> tuple[str, ...]:
    """The names that `classes` of the settings means: a shipped list, a class file, or the names themselves.

    A file of that name wins over a shipped list only where the name ends in `.txt` or has a folder.
    Raises BadInput for an unknown list, an unreadable file, and names that cannot be classes.
    """
    if not isinstance(spec, str):
        return _checked([(f"name {place}", name) for place, name in enumerate(spec, start=1)], "classes")
    path = data_path(spec)
    name = spec.casefold().removesuffix(SUFFIX)
    is_path = spec.casefold().endswith(SUFFIX) or len(Path(spec).parts) > 1
    if is_path and path.is_file():
        return read_class_file(path)
    if name in LISTS:
        return read_class_file(FOLDER / LISTS[name])
    if path.is_file():
        return read_class_file(path)
    if is_path:
        raise BadInput("no such class file", file=path, fix=f"or name one of {', '.join(LISTS)}")
    near = difflib.get_close_matches(name, LISTS, n=1, cutoff=0.5)
    fix = f"did you mean {near[0]}?" if near else f"name one of {', '.join(LISTS)}, or a class file"
    raise BadInput(f"no class list {spec!r}", fix=fix)


def classes_of(config: ImaginaryNetConfig) -> tuple[str, ...]:
    """The class names of a run. Raises BadInput also where CLIP would have nothing to choose between."""
    names = class_names(config.classes)
    if config.clip.enabled and len(names) < 2:
        fix = "add a class, or leave the filter out (no --clip; clip.enabled=false)"
        raise BadInput(f"the filter needs 2 classes or more, there is 1: {names[0]}", fix=fix)
    return names


def read_class_file(path: Path) -> tuple[str, ...]:
    """The names of a class file, UTF-8, one a line. Raises BadInput with the line at fault."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        raise BadInput("no such class file", file=path, fix="check the path") from None
    except UnicodeDecodeError:
        raise BadInput("is not UTF-8", file=path, fix="save it as UTF-8, one class a line") from None
    lines = ((f"line {number}", line.strip()) for number, line in enumerate(text.split("\n"), start=1))
    return _checked([(place, name) for place, name in lines if name], path)


def label_of(class_name: str) -> str:
    """The name as annotations have it: without spaces (published code)."""
    return class_name.replace(" ", "")


def _checked(names: Iterable[tuple[str, str]], file: str | Path) -> tuple[str, ...]:
    """The names, each with the place that an error tells."""
    found: dict[str, str] = {}  # what a label is compared by -> where it stands
    kept = []
    for place, name in names:
        _check_name(name, place, file)
        key = label_of(name).casefold()
        if key in found:
            what = f"{place}: {name!r} is there already ({found[key]}); labels have no spaces or case"
            raise BadInput(what, file=file, fix="leave one of them out")
        found[key] = place
        kept.append(name)
    if not kept:
        raise BadInput("holds no class", file=file, fix="write one class name a line")
    return tuple(kept)


def _check_name(name: str, place: str, file: str | Path) -> None:
    if "\t" in name:
        raise BadInput(f"{place}: a tab inside {name!r}", file=file, fix="write one class name a line")
    if not name.strip() or name != name.strip():
        what = f"{place}: {name!r} is empty or has spaces around it"
        raise BadInput(what, file=file, fix="write the name alone")
    if not name.isprintable() or "/" in name:
        what = f"{place}: {name!r} has a character that no file name should have"
        raise BadInput(what, file=file, fix="use letters, digits, spaces, - and _")
