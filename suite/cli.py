"""The command line of the suite. Every option's default comes from the environment variable that the Makefile
exports (SCALE, SEED, PLACE, ACCEL, DEVICE, JOBS, PAPER, STAGE, TOOLCHAIN, COUNT), an empty one counting as
unset.
"""

from __future__ import annotations

import argparse
import os
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

from suite.by_hand import Parser
from suite.errors import BadInput, guard
from suite.runs import Run, choose, own_overrides, papers, systems

# Modules are imported by the command that needs them: `plan` must not wait for what `clean` uses.


def setting(name: str, default: str) -> str:
    """An environment variable's value, or the default where it is unset or empty."""
    return os.environ.get(name) or default


Add = Callable[[str, Callable[[argparse.Namespace], int], str], argparse.ArgumentParser]


def build_parser() -> Parser:
    """All commands."""
    parser = Parser(prog="python -m suite", allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, run: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        command.set_defaults(run=run)
        return command

    for group in (_add_runs, _add_looks, _add_toolchains, _add_data, _add_whole):
        group(add)
    return parser


def _add_runs(add: Add) -> None:
    """What runs are made of."""
    reproduce = add("reproduce", _reproduce, "run a paper's stages, in order, as far as they are not done")
    reproduce.add_argument("system", nargs="?", default="all", help="a paper, or all (default)")
    add_run_options(reproduce)
    add_place_options(reproduce)
    reproduce.add_argument("--until", metavar="STAGE", help="stop after this stage")
    is_strict = bool(setting("STRICT", ""))
    text = "redo what another environment made"
    reproduce.add_argument("--strict", action="store_true", default=is_strict, help=text)

    plan = add("plan", _plan, "show stages, shards, reasons, disk and time; start nothing")
    add_paper(plan)
    add_run_options(plan)
    add_json(plan)


def _add_looks(add: Add) -> None:
    """How runs are doing."""
    add_json(add("status", _status, "what runs, what is left, how the last launches ended"))

    logs = add("logs", _logs, "the last lines of a stage's log")
    text = "a stage (default $STAGE, or the newest log)"
    logs.add_argument("stage", nargs="?", default=setting("STAGE", ""), help=text)
    add_paper(logs)
    logs.add_argument("--lines", type=int, default=40, help="how many (default 40)")
    add_run_options(logs)


def _add_toolchains(add: Add) -> None:
    """What stages run in."""
    shell = add("shell", _shell, "a shell in a toolchain")
    add_toolchain(shell, "blender")
    add_place_options(shell)

    gpu_check = add("gpu-check", _gpu_check, "one kernel of each framework on the GPU")
    add_toolchain(gpu_check, "all")
    add_place_options(gpu_check)

    doctor = add("doctor", _doctor, "what is missing on this machine, each line with its remedy")
    add_json(doctor)
    doctor.add_argument("--for", dest="paper", default=setting("PAPER", ""), help="default $PAPER, or all")
    doctor.add_argument("--scale", default=setting("SCALE", "smoke"), help="default $SCALE or smoke")

    images = add("images", _images, "build the container images of all toolchains, or of one")
    add_toolchain(images, "all")
    images.add_argument("--accel", choices=("auto", "cpu", "cuda"), default=setting("ACCEL", "auto"))


def _add_data(add: Add) -> None:
    """What is fetched, and what the repository's own sets are made by."""
    add("fetch-meshes", _fetch_meshes, "download the packages that SOLID's meshes can be extended from")
    fetch_data = add("fetch-data", _fetch_data, "download a data set of GaFi into DATA_DIR")
    fetch_data.add_argument("name", help="fashion-mnist, cifar10, cifar100, cinic10 or dermamnist")
    makers = {
        "tabletop": (_tabletop, "render the embedded target set again and compare it"),
        "t2i-corpus": (_t2i_corpus, "render the captioned pictures of ImaginaryNet's models"),
    }
    for name, (run, text) in makers.items():
        maker = add(name, run, text)
        maker.add_argument("--count", default=setting("COUNT", ""), help="pictures (default $COUNT, or all)")
        add_place_options(maker)


def _add_whole(add: Add) -> None:
    """What concerns all runs, or the suite itself."""
    audit = add("audit", _audit, "prove on this machine what the suite claims of itself")
    audit.add_argument("name", help="inputs, kill, determinism or containers")
    audit.add_argument("words", nargs=argparse.REMAINDER, help="its own flags (audit NAME -h)")

    report = add("report", _report, "one page about all runs: published beside measured, figures, audits")
    text = "a copy to keep, without links into the runs; default RUNS_DIR/report"
    report.add_argument("--out", type=Path, metavar="DIR", help=text)

    clean = add("clean", _clean, "show what would be deleted below RUNS_DIR, ask, delete; never data/")
    clean.add_argument("--force", action="store_true", default=bool(setting("FORCE", "")), help="do not ask")

    test = add("test", _test, "the test suite, each part in its own environment")
    test.add_argument("parts", nargs="*", help="environments of tox.ini; default: those of its env_list")


def add_paper(parser: argparse.ArgumentParser) -> None:
    """Which paper."""
    text = "a paper (default $PAPER or solid)"
    parser.add_argument("system", nargs="?", default=setting("PAPER", "solid"), help=text)


def add_toolchain(parser: argparse.ArgumentParser, default: str) -> None:
    """Which toolchain."""
    text = f"default $TOOLCHAIN or {default}"
    parser.add_argument("toolchain", nargs="?", default=setting("TOOLCHAIN", default), help=text)


def add_json(parser: argparse.ArgumentParser) -> None:
    """Whether programs read it."""
    parser.add_argument("--json", action="store_true", help="for programs")


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Which run."""
    parser.add_argument(
        "--scale", default=setting("SCALE", "smoke"), help="a config of the paper (default smoke)"
    )
    parser.add_argument("--seed", default=setting("SEED", "0"), help="default 0")
    parser.add_argument(
        "-o",
        "--override",
        action="append",
        default=shlex.split(setting("OVERRIDES", "")),
        metavar="KEY=VALUE",
        help="dotted config key (default $OVERRIDES, separated by blanks)",
    )


def add_place_options(parser: argparse.ArgumentParser) -> None:
    """Where and how it runs."""
    places, accels, devices = (
        ("auto", "venv", "docker", "here", "slurm"),
        ("auto", "cpu", "cuda"),
        ("auto", "cpu", "cuda"),
    )
    parser.add_argument("--place", choices=places, default=setting("PLACE", "auto"), help="default auto")
    parser.add_argument(
        "--accel", choices=accels, default=setting("ACCEL", "auto"), help="lock or image flavour"
    )
    parser.add_argument("--device", choices=devices, default=setting("DEVICE", "auto"), help="default auto")
    parser.add_argument(
        "--jobs", default=setting("JOBS", "auto"), help="workers of a wide stage (default auto)"
    )


def the_run(options: argparse.Namespace, system: str | None = None) -> Run:
    """The run that the options name."""
    try:
        seed = int(options.seed)
    except ValueError:
        raise BadInput(f"SEED={options.seed} is not a whole number", fix="use 0 or more") from None
    name = choose(system or options.system, systems(), "system")
    overrides = (*own_overrides(name), *options.override)
    return Run(system=name, scale=options.scale, seed=seed, overrides=overrides)


def _reproduce(options: argparse.Namespace) -> int:
    """One system, runs that it reads first, or all papers; one after the other, the first that fails ends
    it.
    """
    from suite.reproduce import Request, reproduce

    for system in papers() if options.system == "all" else [options.system]:
        run = the_run(options, system)
        for one, until in (*run.before, (run, options.until)):
            request = Request(
                run=one, place=options.place, accel=options.accel, device=options.device,
                jobs=options.jobs, until=until, strict=options.strict,
            )  # fmt: skip
            code = reproduce(request)
            if code:
                return code
    return 0


def _plan(options: argparse.Namespace) -> int:
    from suite.plan import as_json, as_text, make_plan

    plan = make_plan(the_run(options))
    print(as_json(plan) if options.json else as_text(plan))
    return 0


def _status(options: argparse.Namespace) -> int:
    from suite.status import print_status

    return print_status(as_json=options.json)


def _logs(options: argparse.Namespace) -> int:
    from suite.status import print_log

    return print_log(the_run(options), options.stage, lines=options.lines)


def _shell(options: argparse.Namespace) -> int:
    from suite.tools import shell

    return shell(options.toolchain, place=options.place, accel=options.accel, device=options.device)


def _gpu_check(options: argparse.Namespace) -> int:
    from suite.tools import gpu_check

    return gpu_check(options.toolchain, place=options.place)


def _doctor(options: argparse.Namespace) -> int:
    from suite.tools import doctor

    return doctor(as_json=options.json, paper=options.paper, scale=options.scale)


def _fetch_meshes(options: argparse.Namespace) -> int:
    from suite.tools import fetch_meshes

    return fetch_meshes()


def _fetch_data(options: argparse.Namespace) -> int:
    from suite.tools import fetch_data

    return fetch_data(options.name)


def _tabletop(options: argparse.Namespace) -> int:
    from suite.tools import tabletop

    return tabletop(options.count, place=options.place, accel=options.accel)


def _t2i_corpus(options: argparse.Namespace) -> int:
    from suite.tools import t2i_corpus

    return t2i_corpus(options.count, place=options.place, accel=options.accel)


def _images(options: argparse.Namespace) -> int:
    from suite.tools import images

    return images(options.toolchain, accel=options.accel)


def _audit(options: argparse.Namespace) -> int:
    from importlib import import_module

    from suite.audits import AUDITS

    name = choose(options.name, list(AUDITS), "audit")
    return import_module(f"suite.audits.{name}").main(options.words)


def _report(options: argparse.Namespace) -> int:
    from suite.overall.page import write_report

    return write_report(options.out)


def _clean(options: argparse.Namespace) -> int:
    from suite.clean import clean

    return clean(force=options.force)


def _test(options: argparse.Namespace) -> int:
    from suite.tools import test

    return test(options.parts)


def main(argv: Sequence[str] | None = None) -> int:
    """Parse, run, return the exit code (0 done, 2 bad input, 3 missing, 75 stopped, 1 a bug)."""
    return guard(lambda: _run(build_parser().parse_args(argv)))


def _run(options: argparse.Namespace) -> int:
    return options.run(options)
