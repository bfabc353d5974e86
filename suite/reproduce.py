"""`make reproduce-<system>`: every stage that is not done, in order, by Snakemake; then what came out and
what is next.

Before Snakemake starts, the state of every stage is read from the disk (suite/inspect_run.py), and the
stamp of each stage that is not done is taken away: Snakemake orders and starts, the stages' own keys
decide. Where all are done nothing is started. A kill at any moment needs no cleaning up: the same command
goes on.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from suite.errors import EXIT_BUG, EXIT_OK, EXIT_STOPPED, BadInput, Missing
from suite.family import dying_with_us
from suite.inspect_run import StageState, inspect
from suite.launch.engine import compose_files, pick_accel, pick_device, pick_place
from suite.launch.machine import num_cores
from suite.launch.places import PYTHON_VARIABLE, bootstrap_command
from suite.launch.pool import POLL_SECONDS, StopRequest
from suite.launch.relay import require
from suite.launch.slurm_settings import load_settings
from suite.launch.state import read_state
from suite.launch.worker import say, worst
from suite.manifest import discard
from suite.plan import table, time_text
from suite.provenance import ROOT
from suite.runs import Run, choose, target_of

WARNINGS_SHOWN = 8  # at the end of a run
SCALES_UPWARD = ("tiny", "smoke", "small", "medium", "paper")


@dataclass(frozen=True, kw_only=True)
class Request:
    """What was asked for."""

    run: Run
    place: str = "auto"
    accel: str = "auto"
    device: str = "auto"
    jobs: str = "auto"
    until: str | None = None  # last stage; None: all
    strict: bool = False  # another environment is a reason to redo


def reproduce(request: Request) -> int:
    """Bring the run up to date; returns the exit code of the stage that tells most."""
    run, start = request.run, time.time()
    if request.until is not None:
        choose(request.until, list(run.stages), "stage")
    make_folder(run)
    with one_at_a_time(run):
        if request.strict:
            drop_foreign(run)
        states = [state for state in inspect(run) if state.name in wanted(request)]
        withdraw_stamps(run, states)
        if all(state.is_done for state in states):
            print(f"{run.name}: nothing to do, all {len(states)} stages are up to date")
            tell_end(request)
            return EXIT_OK
        code = start_stages(request, states)
        if code == EXIT_OK:
            print(f"\n{run.name}: done in {time_text(time.time() - start)}")
            tell_end(request)
        else:
            tell_failure(request, code)
        return code


def make_folder(run: Run) -> None:
    """The run's folder, or one clear line."""
    try:
        (run.folder / "logs").mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise BadInput(
            "a file stands where a folder is needed", file=run.folder, fix="choose another RUNS_DIR"
        ) from None


@contextmanager
def one_at_a_time(run: Run) -> Iterator[None]:
    """Two commands on one run would start everything twice; the lock dies with its holder."""
    with (run.folder / ".lock").open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BadInput(
                "another command works on this run", file=run.folder, fix="`make status` shows it"
            ) from None
        yield


def wanted(request: Request) -> set[str]:
    """The stages that lead to the last one, itself included."""
    run = request.run
    if request.until is None:
        return {name for name, stage in run.stages.items() if not stage.optional}
    found, waiting = set(), [request.until]
    while waiting:
        name = waiting.pop()
        found.add(name)
        waiting += [run.producer(item) for item in run.stages[name].inputs if run.producer(item) not in found]
    return found


def drop_foreign(run: Run) -> None:
    """STRICT: delete the results that another environment made."""
    for state in inspect(run):
        if state.is_done and state.other_environment:
            say(f"{run.system}.{state.name}: made with another environment; deleted, because of STRICT")
            discard(run.folder / state.name)


def withdraw_stamps(run: Run, states: Sequence[StageState]) -> None:
    """A stage that is not done has no stamp, whatever happened to its folder since; nor have those that read
    it.

    Without the second half Snakemake would take a lost stage for an intermediate file that nobody needs
    any more.
    """
    withdrawn: set[str] = set()
    for state in states:  # in order: a stage comes after its inputs
        producers = {run.producer(name) for name in run.stages[state.name].inputs}
        if not state.is_done or producers & withdrawn:
            withdrawn.add(state.name)
            (run.folder / ".stamps" / state.name).unlink(missing_ok=True)


def start_stages(request: Request, states: Sequence[StageState]) -> int:
    """Make the environments, start Snakemake, wait; returns the worst exit code of the stages."""
    run = request.run
    place = pick_place(request.place)
    device, why = pick_device(request.device, place)
    accel = pick_accel(request.accel, device)
    say(f"{run.name}: place {place}, device {device} ({why}); results: {run.folder}")
    toolchains = sorted({state.toolchain for state in states if not state.is_done})
    within = load_settings().inside if place == "slurm" else place
    prepare(toolchains, place=within, accel=accel, device=device)
    begin = time.time()
    command = snakemake_command(request, place=place, device=device, accel=accel)
    outcome = run_snakemake(command)
    codes = [
        tree.get("code", EXIT_BUG)
        for tree in (read_state(run.folder / "logs" / f"{state.name}.json") for state in states)
        if tree is not None and tree["started"] >= begin
    ]
    if outcome == EXIT_STOPPED and worst(codes) == EXIT_OK:  # the stage at hand had only its end left
        return EXIT_STOPPED
    if outcome and worst(codes) == EXIT_OK:  # no stage failed: let Snakemake say what it did not like
        subprocess.run([*command[:-2], "--dry-run", "--quiet", "host", "--", command[-1]], check=False)
        return EXIT_BUG
    return worst(codes)


def prepare(toolchains: Sequence[str], *, place: str, accel: str, device: str) -> None:
    """Environments or images that the stages need, before anything is started."""
    for toolchain in toolchains:
        if place == "venv" and not os.environ.get(PYTHON_VARIABLE):
            made = subprocess.run(bootstrap_command(toolchain, accel), check=False)
            if made.returncode != 0:
                raise Missing(
                    f"the environment of {toolchain} could not be built (see above)", fix="see `make doctor`"
                )
        if place == "here":
            require(toolchain)
        if place == "docker":
            build_image(toolchain, accel=accel, device=device)


def build_image(toolchain: str, *, accel: str, device: str) -> None:
    """Build an image that is not there, or whose files changed (the engine's cache knows)."""
    files = [word for name in compose_files(device) for word in ("-f", str(ROOT / name))]
    command = ["docker", "compose", *files, "build", "--quiet", toolchain]
    say(f"image syndet/{toolchain}:{accel}: building what is not there yet")
    if subprocess.run(command, env={**os.environ, "ACCEL": accel}, check=False, cwd=ROOT).returncode != 0:
        raise Missing(
            f"the image of {toolchain} could not be built (see above)", fix="`make doctor`, or PLACE=venv"
        )


def snakemake_command(request: Request, *, place: str, device: str, accel: str) -> list[str]:
    """The command line that starts Snakemake on a run."""
    run = request.run
    config = {
        "system": run.package, "scale": run.scale, "seed": run.seed,
        "place": place, "device": device, "accel": accel, "jobs": request.jobs,
        "overrides": json.dumps(list(run.overrides)),
    }  # fmt: skip
    target = run.package if request.until is None else f".stamps/{request.until}"
    # A launcher that waits for the cluster takes no core: whatever has its inputs is submitted at once.
    cores = ["--cores", str(num_cores())] if place != "slurm" else ["--cores", "64", "--max-threads", "1"]
    return [
        sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "workflow/Snakefile"),
        "--directory", str(run.folder),  # workflow/profiles/default is found beside the Snakefile
        *cores, "--config", *(f"{name}={value}" for name, value in config.items()),
        "--", target,
    ]  # fmt: skip


def run_snakemake(command: Sequence[str]) -> int:
    """Run it in a session of its own; SIGTERM or Ctrl-C is passed on to every stage, which save and end."""
    stop = StopRequest()
    stop.install()
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    # Killed together with this process: the launchers then get SIGTERM from the kernel and end in good order.
    process = subprocess.Popen(
        command,
        env=env,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=dying_with_us(signal.SIGKILL),
    )
    sent = 0
    while process.poll() is None:
        if stop.signals > sent:
            sent = stop.signals
            say("stopping: the stages finish the picture at hand")
            os.killpg(process.pid, signal.SIGTERM)
        time.sleep(POLL_SECONDS)
    return EXIT_STOPPED if sent else process.returncode


def tell_end(request: Request) -> None:
    """What came out, where it is, what to type next."""
    run = request.run
    states = [state for state in inspect(run) if state.name in wanted(request)]
    rows = [("stage", "state", "seconds", "rows")]
    for state in states:
        made = state.manifest or {}
        counts = ", ".join(f"{value} {name}" for name, value in sorted(made.get("counts", {}).items()))
        seconds = stage_seconds(made)
        rows.append((state.name, state.state, "-" if seconds is None else f"{seconds:.1f}", counts))
    print("\n".join(table(rows)))
    told = [f"{s.name}: {text}" for s in states for text in (s.manifest or {}).get("warnings", ())]
    for text in told[:WARNINGS_SHOWN]:
        print(f"warning: {text}")
    if len(told) > WARNINGS_SHOWN:
        print(f"{len(told) - WARNINGS_SHOWN} more warnings stand in the stages' manifests")
    page = run.folder / "report" / "index.html"
    if page.is_file():
        print(f"\nreport: {os.path.relpath(page)}")
    print(f"next:   {next_command(run)}")


def stage_seconds(made: dict) -> float | None:
    """Worker seconds of a finished stage: its own, or the sum over its shards."""
    if "wall_seconds" not in made:
        return None
    return made["wall_seconds"] + sum(shard["wall_seconds"] for shard in made.get("shards", []))


def next_command(run: Run) -> str:
    """The next scale up that exists; after the largest, another seed."""
    upward = SCALES_UPWARD[SCALES_UPWARD.index(run.scale) + 1 :] if run.scale in SCALES_UPWARD else ()
    bigger = next((scale for scale in upward if (run.home / "configs" / f"{scale}.yaml").is_file()), None)
    if bigger is None:
        return f"make {target_of(run.system)} SCALE={run.scale} SEED={run.seed + 1}"
    return f"make plan PAPER={run.system} SCALE={bigger}   (then make {target_of(run.system)} SCALE={bigger})"


def tell_failure(request: Request, code: int) -> None:
    """One line after the launcher's own."""
    name = request.run.name
    if code == EXIT_STOPPED:
        say(f"{name}: stopped; the same command goes on from here")
    else:
        say(f"error: {name}: not finished (exit code {code}); mend that, then the same command goes on")
