"""`make audit-kill`: kill -9 at random moments of the stages of all systems; the results must be the same.

    python -m suite audit kill [--systems A,B] [--kills all|24] [--seed K] [--scale tiny] [--place venv]

Each system runs twice by its public command: undisturbed, and with kills. For a kill a stage, a moment of it
and a way are drawn (suite/audits/killing.py: everything at once, the stage alone, the command alone); when
the stage has run so long it gets SIGKILL, and then the command is typed again. In the end keys and digests of
every stage are compared; what may differ on one machine is the table of audit-determinism. By default every
stage is killed once; another --seed draws other moments and ways.

As many systems run side by side as there are cores, each on a core of its own. A killed audit goes on where
it was; a finished one begins anew. Its runs lie in RUNS_DIR/audits/kill/{quiet,killed} until then.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import queue
import shlex
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from suite.audits import determinism, killing
from suite.audits.result import Audit, Case, CaseLog, audit_folder, finish
from suite.by_hand import Parser
from suite.errors import EXIT_OK, EXIT_STOPPED, BadInput, Stopped
from suite.family import dying_with_us
from suite.launch.engine import pick_place
from suite.launch.machine import num_cores
from suite.launch.state import exclusive
from suite.launch.worker import say
from suite.manifest import read_json
from suite.progress import Progress
from suite.provenance import ROOT
from suite.runs import COMPARISON, Run, choose, papers, systems

NAME = "kill"
LEAST_HITS = 20  # that have to meet a running stage, where so many are asked for
MOMENTS = (0.1, 0.9)  # of the undisturbed stage's seconds; a little later it would have ended
TRIES = 3  # a stage that ends before its moment is done again and killed at half of it
FINISHED = "finished"
KINDS = ("quiet", "killed")  # the two runs of a system, and the folders that hold them


@dataclass(frozen=True, kw_only=True)
class Moment:
    """A kill: which stage, after which share of its time, in which of killing.WAYS."""

    stage: str
    share: float
    way: str


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is killed in one run, in the order of its stages."""

    run: Run
    moments: tuple[Moment, ...]


@dataclass(frozen=True, kw_only=True)
class Setup:
    """Where the runs are made, and what all systems share."""

    folder: Path
    place: str
    log: CaseLog
    bar: Progress
    lock: int  # of the audit; a command that outlives a killed audit holds it until it has ended
    guard: threading.Lock = field(default_factory=threading.Lock)

    def home(self, kind: str, run: Run) -> Path:
        """The folder of a run; kind: quiet or killed."""
        return self.folder / kind / run.system / run.scale / f"seed{run.seed}"

    def start(self, kind: str, run: Run, core: int, *words: str) -> subprocess.Popen:
        """The public command on one core, its output in a log."""
        command = [sys.executable, "-m", "suite", "reproduce", run.system, "--scale", run.scale]
        command += ["--seed", str(run.seed), "--place", self.place, "--device", "cpu", "--jobs", "1", *words]
        runs_dir = self.folder / kind
        runs_dir.mkdir(parents=True, exist_ok=True)
        env = determinism.Setup(folder=runs_dir, place=self.place, jobs=1).environment()

        end_with_us = dying_with_us()

        def before() -> None:
            end_with_us()
            os.sched_setaffinity(0, {core})

        with (runs_dir / f"{run.system}.log").open("a") as log:
            return subprocess.Popen(
                command, cwd=ROOT, env=env, stdin=subprocess.DEVNULL,
                stdout=log, stderr=subprocess.STDOUT, preexec_fn=before, pass_fds=[self.lock],
            )  # fmt: skip

    def add(self, case: Case) -> None:
        """One more case, on the disk at once."""
        with self.guard:
            self.log.add(case)

    def step(self, text: str) -> None:
        """The bar moves, or one line."""
        with self.guard:
            self.bar.advance()
            if not sys.stderr.isatty():
                say(text)


def draw(runs: Sequence[Run], kills: int | None, seed: int) -> list[Plan]:
    """`kills` over all runs, each of its own stage as long as there are some; None: one in every stage.

    The runs get as many each, those with more stages the rest.
    """
    stages = {run.system: [s.name for s in run.stages.values() if not s.optional] for run in runs}
    shares = {name: len(own) if kills is None else 0 for name, own in stages.items()}
    while kills is not None and sum(shares.values()) < kills:
        least = min(shares.values())
        shares[max((n for n in shares if shares[n] == least), key=lambda n: len(stages[n]))] += 1
    plans = []
    for run in runs:
        names, moments = stages[run.system], []
        first = drawn(seed, run.system, "way")
        in_turn = sorted(names, key=lambda name: drawn(seed, run.system, name))
        taken = [in_turn[i % len(names)] for i in range(shares[run.system])]
        for i, name in enumerate(sorted(taken, key=names.index)):
            low, high = MOMENTS
            share = low + (high - low) * drawn(seed, run.system, name, i)
            way = killing.WAYS[(int(first * len(killing.WAYS)) + i) % len(killing.WAYS)]
            moments.append(Moment(stage=name, share=share, way=way))
        plans.append(Plan(run=run, moments=tuple(moments)))
    return plans


def drawn(*words: str | int) -> float:
    """A number in [0, 1) that the words decide (the workflow's own environment has no NumPy)."""
    digest = hashlib.sha256("/".join(map(str, words)).encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


# -- the runs of one system -------------------------------------------------------------------------------


def code_of(setup: Setup, kind: str, run: Run, core: int) -> int:
    """The whole command to its end. Raises Stopped."""
    code = setup.start(kind, run, core).wait()
    if code == EXIT_STOPPED:
        raise Stopped(f"{run.name} stopped", fix="the same command goes on from here")
    return code


def launch_seconds(home: Path, stage: str) -> float:
    """How long the undisturbed launch of a stage took, from its state file."""
    tree = read_json(home / "logs" / f"{stage}.json")
    return max(tree["ended"] - tree["started"], 0.1)


def try_kill(setup: Setup, run: Run, core: int, moment: Moment, at: float) -> tuple[killing.Hit, int | None]:
    """Type the command that leads to a stage and kill it `at` seconds after the stage's launcher began.

    Returns what was met and, where nothing could be killed, how the command ended.
    """
    home, begin = setup.home("killed", run), time.time()
    process = setup.start("killed", run, core, "--until", moment.stage)
    while process.poll() is None:
        tree = read_json(home / "logs" / f"{moment.stage}.json")
        if tree is not None and tree["started"] >= begin:
            break
        time.sleep(killing.POLL_SECONDS)
    hit = killing.strike(process, moment.way, run.package, home / moment.stage, at)
    return hit, None if hit.workers else process.returncode


def kill(setup: Setup, run: Run, core: int, number: int, moment: Moment) -> Case:
    """One kill, as a case."""
    start, home = time.monotonic(), setup.home("killed", run)
    at = moment.share * launch_seconds(setup.home("quiet", run), moment.stage)
    for _ in range(TRIES):
        hit, code = try_kill(setup, run, core, moment, at)
        if code == EXIT_STOPPED:
            raise Stopped(f"{run.name} stopped", fix="the same command goes on from here")
        if code != EXIT_OK:
            break
        shutil.rmtree(home / moment.stage, ignore_errors=True)
        at /= 2
    facts = {**vars(moment), "processes": hit.processes, "at": round(hit.seconds, 2)}
    case = {"group": run.system, "name": f"kill {number}: {moment.stage}"}
    if not hit.workers:
        told = "missed" if code == EXIT_OK else f"ended in exit code {code}"
        where = f"log: {setup.folder / 'killed' / run.system}.log"
        return Case(**case, passed=code == EXIT_OK, outcome=told, detail=where, facts=facts)
    left = killing.keep_evidence(home, moment.stage, evidence(setup, run, number))
    detail = f"{moment.way}, {hit.seconds:.1f} s into it, {hit.processes} processes; left: {told_work(left)}"
    outcome = "killed" if not hit.fault else "killed, but"
    detail = "; ".join(text for text in (hit.fault, detail) if text)
    return Case(
        **case, passed=not hit.fault, outcome=outcome, detail=detail,
        seconds=round(time.monotonic() - start, 1), facts={**facts, "left": left},
    )  # fmt: skip


def evidence(setup: Setup, run: Run, number: int) -> Path:
    """What the kill of this number left."""
    return setup.folder / "killed" / ".evidence" / f"{run.system}-{number}"


def told_work(left: Mapping[str, int]) -> str:
    """{shards, files} in words."""
    words = [f"{left[name]} {name}" for name in ("shards", "files") if left[name]]
    return " and ".join(words) or "nothing"


def audit_run(setup: Setup, plan: Plan, core: int) -> None:
    """Both runs of a system; its kills and the comparison of its stages become cases of the log."""
    run, start = plan.run, time.monotonic()
    code = code_of(setup, "quiet", run, core)
    if code != EXIT_OK:
        what, log = f"{run.name}, undisturbed: ended in exit code {code}", setup.folder / "quiet"
        raise BadInput(
            what, file=log / f"{run.system}.log", fix="mend what it says; the same command goes on"
        )
    setup.step(f"{run.system}: undisturbed in {time.monotonic() - start:.0f} s")
    for number, moment in enumerate(plan.moments, start=1):
        if (run.system, f"kill {number}: {moment.stage}") not in setup.log.done:
            setup.add(kill(setup, run, core, number, moment))
        case = setup.log.done[run.system, f"kill {number}: {moment.stage}"]
        setup.step(f"{run.system}: {case.name}: {case.outcome}, {case.detail}")
    start = time.monotonic()
    code = code_of(setup, "killed", run, core)
    told = f"exit {code}" if code != EXIT_OK else "ended"
    log = f"log: {setup.folder / 'killed' / run.system}.log"
    setup.add(Case(group=run.system, name="the command at last", passed=code == EXIT_OK, outcome=told,
                   detail=log, seconds=round(time.monotonic() - start, 1)))  # fmt: skip
    for stage in run.stages.values():
        if not stage.optional:
            setup.add(end_of(setup, plan, stage.name))
    setup.step(f"{run.system}: {told} after {len(plan.moments)} kills")


def end_of(setup: Setup, plan: Plan, stage: str) -> Case:
    """A stage of the killed run beside the undisturbed one, and how it came there."""
    run, table = plan.run, yaml.safe_load(determinism.TABLE.read_text(encoding="utf-8"))
    homes = [setup.home(kind, run) for kind in KINDS]
    numbers = [number for number, moment in enumerate(plan.moments, start=1) if moment.stage == stage]
    hits = [setup.log.done[run.system, f"kill {number}: {stage}"] for number in numbers]
    hits = [case for case in hits if "left" in case.facts]
    used = [killing.weigh_evidence(homes[1], stage, evidence(setup, run, number)) for number in numbers]
    shards, files = map(sum, zip(*used, strict=True)) if used else (0, 0)
    log = homes[1] / "logs" / f"{stage}.log"
    launches = sum(line.startswith("--- ") for line in log.open(errors="replace")) if log.is_file() else 0
    case = determinism.compare(f"{run.system}.{stage}", *(home / stage for home in homes), table)
    went_on = {"shards": shards, "files": files}
    facts = {"stage": stage, "kills": len(hits), "launches": launches, "went_on_from": went_on}
    left = {name: sum(hit.facts["left"][name] for hit in hits) for name in went_on}
    story = f"{len(hits)} kills, {launches} launches; went on from {told_work(went_on)} of {told_work(left)}"
    detail = "; ".join(text for text in (case.detail, story if hits else "not hit") if text)
    return Case(**{**vars(case), "name": f"end: {stage}", "detail": detail, "facts": {**case.facts, **facts}})


# -- the audit --------------------------------------------------------------------------------------------


def audit_systems(setup: Setup, plans: Sequence[Plan]) -> None:
    """All systems, each on a core; the comparison reads runs of the others and comes after them."""
    cores: queue.Queue[int] = queue.Queue()
    for core in sorted(os.sched_getaffinity(0))[: num_cores()]:
        cores.put(core)

    def one(plan: Plan) -> None:
        core = cores.get()
        try:
            audit_run(setup, plan, core)
        finally:
            cores.put(core)

    for is_last in (False, True):
        batch = [plan for plan in plans if (plan.run.system == COMPARISON) == is_last]
        batch.sort(key=lambda plan: -len(plan.moments))
        with ThreadPoolExecutor(num_cores()) as pool:
            waiting = [pool.submit(one, plan) for plan in batch]
            try:
                for future in as_completed(waiting):
                    future.result()
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise


def hits_case(cases: Sequence[Case], wanted: int) -> Case:
    """Whether enough kills met a running stage."""
    kills = [case for case in cases if case.name.startswith("kill ")]
    hits = [case for case in kills if "left" in case.facts]
    stages = {(case.group, case.facts["stage"]) for case in hits}
    ways = {way: sum(case.facts["way"] == way for case in hits) for way in killing.WAYS}
    detail = f"{len(stages)} stages; " + ", ".join(f"{way}: {num}" for way, num in ways.items())
    need = min(wanted, LEAST_HITS)
    if len(hits) < need:
        detail = f"{need} are needed; {detail}"
    return Case(
        group="all", name="kills that met a running stage", passed=len(hits) >= need,
        outcome=f"{len(hits)} of {len(kills)}", detail=detail,
        facts={"hits": len(hits), "stages": len(stages), "ways": ways},
    )  # fmt: skip


def build_parser() -> Parser:
    """The audit's flags."""
    parser = Parser(prog="python -m suite audit kill", allow_abbrev=False)
    parser.add_argument("--systems", default="", metavar="A,B", help="default: the five papers")
    parser.add_argument("--kills", default="all", help="over all systems; default all: one in every stage")
    parser.add_argument("--scale", default="", help="default $SCALE or tiny")
    parser.add_argument("--seed", default="", help="of the runs and of the kills (default $SEED or 0)")
    parser.add_argument("--place", choices=("auto", "venv", "here"), default="", help="default venv")
    return parser


def _number(text: str, flag: str) -> int:
    if not text.isdecimal():
        raise BadInput(f"{flag} {text} is not a whole number", fix="use 0 or more")
    return int(text)


def chosen(options: argparse.Namespace) -> tuple[list[Run], int | None, int]:
    """Runs, kills (None: one in every stage), seed. Raises BadInput."""
    kills = None if options.kills == "all" else _number(options.kills, "--kills")
    seed = _number(options.seed or os.environ.get("SEED") or "0", "--seed")
    scale = options.scale or os.environ.get("SCALE") or "tiny"
    asked = options.systems.split(",") if options.systems else papers()
    names = [choose(name, systems(), "system") for name in asked]
    return [Run(system=name, scale=scale, seed=seed) for name in names], kills, seed


def prepare(folder: Path, settings: Mapping[str, Any]) -> CaseLog:
    """The log of this audit. What a finished one left, or one of another commit, is deleted; of one of other
    settings the undisturbed runs are kept.
    """
    if (folder / FINISHED).exists():
        for name in KINDS:
            shutil.rmtree(folder / name, ignore_errors=True)
        (folder / FINISHED).unlink()
    log = CaseLog(folder, settings, made=KINDS)
    if not log.done:
        shutil.rmtree(folder / "killed", ignore_errors=True)
    return log


def main(words: Sequence[str]) -> int:
    """Run the audit; returns 0 where every run ended as the undisturbed one, else 1."""
    options = build_parser().parse(words)
    runs, kills, seed = chosen(options)
    place = pick_place(options.place or "venv")
    if place not in ("venv", "here"):
        raise BadInput(f"place {place}: kills reach processes of this machine alone", fix="use PLACE=venv")
    command = shlex.join(["python", "-m", "suite", "audit", NAME, *words])
    with exclusive(audit_folder(NAME) / ".lock") as lock:
        return audit(
            draw(runs, kills, seed), all_stages=kills is None, place=place, lock=lock, command=command
        )


def audit(plans: Sequence[Plan], *, all_stages: bool, place: str, lock: int, command: str) -> int:
    """Do what was drawn, leave the result; returns the exit code."""
    start, folder, load = time.monotonic(), audit_folder(NAME), [round(os.getloadavg()[0], 1)]
    names, wanted = [plan.run.system for plan in plans], sum(len(plan.moments) for plan in plans)
    settings: dict[str, Any] = {"scale": plans[0].run.scale, "seed": plans[0].run.seed, "kills": None}
    # What is drawn for a system depends on the others only where there are not kills for every stage.
    log = prepare(folder, settings if all_stages else {**settings, "systems": names, "kills": wanted})
    if not killing.notes_reading(folder):
        say(f"warning: {folder}: no times of reading here; checkpoints that are read will not be seen")
    say(f"audit-kill: {wanted} kills in {len(plans)} systems, {num_cores()} side by side")
    with Progress(wanted + 2 * len(plans), "audit-kill") as bar:
        audit_systems(Setup(folder=folder, place=place, log=log, bar=bar, lock=lock), plans)
    done = [case for case in log.done.values() if case.group in names]
    cases = sorted(done, key=lambda case: names.index(case.group))
    cases.append(hits_case(cases, wanted))
    load.append(round(os.getloadavg()[0], 1))
    settings |= {"systems": names, "kills": wanted, "load": load}
    seconds = time.monotonic() - start
    code = finish(Audit(audit=NAME, command=command, cases=cases, settings=settings, seconds=seconds), folder)
    log.clear()
    (folder / FINISHED).touch()
    return code
