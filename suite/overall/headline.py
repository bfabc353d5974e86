"""The one figure of a system that the summary of all shows: `experiments/<system>/headline.yaml`.

    label: words for a reader
    measured: {table: ..., row: ..., metric: ...}    regular expressions over the whole key
    published: {table: ..., row: ..., metric: ...}   where the published figure has another key

The first measured figure that fits is taken, with the claims of the same key beside it. Where there is none,
the published figure of the other key is shown and nothing is compared.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from suite.errors import BadInput
from suite.overall.join import NOT_COMPARABLE, Joined, key_of
from suite.published import Claim

FILE = "headline.yaml"
PARTS = ("table", "row", "metric")


@dataclass(frozen=True, kw_only=True)
class Headline:
    """A system at a scale in one line."""

    label: str
    what: str  # table and row of the measured figure; empty where none was measured
    unit: str
    published: str
    measured: Joined | None
    verdict: str


def read_headline(path: Path) -> Mapping[str, Any] | None:
    """The parsed file; None where a system has none. Raises BadInput where it is not of that form."""
    if not path.is_file():
        return None
    tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    keys = [tree[name] for name in ("measured", "published") if name in tree]
    if "label" not in tree or "measured" not in tree or any(set(key) != set(PARTS) for key in keys):
        raise BadInput("is not label, measured, published", file=path, fix="see suite/overall/headline.py")
    return tree


def headline(tree: Mapping[str, Any], rows: Sequence[Joined], claims: Sequence[Claim]) -> Headline:
    """The line of a system. rows: all joined ones of a scale, [] where the system did not run."""
    found = [row for row in rows if row.mean is not None and fits(tree["measured"], key_of(row))]
    one = found[0] if found else None
    beside = [claim for claim in claims if one is not None and claim.key == key_of(one)]
    is_same = bool(beside)
    if not is_same and "published" in tree:
        beside = [claim for claim in claims if claim.key == tuple(tree["published"][part] for part in PARTS)]
    elif not is_same and one is None:
        beside = [claim for claim in claims if fits(tree["measured"], claim.key)][:1]
    texts = list(dict.fromkeys(claim.text for claim in beside))
    unit = one.unit if one is not None else next((claim.unit for claim in beside), "")
    return Headline(
        label=tree["label"],
        what=f"{one.table}: {one.row}" if one is not None else "",
        unit=unit,
        published="; ".join(texts) or "nothing",
        measured=one,
        verdict=_verdict(one, beside, is_same=is_same),
    )


def _verdict(one: Joined | None, beside: Sequence[Claim], *, is_same: bool) -> str:
    """Of the joined line; of figures with different keys only that they are."""
    if one is None:
        return "not measured"
    if is_same or not beside:
        return one.verdict
    claim = beside[0]
    return claim.text if claim.number is None else f"{NOT_COMPARABLE}: published of {claim.row}"


def fits(pattern: Mapping[str, str], key: Sequence[str]) -> bool:
    """Whether each part of a key matches its expression as a whole."""
    return all(re.fullmatch(pattern[part], value) for part, value in zip(PARTS, key, strict=True))
