"""What lies outside of a run and its settings, as it enters a stage's key (`Stage.outside`).

    file_state(path)        # digest of a file
    tabletop_state()        # of the embedded target set
    annotated_state(files=["data/train.json"], folders=["data/train"])  # of the user's

What is not there counts as None: whether it has to be is the stage's to say.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from suite.manifest import file_digest
from suite.paths import data_path, listing_digest
from suite.provenance import ROOT

TABLETOP_LISTING = ROOT / "assets/tabletop/tabletop.json"


def file_state(path: Path) -> str | None:
    """Its SHA-256."""
    return file_digest(path) if path.is_file() else None


def tabletop_state() -> str | None:
    """Digest of tabletop's listing, which holds those of its pictures and annotations."""
    return file_state(TABLETOP_LISTING)


def annotated_state(
    *, files: Iterable[str | None], folders: Iterable[str | None]
) -> dict[str, list[str | None]]:
    """Annotation files by their bytes, folders of pictures by names and sizes; names left out are skipped."""
    return {
        "files": [file_state(data_path(name)) for name in files if name],
        "folders": [listing_digest(data_path(name)) for name in folders if name],
    }
