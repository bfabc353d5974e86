"""`reproduce` and `report` of a system's own command line: the whole chain, in the workflow's environment."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from suite.by_hand import Parser
from suite.errors import Missing
from suite.provenance import ROOT

# The suite's own Python: venv, container.
WORKFLOW = (".tox/workflow/bin/python", "/opt/workflow/bin/python")


def workflow_python() -> str | None:
    """The Python that has the suite's workflow, in the repository or in the image; None without one."""
    return next((str(ROOT / name) for name in WORKFLOW if (ROOT / name).is_file()), None)


def reproduce(system: str, words: Sequence[str]) -> int:
    """`python -m suite reproduce <system> ...`, which this process becomes. Raises Missing without it."""
    python = workflow_python()
    if python is None:
        fix = f"type `make reproduce-{system}`, which makes it (or docker compose run --rm {system})"
        raise Missing("the environment of the workflow is not there", fix=fix)
    place = ["--place", "here"] if python.startswith("/opt/") and "--place" not in words else []
    os.chdir(ROOT)
    sys.stdout.flush()
    os.execv(python, [python, "-m", "suite", "reproduce", system, *place, *words])


def report_parser(program: str, description: str) -> Parser:
    """The flags of `report`, to which a system may add its own."""
    parser = Parser(prog=f"{program} report", description=description, allow_abbrev=False)
    parser.add_argument("--scale", default=os.environ.get("SCALE") or "smoke", help="default $SCALE or smoke")
    # The default is a text, so that a wrong $SEED is refused like a wrong flag.
    parser.add_argument("--seed", type=int, default=os.environ.get("SEED") or "0", help="default $SEED or 0")
    parser.add_argument("-o", "--override", action="append", default=[], metavar="KEY=VALUE")
    return parser


def report(system: str, args: argparse.Namespace, *, program: str, own: Sequence[str] = ()) -> int:
    """Bring the page of a run up to date. own: overrides besides those of `args`, of `report_parser`.

    Raises Missing where a stage before it is not done.
    """
    from suite.inspect_run import inspect
    from suite.runs import Run

    overrides = (*own, *args.override)
    run = Run(system=system, scale=args.scale, seed=args.seed, overrides=overrides)
    left = [state.name for state in inspect(run) if not state.is_done and state.name != "report"]
    command = ["--scale", args.scale, "--seed", str(args.seed)]
    command += [word for text in overrides for word in ("-o", text)]
    if left:
        fix = f"{program} reproduce {' '.join(command)}"
        raise Missing(f"{run.name}: not done yet: {', '.join(left)}", fix=fix)
    return reproduce(system, [*command, "--until", "report"])
