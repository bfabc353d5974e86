"""Commands that are no stage of a run: `python -m experiments.solid VERB [flags]`, `VERB -h` lists them.

A command is a module with `parser() -> suite.by_hand.Parser` and `run(args) -> Iterator[str]`, the lines to
be printed. It is imported when it is asked for, because some need torch and some zarr.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module

from suite.errors import Missing, guard
from suite.stage import STOP

PROGRAM = "python -m experiments.solid"
# verb: (module, toolchain, summary)
COMMANDS = {
    "shapenet-index": (
        "experiments.solid.meshes.shapenet",
        "blender",
        "the class list of a ShapeNetCore.v2 folder, compared with the published one",
    ),
    "import-store": (
        "experiments.solid.importing.store",
        "blender",
        "a published Zarr 2 store, unpacked or as tar parts, becomes one of ours",
    ),
    "import-checkpoint": (
        "experiments.solid.importing.checkpoint",
        "detectron2",
        "a released detectron2 checkpoint becomes a model file; every tensor is accounted for",
    ),
    "detect": (
        "experiments.solid.learn.detect",
        "detectron2",
        "find the objects of query pictures in a picture: boxes, masks, which query",
    ),
}


def overview() -> str:
    """What there is, for -h."""
    rows = [f"  {verb:<20}{summary}" for verb, (_, _, summary) in COMMANDS.items()]
    return "\n".join(["by hand (VERB -h lists the flags):", *rows])


def main(argv: Sequence[str]) -> int:
    """Parse, run, print; the exit code (0 done, 2 bad input, 3 missing, 75 stopped, 1 a bug)."""
    return guard(lambda: _run(argv[0], argv[1:]))


def _run(verb: str, words: Sequence[str]) -> int:
    module, toolchain, _ = COMMANDS[verb]
    try:
        command = import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith(("experiments", "suite")):  # a bug of ours
            raise
        made = f"python3 workflow/bootstrap.py {toolchain}"
        fix = f"use .tox/{toolchain}/bin/python ({made} makes it), or Docker"
        raise Missing(f"{sys.executable} has no {error.name}", fix=fix) from None
    args = command.parser().parse(words)
    STOP.install()
    for line in command.run(args):
        print(line, flush=True)
    return 0
