"""Published beside measured: the rows of published.csv and of results.csv that have the same keys.

Two conventions of names are undone before keys are compared: a measured table that says ", stand-in" was
measured on other pictures than the published one, which the verdict repeats; a measured metric that ends in
", mean over <n> runs" is the mean of runs inside of one seed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from suite.over_seeds import Spread
from suite.published import EXACT, Claim

STAND_IN = ", stand-in"
MEAN = re.compile(r", mean over \d+ runs$")
SD = re.compile(r", sd over \d+ runs$")
PAPER = "paper"
NOT_COMPARABLE = "not comparable"
# Fields that are taken over as they are: of a figure of ours, and of a published one.
MEASURED = ("table", "row", "metric", "unit", "mean", "sd", "seeds")
PUBLISHED = ("table", "row", "metric", "unit", "source", "definition", "tolerance")
Key = tuple[str, str, str]


@dataclass(frozen=True, kw_only=True)
class Joined:
    """A line: measured, published or both. Measured values come from results.csv alone."""

    table: str
    row: str
    metric: str
    unit: str
    mean: float | None = None  # measured, over the seeds
    sd: float | None = None
    seeds: tuple[int, ...] = ()
    published: str = ""  # as written; empty where nothing was looked for
    published_number: float | None = None
    published_sd: float | None = None
    source: str = ""
    definition: str = ""  # of the published metric; empty where nothing is published
    tolerance: str = ""  # in `unit`, or "exact"; empty where nobody can say
    difference: float | None = None  # measured less published
    verdict: str


def key_of(figure: Spread | Joined) -> Key:
    """The key that a published row of the same figure has."""
    return figure.table.replace(STAND_IN, ""), figure.row, MEAN.sub("", figure.metric)


def join(
    claims: Sequence[Claim], spreads: Sequence[Spread], *, scale: str, num_deviations: int
) -> tuple[list[Joined], list[Joined], list[Joined]]:
    """(both, measured alone, published alone), each in the order of its file.

    num_deviations: settings that differ from the published ones; -1: the run does not say.
    """
    by_key: dict[Key, list[Spread]] = {}
    for spread in spreads:
        if not SD.search(spread.metric):
            by_key.setdefault(key_of(spread), []).append(spread)
    both, alone = [], []
    for claim in merged(claims):
        found = by_key.get(claim.key, [])
        both += [_both(claim, one, scale=scale, num_deviations=num_deviations) for one in found]
        alone += [] if found else [_published(claim)]
    known = {claim.key for claim in claims}
    measured = [_measured(spread) for spread in spreads if key_of(spread) not in known]
    return both, measured, alone


def merged(claims: Sequence[Claim]) -> list[Claim]:
    """One claim where several sources print the same value of the same figure."""
    found: dict[tuple, Claim] = {}
    for claim in claims:
        key = (*claim.key, claim.unit, claim.text, claim.tolerance)
        first = found.get(key)
        found[key] = claim if first is None else replace(first, source=f"{first.source}; {claim.source}")
    return list(found.values())


def terms(rows: Sequence[Joined]) -> list[tuple[str, str]]:
    """(metric, how it is taken) of the published ones among the rows, each definition once.

    A metric that means two things in two tables is named with its table.
    """
    meanings: dict[str, set[str]] = {}
    for row in rows:
        meanings.setdefault(row.metric, set()).add(row.definition)
    found: dict[str, dict[str, None]] = {}
    for row in rows:
        if row.definition:
            is_shared = len(meanings[row.metric]) > 1
            found.setdefault(row.definition, {})[
                f"{row.table}, {row.metric}" if is_shared else row.metric
            ] = None
    return [(_first(list(names)), definition) for definition, names in found.items()]


def _first(names: Sequence[str], most: int = 3) -> str:
    return "; ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _both(claim: Claim, spread: Spread, *, scale: str, num_deviations: int) -> Joined:
    same_unit = claim.unit == spread.unit
    known = claim.number is not None and same_unit
    measured = _measured(spread)
    return replace(
        _published(claim),
        **{name: getattr(measured, name) for name in MEASURED},
        published=claim.text if same_unit else f"{claim.text} {claim.unit}",
        difference=spread.mean - claim.number if known else None,
        verdict=verdict(claim, spread, scale=scale, num_deviations=num_deviations),
    )


def _measured(spread: Spread) -> Joined:
    return Joined(**{name: getattr(spread, name) for name in MEASURED}, verdict="nothing published")


def _published(claim: Claim) -> Joined:
    return Joined(
        **{name: getattr(claim, name) for name in PUBLISHED},
        published=claim.text,
        published_number=claim.number,
        published_sd=claim.sd,
        verdict="not measured",
    )


def verdict(claim: Claim, spread: Spread, *, scale: str, num_deviations: int) -> str:
    """What a measured figure says about the published one; below the published scale always nothing."""
    if claim.number is None:
        return claim.text
    reason = why_not(claim, spread, scale=scale, num_deviations=num_deviations)
    if reason is not None:
        return f"{NOT_COMPARABLE}: {reason}"
    off = abs(spread.mean - claim.number)
    if claim.tolerance == EXACT:
        return "as published" if off == 0 else "differs"
    if claim.tolerance:
        return f"{'within' if off <= float(claim.tolerance) else 'outside'} +-{claim.tolerance} {claim.unit}"
    if claim.sd is None or spread.sd is None:
        return "no tolerance published"
    spread_of_both = 2 * math.hypot(claim.sd, spread.sd)
    return "within two deviations of both" if off <= spread_of_both else "more than two deviations apart"


def why_not(claim: Claim, spread: Spread, *, scale: str, num_deviations: int) -> str | None:
    """Why the two may not be compared, or None."""
    if scale != PAPER:
        return f"scale {scale}"
    if STAND_IN in spread.table:
        return "stand-in pictures"
    if num_deviations:
        count = "some" if num_deviations < 0 else str(num_deviations)
        return f"{count} settings differ from the published ones"
    if claim.unit != spread.unit:
        return f"published in {claim.unit or 'no unit'}"
    return None
