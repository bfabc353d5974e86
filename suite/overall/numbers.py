"""How numbers are written on the page: no more digits than the spread over the seeds leaves."""

from __future__ import annotations

import math
import re

LARGE = 10_000  # from here on whole
PLUS_MINUS = "\N{PLUS-MINUS SIGN}"


def digits(value: float | None, sign: str = "") -> str:
    """Four digits; large numbers whole; thousands apart. `sign` "+": also of what is positive."""
    if value is None:
        return ""
    return format(value, f"{sign},.4g" if abs(value) < LARGE else f"{sign},.0f")


def places_of(sd: float | None) -> int | None:
    """Decimals that leave two digits of a deviation; None where there is none."""
    if sd is None or sd == 0 or not math.isfinite(sd):
        return None
    return min(6, max(0, 1 - math.floor(math.log10(sd))))


def spread(mean: float | None, sd: float | None) -> str:
    """`37.5 +- 8.1`: two digits of the deviation, and the mean to the same place."""
    places = places_of(sd)
    if mean is None or places is None:
        return digits(mean) + (f" {PLUS_MINUS} 0" if sd == 0 else "")
    return f"{mean:,.{places}f} {PLUS_MINUS} {sd:,.{places}f}"


def difference(value: float | None, sd: float | None) -> str:
    """`+2.1`: to the same place as the mean it was made from."""
    places = places_of(sd)
    return digits(value, "+") if value is None or places is None else f"{value:+,.{places}f}"


def written(text: str) -> str:
    """A published value as it is written, but for the thousands of a whole number."""
    return f"{int(text):,}" if re.fullmatch(r"\d{5,}", text) else text


def verdict_kind(verdict: str) -> str:
    """The colour of a verdict: good, bad or open."""
    if verdict.startswith(("within", "as published")):
        return "good"
    return "bad" if verdict.startswith(("outside", "differs", "more than")) else "open"
