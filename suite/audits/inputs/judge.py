"""Whether a command took a malformed input as it should: the exit code, one line, nothing lost or left."""

from __future__ import annotations

import fnmatch
import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

from suite.audits.inputs.cases import InputCase, filled
from suite.audits.result import Case
from suite.errors import EXIT_OK

WORK = re.compile(r"(^|/)[^/]*\.part(/|$)|(^|/)\.[^/]*\.lock$")  # what goes on with the same command
# What to do stands behind a semicolon, or the line says what the value may be.
REMEDY = re.compile(r"; |must be |need |choose |add up to|expected |exclude each other")
# What else would be read as an error: the usage of argparse, the last line of a traceback, a log's.
OTHER = re.compile(r"^usage: |^[\w.]*(Error|Exception)\b|^(ERROR|FATAL|CRITICAL)\b", re.MULTILINE)
TAIL = 300  # characters of the output that a failed case shows


def snapshot(folder: Path) -> dict[str, str]:
    """Every path below a folder with the digest of its bytes ("" for a folder)."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        found[name] = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
    return found


def judge(
    case: InputCase, *, code: int, out: str, err: str, before: dict[str, str], here: Path, seconds: float
) -> Case:
    """The verdict; `before` is the snapshot of the case's folder from before the command."""
    faults = _of_output(case, code, out, err, here)
    after = snapshot(here)
    lost = [
        name for name, digest in before.items() if after.get(name) != digest and not _is_in(name, case.writes)
    ]
    left = [
        name for name in after if name not in before and not (WORK.search(name) or _is_in(name, case.leaves))
    ]
    if lost:
        faults.append(f"changed or lost: {', '.join(lost[:3])}")
    if left and code != EXIT_OK:
        faults.append(f"left behind: {', '.join(left[:3])}")
    lines = [line for line in err.splitlines() if line.startswith("error: ")]
    said = lines[0] if lines else ""
    detail = "; ".join(faults)
    if faults:
        detail += f" | {(said or err.strip() or out.strip())[-TAIL:]}"
    return Case(
        group=case.group, name=case.name, passed=not faults, outcome=f"exit {code}", detail=detail,
        seconds=round(seconds, 2), facts={"line": said.replace(str(here), "<case>")},
    )  # fmt: skip


def _of_output(case: InputCase, code: int, out: str, err: str, here: Path) -> list[str]:
    faults = []
    if code != case.code:
        faults.append(f"exit code {code}, not {case.code}")
    if "Traceback" in out + err:
        faults.append("a traceback")
    told = filled(case.told, here)
    if case.code == EXIT_OK:
        if told not in out + err:
            faults.append(f"does not say {told!r}")
        return faults
    lines = [line for line in err.splitlines() if line.strip()]
    errors = [line for line in (out + err).splitlines() if line.startswith("error: ")]
    if len(errors) != 1 or lines[-1] != errors[0]:
        return [*faults, f"{len(errors)} error lines, or more after it, not one"]
    if found := OTHER.search(out + err):
        faults.append(f"another line about an error: {(out + err)[found.start() :].splitlines()[0][:80]!r}")
    if told not in errors[0]:
        faults.append(f"does not say {told!r}")
    if case.file is not None and filled(case.file, here) not in errors[0]:
        faults.append(f"does not name {case.file}")
    if not REMEDY.search(errors[0]):
        faults.append("does not say what to do")
    return faults


def _is_in(name: str, globs: Sequence[str]) -> bool:
    return any(fnmatch.fnmatch(name, glob) for glob in globs)
