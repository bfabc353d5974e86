"""`make audit-determinism`: every stage of every system twice, from the same inputs, and what came out
compared.

    python -m suite audit determinism [--systems A,B] [--scale tiny] [--place auto] [--docs]

Each run first as `make reproduce-<system>` makes it, then each stage once more by the launcher's own command:
from the first run's folders, in another folder and, where it has shards, by another number of workers with as
many threads each. A stage that differs so is itself to blame, not what it read. Compared are the digests in
the manifests: "bitwise", or "within X" and "explained", as suite/audits/determinism.yaml says why, else it
fails.

A killed audit goes on where it was; a finished one begins anew. The runs lie in
RUNS_DIR/audits/determinism/runs and stay for a look until then. Not covered: another machine, another number
of threads, a GPU.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml

from suite import manifest as record
from suite.audits.distance import distance
from suite.audits.result import Audit, Case, CaseLog, audit_folder, finish
from suite.by_hand import Parser
from suite.errors import EXIT_OK, EXIT_STOPPED, BadInput, Stopped
from suite.family import dying_with_us
from suite.inspect_run import lock_pins, normal
from suite.launch.engine import pick_place
from suite.launch.machine import num_cores
from suite.launch.worker import say
from suite.provenance import ROOT
from suite.runs import COMPARISON, Run, choose, systems
from suite.stage import Stage

TABLE = Path(__file__).with_suffix(".yaml")
DOCS = ROOT / "docs/determinism.md"
FINISHED = "finished"  # beside the runs of an audit that came to its end
SHOWN = 3  # files named of a stage that differs


@dataclass(frozen=True, kw_only=True)
class Setup:
    """Where and how both times run."""

    folder: Path  # RUNS_DIR of the first time; the second lies in its `again`
    place: str
    jobs: int  # workers of the first time; the second has one more

    @property
    def again(self) -> Path:
        return self.folder / "again"

    def environment(self) -> dict[str, str]:
        """Ours without the settings that would change what is run."""
        own = {name for system in systems() for name in _variables(system)}
        own |= {"OVERRIDES", "STRICT"}
        kept = {name: value for name, value in os.environ.items() if name not in own}
        return kept | {"RUNS_DIR": str(self.folder), "PYTHONPATH": str(ROOT)}


def _variables(system: str) -> Mapping[str, Any]:
    module = import_module(f"experiments.{system.replace('-', '_')}.config")
    return getattr(module, "VARIABLES", {})


# -- the two times ----------------------------------------------------------------------------------------


def first_time(setup: Setup, run: Run) -> None:
    """The whole run by the public command. Raises Stopped, or BadInput where it does not come to its end."""
    words = ["reproduce", run.system, "--scale", run.scale, "--seed", str(run.seed), "--place", setup.place]
    words += ["--device", "cpu", "--jobs", str(setup.jobs)]
    command = [sys.executable, "-m", "suite", *words]
    code = subprocess.run(
        command, cwd=ROOT, env=setup.environment(), check=False, preexec_fn=dying_with_us()
    ).returncode
    if code == EXIT_STOPPED:
        raise Stopped(f"{run.name} stopped", fix="the same command goes on from here")
    if code != EXIT_OK:
        what = f"the first run of {run.name} ended in exit code {code} (see above)"
        raise BadInput(what, file=setup.folder, fix="mend that, then the same command goes on")


def second_time(setup: Setup, run: Run, stage: Stage) -> int:
    """One stage from the first run's folders, which it sees beside its own as in a run; gives its exit code.

    A folder that the stage writes into is a copy.
    """
    first, home = setup.folder / run.folder.relative_to(_runs_dir()), second_home(setup, run, stage)
    (home / "logs").mkdir(parents=True, exist_ok=True)
    written = {Path(row["path"]).parts[1] for row in rows(first / stage.name) if row["path"].startswith("..")}
    flags: list[str] = []
    for name in stage.inputs:
        producer = run.producer(name)
        _bring(first / producer, home / producer, copy=producer in written)
        flags += [f"--{name}", str(home / producer)]
    command = [sys.executable, "-m", "suite.launch", "--system", run.package, "--toolchain", stage.toolchain]
    command += ["--place", setup.place, "--accel", "cpu", "--jobs", str(setup.jobs + 1)]
    command += ["--log", str(home / "logs" / f"{stage.name}.log"), *(["--wide"] if stage.is_wide else [])]
    command += ["--", stage.name, "--config", f"experiments/{run.package}/configs/{run.scale}.yaml"]
    command += ["--seed", str(run.seed), "--device", "cpu", "--out", str(home / stage.name), *flags]
    # The launcher ends with us by itself; what it tells stands in its log, too.
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.run(command, cwd=ROOT, env=setup.environment(), check=False, **quiet).returncode


def second_home(setup: Setup, run: Run, stage: Stage) -> Path:
    """Stands for the run's folder at the second time of a stage."""
    return setup.again / run.system / stage.name


def _runs_dir() -> Path:
    return audit_folder("determinism").parents[1]


def _bring(source: Path, target: Path, *, copy: bool) -> None:
    """A finished folder under another name: a relative link, which holds in a container, or a copy."""
    if target.exists():
        return
    if not copy:
        target.symlink_to(os.path.relpath(source, target.parent))
        return
    part = target.with_name(f".{target.name}.copy")
    shutil.rmtree(part, ignore_errors=True)
    shutil.copytree(source, part)
    part.rename(target)


# -- the comparison ---------------------------------------------------------------------------------------


def rows(out: Path) -> list[dict[str, Any]]:
    """The recorded outputs of a finished stage, those of its shards included."""
    made = record.read_manifest(out)
    if made is None:
        return []
    shards = [record.read_manifest(out / f"{row['shard']:05d}") or {} for row in made.get("shards", ())]
    return [row for tree in (made, *shards) for row in tree.get("outputs", ())]


def rule_of(name: str, table: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The first line of the table that fits a stage (`solid.targets`), or None: bitwise."""
    return next((rule for pattern, rule in table.items() if fnmatchcase(name, pattern)), None)


def compare(name: str, first: Path, second: Path, table: Mapping[str, Mapping[str, Any]]) -> Case:
    """The case of a stage whose two folders are finished."""
    system, _, stage = name.partition(".")
    one, other = record.read_manifest(first), record.read_manifest(second)
    if one is None or other is None:
        why = f"{first if one is None else second} is not finished"
        return Case(group=system, name=stage, passed=False, outcome="no result", detail=why)
    digests = [{row["path"]: row["sha256"] for row in rows(out)} for out in (first, second)]
    a, b = digests
    unlike = sorted(path for path in a.keys() & b.keys() if a[path] != b[path])
    lone = sorted(a.keys() ^ b.keys())
    facts: dict[str, Any] = {"files": len(a), "bytes": sum(row["bytes"] for row in rows(first))}
    if one["key"] != other["key"]:
        return Case(group=system, name=stage, passed=False, outcome="another key", facts=facts,
                    detail="the settings or versions that decide are not the same")  # fmt: skip
    if not a and not b and not one.get("shards") and not other.get("shards"):
        # A wide stage that had nothing to do, such as a second round where the first was enough.
        return Case(group=system, name=stage, passed=True, outcome="no shard", facts=facts)
    if not a and not b:  # not even the settings: manifests of shards are gone
        return Case(group=system, name=stage, passed=False, outcome="no files", facts=facts,
                    detail=f"{first} and {second} record none")  # fmt: skip
    if not unlike and not lone:
        return Case(group=system, name=stage, passed=True, outcome="bitwise", facts=facts)
    apart = [distance(first / path, second / path) for path in unlike]
    far = None if lone or None in apart else max((x for x in apart if x is not None), default=None)
    told = [f"{len(unlike)} of {len(a)} files differ: {', '.join(unlike[:SHOWN])}"] if unlike else []
    told += [f"{len(lone)} are there only once: {', '.join(lone[:SHOWN])}"] if lone else []
    told += [f"numbers are {far:.1e} apart"] if far is not None else []
    facts |= {"differ": len(unlike) + len(lone), "distance": far}
    common = {"group": system, "name": stage, "facts": facts}
    rule = rule_of(name, table)
    if rule is not None and (strict := _not_named(rule, [*unlike, *lone])):
        told = [f"no reason is given for {', '.join(strict[:SHOWN])}"]
        rule = None
    return _differs(common, far, rule, "; ".join(told))


def _not_named(rule: Mapping[str, Any], files: Sequence[str]) -> list[str]:
    """The files that a line of the table does not speak of; one without `files` speaks of all."""
    patterns = rule.get("files", ["*"])
    return [file for file in files if not any(fnmatchcase(file, pattern) for pattern in patterns)]


def _differs(common: dict[str, Any], far: float | None, rule: Mapping[str, Any] | None, told: str) -> Case:
    """The verdict on a stage that did not leave the same bytes."""
    if rule is None:
        return Case(**common, passed=False, outcome="differs", detail=told)
    tolerance, detail = rule["tolerance"], f"{rule['why']} ({told})"
    if tolerance is None:
        return Case(**common, passed=True, outcome="explained", detail=detail)
    if far is not None and far <= tolerance:
        return Case(**common, passed=True, outcome=f"within {tolerance:g}", detail=detail)
    return Case(**common, passed=False, outcome=f"not within {tolerance:g}", detail=told)


# -- the audit --------------------------------------------------------------------------------------------


def examine(setup: Setup, run: Run, stage: Stage, table: Mapping[str, Mapping[str, Any]]) -> Case:
    """The second time of a stage and its comparison."""
    start = time.monotonic()
    code = second_time(setup, run, stage)
    if code == EXIT_STOPPED:
        raise Stopped(f"{run.system}.{stage.name} stopped", fix="the same command goes on from here")
    home, name = second_home(setup, run, stage), f"{run.system}.{stage.name}"
    seconds = round(time.monotonic() - start, 1)
    if code != EXIT_OK:
        why = f"the second time ended in exit code {code}; log: {home / 'logs' / stage.name}.log"
        return Case(group=run.system, name=stage.name, passed=False, outcome=f"exit {code}", detail=why)
    first = setup.folder / run.folder.relative_to(_runs_dir()) / stage.name
    case = compare(name, first, home / stage.name, table)
    say(f"{name}: {case.outcome} ({seconds:.0f} s)")
    return Case(**{**vars(case), "seconds": seconds})


def audit_systems(setup: Setup, runs: Sequence[Run], log: CaseLog) -> list[Case]:
    """Both times of one run after the other; the stages of a second time side by side."""
    table = yaml.safe_load(TABLE.read_text(encoding="utf-8"))
    for run in runs:
        first_time(setup, run)
        # What runs share there would save the second time its work.
        shutil.rmtree(setup.folder / ".cache", ignore_errors=True)
        second_times(setup, run, table, log)
    return [log.done[run.system, stage.name] for run in runs for stage in _wanted(run)]


def _wanted(run: Run) -> list[Stage]:
    return [stage for stage in run.stages.values() if not stage.optional]


def second_times(setup: Setup, run: Run, table: Mapping[str, Mapping[str, Any]], log: CaseLog) -> None:
    """The stages of a run that have no case yet, as many at a time as there are cores."""
    todo = [stage for stage in _wanted(run) if (run.system, stage.name) not in log.done]
    say(f"audit-determinism: {run.system}: {len(todo)} of {len(_wanted(run))} stages to do once more")
    with ThreadPoolExecutor(num_cores()) as pool:
        waiting = [pool.submit(examine, setup, run, stage, table) for stage in todo]
        try:
            for future in as_completed(waiting):
                log.add(future.result())
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def build_parser() -> Parser:
    """The audit's flags."""
    parser = Parser(prog="python -m suite audit determinism", allow_abbrev=False)
    places = ("auto", "venv", "docker", "here")
    parser.add_argument("--systems", default="", metavar="A,B", help="default: all")
    parser.add_argument("--scale", default="", help="default $SCALE or tiny")
    parser.add_argument("--seed", default="0", help="default 0")
    parser.add_argument("--place", choices=places, default="", help="default $PLACE or auto")
    parser.add_argument("--docs", action="store_true", help="write the table to docs/determinism.md, too")
    return parser


def chosen_runs(options: argparse.Namespace) -> list[Run]:
    """The runs that are asked for, the comparison last: it reads runs of others."""
    known = systems()
    asked = options.systems.split(",") if options.systems else known
    if not options.seed.isdigit():
        raise BadInput(f"--seed {options.seed} is not a whole number", fix="use 0 or more")
    scale = options.scale or os.environ.get("SCALE") or "tiny"
    names = sorted((choose(name, known, "system") for name in asked), key=lambda name: name == COMPARISON)
    return [Run(system=name, scale=scale, seed=int(options.seed)) for name in names]


def main(words: Sequence[str]) -> int:
    """Run the audit; returns 0 where each stage passed, else 1."""
    start, options = time.monotonic(), build_parser().parse(words)
    runs = chosen_runs(options)
    place = pick_place(options.place or os.environ.get("PLACE") or "auto")
    folder = audit_folder("determinism")
    setup = Setup(folder=folder / "runs", jobs=num_cores(), place=place)
    if (setup.folder / FINISHED).exists():
        shutil.rmtree(setup.folder)
    settings = {
        "systems": [run.system for run in runs], "scale": runs[0].scale, "seed": runs[0].seed, "place": place,
    }  # fmt: skip
    log = CaseLog(folder, settings, made=[setup.folder.name])
    setup.folder.mkdir(exist_ok=True)
    if not log.done:  # a second time of other settings
        shutil.rmtree(setup.again, ignore_errors=True)
    cases = audit_systems(setup, runs, log)
    audit = Audit(
        audit="determinism", command=shlex.join(["python", "-m", "suite", "audit", "determinism", *words]),
        cases=cases, settings=settings, seconds=time.monotonic() - start,
    )  # fmt: skip
    code = finish(audit, folder)
    log.clear()
    (setup.folder / FINISHED).touch()
    if options.docs:
        DOCS.write_text(as_markdown(audit.to_tree(), versions(runs)), encoding="utf-8")
        print(f"table: {DOCS.relative_to(ROOT)}")
    return code


def versions(runs: Sequence[Run]) -> dict[str, list[str]]:
    """By toolchain the packages that decide what its stages leave, with their versions of the lock."""
    found: dict[str, set[str]] = {}
    for run in runs:
        for stage in run.stages.values():
            pins = lock_pins(stage.toolchain)
            told = {f"{name} {pins[normal(name)]}" for name in stage.decides if normal(name) in pins}
            found.setdefault(stage.toolchain, set()).update(told)
    return {toolchain: sorted(told) for toolchain, told in sorted(found.items()) if told}


def as_markdown(tree: Mapping[str, Any], packages: Mapping[str, Sequence[str]]) -> str:
    """docs/determinism.md from what result.json holds and from `versions`."""
    machine, git = tree["machine"], tree["git"]
    lines = [
        "# Determinism, stage by stage",
        "<!-- Written by `python -m suite audit determinism --docs`; not to be edited by hand. -->",
        "Each stage was done twice from the same inputs: in the run that `make reproduce-<system>`",
        "makes and alone, in another folder, by another number of workers. Bitwise: all files have the same",
        "SHA-256. Explained: those that differ are named, with the reason; the others are the same. What",
        "another machine, another number of threads or a GPU changes stands in the systems' READMEs.",
        "",
        f"`{tree['command']}`: {tree['counts']['cases']} stages, {tree['counts']['failed']} failed, "
        f"{tree['seconds']:.0f} s; {machine['cores']} cores of {machine['cpu']}, no GPU used; "
        f"commit {(git['commit'] or 'unknown')[:12]}{' and changes' if git['dirty'] else ''}. Packages that",
        "decide an output:",
        "",
        *(f"* {toolchain}: {', '.join(told)}" for toolchain, told in packages.items()),
        "",
        "| system | stage | twice | files | why not the same bytes |",
        "|---|---|---|---|---|",
    ]  # fmt: skip
    for case in tree["cases"]:
        cells = [case["group"], f"`{case['name']}`", case["outcome"], case["facts"].get("files", "")]
        lines.append(f"| {' | '.join(map(str, cells))} | {case['detail'].replace('|', '/')} |")
    return "\n".join(lines) + "\n"
