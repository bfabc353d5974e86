"""What a training tells its caller and asks of it; needs no framework."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from suite.errors import Stopped
from suite.progress import Progress
from suite.stage import STOP


@dataclass(frozen=True, kw_only=True)
class Hooks:
    """What the caller is told and asked; by default nothing happens."""

    check_stop: Callable[[], None] = lambda: None  # raises Stopped
    progress: Callable[..., AbstractContextManager] = lambda total, name, done=0: nullcontext()
    event: Callable[..., None] = lambda name, **facts: None


def make_hooks(name: str) -> Hooks:
    """Progress and events on stderr; stops after SIGTERM."""

    def check_stop() -> None:
        if STOP.is_set:
            raise Stopped(f"{name} stopped by SIGTERM", fix="the same command goes on from here")

    def event(what: str, **facts: object) -> None:
        told = " ".join(f"{key}={value}" for key, value in facts.items())
        print(f"{name}: {what} {told}", file=sys.stderr, flush=True)

    def progress(total: int, title: str, done: int = 0) -> Progress:
        return Progress(total, title, done=done)

    return Hooks(check_stop=check_stop, event=event, progress=progress)
