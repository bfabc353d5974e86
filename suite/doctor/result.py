"""What a check says: a state, a value, why it matters, what to do."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

OK, WARN, MISSING = "ok", "warn", "missing"  # warn: it runs, but slower, later or not all of it


@dataclass(frozen=True)
class Result:
    """One line of the table. `name` is stable, for programs; `remedy` is empty when the state is ok."""

    name: str
    group: str  # machine, docker, gpu, environments or data
    title: str
    state: str  # OK, WARN or MISSING
    value: str  # what was found
    why: str  # what needs it
    remedy: str = ""

    def to_tree(self) -> dict[str, Any]:
        """Plain dict, for JSON."""
        return asdict(self)
