"""Place slurm: the missing shards of a wide stage as one `sbatch --array`, any other stage as one job.

The launcher asks the stage which shards are missing, submits them, and looks at the queue until the job has
left it. How a shard ended stands in the file that its task wrote (slurm_task.py), so no accounting is needed
and one failed shard costs one shard. The launcher may end at any time: the job goes on, and the next launch
finds it by name in the queue and waits for it. Logs: <log without .log>.slurm/.

Not covered: job dependencies (a stage is submitted when its inputs are finished), other batch systems.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import ceil
from pathlib import Path
from typing import Any

from tqdm import tqdm

from suite.config import read_tree
from suite.errors import EXIT_BUG, EXIT_OK, EXIT_STOPPED, BadInput, Missing
from suite.launch import slurm_client as client
from suite.launch.ask import gather, list_missing
from suite.launch.pool import GIVE_UP_AFTER, POLL_SECONDS, ShardResult, StopRequest
from suite.launch.slurm_script import SlurmJob, ranks_per_node, script
from suite.launch.slurm_settings import GRES_REMEDY, SlurmSettings, gpus_of
from suite.launch.slurm_task import TASKS, outcome_name
from suite.launch.state import LaunchState
from suite.launch.tell import note, note_shard, shown, tell_end, tell_failures
from suite.launch.worker import Crew, say, tail, worst
from suite.manifest import read_json, write_json
from suite.progress import Progress

RECORD = "job.json"
SETTLE_POLL_SECONDS = 1.0


@dataclass(kw_only=True)
class Cluster:
    """One launch. The crew's place is the one within the job; its log is the stage's."""

    crew: Crew
    settings: SlurmSettings
    args: Sequence[str]
    stop: StopRequest
    state: LaunchState
    wide: bool
    ranks: bool  # torchrun may spread the stage
    throttle: int | None
    ended: dict[int | None, ShardResult] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.folder = self.crew.log.with_suffix(".slurm")
        out = os.path.abspath(self.args[self.args.index("--out") + 1])
        digest = hashlib.sha256(out.encode()).hexdigest()[:8]
        self.name = f"syndet-{self.crew.label.replace('.', '-')}-{digest}"  # one run's stage, whoever asks
        self.device = self.crew.place.device
        nodes = self.settings.nodes if self.ranks else 1
        if self.device == "cuda" and not gpus_of(self.settings.gres):
            what = f"DEVICE=cuda, but the Slurm settings of {self.crew.label} name no GPU"
            raise Missing(what, fix=GRES_REMEDY)
        if nodes > 1 and self.settings.inside == "docker":
            fix = "use `inside: venv`, or one node"
            raise BadInput("containers have no network, so several nodes cannot work together", fix=fix)

    def run(self) -> int:
        """Submit or find the job, wait for it, finish the stage; returns the exit code."""
        start = time.monotonic()
        asking = replace(self.crew, place=replace(self.crew.place, device="cpu"))  # where there may be no GPU
        record = self.attached()
        if record is None and not self.stop.is_set:
            missing: list[Any] | None = [None]
            total = 1
            if self.wide:
                code, missing, total = list_missing(asking, self.args, self.stop, self.state)
            if missing is None:
                return code
            if not missing:
                return gather(asking, self.args, self.stop, start)
            record = self.submit(missing, total)
        if record is None:  # stopped while the queue did not answer
            return EXIT_STOPPED
        code = self.follow(record)
        if not self.wide and not self.left(record):
            tell_end(self.crew, code, time.monotonic() - start)
        return gather(asking, self.args, self.stop, start) if code == EXIT_OK and self.wide else code

    # -- submitting -----------------------------------------------------------------------------------

    def attached(self) -> dict[str, Any] | None:
        """The record of this stage's job if it is in the queue; BadInput if that is one of other settings."""
        client.require_answer()
        rows = self.queue()
        if not rows:
            return None
        record = read_json(self.folder / RECORD)
        live = {row.job for row in rows if row.state != "COMPLETING"}
        if record is not None and record["fingerprint"] == fingerprint(self.args):
            if record["job"] is None and live:  # killed between sbatch and the note of its number
                record["job"] = max(live, key=int)
            if record["job"] in {row.job for row in rows}:
                say(f"{self.crew.label}: job {record['job']} is in the queue already; waiting for it")
                return record
        if live:
            self.refuse(live)
        return None

    def refuse(self, live: set[str]) -> None:
        """A job that this launch did not start works in the folder that it would write."""
        jobs = " ".join(sorted(live, key=int))
        fix = f"wait for it, or `scancel {jobs}`"
        raise BadInput(f"{self.crew.label}: job {jobs} of other settings is in the queue", fix=fix)

    def queue(self) -> list[client.QueueRow] | None:
        """The queue's rows of this stage, however long that takes; None after a stop."""
        told = False
        while not self.stop.is_set:
            rows = client.queue(self.name)
            if rows is not None:
                return rows
            if not told:
                note(self.crew, f"{self.crew.label}: squeue does not answer; waiting")
                told = True
            self.sleep(self.settings.poll_seconds)
        return None

    def submit(self, shards: list[Any], total: int) -> dict[str, Any]:
        """Write what the tasks read, then hand the job over. Missing: Slurm rejects it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        per_task = max(self.settings.shards_per_task, ceil(len(shards) / client.max_array_size()))
        tasks = [shards[i : i + per_task] for i in range(0, len(shards), per_task)] if self.wide else []
        for shard in shards:
            (self.folder / f"{outcome_name(shard)}.json").unlink(missing_ok=True)
        write_json(self.folder / TASKS, tasks)
        record = {
            "name": self.name, "job": None, "fingerprint": fingerprint(self.args), "shards": shards,
            "per_task": per_task, "total": total,
        }  # fmt: skip
        write_json(self.folder / RECORD, record)
        text = script(self.job(len(tasks)))
        (self.folder / "script.sh").write_text(text, encoding="utf-8")
        try:
            record["job"] = client.submit(text, self.crew.label)
        except Missing:
            (self.folder / RECORD).unlink()
            raise
        write_json(self.folder / RECORD, record)
        what = f"{len(shards)} of {total} shards in {len(tasks)} tasks" if self.wide else "submitted"
        where = f"(slurm, {self.settings.inside}, {self.device})"
        say(f"{self.crew.label}: {what}, job {record['job']} {where}; log: {shown(self.crew.log)}")
        return record

    def job(self, num_tasks: int) -> SlurmJob:
        """The job with the command that its tasks run."""
        place, settings = self.crew.place, self.settings
        words = [sys.executable, "-m", "suite.launch.slurm_task", "--folder", str(self.folder)]
        words += [] if self.wide else ["--log", str(self.crew.log)]
        words += ["--system", self.crew.label.partition(".")[0], "--package", place.package]
        words += ["--toolchain", place.toolchain, "--place", place.name, "--device", place.device]
        words += ["--accel", place.accel, "--max-requeues", str(settings.max_requeues)]
        if self.ranks:
            processes = ranks_per_node(settings, place.device)
            words += ["--nodes", str(settings.nodes), "--ranks", str(processes)]
        return SlurmJob(
            name=self.name, settings=settings, device=place.device, ranks=self.ranks,
            command=[*words, "--", *self.args], root=place.root,
            output=self.folder / f"slurm-{'%A_%a' if self.wide else '%j'}.out",
            tasks=num_tasks if self.wide else None, throttle=self.throttle,
            environment={
                "PYTHONPATH": str(place.root), "RUNS_DIR": str(place.runs_dir),
                "DATA_DIR": str(place.data_dir),
            },
        )  # fmt: skip

    # -- waiting --------------------------------------------------------------------------------------

    def follow(self, record: dict[str, Any]) -> int:
        """Look at the queue and at the outcomes until both say that it is over; returns the worst code."""
        job, wanted = record["job"], record["shards"]
        tqdm.monitor_interval = 0
        gone_since: float | None = None
        given_up_after = None
        before = record["total"] - len(wanted)
        with Progress(record["total"], self.crew.label, done=before) as bar:
            while True:
                rows = self.queue()
                self.collect(wanted, before, record["total"], bar)
                if rows is None:
                    return self.leave(job)
                rows = [row for row in rows if row.job == job]
                self.state.update(slurm_job=job, queue=queue_text(rows))
                if not rows:
                    gone_since = gone_since or time.monotonic()
                    late = time.monotonic() - gone_since > self.settings.settle_seconds
                    if late or len(self.ended) == len(wanted):
                        break
                elif given_up_after is None and self.is_hopeless() and len(self.ended) < len(wanted):
                    given_up_after = len(self.ended)
                    client.cancel(job)
                self.sleep(self.settings.poll_seconds if rows else SETTLE_POLL_SECONDS)
        lost = [shard for shard in wanted if shard not in self.ended]
        if given_up_after is None:
            self.judge_lost(record, lost)
        return self.close(len(wanted), given_up_after)

    def collect(self, wanted: Sequence[int | None], before: int, total: int, bar: Progress) -> None:
        """Outcomes that are new since the last look."""
        there = {path.name for path in os.scandir(self.folder)}
        for shard in wanted:
            name = outcome_name(shard)
            if shard in self.ended or f"{name}.json" not in there:
                continue
            tree = read_json(self.folder / f"{name}.json")
            if tree is None:
                continue
            result = ShardResult(shard, tree["code"], tree["seconds"])
            self.ended[shard] = result
            if shard is None:
                continue
            if result.code == EXIT_OK:
                bar.advance()
            else:
                self.keep_log(shard, tree)
            done = before + sum(r.code == EXIT_OK for r in self.ended.values())
            failed = [{"shard": r.shard, "code": r.code} for r in self.failed()]
            self.state.update(total=total, finished=done, failed=failed)
            note_shard(self.crew, result, done=done, total=total)

    def keep_log(self, shard: int, tree: dict[str, Any]) -> None:
        """The last lines of a failed shard stand in the stage's log as well."""
        path = self.folder / f"{outcome_name(shard)}.log"
        with self.crew.log.open("a", encoding="utf-8") as log:
            log.write(f"--- {self.crew.label}[{shard}] on {tree['host']}: {path}\n{tail(path)}\n")

    def failed(self) -> list[ShardResult]:
        """What did not end in 0, in order of shard."""
        return sorted((r for r in self.ended.values() if r.code != EXIT_OK), key=lambda r: r.shard or 0)

    def is_hopeless(self) -> bool:
        return len(self.ended) >= GIVE_UP_AFTER and all(r.code != EXIT_OK for r in self.ended.values())

    def judge_lost(self, record: dict[str, Any], lost: Sequence[int | None]) -> None:
        """Shards whose task left no outcome: cancelled by hand (stopped), or ended by Slurm (failed)."""
        for shard in lost:
            task = "" if shard is None else f"_{record['shards'].index(shard) // record['per_task']}"
            code, why = slurm_words(self.folder / f"slurm-{record['job']}{task}.out")
            self.ended[shard] = ShardResult(shard, code, 0.0)  # type: ignore[arg-type]
            what = self.crew.label if shard is None else f"{self.crew.label}[{shard}]"
            note(self.crew, f"{what}: {'not finished' if code == EXIT_STOPPED else 'FAILED'}: {why}")
        failed = [{"shard": r.shard, "code": r.code} for r in self.failed()]
        self.state.update(**({"failed": failed} if self.wide else {}))

    def close(self, wanted: int, given_up_after: int | None) -> int:
        """The code that tells most, and for a wide stage which shards failed."""
        code = worst([result.code for result in self.ended.values()])
        if self.wide and code != EXIT_OK:
            failed = self.failed()
            first = next(result for result in failed if result.code == code)
            own = self.folder / f"{outcome_name(first.shard)}.log"
            tell_failures(
                self.crew, failed, code, wanted=wanted, given_up_after=given_up_after,
                log=own if own.is_file() else None,
            )  # fmt: skip
        return code

    def leave(self, job: str) -> int:
        """The launcher is to end; the job is not."""
        say(f"{self.crew.label}: job {job} goes on; the same command waits for it, `scancel {job}` ends it")
        return EXIT_STOPPED

    def left(self, record: dict[str, Any]) -> bool:
        """Whether this launch ended before its job."""
        return self.stop.is_set and len(self.ended) < len(record["shards"])

    def sleep(self, seconds: float) -> None:
        """Wait, but not after a stop."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and not self.stop.is_set:
            time.sleep(POLL_SECONDS)


def queue_text(rows: Sequence[client.QueueRow]) -> str:
    """`3 running, others pending (Resources)`."""
    running = sum(row.state == "RUNNING" for row in rows)
    waiting = [f"{row.state.lower()} ({row.reason})" for row in rows if row.state != "RUNNING"]
    return ", ".join([*([f"{running} running"] if running else []), *sorted(set(waiting))]) or "ended"


def slurm_words(output: Path) -> tuple[int, str]:
    """Exit code and reason of a task without outcome, from what Slurm wrote into its output."""
    if not output.is_file():
        return EXIT_STOPPED, "never begun"
    lines = tail(output).splitlines()
    last = [line for line in lines if "slurmstepd: error:" in line or "slurmstepd-" in line] or lines[-1:]
    line = last[-1].strip() if last else "no word"
    by_hand = ("CANCELLED AT" in line and "DUE TO" not in line) or "not queued again" in line
    return (EXIT_STOPPED if by_hand else EXIT_BUG), f"Slurm: {line} ({shown(output)})"


def fingerprint(args: Sequence[str]) -> str:
    """Digest of a stage's command and of the config file that it names."""
    config = read_tree(Path(args[args.index("--config") + 1])) if "--config" in args else None
    return hashlib.sha256(json.dumps([*args, config], sort_keys=True, default=str).encode()).hexdigest()
