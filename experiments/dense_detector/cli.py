"""The verbs, by hand and as stages of a run: the same functions behind both.

    python -m experiments.dense_detector import --coco train2017.json --images train2017 --out train.db
    python -m experiments.dense_detector train --db train.db --images train2017 --resize 128 64 --out RUN
    python -m experiments.dense_detector eval --ckpt RUN/best.pt --db val.db --images val2017
    python -m experiments.dense_detector predict --ckpt RUN/best.pt --image picture.jpg --out found.png

With `--config FILE` a verb is a stage: `python -m experiments.dense_detector train --config FILE --import DIR
--verify DIR --out DIR`; `VERB --help` shows both forms.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from experiments.dense_detector.config import DenseConfig
from experiments.dense_detector.flags import add_flags, settings_of
from experiments.dense_detector.stages import STAGES
from suite import stage_cli
from suite.by_hand import Parser
from suite.errors import BadInput, guard
from suite.stage import STOP

PROGRAM = "python -m experiments.dense_detector"
STAGES_ALONE = ("compare", "compare-table", "report")  # verbs that exist as stages only


def main(argv: Sequence[str]) -> int:
    """Parse, run, return the exit code (0 done, 2 bad input, 3 missing, 75 stopped, 1 a bug)."""
    as_stage = any(word == "--config" or word.startswith("--config=") for word in argv)
    if as_stage or argv[:1] and argv[0] in STAGES_ALONE:
        return stage_cli.main("dense_detector", STAGES, DenseConfig, argv)
    return guard(lambda: _run(build_parser().parse_args(argv)))


def _run(args: argparse.Namespace) -> int:
    STOP.install()
    return args.run(args)


def build_parser() -> Parser:
    """The verbs by hand; the help of each ends with its form as a stage."""
    alone = f"As stages only: {', '.join(STAGES_ALONE)}."
    parser = Parser(prog=PROGRAM, allow_abbrev=False, epilog=alone)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB", title="verbs")
    stages = stage_cli.build_parser("dense_detector", STAGES)._subparsers._group_actions[0].choices

    def add(name: str, run: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        usage = stages[name].format_usage().replace("usage:", "as a stage:") if name in STAGES else None
        verb = verbs.add_parser(name, help=text, description=text, epilog=usage, allow_abbrev=False)
        verb.set_defaults(run=run)
        return verb

    verb = add("import", _import, "annotations -> SQLite")
    source = verb.add_mutually_exclusive_group(required=True)
    source.add_argument("--coco", type=Path, metavar="FILE", help="COCO annotations, JSON")
    source.add_argument("--flatbuffers", type=Path, metavar="FILE", help="the published train.db")
    verb.add_argument("--images", type=Path, metavar="DIR", help="also decode every picture there")
    verb.add_argument("--out", type=Path, required=True, metavar="FILE", help="the database")
    verb.add_argument("--split", default="train", help="name of this split (default train)")

    verb = add("stats", _stats, "pictures, boxes and areas of each class")
    verb.add_argument("db", type=Path)
    verb.add_argument("--split", help="default: the whole database")

    verb = add("verify", _verify, "decode every picture; those that cannot be are left out from then on")
    verb.add_argument("db", type=Path)
    verb.add_argument("--images", type=Path, required=True, metavar="DIR")
    verb.add_argument("--split", help="default: the whole database")

    verb = add("train", _train, "train a detector")
    verb.add_argument("--db", type=Path, required=True, metavar="FILE", help="database of `import`")
    verb.add_argument("--images", type=Path, required=True, metavar="DIR", help="its pictures")
    verb.add_argument("--val_images", type=Path, metavar="DIR", help="of split val, if the database has one")
    verb.add_argument("--out", type=Path, default=Path("runs/dense-detector-by-hand"), metavar="DIR")
    verb.add_argument("--resume", action="store_true", help="go on from OUT/last.pt")
    verb.add_argument("--seed", type=int, default=0, help="default 0")
    _add_device(verb)
    add_flags(verb)

    verb = add("eval", _eval, "AP of a checkpoint")
    verb.add_argument("--ckpt", type=Path, required=True, metavar="FILE")
    verb.add_argument("--db", type=Path, required=True, metavar="FILE")
    verb.add_argument("--images", type=Path, required=True, metavar="DIR")
    verb.add_argument("--split", default="val", help="default val")
    verb.add_argument("--out", type=Path, metavar="DIR", help="also write results.csv and predictions.json")
    _add_device(verb)

    verb = add("predict", _predict, "draw what is found in a picture")
    verb.add_argument("--ckpt", type=Path, required=True, metavar="FILE")
    verb.add_argument("--image", type=Path, required=True, metavar="FILE")
    verb.add_argument("--out", type=Path, required=True, metavar="FILE", help="a PNG; and a JSON beside it")
    verb.add_argument("--filter_conf", type=float, metavar="SCORE", help="default: that of the checkpoint")
    _add_device(verb)
    return parser


def _add_device(verb: argparse.ArgumentParser) -> None:
    text = "default cpu; cuda never falls back"
    verb.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help=text)


def _import(args: argparse.Namespace) -> int:
    from experiments.dense_detector.db import import_coco
    from experiments.dense_detector.flatbuffer_db import import_flatbuffer

    if args.coco:
        counts = import_coco(args.out, args.coco, split=args.split)
    else:
        counts = import_flatbuffer(args.out, args.flatbuffers, split=args.split)
    print(f"{args.out}: {counts.images} pictures, {counts.annotations} boxes of {counts.categories} classes")
    for fault, number in counts.rejected.items():
        print(f"left out: {number} x {fault}")
    if args.images:
        args.db = args.out
        return _verify(args)
    return 0


def _stats(args: argparse.Namespace) -> int:
    from experiments.dense_detector.stats import describe, stats

    print(describe(stats(args.db, split=args.split)))
    return 0


def _verify(args: argparse.Namespace) -> int:
    from experiments.dense_detector.verify import verify

    found = verify(args.db, args.images, split=args.split)
    print(f"{found.num_images} pictures, {found.num_skipped} left out")
    for example in found.examples:
        print(f"left out: {example}")
    return 0


def _train(args: argparse.Namespace) -> int:
    from experiments.dense_detector.by_hand import train

    config = settings_of(args)
    if args.seed < 0:
        raise BadInput(f"--seed {args.seed} is negative", fix="use 0 or more")
    width, height = config.data.size_wh
    print(f"pictures are resized to height {height}, width {width}", file=sys.stderr)
    summary = train(
        config, args.db, args.images, val_images=args.val_images or args.images, out=args.out, seed=args.seed,
        device=args.device, resume=args.resume,
    )  # fmt: skip
    best = summary["best"]
    print(f"best AP {best['ap']:.4f}, AP50 {best['ap50']:.4f} after step {best['step']}: {args.out}/best.pt")
    print(f"next: {PROGRAM} eval --ckpt {args.out}/best.pt --db FILE --images DIR")
    return 0


def _eval(args: argparse.Namespace) -> int:
    from experiments.dense_detector.by_hand import evaluate

    for name, value in evaluate(
        args.ckpt, args.db, args.images, split=args.split, out=args.out, device=args.device
    ):
        print(f"{name:<10} {'-' if value is None else format(value, '.4f')}")
    return 0


def _predict(args: argparse.Namespace) -> int:
    from experiments.dense_detector.predict import predict

    found = predict(args.ckpt, args.image, args.out, score=args.filter_conf, device=args.device)
    for row in found:
        print(f"{row['name']} {row['score']:.2f} at {', '.join(f'{v:.0f}' for v in row['box_xyxy'])}")
    print(f"{len(found)} found: {args.out}")
    return 0
