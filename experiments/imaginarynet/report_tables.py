"""Tables of the page: what the models were, what a threshold would keep, what was published, results.csv."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.imaginarynet.counts import ClassCount
from experiments.imaginarynet.store.manifest import Candidate
from suite.published import Published, read_published
from suite.tables import read_csv

AP = "AP VOC07 11 points"
PUBLISHED = Path(__file__).resolve().parent / "published.csv"
PER_CLASS = f"{AP}, "  # its metric of a single class
MOST_CONFUSED = 10  # lines


@dataclass(frozen=True)
class Model:
    """A model that had a part in the pictures."""

    role: str
    sha256: str
    pictures: int


@dataclass(frozen=True)
class Kept:
    """What a threshold would keep of all candidates, or of a class."""

    threshold: float
    class_name: str
    candidates: int
    kept: int
    share: float | None
    short: int
    mean: float | None  # probability of the label, of those kept


def models_of(rows: Iterable[Candidate]) -> list[Model]:
    """Every model by role, with its digest and the candidates that it worked on."""
    found = Counter((role, digest) for row in rows for role, digest in row.models.items())
    return [Model(role, digest, count) for (role, digest), count in sorted(found.items())]


def params_of(rows: Iterable[Candidate]) -> list[tuple[str, int]]:
    """The settings of sampling as JSON, and the number of candidates that were drawn with them."""
    found = Counter(json.dumps(dict(row.params), sort_keys=True) for row in rows if row.params)
    return sorted(found.items())


def sources_of(rows: Iterable[Candidate]) -> list[tuple[str, int]]:
    """Where prompts come from, and how many."""
    return sorted(Counter(row.prompt_source for row in rows).items())


def examples_of(rows: Iterable[Candidate]) -> dict[int, str]:
    """{class: its first prompt}."""
    found: dict[int, str] = {}
    for row in rows:
        found.setdefault(row.class_id, row.prompt)
    return found


def reasons_of(rows: Iterable[Candidate]) -> list[tuple[str, int]]:
    """Why candidates failed, the most frequent reason first."""
    return Counter(row.reason for row in rows if row.status == "failed").most_common()


def trade_off_of(path: Path) -> list[Kept]:
    """The rows of the filter's tradeoff.csv. Raises BadInput where it is missing."""
    return [
        Kept(
            float(row["threshold"]), row["class_name"], int(row["candidates"]), int(row["kept"]),
            _number(row["kept_share"]), int(row["short"]), _number(row["mean_p_label"]),
        )
        for row in read_csv(path)
    ]  # fmt: skip


def totals(table: Sequence[Kept]) -> list[Kept]:
    """The rows over all classes: the first of each threshold."""
    found: dict[float, Kept] = {}
    for row in table:
        found.setdefault(row.threshold, row)
    return list(found.values())


def confused(rows: Iterable[Candidate], class_names: Sequence[str]) -> list[tuple[str, str, int]]:
    """(class, class that CLIP saw, candidates), where the two differ; the most frequent first."""
    pairs = Counter(
        (row.class_id, row.top1) for row in rows if row.top1 is not None and row.top1 != row.class_id
    )
    ordered = sorted(pairs.items(), key=lambda item: (-item[1], item[0]))[:MOST_CONFUSED]
    return [(class_names[own], class_names[seen], count) for (own, seen), count in ordered]


def published_rows() -> list[Published]:
    """The rows of published.csv, without those of single classes."""
    return [row for row in read_published(PUBLISHED) if not row.metric.startswith(PER_CLASS)]


def results(counts: Sequence[ClassCount], summary: Mapping[str, Any]) -> list[dict[str, object]]:
    """results.csv: table, row, metric, value, unit."""
    rows: list[dict[str, object]] = []
    for count in counts:
        for metric, value in (("kept", count.kept), ("candidates", count.candidates)):
            rows.append(_result("classes", count.class_name, metric, value, "pictures"))
        if count.rate is not None:
            rows.append(_result("classes", count.class_name, "acceptance", count.rate, "fraction"))
    for metric in ("candidates", "kept", "short", "failed"):
        rows.append(_result("set", "all", metric, summary[metric], "pictures"))
    if summary["acceptance"] is not None:
        rows.append(_result("set", "all", "acceptance", summary["acceptance"], "fraction"))
    return rows


def _result(table: str, row: str, metric: str, value: float, unit: str) -> dict[str, object]:
    return {"table": table, "row": row, "metric": metric, "value": value, "unit": unit}


def _number(text: str) -> float | None:
    return float(text) if text else None
