# SPDX-License-Identifier: GPL-3.0-or-later
"""The published way of reading OBJ files: the Node program obj2gltf, before Blender sees them.

Optional (`meshes.converter: obj2gltf`), because Blender 4 reads OBJ files itself and ends in the same
geometry. obj2gltf splits vertices at texture seams and where normals differ, and makes its own materials. Its
exit status is looked at, which the published script does not do.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from suite.errors import BadInput, Missing

PROGRAM = "obj2gltf"
SECONDS = 900  # for one model


def check_converter(converter: str) -> None:
    """Missing if the settings want obj2gltf and it is not on the PATH."""
    if converter == PROGRAM and shutil.which(PROGRAM) is None:
        raise Missing(
            f"meshes.converter is {PROGRAM}, which is not on the PATH",
            fix="npm install -g obj2gltf (Node), or use -o meshes.converter=bpy",
        )


@contextmanager
def as_published(source: Path, converter: str) -> Iterator[Path]:
    """The file that Blender is to import: `source`, or the glTF file that obj2gltf makes of an OBJ.

    BadInput where obj2gltf fails, with the last line that it said.
    """
    if converter != PROGRAM or source.suffix.lower() != ".obj":
        yield source
        return
    with tempfile.TemporaryDirectory(prefix="syndet-obj-") as folder:
        target = Path(folder) / "model.gltf"
        command = [PROGRAM, "-i", str(source), "-o", str(target)]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, errors="replace", timeout=SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            raise BadInput(f"{PROGRAM} took more than {SECONDS} s", file=source, fix="simplify it") from None
        if done.returncode or not target.is_file():
            lines = [line.strip() for line in (done.stderr + done.stdout).splitlines() if line.strip()]
            reason = lines[-1] if lines else f"exit code {done.returncode}"
            raise BadInput(f"{PROGRAM} cannot convert it ({reason})", file=source, fix="repair or remove it")
        yield target
