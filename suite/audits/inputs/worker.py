"""The cases of one part of the corpus, in the environment of its toolchain.

    .tox/detectron2/bin/python -m suite.audits.inputs.worker PART [NAME ...]

Each case is a process of its own, `python -m <module> <words>` in all but its start: it is forked off from
this one, which has the toolchain's frameworks imported. Verdicts go to stdout, one JSON line each.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import runpy
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from suite.audits.inputs import generators
from suite.audits.inputs.cases import InputCase, Part, filled, load_part
from suite.audits.inputs.damage import apply
from suite.audits.inputs.judge import judge, snapshot
from suite.errors import EXIT_BUG, EXIT_OK, EXIT_STOPPED
from suite.family import die_with_parent
from suite.provenance import ROOT

CPU_SECONDS = 120  # a command that has not refused its input by then is killed; most take less than one
SECONDS = 900  # the same on the clock, which says little where others work too
TEMPORARY = "tmp"  # in the folder of a case: nothing may be left there either
DROPPED = ("SCALE", "SEED", "PAPER", "STAGE", "OBJECT", "MESHES", "CLASSES", "NUM", "SETTING", "DETECTOR")


def main(argv: Sequence[str]) -> int:
    """Examine the named cases of a part, or all."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(EXIT_STOPPED))  # so that no folder stays in /tmp
    part, names = load_part(argv[0]), set(argv[1:])
    chosen = [case for case in part.cases if not names or case.name in names]
    for name in part.preload:
        importlib.import_module(name)
    with tempfile.TemporaryDirectory(prefix="syndet-audit-") as folder:
        base = Path(folder) / "fixtures"
        (base / TEMPORARY).mkdir(parents=True)
        for row in part.fixtures:
            make(part, row, base)
        for case in chosen:
            here = Path(folder) / "case"
            examine(part, case, base, here)
            shutil.rmtree(here)
    return EXIT_OK


def make(part: Part, row: Mapping, base: Path) -> None:
    """One sound input, by a generator or by the command itself, which has to end well."""
    facts = dict(row)
    if "make" in facts:
        getattr(generators, facts.pop("make"))(base / facts.pop("out"), **facts)
        return
    case = InputCase(group=part.name, name="fixture", words=tuple(facts["run"].split()))
    code, _, err, _ = run(part.module, case, base)
    if code != EXIT_OK:
        raise RuntimeError(f"{part.name}: {facts['run']}: exit code {code}: {err[-2000:]}")


def examine(part: Part, case: InputCase, base: Path, here: Path) -> None:
    """One case in a folder of its own, its verdict as a line on stdout."""
    (here / TEMPORARY).mkdir(parents=True)
    for name in case.needs:
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (base / name).is_dir() else shutil.copy
        copy(base / name, here / name)
    for row in case.damage:
        apply(here, row)
    before = snapshot(here)
    code, out, err, seconds = run(part.module, case, here)
    verdict = judge(case, code=code, out=out, err=err, before=before, here=here, seconds=seconds)
    print(json.dumps(asdict(verdict)), flush=True)


def run(module: str, case: InputCase, here: Path) -> tuple[int, str, str, float]:
    """The command in a process of its own with `here` as its folder: (exit code, stdout, stderr, seconds)."""
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="syndet-audit-said-") as folder:
        files = [Path(folder) / name for name in ("out", "err")]
        us, pid = os.getpid(), os.fork()
        if pid == 0:
            die_with_parent(signal.SIGKILL, parent=us)
            _become(module, case, here, files)
        code = _wait(pid)
        out, err = (path.read_text(encoding="utf-8", errors="replace") for path in files)
    return code, out, err, time.monotonic() - start


def _wait(pid: int) -> int:
    """The exit code of a child; 128 + signal where one ended it."""
    end = time.monotonic() + SECONDS
    while True:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code
        if time.monotonic() > end:
            os.kill(pid, signal.SIGKILL)
            end = float("inf")
        time.sleep(0.005)


def _become(module: str, case: InputCase, here: Path, files: Sequence[Path]) -> None:
    """In the child: run the module as Python does, and end."""
    code = EXIT_BUG
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        for descriptor, path in enumerate(files, start=1):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), descriptor)
        sys.stdout, sys.stderr = (open(number, "w", encoding="utf-8", closefd=False) for number in (1, 2))
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.chdir(here)
        for name in DROPPED:
            os.environ.pop(name, None)
        folders = {"RUNS_DIR": "runs", "DATA_DIR": "data", "TMPDIR": TEMPORARY}
        os.environ |= {name: str(here / folder) for name, folder in folders.items()}
        os.environ["PYTHONPATH"] = str(ROOT)
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(files[0].parent)  # torch's own, no leftover of a command
        tempfile.tempdir = None  # found anew, by TMPDIR
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
        os.environ |= {name: filled(value, here) for name, value in case.env.items()}
        sys.argv = [module, *(filled(word, here) for word in case.words)]
        try:
            runpy.run_module(module, run_name="__main__", alter_sys=True)
            code = EXIT_OK
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else EXIT_OK if ended.code is None else EXIT_BUG
    except BaseException as bug:
        traceback.print_exception(bug)  # as the interpreter reports it
        raise
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
