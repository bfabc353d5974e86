"""Checks of what the project brings and what you brought: environments, detectron2, data sets, embedded
assets.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from suite.doctor.context import Context
from suite.doctor.needs import toolchains_of
from suite.doctor.result import MISSING, OK, WARN, Result

RECORD_KEYS = ("path", "file", "model")  # where a record of an asset list names its file
CHUNK = 2**20


def check_environments(context: Context) -> list[Result]:
    """.tox/<toolchain>, made from the lock as it is now."""
    used = toolchains_of(context.systems)
    return [_environment(context, name, name in used) for name in context.toolchains]


def _environment(context: Context, toolchain: str, used: bool) -> Result:
    why = f"PLACE=venv runs the {toolchain} stages in .tox/{toolchain}"

    def line(state: str, value: str, remedy: str = "") -> Result:
        return Result(f"env-{toolchain}", "environments", f".tox/{toolchain}", state, value, why, remedy)

    build = f"python3 workflow/bootstrap.py {toolchain}"
    bootstrap = context.bootstrap
    if bootstrap is None:
        return line(WARN, "not checked: workflow/bootstrap.py does not load here", "use Python 3.11")
    folder = context.root / ".tox" / toolchain
    if not (folder / "bin" / "python").exists():
        when = "made by the first run" if used else "no system here uses it yet"
        return line(WARN, f"not there; {when}", f"nothing to do, or now: {build}")
    for accel in (context.accel, *{"cpu", "cuda"}.difference({context.accel})):
        try:
            made = bootstrap.recipe(toolchain, accel)
        except bootstrap.Missing:  # that flavour has no lock
            continue
        if bootstrap.is_ready(made):
            return line(OK, f"made from {made.lock.name} ({made.digest[:12]})")
    stamp = folder / bootstrap.STAMP
    state = "made from another lock" if stamp.is_file() else "half built"
    return line(WARN, f"{state}; the next run makes it anew", f"nothing to do, or now: {build}")


def check_detectron2(context: Context) -> Result:
    """Which detectron2 is installed: the official repository or the re-upload."""
    why = "by default it is a third party's re-upload of the official v0.6 Python files, accepted by digest"

    def line(state: str, value: str, remedy: str = "") -> Result:
        return Result("detectron2", "environments", "which detectron2", state, value, why, remedy)

    places = (context.root / ".tox" / "detectron2", Path("/opt/venv"))
    found = [
        path for place in places for path in place.glob("lib/python3.*/site-packages/detectron2-*.dist-info")
    ]
    if not found:
        remedy = "nothing to do; DETECTRON2_SOURCE=official takes the official repository instead"
        return line(OK, "none installed outside images yet", remedy)
    try:
        record = json.loads((found[0] / "direct_url.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return line(
            WARN, f"{found[0]} does not say where it came from", "rm -r .tox/detectron2 and run again"
        )
    if "vcs_info" in record:
        commit = str(record["vcs_info"].get("commit_id", "?"))[:12]
        return line(OK, f"{_release(found[0])}, official repository at {commit}")
    digest = str(record.get("archive_info", {}).get("hashes", {}).get("sha256", "?"))[:12]
    return line(OK, f"{_release(found[0])}, third-party re-upload (sha256 {digest})")


def _release(info: Path) -> str:
    return info.name[len("detectron2-") : -len(".dist-info")]


def check_data_sets(context: Context) -> list[Result]:
    """Each data set of suite/datasets.yaml that one of the systems can use."""
    path = context.root / "suite" / "datasets.yaml"
    try:
        import yaml
    except ImportError:
        value, why = "not checked: this Python has no PyYAML", "paper scale reads data that you put in place"
        remedy = "make doctor (it brings its own environment)"
        return [Result("data-sets", "data", "data sets", WARN, value, why, remedy)]
    sets = yaml.safe_load(path.read_text(encoding="utf-8"))
    return [
        _data_set(context, key, about)
        for key, about in sets.items()
        if set(about["systems"]).intersection(context.systems)
    ]


def _data_set(context: Context, key: str, about: dict[str, Any]) -> Result:
    folder = context.folder("DATA_DIR", "data") / about["folder"]
    needed = f"; needed at scale {', '.join(about['scales'])}" if about["scales"] else ""
    why = f"{about['what']}{needed}. Licence: {about['licence']}"
    places = [folder, Path(about["also"])] if "also" in about else [folder]
    absent = {place: [name for name in about["holds"] if not any(place.glob(name))] for place in places}
    for place in places:
        if not absent[place]:
            return Result(f"data-{key}", "data", about["title"], OK, str(place), why)
    state = MISSING if context.scale in about["scales"] else WARN
    value = f"not in {folder}" if not folder.is_dir() else f"{folder} holds no {absent[folder][0]}"
    return Result(f"data-{key}", "data", about["title"], state, value, why, about["get"])


def check_assets(context: Context) -> Result:
    """Every embedded file that a list under assets/ gives a digest for."""
    why = "smoke runs need no download, because their meshes and pictures are in the repository"

    def line(state: str, value: str, remedy: str = "") -> Result:
        return Result("assets", "data", "embedded assets", state, value, why, remedy)

    num_files = num_bytes = 0
    restore = "git checkout -- assets"
    for path, digest, source in _listed_assets(context.root / "assets"):
        if not path.is_file():
            return line(MISSING, f"{_short(context, source)} lists {path.name}, which is not there", restore)
        if sha256(path) != digest:
            return line(
                MISSING, f"{_short(context, path)} does not have the digest in {source.name}", restore
            )
        num_files, num_bytes = num_files + 1, num_bytes + path.stat().st_size
    if num_files == 0:
        return line(
            WARN, "no list with digests under assets/", "check that the clone is complete: git status"
        )
    return line(OK, f"{num_files} files, {num_bytes / 1e6:.1f} MB, digests verified")


def _short(context: Context, path: Path) -> str:
    return str(path.relative_to(context.root))


def _listed_assets(folder: Path) -> Iterator[tuple[Path, str, Path]]:
    """(file, its SHA-256, the list) of every record with a digest in the JSON files below `folder`."""
    for source in sorted(folder.rglob("*.json")):
        try:
            tree = json.loads(source.read_text(encoding="utf-8"))
        except (UnicodeDecodeError, json.JSONDecodeError):
            continue  # not one of the lists
        for name, digest in _digests(tree):
            yield source.parent / name, digest, source


def _digests(tree: Any, folder: str = "") -> Iterator[tuple[str, str]]:
    """Pairs (relative path, SHA-256) anywhere in a JSON value: records with a file and its `sha256`, and maps
    of file name -> digest, relative to the file that the record around them names.
    """
    if isinstance(tree, list):
        for item in tree:
            yield from _digests(item, folder)
    elif isinstance(tree, dict):
        name = next((tree[key] for key in RECORD_KEYS if isinstance(tree.get(key), str)), None)
        if name is not None and _is_digest(tree.get("sha256")):
            yield f"{folder}{name}", tree["sha256"]
        below = f"{folder}{name[: name.rfind('/') + 1]}" if name is not None else folder
        for key, value in tree.items():
            if _is_digest(value) and "." in key:
                yield f"{folder}{key}", value
            elif isinstance(value, (dict, list)):
                yield from _digests(value, below)


def _is_digest(value: Any) -> bool:
    return isinstance(value, str) and len(value) == 64 and all(c in "0123456789abcdef" for c in value)


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as handle:
        for chunk in iter(lambda: handle.read(CHUNK), b""):
            digest.update(chunk)
    return digest.hexdigest()
