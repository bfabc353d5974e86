"""Run one stage in its place.

    python -m suite.launch --system solid --toolchain blender --log FILE -- index --config FILE --out DIR ...
    python -m suite.launch --system solid --toolchain blender --log FILE --wide --jobs 2 -- targets ...

With --wide the stage is asked which shards are missing (`--list-missing`), these run side by side
(`--shard I`), and the stage is finished (`--gather`). Exit code: the stage's own (0, 2, 3, 75, 1), of
several the one that tells most. All output of the stage goes to --log; this program prints one line per
event, and a bar over shards on a terminal.

Not covered: places on other machines.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from suite.errors import EXIT_BAD_INPUT, EXIT_MISSING, EXIT_OK, EXIT_STOPPED, BadInput, Missing, guard
from suite.launch.engine import pick_accel, pick_device, pick_place
from suite.launch.gpu import Gpu, GpuLocks, list_gpus
from suite.launch.machine import num_cores
from suite.launch.places import PLACES, PYTHON_VARIABLE, Place, bootstrap_command
from suite.launch.pool import POLL_SECONDS, Pool, ShardResult, StopRequest, stop_workers
from suite.launch.state import LaunchState, exclusive
from suite.launch.worker import Crew, Worker, die_with_parent, say, tail
from suite.progress import Progress


def build_parser() -> argparse.ArgumentParser:
    """The launcher's own flags; everything behind `--` is the stage's."""
    parser = argparse.ArgumentParser(prog="python -m suite.launch", allow_abbrev=False)
    parser.add_argument("--system", required=True, help="folder of experiments/, e.g. solid")
    parser.add_argument("--package", help="Python package with the stages (default experiments.<system>)")
    parser.add_argument("--toolchain", required=True, help="folder of docker/, e.g. blender")
    parser.add_argument("--place", choices=PLACES, default="auto", help="default auto")
    parser.add_argument(
        "--accel", choices=("auto", "cpu", "cuda"), default="auto", help="lock or image flavour"
    )
    parser.add_argument(
        "--jobs", default="auto", help="workers of a wide stage; auto: one per core, or per GPU"
    )
    parser.add_argument("--wide", action="store_true", help="the stage has shards")
    parser.add_argument(
        "--log", required=True, type=Path, metavar="FILE", help="output of the stage, appended"
    )
    parser.add_argument("args", nargs="+", metavar="VERB ...", help="behind `--`: the stage's command")
    return parser


def make_crew(options: argparse.Namespace, keep_open: tuple[int, ...]) -> Crew:
    """Place, cores and GPUs of this launch."""
    place = pick_place(options.place)
    wanted = flag_value(options.args, "--device") or "cpu"
    device, _ = pick_device(wanted, place)
    gpus = list_gpus() if device == "cuda" else []
    jobs = parse_jobs(options.jobs, wide=options.wide, num_gpus=len(gpus))
    return Crew(
        place=Place(
            name=place, toolchain=options.toolchain,
            package=options.package or f"experiments.{options.system}",
            device=device, accel=pick_accel(options.accel, device),
        ),
        label=f"{options.system}.{options.args[0]}", log=options.log, cores=num_cores(), jobs=jobs,
        gpus=GpuLocks(gpus) if gpus else None, keep_open=keep_open,
    )  # fmt: skip


def parse_jobs(text: str, *, wide: bool, num_gpus: int) -> int:
    """Number of workers: 1 for a narrow stage; `auto` is one per GPU, or one per core on the CPU."""
    if not wide:
        return 1
    if text in ("", "auto"):
        return num_gpus or num_cores()
    if not text.isdigit() or int(text) < 1:
        raise BadInput(f"--jobs {text!r}", fix="give a number from 1 up, or auto")
    return min(int(text), num_gpus) if num_gpus else int(text)


def flag_value(args: Sequence[str], flag: str) -> str | None:
    """The value behind a flag in a list of words, or None."""
    return args[args.index(flag) + 1] if flag in args[:-1] else None


def prepare(place: Place) -> None:
    """Make sure that the environment of place venv stands."""
    if place.name == "venv" and not os.environ.get(PYTHON_VARIABLE):
        if subprocess.run(bootstrap_command(place.toolchain, place.accel), check=False).returncode != 0:
            raise Missing(
                f"the environment of {place.toolchain} could not be built (see above)",
                fix="`make doctor` says more",
            )


def launch(options: argparse.Namespace, stop: StopRequest) -> int:
    """Run the stage; returns its exit code."""
    lock = options.log.with_name(f".{options.log.stem}.lock")
    with exclusive(lock) as descriptor:
        crew = make_crew(options, (descriptor,))
        prepare(crew.place)
        facts = {"place": crew.place.name, "toolchain": crew.place.toolchain, "accel": crew.place.accel}
        state = LaunchState(
            options.log,
            system=options.system,
            stage=options.args[0],
            device=crew.place.device,
            jobs=crew.jobs,
            **facts,
        )
        with options.log.open("a", encoding="utf-8") as log:
            log.write(f"--- {crew.label} ({crew.place.name}): {' '.join(options.args)}\n")
        code = 1  # should this program itself break, the state says failed
        try:
            code = (
                run_wide(crew, options.args, stop, state)
                if options.wide
                else run_narrow(crew, options.args, stop)
            )
        finally:
            state.end(code)
        return code


def run_narrow(crew: Crew, args: Sequence[str], stop: StopRequest) -> int:
    """One process for the whole stage."""
    gpu = wait_for_gpu(crew, stop)
    say(f"{crew.label}: started ({crew.place.name}, {crew.place.device}); log: {shown(crew.log)}")
    size = crew.log.stat().st_size
    worker = crew.start(args, name=args[0], gpu=gpu)
    code = wait(worker, stop)
    last = crew.log.read_bytes()[size:].decode(errors="replace").strip().splitlines()
    if code == EXIT_OK and last and last[-1].endswith("up to date"):
        say(f"{crew.label}: up to date")
    else:
        tell_end(crew, code, worker.seconds)
    return code


def wait_for_gpu(crew: Crew, stop: StopRequest) -> Gpu | None:
    """A locked GPU for a narrow stage on the GPU, as soon as one is free; None on the CPU."""
    told = False
    while crew.gpus is not None and not stop.is_set:
        gpu = crew.gpus.take()
        if gpu is not None:
            return gpu
        if not told:
            say(f"{crew.label}: waiting for a free GPU")
            told = True
        time.sleep(1)
    return None


def wait(worker: Worker, stop: StopRequest) -> int:
    """Wait for a worker; a stop request is passed on."""
    while (code := worker.poll()) is None:
        if stop.is_set:
            stop_workers([worker], stop)
        time.sleep(POLL_SECONDS)
    return code


def run_wide(crew: Crew, args: Sequence[str], stop: StopRequest, state: LaunchState) -> int:
    """List the missing shards, run them side by side, gather."""
    start = time.monotonic()
    lister = crew.start([*args, "--list-missing"], name="list", stdout=subprocess.PIPE)
    listed = lister.process.communicate()[0].decode() if lister.process else ""
    code = lister.wait()
    if stop.is_set or code != EXIT_OK:
        tell_end(crew, code or EXIT_STOPPED, lister.seconds)
        return code or EXIT_STOPPED
    tree = json.loads(listed.strip().splitlines()[-1])
    missing, total = tree["missing"], tree["total"]
    state.update(total=total, finished=total - len(missing), failed=[])
    if tree.get("done"):
        say(f"{crew.label}: up to date, {total} shards")
        return EXIT_OK
    if missing:
        code = run_missing(crew, args, stop, state, missing=missing, total=total)
        if code != EXIT_OK:
            return code
    code = wait(crew.start([*args, "--gather"], name="gather"), stop)
    tell_end(crew, code, time.monotonic() - start)
    return code


def run_missing(
    crew: Crew, args: Sequence[str], stop: StopRequest, state: LaunchState, *, missing: list[int], total: int
) -> int:
    """The pool with its bar, its log lines and its last word."""
    say(
        f"{crew.label}: {len(missing)} of {total} shards to do, {crew.jobs} at a time "
        f"({crew.place.name}, {crew.place.device}); log: {shown(crew.log)}"
    )
    tqdm.monitor_interval = 0  # its thread would get in the way of starting processes
    with Progress(total, crew.label, done=total - len(missing)) as bar:

        def on_end(result: ShardResult) -> None:
            done = sum(r.code == EXIT_OK for r in pool.results) + total - len(missing)
            state.update(finished=done, failed=[{"shard": r.shard, "code": r.code} for r in pool.failed()])
            how = "done" if result.code == EXIT_OK else f"FAILED with exit code {result.code}"
            note(
                crew,
                f"{crew.label}[{result.shard}]: {how} seconds={result.seconds:.1f} finished={done}/{total}",
            )
            if result.code == EXIT_OK:
                bar.advance()

        pool = Pool(crew=crew, args=lambda shard: [*args, "--shard", str(shard)], stop=stop, on_end=on_end)
        code = pool.run(missing)
    if code != EXIT_OK:
        tell_failures(crew, pool, code, len(missing))
    return code


def note(crew: Crew, line: str) -> None:
    """One line per event in the log, and on stderr where no bar stands."""
    with crew.log.open("a", encoding="utf-8") as log:
        log.write(line + "\n")
    if not sys.stderr.isatty():
        say(line)


def tell_failures(crew: Crew, pool: Pool, code: int, wanted: int) -> None:
    """Which shards did not finish, and what to type."""
    if code == EXIT_STOPPED:
        say(f"{crew.label}: stopped; finished shards are kept, the same command goes on from here")
        return
    failed = pool.failed()
    codes = ", ".join(f"{r.shard} (exit code {r.code})" for r in failed[:10]) + (
        ", ..." if len(failed) > 10 else ""
    )
    say(last_words(crew.log, code))
    say(f"error: {crew.label}: {len(failed)} of {wanted} shards failed: {codes}; log: {shown(crew.log)}")
    if len(pool.results) < wanted and not pool.stop.is_set:
        say(f"error: {crew.label}: given up after {len(pool.results)} failures without a success")


def last_words(log: Path, code: int) -> str:
    """What the log says of a failure: the stage's own error line, or the end of a bug's traceback."""
    lines = tail(log).splitlines()
    told = [line for line in lines if line.startswith("error: ")]
    return told[-1] if told and code in (EXIT_BAD_INPUT, EXIT_MISSING) else "\n".join(lines)


def tell_end(crew: Crew, code: int, seconds: float) -> None:
    """The last line of a stage."""
    if code == EXIT_OK:
        say(f"{crew.label}: done in {seconds:.0f} s")
    elif code == EXIT_STOPPED:
        say(f"{crew.label}: stopped; the same command goes on from here")
    else:
        say(last_words(crew.log, code))
        say(f"error: {crew.label}: exit code {code}; log: {shown(crew.log)}")


def shown(path: Path) -> str:
    """A path as short as it can be written from where the user is."""
    absolute = os.path.abspath(path)
    return min(absolute, os.path.relpath(absolute), key=len)


def main(argv: Sequence[str] | None = None) -> int:
    """Parse, run, return the exit code."""
    options = build_parser().parse_args(argv)
    die_with_parent()  # Snakemake killed: stop as if it had asked
    stop = StopRequest()
    stop.install()
    options.log = Path(os.path.abspath(options.log))
    options.log.parent.mkdir(parents=True, exist_ok=True)
    return guard(lambda: launch(options, stop))


if __name__ == "__main__":
    sys.exit(main())
