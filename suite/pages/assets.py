"""The page LICENSES/third-party/assets.md: what the repository holds and reads that others made.

Rows come from the manifests of `assets/`, from suite/datasets.yaml and, of what packages bring, from
notices.yaml. `python -m suite.pages.notices` writes it.
"""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import yaml

from suite.provenance import ROOT

ASSETS = ROOT / "assets"
MADE_BY = "Made by `python -m suite.pages.notices`; do not edit."
SAID = Path(__file__).with_name("notices.yaml")


def read(path: Path) -> Any:
    """A JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def table(*rows: tuple[str, ...]) -> list[str]:
    """Lines of a table in Markdown; the first row is its head."""
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return [lines[0], "|" + "---|" * len(rows[0]), *lines[1:]]


def embedded() -> list[tuple[str, ...]]:
    """Rows of assets/meshes and assets/textures, one a source and licence: (what, from, licence, text)."""
    groups: dict[tuple[str, str, str], dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    manifest = read(ASSETS / "meshes/meshes.json")
    for mesh in manifest["meshes"]:
        text = f"assets/meshes/{manifest['licenses'][mesh['license']]}"
        groups[(mesh["source"]["package"], mesh["license"], text)]["meshes"].append(mesh["id"])
    for picture in read(ASSETS / "textures/textures.json"):
        package = picture["source"].partition(":")[0]
        text = f"assets/{(Path('textures') / picture['license_file']).as_posix().replace('textures/../', '')}"
        groups[(package, picture["license"], text)]["textures"].append(picture["file"])
    rows = []
    for (package, licence, text), found in sorted(groups.items()):
        what = [f"meshes: {', '.join(sorted(found['meshes']))}"] if found["meshes"] else []
        what += [f"{len(found['textures'])} textures"] if found["textures"] else []
        rows.append(("; ".join(what), package, licence, f"[{Path(text).name}](../../{text})"))
    return rows


def data_sets() -> list[tuple[str, ...]]:
    """The sets of suite/datasets.yaml: (title, licence, systems)."""
    entries = yaml.safe_load((ROOT / "suite/datasets.yaml").read_text(encoding="utf-8"))
    return [(row["title"], row["licence"], ", ".join(row["systems"])) for row in entries.values()]


def assets_page() -> str:
    """The text of the page."""
    said = yaml.safe_load(SAID.read_text(encoding="utf-8"))
    made = [(f"[assets/{name}](../../assets/{name})", what, shows) for name, what, shows in said["made_here"]]
    tables = {
        "by others": table(("what", "from", "licence", "text"), *embedded()),
        "here": table(("folder", "what", "shows"), *made),
        "packages": table(("what", "package", "licence", "read by"), *map(tuple, said["at_run_time"])),
        "fetched": table(("what", "licence", "systems"), *data_sets()),
    }
    lines = ["# Third-party notices: assets and data", "", MADE_BY]
    for name, rows in tables.items():
        section = said["sections"][name]
        lines += ["", f"## {section['title']}", "", section["text"], "", *rows]
    return "\n".join(lines) + "\n"
