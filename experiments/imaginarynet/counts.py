"""How many candidates of each class were made, failed, were rejected and kept; and how many are short."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from experiments.imaginarynet.store.manifest import Candidate


@dataclass(frozen=True)
class ClassCount:
    """A class of a run."""

    class_id: int
    class_name: str
    quota: int  # pictures that were asked for
    candidates: int  # in all rounds
    rounds: int  # the last one that made a candidate
    failed: int
    rejected: int
    kept: int

    @property
    def shortage(self) -> int:
        """Pictures that are missing after the last round."""
        return max(0, self.quota - self.kept)

    @property
    def surplus(self) -> int:
        """Pictures above the quota, which are kept all the same."""
        return max(0, self.kept - self.quota)

    @property
    def rate(self) -> float | None:
        """Share of the candidates that was kept; None where there was none."""
        return self.kept / self.candidates if self.candidates else None

    def row(self) -> dict[str, object]:
        """As a line of classes.csv."""
        return {**asdict(self), "shortage": self.shortage}


def class_counts(
    rows: Iterable[Candidate], class_names: Sequence[str], quotas: Sequence[int]
) -> list[ClassCount]:
    """One count per class, in the order of the classes; candidates count for their own class alone."""
    own: dict[int, list[Candidate]] = {index: [] for index in range(len(class_names))}
    for row in rows:
        own[row.class_id].append(row)
    return [
        ClassCount(
            index,
            name,
            quota,
            len(own[index]),
            max((row.round for row in own[index]), default=0),
            sum(row.status == "failed" for row in own[index]),
            sum(row.status == "rejected" for row in own[index]),
            sum(row.status == "accepted" for row in own[index]),
        )
        for index, (name, quota) in enumerate(zip(class_names, quotas, strict=True))
    ]


def shortage_line(counts: Sequence[ClassCount], *, most: int = 8) -> str | None:
    """One sentence about the classes that are short; None where none is."""
    short = [count for count in counts if count.shortage]
    if not short:
        return None
    named = ", ".join(f"{count.class_name} {count.kept} of {count.quota}" for count in short[:most])
    more = f" and {len(short) - most} more" if len(short) > most else ""
    return f"{len(short)} of {len(counts)} classes have fewer pictures than asked for: {named}{more}"
