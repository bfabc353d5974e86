"""What is wrong with an item of a data set, and what happens then.

`on_bad="raise"`: the first bad item ends reading with BadInput, one line. `on_bad="skip"`: the item is left
out, counted and shown as an example, and past `max_bad_share` of the items of its kind reading ends with
BadInput all the same. Faults of the file as a whole (not JSON, no categories) always end reading.
"""

from __future__ import annotations

import collections
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from suite.errors import BadInput

OnBad = Literal["raise", "skip"]
NUM_EXAMPLES = 5


class Fault(Exception):
    """One bad item: `kind` for counting, `subject` as "annotation 12", `what` is wrong, `fix` to do."""

    def __init__(self, kind: str, subject: str, what: str, fix: str):
        super().__init__(f"{subject}: {what}; {fix}")
        self.kind, self.subject, self.what, self.fix = kind, subject, what, fix

    def error(self, file: str | Path) -> BadInput:
        """The fault as the one line that a user sees."""
        return BadInput(f"{self.subject}: {self.what}", file=file, fix=self.fix)


@dataclass(frozen=True)
class Skipped:
    """What reading left out: number of items per kind of fault, and the first lines in full."""

    counts: Mapping[str, int] = field(default_factory=dict)
    examples: tuple[str, ...] = ()

    @property
    def total(self) -> int:
        """Number of items left out."""
        return sum(self.counts.values())

    def __str__(self) -> str:
        if not self.counts:
            return "nothing left out"
        return f"{self.total} left out: " + ", ".join(
            f"{n} {kind}" for kind, n in sorted(self.counts.items())
        )


class Intake:
    """Applies the policy for bad items while one file, or one folder, is read."""

    def __init__(self, file: str | Path, on_bad: OnBad = "raise", max_bad_share: float = 0.01):
        if on_bad not in ("raise", "skip"):
            raise ValueError(f"on_bad is {on_bad!r}, choose raise or skip")
        self.file, self.on_bad, self.max_bad_share = file, on_bad, max_bad_share
        self._counts: collections.Counter[str] = collections.Counter()
        self._examples: list[str] = []

    def reject(self, fault: Fault, file: str | Path | None = None) -> None:
        """Raise or count the fault of one item; `file` overrides the name shown."""
        error = fault.error(file or self.file)
        if self.on_bad == "raise":
            raise error from None
        self._counts[fault.kind] += 1
        if len(self._examples) < NUM_EXAMPLES:
            self._examples.append(str(error))

    def follow(self, kind: str) -> None:
        """Count an item left out because another one was; it is not a fault of its own."""
        self._counts[kind] += 1

    def close(self, what: str, *, bad: int, total: int) -> None:
        """Stop if more than the permitted share of `what` (a plural noun) was bad."""
        if total and bad / total > self.max_bad_share:
            raise BadInput(
                f"{bad} of {total} {what} are bad ({bad / total:.1%}, permitted {self.max_bad_share:.1%}); "
                f"first: {self._examples[0]}",
                file=self.file,
                fix="mend the data set or raise the permitted share",
            )

    def skipped(self) -> Skipped:
        """The account so far."""
        return Skipped(dict(sorted(self._counts.items())), tuple(self._examples))
