"""`make audit-inputs`: what a user may get wrong, given to the public commands of all systems.

Each case of the corpus (cases.py) damages a sound input and starts the command on it. Asked for: the exit
code, one error line with the file and what to do, no traceback, every file as it was, nothing left but work
that the same command goes on with. A killed audit goes on where it was.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from suite.audits.inputs import generators
from suite.audits.inputs.cases import Part, load_part, part_names
from suite.audits.result import Audit, Case, CaseLog, audit_folder, finish
from suite.by_hand import Parser
from suite.family import dying_with_us
from suite.launch.machine import num_cores, thread_environment
from suite.launch.places import Place
from suite.manifest import file_digest, key_of
from suite.progress import Progress
from suite.provenance import git_state
from suite.runs import choose, systems
from suite.tools import environment_python

NAME = "inputs"
POLL_SECONDS = 0.05


def main(words: Sequence[str]) -> int:
    """Examine the corpus; the exit code is 1 where a case failed."""
    parser = Parser(prog="python -m suite audit inputs", allow_abbrev=False, description=__doc__)
    text = f"of {', '.join(part_names())}; default: those of $PAPER, or all"
    parser.add_argument("parts", nargs="*", help=text)
    parser.add_argument("--case", help="only cases with this text in their name")
    parser.add_argument("--fresh", action="store_true", help="forget the cases of a killed audit")
    args = parser.parse(words)
    chosen = [choose(name, part_names(), "part of the corpus") for name in args.parts] or default_parts()
    parts = [load_part(name) for name in chosen]
    wanted = {part.name: _names(part, args.case) for part in parts}
    settings = {"parts": chosen, "case": args.case}
    folder = audit_folder(NAME)
    log = CaseLog(folder, settings)
    if args.fresh:
        log.clear()
    corpus = {part.name: digest(part) for part in parts}
    log.keep(lambda case: case.facts.get("corpus") == corpus[case.group])
    start = time.monotonic()
    faults = _examine(parts, wanted, log, corpus)
    cases = [log.done[key] for part in parts for key in _keys(part, wanted) if key in log.done]
    if not faults:
        log.clear()
    command = shlex.join(["python", "-m", "suite", "audit", NAME, *words])
    seconds = time.monotonic() - start
    return finish(
        Audit(audit=NAME, command=command, cases=[*cases, *faults], settings=settings, seconds=seconds),
        folder,
    )


def default_parts() -> list[str]:
    """Those of the system that PAPER names, or all. Raises BadInput for an unknown system."""
    paper = os.environ.get("PAPER")
    if not paper:
        return part_names()
    module = f"experiments.{choose(paper, systems(), 'system').replace('-', '_')}"
    return [name for name in part_names() if load_part(name).module == module]


def _names(part: Part, text: str | None) -> list[str]:
    return [case.name for case in part.cases if text is None or text in case.name]


def _keys(part: Part, wanted: Mapping[str, Sequence[str]]) -> list[tuple[str, str]]:
    return [(part.name, name) for name in wanted[part.name]]


def digest(part: Part) -> str:
    """SHA-256 of all that decides the cases of a part: a verdict on others is none on these."""
    return key_of({**asdict(part), "generators": file_digest(Path(generators.__file__))})


def _examine(
    parts: Sequence[Part], wanted: Mapping[str, Sequence[str]], log: CaseLog, corpus: Mapping[str, str]
) -> list[Case]:
    """The missing cases, a worker for each part, as many at once as there are cores; a worker that ends
    before its cases do is a fault. Each case keeps which corpus and which commit it was examined with.
    """
    commit = git_state()["commit"]
    left = {
        part.name: [name for _, name in _keys(part, wanted) if (part.name, name) not in log.done]
        for part in parts
    }
    pythons = {
        part.toolchain: sys.executable
        if part.toolchain == "workflow"
        else environment_python(part.toolchain, "cpu")
        for part in parts
        if left[part.name]
    }
    waiting = deque(
        sorted((part for part in parts if left[part.name]), key=lambda part: -len(left[part.name]))
    )
    total, faults = sum(map(len, wanted.values())), []
    with Progress(total, "audit-inputs", done=total - sum(map(len, left.values()))) as bar:
        running: list[Worker] = []
        while waiting or running:
            while waiting and len(running) < num_cores():
                part = waiting.popleft()
                running.append(Worker(part, left[part.name], pythons[part.toolchain], log.folder))
            time.sleep(POLL_SECONDS)
            for worker in list(running):
                for row in worker.read():
                    row["facts"] |= {"corpus": corpus[worker.part.name], "commit": commit}
                    log.add(Case(**row))
                    bar.advance()
                if worker.has_ended:
                    running.remove(worker)
                    faults += worker.fault(log)
    return faults


class Worker:
    """A process of suite.audits.inputs.worker; its verdicts are read as they come."""

    def __init__(self, part: Part, names: Sequence[str], python: str, folder: Path) -> None:
        self.part, self.names = part, names
        self._files = {name: folder / f".{part.name}.{name}" for name in ("out", "err")}
        place = Place(name="venv", toolchain=part.toolchain, package="suite.audits.inputs.worker")
        env = place.environment(thread_environment(1, 1) | {"OMP_WAIT_POLICY": "PASSIVE"})
        command = [python, "-m", place.package, part.name, *names]
        with self._files["out"].open("w") as out, self._files["err"].open("w") as err:
            self._process = subprocess.Popen(
                command, stdout=out, stderr=err, env=env, cwd=place.root, preexec_fn=dying_with_us()
            )
        self._position = 0
        self.has_ended = False

    def read(self) -> list[dict[str, Any]]:
        """The verdicts since the last call."""
        self.has_ended = self._process.poll() is not None
        with self._files["out"].open(encoding="utf-8") as stream:
            stream.seek(self._position)
            text = stream.read()
        whole = text[: text.rfind("\n") + 1]
        self._position += len(whole.encode())
        return [json.loads(line) for line in whole.splitlines()]

    def fault(self, log: CaseLog) -> list[Case]:
        """A failed case where the worker left some of its cases out."""
        said = self._files["err"].read_text(encoding="utf-8", errors="replace").strip()
        for path in self._files.values():
            path.unlink()
        missing = [name for name in self.names if (self.part.name, name) not in log.done]
        if not missing:
            return []
        detail = f"{len(missing)} cases were not examined, {missing[0]} first | {said[-600:]}"
        code = f"exit {self._process.returncode}"
        return [
            Case(group=self.part.name, name="the worker itself", passed=False, outcome=code, detail=detail)
        ]
