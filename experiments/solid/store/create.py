"""`create-store`: lay out the empty store and put the class table beside it.

    python -m experiments.solid create-store --config ... --clean DIR --out DIR

Output: `solid.zarr` and `classes.json` (position = class id), copied from the `clean` stage.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from experiments.solid.store.schema import CLASSES_NAME, STORE_NAME, StoreLayout
from experiments.solid.store.writer import create_store
from suite.errors import BadInput
from suite.manifest import file_digest
from suite.stage import Context


def read_classes(path: Path) -> list[dict]:
    """The ordered class table. BadInput: damaged JSON, an empty table, two entries of one model."""
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise BadInput(
            f"class table is unreadable ({type(error).__name__})", file=path, fix="run clean again"
        ) from None
    rows = table["classes"] if isinstance(table, dict) and "classes" in table else table
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise BadInput("class table is not a non-empty list of models", file=path, fix="run clean again")
    seen: dict[str, int] = {}
    for position, row in enumerate(rows):
        name = str(row.get("id", position))
        if name in seen:
            raise BadInput(
                f"classes {seen[name]} and {position} are the same model {name!r}",
                file=path,
                fix="remove one",
            )
        seen[name] = position
    return rows


def run(ctx: Context) -> None:
    """The stage: check the class table against the config, write the empty store."""
    source = ctx.inputs["clean"] / CLASSES_NAME
    classes = read_classes(source)
    expected = ctx.config.meshes.num_classes
    if expected is not None and expected != len(classes):
        raise BadInput(
            f"{len(classes)} classes, the config expects {expected}",
            file=source,
            fix=f"set meshes.num_classes to {len(classes)}, or mend the meshes that index and clean rejected",
        )
    shutil.copyfile(source, ctx.out / CLASSES_NAME)
    layout = StoreLayout.of(ctx.config, len(classes))
    shutil.rmtree(ctx.out / STORE_NAME, ignore_errors=True)  # of a killed run
    create_store(ctx.out / STORE_NAME, layout, classes_sha256=file_digest(ctx.out / CLASSES_NAME))
    ctx.count("classes", len(classes))
    ctx.count("images", layout.num_images)
