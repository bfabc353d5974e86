"""Command line of the doctor; see the package's docstring. Exit code 0: ready; 3: something needed is
missing.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from suite.doctor import content, engine, gpu, host
from suite.doctor.context import Context
from suite.doctor.needs import TOOLCHAIN_GB, TOOLCHAINS, judge, toolchains_of
from suite.doctor.result import WARN, Result
from suite.doctor.table import as_json, table
from suite.errors import EXIT_MISSING, EXIT_OK

Check = Callable[[Context], "Result | Iterable[Result]"]

# The order of the table.
CHECKS: tuple[Check, ...] = (
    host.check_python,
    host.check_venv_module,
    host.check_system_libraries,
    host.check_disk,
    host.check_memory,
    host.check_shm,
    host.check_runs_writable,
    host.check_data_writable,
    host.check_slurm,
    engine.check_engine,
    engine.check_compose,
    engine.check_buildx,
    engine.check_images,
    engine.check_gpu_in_containers,
    gpu.check_gpu,
    gpu.check_drivers,
    content.check_environments,
    content.check_detectron2,
    content.check_data_sets,
    content.check_assets,
)


# Inside a container of ours there is neither an engine nor an environment to make.
HOST_ONLY = frozenset(
    {
        host.check_venv_module,
        host.check_data_writable,
        host.check_slurm,
        engine.check_engine,
        engine.check_compose,
        engine.check_buildx,
        engine.check_images,
        engine.check_gpu_in_containers,
        content.check_environments,
    }
)


def examine(context: Context, checks: Iterable[Check] = CHECKS) -> list[Result]:
    """The results of all checks. A check that fails itself becomes a line; the others still run."""
    results: list[Result] = []
    for check in checks:
        if context.inside_image and check in HOST_ONLY:
            continue
        try:
            found = check(context)
        except Exception as error:  # noqa: BLE001 - the one tool for a broken machine goes on
            name = check.__name__[len("check_") :].replace("_", "-")
            value = f"the check itself failed: {type(error).__name__}: {error}"
            why = "a fault of the doctor, or of something it looked at"
            found = Result(name, "machine", name, WARN, value, why, "report it with the output of --json")
        results += [found] if isinstance(found, Result) else found
    return results


def main(argv: Sequence[str] | None = None) -> int:
    """Examine this machine and print what was found; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m suite.doctor", description="What is missing on this machine."
    )
    parser.add_argument(
        "--for", dest="system", choices=sorted(TOOLCHAINS), help="judge for one system (default: all)"
    )
    parser.add_argument(
        "--scale", default=os.environ.get("SCALE") or "smoke", help="scale to judge for (default smoke)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    args = parser.parse_args(argv)
    systems = (args.system,) if args.system else tuple(sorted(TOOLCHAINS))
    shown = toolchains_of(systems) if args.system else tuple(TOOLCHAIN_GB)
    root = Path(__file__).resolve().parents[2]
    context = Context(root=root, systems=systems, toolchains=shown, scale=args.scale)
    results = examine(context)
    verdict = judge(results, inside_image=context.inside_image)
    print((as_json if args.json else table)(results, verdict, context))
    return EXIT_OK if verdict.ready else EXIT_MISSING


if __name__ == "__main__":
    sys.exit(main())
