"""Run one stage in its place.

    python -m suite.launch --system solid --toolchain blender --log FILE -- index --config FILE --out DIR ...
    python -m suite.launch --system solid --toolchain blender --log FILE --wide --jobs 2 -- targets ...

With --wide the stage is asked which shards are missing (`--list-missing`), these run side by side
(`--shard I`), and the stage is finished (`--gather`). Exit code: the stage's own (0, 2, 3, 75, 1), of
several the one that tells most. All output of the stage goes to --log; this program prints one line per
event, and a bar over shards on a terminal. Place slurm: suite/launch/slurm.py.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from suite.errors import EXIT_OK, BadInput, Missing, SuiteError, guard
from suite.family import die_with_parent
from suite.launch import slurm
from suite.launch.ask import gather, list_missing, wait
from suite.launch.engine import pick_accel, pick_device, pick_place
from suite.launch.gpu import Gpu, GpuLocks, list_gpus
from suite.launch.machine import num_cores
from suite.launch.places import PLACES, PYTHON_VARIABLE, Place, bootstrap_command
from suite.launch.pool import Pool, ShardResult, StopRequest
from suite.launch.slurm_settings import SlurmSettings, load_settings
from suite.launch.state import LaunchState, exclusive
from suite.launch.tell import note_shard, shown, tell_end, tell_failures
from suite.launch.worker import Crew, say
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
    parser.add_argument("--ranks", action="store_true", help="place slurm: torchrun may spread the stage")
    parser.add_argument(
        "--log", required=True, type=Path, metavar="FILE", help="output of the stage, appended"
    )
    parser.add_argument("args", nargs="+", metavar="VERB ...", help="behind `--`: the stage's command")
    return parser


def make_crew(options: argparse.Namespace, keep_open: tuple[int, ...], asked: SlurmSettings | None) -> Crew:
    """Place, cores and GPUs of this launch; `asked` in place slurm, whose jobs have a place of their own."""
    place = pick_place(options.place)
    wanted = flag_value(options.args, "--device") or "cpu"
    device = wanted if asked else pick_device(wanted, place)[0]
    gpus = list_gpus() if device == "cuda" and not asked else []
    jobs = 1 if asked else parse_jobs(options.jobs, wide=options.wide, num_gpus=len(gpus))
    return Crew(
        place=Place(
            name=asked.inside if asked else place, toolchain=options.toolchain,
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
        asked = load_settings(f"{options.system}.{options.args[0]}") if options.place == "slurm" else None
        crew = make_crew(options, (descriptor,), asked)
        prepare(crew.place)
        place = options.place if asked else crew.place.name
        state = LaunchState(
            options.log, system=options.system, stage=options.args[0], device=crew.place.device,
            jobs=crew.jobs, place=place, toolchain=crew.place.toolchain, accel=crew.place.accel,
        )  # fmt: skip
        with options.log.open("a", encoding="utf-8") as log:
            log.write(f"--- {crew.label} ({place}): {' '.join(options.args)}\n")
        code = 1  # should this program itself break, the state says failed
        try:
            code = run(crew, options, stop, state, asked)
        except SuiteError as error:
            code = error.exit_code
            raise
        finally:
            state.end(code)
        return code


def run(
    crew: Crew,
    options: argparse.Namespace,
    stop: StopRequest,
    state: LaunchState,
    asked: SlurmSettings | None,
) -> int:
    """The stage in its place; returns its exit code."""
    if asked is None:
        run_here = run_wide if options.wide else run_narrow
        return run_here(crew, options.args, stop, state)
    throttle = parse_jobs(options.jobs, wide=True, num_gpus=0) if options.jobs not in ("", "auto") else None
    return slurm.Cluster(
        crew=crew, settings=asked, args=options.args, stop=stop, state=state,
        wide=options.wide, ranks=options.ranks, throttle=throttle or asked.throttle,
    ).run()  # fmt: skip


def run_narrow(crew: Crew, args: Sequence[str], stop: StopRequest, state: LaunchState) -> int:
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


def run_wide(crew: Crew, args: Sequence[str], stop: StopRequest, state: LaunchState) -> int:
    """List the missing shards, run them side by side, gather."""
    start = time.monotonic()
    code, missing, total = list_missing(crew, args, stop, state)
    if missing is None:
        return code
    if missing:
        code = run_missing(crew, args, stop, state, missing=missing, total=total)
        if code != EXIT_OK:
            return code
    return gather(crew, args, stop, start)


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
            note_shard(crew, result, done=done, total=total)
            if result.code == EXIT_OK:
                bar.advance()

        pool = Pool(crew=crew, args=lambda shard: [*args, "--shard", str(shard)], stop=stop, on_end=on_end)
        code = pool.run(missing)
    if code != EXIT_OK:
        cut = len(pool.results) < len(missing) and not pool.stop.is_set
        given_up_after = len(pool.results) if cut else None
        tell_failures(crew, pool.failed(), code, wanted=len(missing), given_up_after=given_up_after)
    return code


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
