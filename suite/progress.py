"""Progress: a bar with rate and time left on a terminal, one line per event in a log."""

from __future__ import annotations

import sys
from types import TracebackType

from tqdm import tqdm


class Progress:
    """Counts finished items. `with Progress(64, "targets") as bar: ... bar.advance()`."""

    def __init__(self, total: int, name: str, *, done: int = 0, silent: bool = False) -> None:
        self._bar = tqdm(
            total=total,
            initial=done,
            desc=name,
            unit="item",
            disable=silent or not sys.stderr.isatty(),
            file=sys.stderr,
            leave=True,
        )

    def advance(self, items: int = 1) -> None:
        self._bar.update(items)

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._bar.close()
