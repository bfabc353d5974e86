"""One started command: its log, its end, its place in the family.

A worker gets SIGTERM when the launcher asks, and also when the launcher dies (suite/family.py), so that
nothing goes on rendering unseen after a kill.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from suite.errors import EXIT_BUG, EXIT_MISSING, EXIT_STOPPED
from suite.family import dying_with_us
from suite.launch.engine import image_id
from suite.launch.gpu import Gpu, GpuLocks
from suite.launch.machine import thread_environment
from suite.launch.places import Place
from suite.provenance import IMAGE_VARIABLE

STOP_GRACE_SECONDS = (
    600  # for `docker stop` when the client died before its container: one picture may take minutes
)


@dataclass(frozen=True, kw_only=True)
class Crew:
    """What all workers of one launch share."""

    place: Place
    label: str  # e.g. "solid.targets", for messages
    log: Path
    cores: int
    jobs: int
    gpus: GpuLocks | None = None  # None on the CPU
    keep_open: tuple[int, ...] = ()  # descriptors every worker inherits (the launch's own lock)

    def start(
        self, args: Sequence[str], *, name: str, gpu: Gpu | None = None, stdout: IO | int | None = None
    ) -> Worker:
        """Start `<verb> <flags>`; output goes to the log unless `stdout` says else."""
        extra = thread_environment(self.cores, self.jobs)
        if gpu is not None:
            extra["CUDA_VISIBLE_DEVICES"] = gpu.uuid
        if self.place.name == "docker" and (image := image_id(self.place.toolchain, self.place.accel)):
            extra[IMAGE_VARIABLE] = image
        container = f"syndet-{os.getpid()}-{name}"
        keep = list(self.keep_open)
        if gpu is not None and self.gpus is not None:
            keep.append(self.gpus.file_descriptor(gpu))
        command = self.place.command(args, env=extra, container=container, keep=keep)
        with self.log.open("ab") as log:
            try:
                process = subprocess.Popen(
                    command, env=self.place.environment(extra), cwd=self.place.root, stdin=subprocess.DEVNULL,
                    stdout=log if stdout is None else stdout, stderr=log, start_new_session=True,
                    preexec_fn=dying_with_us(), pass_fds=keep,
                )  # fmt: skip
            except FileNotFoundError:
                log.write(
                    f"error: {command[0]}: no such program; `make doctor` says what is missing\n".encode()
                )
                process = None
        return Worker(
            crew=self, name=name, process=process, gpu=gpu, container=container, started=time.monotonic()
        )


@dataclass(kw_only=True)
class Worker:
    """A running command. `process` is None where the program does not exist."""

    crew: Crew
    name: str
    process: subprocess.Popen | None
    gpu: Gpu | None
    container: str
    started: float

    def poll(self) -> int | None:
        """Exit code in the suite's terms, or None while it runs."""
        if self.process is None:
            return EXIT_MISSING
        code = self.process.poll()
        return None if code is None else exit_code(code)

    def wait(self) -> int:
        """Wait for the end; returns the exit code."""
        return EXIT_MISSING if self.process is None else exit_code(self.process.wait())

    def signal(self, number: int) -> None:
        """Send a signal to the worker's whole process group."""
        if self.process is None or self.process.poll() is not None:
            return
        os.killpg(self.process.pid, number)

    def stop_container(self) -> None:
        """After a stop: a container whose client is gone gets SIGTERM and the time to finish its picture."""
        if self.crew.place.name == "docker":
            command = ["docker", "stop", "--time", str(STOP_GRACE_SECONDS), self.container]
            subprocess.run(command, capture_output=True, check=False)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started


def exit_code(code: int) -> int:
    """Codes of processes as ours: SIGTERM and SIGINT count as stopped, any other signal as a bug."""
    if code in (-signal.SIGTERM, -signal.SIGINT, 128 + signal.SIGTERM, 128 + signal.SIGINT):
        return EXIT_STOPPED
    return EXIT_BUG if code < 0 or code > 128 else code


def worst(codes: Sequence[int]) -> int:
    """The code that tells most: a bug, then bad input, then something missing, then stopped, then done."""
    order = {1: 0, 2: 1, 3: 2, EXIT_STOPPED: 3, 0: 4}
    return min(codes, key=lambda code: order.get(code, 0), default=0)


def tail(log: Path, lines: int = 20) -> str:
    """The last lines of a log."""
    try:
        text = log.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""
    return "\n".join(text.splitlines()[-lines:])


def say(text: str) -> None:
    """One line for the user, on stderr."""
    print(text, file=sys.stderr, flush=True)
