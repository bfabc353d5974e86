"""Settings by which published behaviour comes back: what a system declares, and how a run stood to them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from suite.config import to_tree


@dataclass(frozen=True)
class Switch:
    """One setting by which the published behaviour comes back."""

    key: str  # dotted, in the config of a run
    faithful: Any  # the value with which it does as published
    why: str  # what the published behaviour leads to, or what it is


@dataclass(frozen=True)
class Turned:
    """A switch as it stood in a run."""

    key: str
    here: Any
    published: Any
    why: str


def value_of(tree: Mapping[str, Any], key: str) -> Any:
    """The value at a dotted key of `to_tree(config)`."""
    for part in key.split("."):
        tree = tree[part]
    return tree


def turned_of(config: Any, keyed: Iterable[tuple[str, Switch]]) -> list[Turned]:
    """The switches that do not do as published in a run, in their order; each with its key in this config."""
    tree = to_tree(config)
    found = [Turned(key, value_of(tree, key), to_tree(s.faithful), s.why) for key, s in keyed]
    return [one for one in found if one.here != one.published]
