"""What all stages of this system have in common."""

from __future__ import annotations

from typing import Any

from suite.stage import Stage

SYSTEM = "imaginarynet"


def make_stage(name: str, summary: str, run: str, **facts: Any) -> Stage:
    """A stage of ours; `run` below experiments.imaginarynet, toolchain and version as most have them."""
    facts = {"toolchain": "detectron2", "version": 1, **facts}
    return Stage(system=SYSTEM, name=name, summary=summary, run=f"experiments.imaginarynet.{run}", **facts)
