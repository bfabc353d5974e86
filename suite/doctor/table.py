"""The results for people, on 80 columns, and for programs, as JSON."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence

from suite.doctor.context import Context
from suite.doctor.needs import Verdict
from suite.doctor.result import Result

SCHEMA = 1  # of the JSON; raised when a field changes its meaning or goes
WIDTH = 80
INDENT = " " * 9
GROUPS = {
    "machine": "Machine",
    "docker": "Docker",
    "gpu": "GPU",
    "environments": "Environments without containers",
    "data": "Data",
}


def table(results: Sequence[Result], verdict: Verdict, context: Context) -> str:
    """One block a check: state, name and value; why it matters; what to do where something is to be done."""
    lines: list[str] = []
    for group, heading in GROUPS.items():
        mine = [result for result in results if result.group == group]
        if mine:
            lines += ["", heading]
        for result in mine:
            lines += _wrap(f"{result.state:<9}{result.title}: {result.value}", INDENT)
            lines += _wrap(f"{INDENT}{result.why}", INDENT)
            if result.remedy:
                lines += _wrap(f"{INDENT}-> {result.remedy}", INDENT + "   ")
    return "\n".join([*lines[1:], "", *_wrap(summary(verdict, context), ""), ""])


def summary(verdict: Verdict, context: Context) -> str:
    """The last line: ready or not, and what to type or mend."""
    what = f"{', '.join(context.systems)} at scale {context.scale}"
    if verdict.ready:
        return f"Ready for {what} (place: {' or '.join(verdict.ways)})."
    return f"Not ready for {what}. Mend first: {', '.join(verdict.blockers)}."


def _wrap(text: str, indent: str) -> list[str]:
    return textwrap.wrap(
        text,
        WIDTH,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
        drop_whitespace=True,
    )


def as_json(results: Sequence[Result], verdict: Verdict, context: Context) -> str:
    """The same as JSON; its fields are stable within one SCHEMA."""
    tree = {
        "schema": SCHEMA,
        "systems": list(context.systems),
        "scale": context.scale,
        "ready": verdict.ready,
        "places": list(verdict.ways),
        "blockers": list(verdict.blockers),
        "checks": [result.to_tree() for result in results],
    }
    return json.dumps(tree, indent=2, sort_keys=True)
