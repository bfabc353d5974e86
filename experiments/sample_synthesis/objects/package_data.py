"""Files inside the installed scikit-image, found without importing it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from suite.errors import Missing

PACKAGE = "skimage"


def package_file(name: str) -> Path:
    """The path of a data file of scikit-image. Raises Missing where the package or the file is not there."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise Missing("scikit-image is not installed", fix="use the toolchain of this stage")
    path = Path(spec.origin).parent / "data" / name
    if not path.is_file():
        raise Missing("is not inside the installed scikit-image", file=name, fix="install the locked version")
    return path
