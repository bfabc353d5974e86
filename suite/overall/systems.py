"""What the page says of a system: its runs by scale, and its line in the summary of all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from suite.over_seeds import over_seeds
from suite.overall.found import Group, RunReport, place_of
from suite.overall.headline import FILE as HEADLINE
from suite.overall.headline import Headline, headline, read_headline
from suite.overall.inline import data_uri, svg_element
from suite.overall.join import Joined, join
from suite.provenance import ROOT
from suite.published import FILE, Claim, claims, read_published


@dataclass(frozen=True, eq=False)
class Section:
    """One system at one scale."""

    group: Group
    both: list[Joined]
    measured: list[Joined]
    published: list[Joined]
    figures: list[Mapping[str, Any]]  # title, caption, svg or uri

    @property
    def anchor(self) -> str:
        return f"{self.group.system}-{self.group.scale}"

    @property
    def rows(self) -> list[Joined]:
        """Every figure."""
        return [*self.both, *self.measured, *self.published]

    @property
    def pictures(self) -> list[Mapping[str, Any]]:
        return [one for one in self.figures if one["uri"]]

    @property
    def plots(self) -> list[Mapping[str, Any]]:
        return [one for one in self.figures if one["svg"]]


@dataclass(frozen=True, eq=False)
class System:
    """A system with its scales, the largest first; none where it has not run here."""

    name: str
    title: str
    sections: tuple[Section, ...]
    lines: tuple[tuple[Section | None, Headline | None], ...]  # of the summary

    @property
    def short(self) -> str:
        """The title up to its colon."""
        return self.title.partition(":")[0]


def systems_of(names: Iterable[str], groups: Sequence[Group]) -> list[System]:
    """The systems of these names, each with the runs that are there."""
    return [system_of(name, [group for group in groups if group.system == name]) for name in names]


def system_of(name: str, groups: Sequence[Group]) -> System:
    """A system; figures of its largest scale alone."""
    ordered = sorted(groups, key=lambda group: place_of(group.scale), reverse=True)
    said = claims_of(name)
    sections = tuple(section(group, said, with_figures=group is ordered[0]) for group in ordered)
    tree = read_headline(home_of(name) / HEADLINE)
    lines: list[tuple[Section | None, Headline | None]] = [
        (one, headline(tree, one.rows, said) if tree else None) for one in sections
    ]
    return System(
        name, title_of(name), sections, tuple(lines or [(None, headline(tree, [], said) if tree else None)])
    )


def section(group: Group, said: Sequence[Claim], *, with_figures: bool) -> Section:
    """All that is known of a system at a scale."""
    spreads = over_seeds([run.folder for run in group.runs])
    joined = join(said, spreads, scale=group.scale, num_deviations=group.num_deviations)
    return Section(group, *joined, shown(group.first) if with_figures else [])


def home_of(system: str) -> Path:
    """The folder of a system's code."""
    return ROOT / "experiments" / system.replace("-", "_")


def claims_of(system: str) -> tuple[Claim, ...]:
    """What is published; nothing for the comparison, which is no paper's."""
    path = home_of(system) / FILE
    return claims(read_published(path)) if path.is_file() else ()


def title_of(system: str) -> str:
    """The heading of the system's README, or its name."""
    readme = home_of(system) / "README.md"
    if not readme.is_file():
        return system
    return readme.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")


def shown(run: RunReport) -> list[Mapping[str, Any]]:
    """The figures of a run, inlined."""
    found = []
    for row in run.figures:
        path = row["path"]
        if not path.is_file():
            continue
        is_plot = path.suffix == ".svg"
        found.append(
            {**row, "svg": svg_element(path) if is_plot else None, "uri": None if is_plot else data_uri(path)}
        )
    return found
