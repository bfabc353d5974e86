"""`python -m experiments.<system> <verb> ...`: one command line for every stage of every system."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from suite import ranks
from suite.by_hand import Parser
from suite.config import dump, load_config
from suite.errors import BadInput, guard
from suite.stage import STOP, Job, Stage


def main(system: str, stages: Mapping[str, Stage], schema: type, argv: Sequence[str] | None = None) -> int:
    """Parse, run, return the exit code (0 done, 2 bad input, 3 missing, 75 stopped, 1 a bug)."""
    return guard(lambda: _run(stages, schema, build_parser(system, stages).parse_args(argv)))


def build_parser(system: str, stages: Mapping[str, Stage]) -> Parser:
    """One sub-command per stage, with the flags of the stage contract."""
    package = system.replace("-", "_")
    parser = Parser(prog=f"python -m experiments.{package}", allow_abbrev=False)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB", title="stages, in order")
    for stage in stages.values():
        verb = verbs.add_parser(stage.name, help=stage.summary, description=stage.summary, allow_abbrev=False)
        verb.add_argument(
            "--config",
            required=True,
            type=Path,
            metavar="FILE",
            help="experiments/<system>/configs/<scale>.yaml",
        )
        verb.add_argument(
            "-o",
            "--override",
            action="append",
            default=[],
            metavar="KEY=VALUE",
            help="dotted config key; may repeat",
        )
        for name in stage.inputs:
            verb.add_argument(
                f"--{name}", required=True, type=Path, metavar="DIR", help=f"finished folder of `{name}`"
            )
        verb.add_argument(
            "--out", required=True, type=Path, metavar="DIR", help="the result; <DIR>.part while working"
        )
        verb.add_argument("--seed", type=int, default=0, help="default 0")
        verb.add_argument(
            "--device", choices=("cpu", "cuda"), default="cpu", help="default cpu; cuda never falls back"
        )
        for flag in stage.flags:
            verb.add_argument(f"--{flag}", action="store_true")
        if stage.is_wide:
            mode = verb.add_mutually_exclusive_group()
            mode.add_argument(
                "--shard", type=_shard, metavar="I[/N]", help="do one shard; N, if given, is checked"
            )
            mode.add_argument(
                "--list-missing", action="store_true", help="prepare, print unfinished shards as JSON"
            )
            mode.add_argument("--gather", action="store_true", help="all shards are there: finish the stage")
    return parser


def _shard(text: str) -> tuple[int, int | None]:
    index, slash, total = text.partition("/")
    try:
        return int(index), int(total) if slash else None
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not I or I/N") from None


def _run(stages: Mapping[str, Stage], schema: type, args: argparse.Namespace) -> int:
    stage = stages[args.verb]
    config = load_config(schema, args.config, args.override)
    if args.seed < 0:
        raise BadInput(f"--seed {args.seed} is negative", fix="use 0 or more")
    STOP.install()
    job = Job(
        stage=stage,
        config=config,
        seed=args.seed,
        device=args.device,
        inputs={name: getattr(args, name.replace("-", "_")) for name in stage.inputs},
        out=args.out,
        options={flag: getattr(args, flag.replace("-", "_")) for flag in stage.flags},
    )
    if stage.is_wide and args.list_missing:
        missing = job.list_missing()
        print(json.dumps({"missing": missing or [], "total": job.num_shards, "done": missing is None}))
        return 0
    if stage.is_wide and args.shard is not None:
        shard, total = args.shard
        if total not in (None, job.num_shards):
            what = f"--shard {shard}/{total}: this config has {job.num_shards} shards"
            raise BadInput(what, fix="name no total, or this one")
        return _say(stage, job.run_shard(shard), f" shard {shard}")
    if stage.is_wide and args.gather:
        return _say(stage, job.gather(), "")
    if ranks.rank() == 0:
        print(f"# resolved config of {stage.system}.{stage.name}\n{dump(config)}", file=sys.stderr)
    return _say(stage, job.run(), "")


def _say(stage: Stage, worked: bool, what: str) -> int:
    if ranks.rank() == 0:
        print(f"{stage.system}.{stage.name}{what}: {'done' if worked else 'up to date'}")
    return 0
