"""What runs within a Slurm job: a narrow stage, or the shards of one task of an array, one after the other.

    python -m suite.launch.slurm_task --folder DIR --system solid --toolchain blender ... -- targets ...

DIR/tasks.json says which shards are this task's; DIR/<shard>.json is written as each ends: {shard, code,
seconds, host, job}. SIGUSR1 (some time before the limit) and SIGTERM become the stage's own SIGTERM: it saves
and ends in 75, and the task asks for a place in the queue again. It then goes on where it stopped: shards
that have ended are not begun again.
"""

from __future__ import annotations

import argparse
import os
import platform
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from suite.errors import EXIT_BUG, EXIT_OK, EXIT_STOPPED, BadInput, Missing, guard
from suite.launch.gpu import Gpu, list_gpus
from suite.launch.machine import num_cores
from suite.launch.places import Place
from suite.launch.pool import POLL_SECONDS, StopRequest
from suite.launch.slurm_client import first_host, requeue, signal_steps, state_of
from suite.launch.slurm_script import srun_words, torchrun_words
from suite.launch.worker import Crew, Worker, say
from suite.manifest import read_json, write_json

NARROW = "stage"  # name of the outcome of a stage without shards
TASKS = "tasks.json"


def outcome_name(shard: int | None) -> str:
    """Name, without ending, of a shard's outcome and log."""
    return NARROW if shard is None else f"{shard:05d}"


def build_parser() -> argparse.ArgumentParser:
    """The task's own flags; everything behind `--` is the stage's."""
    parser = argparse.ArgumentParser(prog="python -m suite.launch.slurm_task", allow_abbrev=False)
    parser.add_argument("--folder", required=True, type=Path, help="where outcomes and logs of the job lie")
    parser.add_argument("--log", type=Path, help="log of a narrow stage")
    parser.add_argument("--system", required=True)
    parser.add_argument("--package", required=True)
    parser.add_argument("--toolchain", required=True)
    parser.add_argument("--place", choices=("venv", "docker"), required=True)
    parser.add_argument("--device", choices=("cpu", "cuda"), required=True)
    parser.add_argument("--accel", choices=("cpu", "cuda"), required=True)
    parser.add_argument("--ranks", type=int, default=1, help="processes per node, through torchrun")
    parser.add_argument("--nodes", type=int, default=1)
    parser.add_argument("--max-requeues", type=int, required=True)
    parser.add_argument("args", nargs="+", metavar="VERB ...", help="behind `--`: the stage's command")
    return parser


@dataclass(kw_only=True)
class Task:
    """One task: its options and the stop request that Slurm may send."""

    options: argparse.Namespace
    stop: StopRequest

    def __post_init__(self) -> None:
        self.job = os.environ.get("SLURM_JOB_ID", "")
        if not self.job:
            raise BadInput("this runs within a Slurm job", fix="make reproduce-... PLACE=slurm starts it")
        array, index = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
        # The last task of an array has the array's own number as SLURM_JOB_ID: asked by it, Slurm takes all.
        self.address = f"{array}_{index}" if array and index else self.job

    def run(self) -> int:
        """The shards that have not ended; the worst that can be told by one exit code."""
        codes = []
        for shard in self.shards():
            found = read_json(self.outcome(shard))
            if found is None:
                code = self.run_one(shard)
                if code == EXIT_STOPPED:
                    return self.stopped(shard)
            else:
                code = found["code"]
            codes.append(code)
        return EXIT_BUG if any(codes) else EXIT_OK

    def shards(self) -> list[int | None]:
        """This task's shards, by its number in the array; [None] for a narrow stage."""
        index = os.environ.get("SLURM_ARRAY_TASK_ID")
        tasks = read_json(self.options.folder / TASKS)
        if index is None:
            return [None]
        if not isinstance(tasks, list) or not int(index) < len(tasks):
            raise Missing(f"no shards for task {index}", file=self.options.folder / TASKS)
        return tasks[int(index)]

    def outcome(self, shard: int | None) -> Path:
        return self.options.folder / f"{outcome_name(shard)}.json"

    def run_one(self, shard: int | None) -> int:
        """One shard, or the narrow stage; writes its outcome unless it was stopped."""
        if self.stop.is_set:
            return EXIT_STOPPED
        options = self.options
        name = outcome_name(shard)
        crew = self.crew(options.log or options.folder / f"{name}.log")
        args = options.args if shard is None else [*options.args, "--shard", str(shard)]
        with crew.log.open("a", encoding="utf-8") as log:
            log.write(f"--- {crew.label} (slurm, job {self.job} on {platform.node()}): {' '.join(args)}\n")
        gpu = own_gpus() if options.device == "cuda" else None
        worker = crew.start(args, name=f"{self.job}-{name}", gpu=gpu)
        code = self.wait(worker)
        if code != EXIT_STOPPED:
            self.write(shard, code, worker.seconds)
        say(f"{crew.label} {name}: exit code {code}")
        return code

    def write(self, shard: int | None, code: int, seconds: float) -> None:
        """The outcome: whole or absent."""
        tree = {"shard": shard, "code": code, "seconds": seconds, "host": platform.node(), "job": self.job}
        write_json(self.outcome(shard), tree)

    def crew(self, log: Path) -> Crew:
        """Place, cores and processes of this job."""
        options = self.options
        head = first_host(os.environ["SLURM_JOB_NODELIST"]) if options.nodes > 1 else platform.node()
        cpus = os.environ.get("SLURM_CPUS_PER_TASK", "")
        place = Place(
            name=options.place, toolchain=options.toolchain, package=options.package, device=options.device,
            accel=options.accel,
            before=tuple(srun_words(nodes=options.nodes, cpus=int(cpus) if cpus else None)),
            through=tuple(
                torchrun_words(nodes=options.nodes, per_node=options.ranks, job_id=self.job, head=head)
            ),
        )  # fmt: skip
        return Crew(
            place=place, label=f"{options.system}.{options.args[0]}", log=log,
            cores=int(cpus) if cpus else num_cores(), jobs=options.ranks,
        )  # fmt: skip

    def wait(self, worker: Worker) -> int:
        """Wait for the stage. A stop is passed on once: whoever saves must not be hurried by a second signal,
        and Slurm itself kills what takes too long.
        """
        told = False
        while (code := worker.poll()) is None:
            if self.stop.is_set and not told:
                told = True
                say("stopping: the stage saves")
                if self.options.nodes > 1:  # srun would take SIGTERM for a wish to kill
                    signal_steps(self.address, "TERM")
                else:
                    worker.signal(signal.SIGTERM)
            time.sleep(POLL_SECONDS)
        if told:
            worker.stop_container()
        # torchrun ends in 1 whatever its ranks ended in, srun in what killed them.
        many = self.options.nodes * self.options.ranks > 1
        return EXIT_STOPPED if told and many and code != EXIT_OK else code

    def stopped(self, shard: int | None) -> int:
        """Ask for a place in the queue again, unless somebody cancelled the job; returns EXIT_STOPPED."""
        restarts = int(os.environ.get("SLURM_RESTART_COUNT") or 0)
        if restarts >= self.options.max_requeues:
            say(f"error: stopped {restarts + 1} times; given up (max_requeues, time: docs/scaling.md)")
            self.write(shard, EXIT_STOPPED, 0.0)
        elif (state := state_of(self.address)) != "RUNNING":
            say(f"stopped; not queued again, because the job is {state or 'gone'}")
        elif (why := requeue(self.address)) is not None:
            say(f"error: stopped, and Slurm does not queue it again: {why}")
        else:
            say("stopped; queued again")
        return EXIT_STOPPED


def own_gpus() -> Gpu | None:
    """The GPUs that Slurm gave this job, by UUID, which means the same in a container; None: as Slurm named
    them.
    """
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if not given:
        return None
    names = ",".join(gpu.uuid for gpu in list_gpus()) or given
    return Gpu(index=given, uuid=names, name="", driver="")


def main(argv: Sequence[str] | None = None) -> int:
    """Parse, run, return the exit code."""
    options = build_parser().parse_args(argv)
    stop = StopRequest()
    stop.install(signal.SIGUSR1)
    return guard(lambda: Task(options=options, stop=stop).run())


if __name__ == "__main__":
    sys.exit(main())
