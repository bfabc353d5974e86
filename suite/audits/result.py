"""The result of an audit: its cases, as a file for programs and as a table for people.

`RUNS_DIR/audits/<audit>/result.json`:
{schema, audit, command, machine (suite.provenance.host), git, settings, seconds, counts: {cases, failed},
 passed, cases: [{group, name, passed, outcome, detail, seconds, facts}, ...]}
A case that could not be examined here (no engine, no GPU) is not one: it stands in `skipped` as {name, why}.
Beside it `cases.jsonl` holds each case as it ends, so that a killed audit goes on where it was.
"""

from __future__ import annotations

import json
import shutil
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from suite.errors import EXIT_BUG, EXIT_OK
from suite.manifest import key_of, read_json, write_json
from suite.provenance import git_state, host
from suite.runs import folder_setting

SCHEMA = 1
RESULT = "result.json"
CASES = "cases.jsonl"
SETTINGS = "settings.json"
WIDTH = 110
MAX_LISTED = 40  # failing cases on the terminal; all are in the file


@dataclass(frozen=True, kw_only=True)
class Case:
    """One thing that was examined. `group` heads it in the table; `outcome` is what was found, in a word or
    two ("exit 2", "bitwise"); `detail` why it failed, or what else is to be said; `facts` is for programs.
    """

    group: str
    name: str
    passed: bool
    outcome: str
    detail: str = ""
    seconds: float = 0.0
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Audit:
    """A finished audit. `settings` is what decides which cases there are (seed, scale, ...)."""

    audit: str
    command: str
    cases: Sequence[Case]
    settings: Mapping[str, Any] = field(default_factory=dict)
    skipped: Sequence[Mapping[str, str]] = ()
    seconds: float = 0.0

    @property
    def failed(self) -> list[Case]:
        return [case for case in self.cases if not case.passed]

    @property
    def passed(self) -> bool:
        """Whether there was a case and every one passed."""
        return bool(self.cases) and not self.failed

    def to_tree(self) -> dict[str, Any]:
        """What result.json holds."""
        return {
            "schema": SCHEMA,
            "audit": self.audit,
            "command": self.command,
            "machine": host(),
            "git": git_state(),
            "settings": dict(self.settings),
            "seconds": round(self.seconds, 1),
            "counts": {"cases": len(self.cases), "failed": len(self.failed)},
            "passed": self.passed,
            "skipped": [dict(row) for row in self.skipped],
            "cases": [asdict(case) for case in self.cases],
        }


def audit_folder(audit: str) -> Path:
    """Where an audit leaves its result: RUNS_DIR/audits/<audit>."""
    return folder_setting("RUNS_DIR", "runs") / "audits" / audit


def finish(audit: Audit, folder: Path) -> int:
    """Write result.json, print the table; returns the exit code: 0, or 1 where a case failed."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / RESULT, audit.to_tree())
    print(table(audit))
    print(f"result: {folder / RESULT}")
    return EXIT_OK if audit.passed else EXIT_BUG


def table(audit: Audit) -> str:
    """One row a group with its counts and outcomes, then each failing case, then what was skipped."""
    groups: dict[str, list[Case]] = {}
    for case in audit.cases:
        groups.setdefault(case.group, []).append(case)
    wide = max([len("group"), *map(len, groups)])
    lines = [f"{'group':<{wide}}  cases  failed  seconds  outcomes"]
    for name, cases in groups.items():
        num_failed = sum(not case.passed for case in cases)
        seconds = sum(case.seconds for case in cases)
        row = f"{name:<{wide}}  {len(cases):5}  {num_failed:6}  {seconds:7.1f}  {_outcomes(cases)}"
        lines += _wrap(row, wide + 26)
    for case in audit.failed[:MAX_LISTED]:
        lines += _wrap(f"FAILED {case.group}: {case.name}: {case.outcome}; {case.detail}", 7)
    if len(audit.failed) > MAX_LISTED:
        lines.append(f"... and {len(audit.failed) - MAX_LISTED} more")
    for row in audit.skipped:
        lines += _wrap(f"skipped {row['name']}: {row['why']}", 8)
    num = len(audit.cases)
    verdict = "passed" if audit.passed else f"{len(audit.failed)} failed" if num else "no case was examined"
    lines.append(f"audit-{audit.audit}: {num} cases, {verdict}, {audit.seconds:.0f} s")
    return "\n".join(lines)


def _outcomes(cases: Sequence[Case]) -> str:
    """Each outcome with its number, the most frequent first."""
    counts: dict[str, int] = {}
    for case in cases:
        counts[case.outcome] = counts.get(case.outcome, 0) + 1
    return ", ".join(f"{name} ({num})" for name, num in sorted(counts.items(), key=lambda pair: -pair[1]))


def _wrap(text: str, indent: int) -> list[str]:
    return textwrap.wrap(
        text, WIDTH, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False,
        drop_whitespace=True,
    )  # fmt: skip


class CaseLog:
    """The cases that are examined, on the disk as soon as each ends; those of other settings, or of another
    commit, are dropped: result.json names one commit.

    `log.done` maps (group, name) to its Case; `log.add(case)` appends one. `made` names folders of the audit
    with what the code of a commit made: those of another commit are deleted.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any], *, made: Sequence[str] = ()) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._file = folder / CASES
        now = {"key": key_of(settings), "commit": git_state()["commit"]}
        last = read_json(folder / SETTINGS) or {}
        if last != now:
            self._file.unlink(missing_ok=True)
            for name in made if last.get("commit") != now["commit"] else ():
                shutil.rmtree(folder / name, ignore_errors=True)
            write_json(folder / SETTINGS, now)
        self.done = {(case.group, case.name): case for case in self._read()}

    def _read(self) -> list[Case]:
        """The whole lines; one that a kill cut is rewritten away."""
        if not self._file.is_file():
            return []
        lines = self._file.read_text(encoding="utf-8").splitlines(keepends=True)
        whole = [line for line in lines if line.endswith("\n")]
        if whole != lines:
            self._file.write_text("".join(whole), encoding="utf-8")
        return [Case(**json.loads(line)) for line in whole]

    def add(self, case: Case) -> None:
        """Append one case."""
        self.done[case.group, case.name] = case
        with self._file.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(asdict(case)) + "\n")

    def keep(self, still: Callable[[Case], bool]) -> None:
        """Forget the cases of which this does not hold."""
        self.done = {key: case for key, case in self.done.items() if still(case)}

    def clear(self) -> None:
        """Forget the cases, when the audit is finished: the next one examines again."""
        self._file.unlink(missing_ok=True)
        self.done = {}
