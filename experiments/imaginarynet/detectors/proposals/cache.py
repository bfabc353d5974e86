"""What was searched once is not searched again: one small file per picture, shared by all runs.

A file is named by the digest of the picture and lies in a folder named by everything else that decides its
boxes: the settings of the search, the version of OpenCV, the kind of processor. It lies below RUNS_DIR, for
stages whose result does, and a stage writes nowhere else; a folder that cannot be written is done without.
"""

from __future__ import annotations

import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.imaginarynet.detectors.proposals.records import Proposals
from suite.arrays import read_arrays, write_arrays
from suite.errors import BadInput, from_os_error
from suite.manifest import key_of
from suite.runs import folder_setting

if TYPE_CHECKING:
    from experiments.imaginarynet.config_detectors import ProposalsConfig

VERSION = 1  # of the search: counted up when the same settings give other boxes
FOLDER = ".cache/proposals"  # below RUNS_DIR
NOT_SEARCHED = ("shards", "files")  # settings that no searched box depends on


@dataclass
class Cache:
    """Proposals by digest on the disk; `folder` None keeps nothing. Counts what it had and what it kept."""

    folder: Path | None
    found: int = 0
    kept: int = 0

    @classmethod
    def of(cls, out: Path, settings: ProposalsConfig) -> Cache:
        """The one for a stage's `out`: below RUNS_DIR if that is where `out` is, none otherwise."""
        runs = folder_setting("RUNS_DIR", "runs")
        if not Path(out).is_relative_to(runs):
            return cls(None)
        return cls(runs / FOLDER / search_digest(settings))

    def get(self, digest: str, search: Callable[[], Proposals]) -> Proposals:
        """The stored proposals, or those of `search`, stored. A damaged file is searched and written anew."""
        if self.folder is None:
            return search()
        path = self.folder / digest[:2] / f"{digest}.npz"
        stored = _read(path)
        if stored is not None:
            self.found += 1
            return stored
        proposals = search()
        self._write(path, proposals)
        return proposals

    def _write(self, path: Path, proposals: Proposals) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_arrays(path, boxes=proposals.boxes, scores=proposals.scores)
        except OSError as error:
            if from_os_error(error) is None:
                raise
            self.folder = None  # full, read-only or forbidden: the stage's own result is what matters
        else:
            self.kept += 1


def search_digest(settings: ProposalsConfig) -> str:
    """16 hex digits of everything beside the picture that decides its proposals."""
    import cv2

    decides = {name: value for name, value in asdict(settings).items() if name not in NOT_SEARCHED}
    parts = {
        "version": VERSION, "settings": decides, "opencv": cv2.__version__, "machine": platform.machine(),
    }  # fmt: skip
    return key_of(parts)[:16]


def _read(path: Path) -> Proposals | None:
    if not path.is_file():
        return None
    try:
        arrays = read_arrays(path)
        return Proposals(arrays["boxes"], arrays["scores"])
    except (BadInput, KeyError, ValueError):  # cut short by a kill, or none of ours
        return None
