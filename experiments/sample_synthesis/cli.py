"""The commands, by hand and as stages of a run: the same functions behind both.

    python -m experiments.sample_synthesis synth --object qr --num 1000 --workers 2 --scale small
    python -m experiments.sample_synthesis train --arm scratch --real-n 10 --scale smoke --out runs/a
    python -m experiments.sample_synthesis evaluate --weights runs/a/weights.npz --scale smoke
    python -m experiments.sample_synthesis convert fddb --out runs/fddb
    python -m experiments.sample_synthesis reproduce --scale smoke

The published scripts are understood by their names, with or without `.py`: generate_fake_data_naive,
pretraining_ablation, ... (names.py). A stage of a run has the object in its name: `qr-synth --config FILE
--qr-objects DIR --out DIR`.
"""

from __future__ import annotations

import argparse
import difflib
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from experiments.sample_synthesis.config import CONFIG, chosen_objects
from experiments.sample_synthesis.flags import PROGRAM, SUMMARIES, parser_of
from experiments.sample_synthesis.names import SCRIPTS
from experiments.sample_synthesis.stages import STAGES, SYSTEM, stages_of
from suite import stage_cli, whole_chain
from suite.config import load_config
from suite.errors import BadInput, Missing, guard
from suite.stage import STOP, Stage

CHAIN = ("reproduce", "report")
ENVIRONMENTS = {"torch": "detectron2", "torchvision": "detectron2"}  # module: toolchain that has it


def main(argv: Sequence[str]) -> int:
    """Parse, run, return the exit code (suite/errors.py)."""
    words = list(argv)
    if not words or words[0] in ("-h", "--help", "help"):
        return guard(lambda: _overview(0 if words else 2))
    words = published(words)
    verb, rest = words[0], words[1:]
    as_stage = any(word == "--config" or word.startswith("--config=") for word in rest)
    if verb in STAGES and (as_stage or verb not in SUMMARIES):
        return guard(lambda: _stage(verb, rest))
    return guard(lambda: _run(verb, rest))


def published(words: Sequence[str]) -> list[str]:
    """Words with the name of a published script turned into those of our command."""
    script = words[0].removesuffix(".py").replace("-", "_")
    return [*SCRIPTS.get(script, words[:1]), *words[1:]]


def _overview(code: int) -> int:
    print(overview())
    return code


def overview() -> str:
    """What there is, for -h."""
    lines = [f"usage: {PROGRAM} COMMAND [flags]        (COMMAND -h lists its flags)", "", "by hand:"]
    lines += [f"  {name:<12}{text}" for name, text in SUMMARIES.items() if name not in CHAIN]
    lines += ["", "the whole chain:", *(f"  {name:<12}{SUMMARIES[name]}" for name in CHAIN)]
    lines += [
        "",
        "as stages of a run, with --config FILE and --out DIR, in order (OBJECT is qr, face, bird or car):",
    ]
    shown = {name.replace("qr-", "OBJECT-").replace("face-", "OBJECT-"): stage for name, stage in _of_two()}
    lines += [f"  {name:<21}{stage.summary}" for name, stage in shown.items()]
    return "\n".join(lines)


def _of_two() -> Iterator[tuple[str, Stage]]:
    """The stages of faces, which has all of them, and those that are of no object."""
    return (
        (name, stage) for name, stage in STAGES.items() if name.partition("-")[0] not in ("qr", "bird", "car")
    )


def _stage(verb: str, words: Sequence[str]) -> int:
    """A stage with the settings that its flags name, which decide its inputs."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--config", type=Path)
    parser.add_argument("-o", "--override", action="append", default=[])
    known, _ = parser.parse_known_args(words)
    stages = STAGES
    if known.config is not None:
        stages = stages_of(load_config(CONFIG, known.config, known.override))
        if verb not in stages:
            raise BadInput(f"these settings need no stage {verb}", fix=f"they need {', '.join(stages)}")
    return stage_cli.main(SYSTEM, stages, CONFIG, [verb, *words])


def _run(verb: str, words: Sequence[str]) -> int:
    if verb in CHAIN:
        return _reproduce(words) if verb == "reproduce" else _report(words)
    if verb in SUMMARIES:
        return _by_hand(verb, words)
    known = list(dict.fromkeys([*SUMMARIES, *STAGES, *SCRIPTS]))
    near = difflib.get_close_matches(verb, known, n=2)
    fix = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(SUMMARIES)}"
    raise BadInput(f"no command {verb!r}", fix=fix)


def _by_hand(verb: str, words: Sequence[str]) -> int:
    args = parser_of(verb).parse(words)
    STOP.install()
    try:
        for line in _command(verb, args):
            print(line, flush=True)
    except ModuleNotFoundError as error:
        name = ENVIRONMENTS.get((error.name or "").partition(".")[0], "tensorflow")
        fix = f"use .tox/{name}/bin/python (python3 workflow/bootstrap.py {name} makes it), or Docker"
        raise Missing(f"{sys.executable} has no {error.name}", fix=fix) from None
    return 0


def _command(verb: str, args: argparse.Namespace) -> Iterator[str]:
    """The lines of a command by hand; imports what it needs, a framework among it."""
    if verb in ("train", "evaluate"):
        from experiments.sample_synthesis import by_hand_train

        return by_hand_train.train(args) if verb == "train" else by_hand_train.evaluate(args)
    from experiments.sample_synthesis import by_hand

    return {"synth": by_hand.synth, "ablate": by_hand.ablate, "convert": by_hand.convert}[verb](args)


# --- the whole chain ---


def _reproduce(words: Sequence[str]) -> int:
    """`python -m suite reproduce sample-synthesis ...`; --object is OBJECT=. This process becomes it."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--object")
    args, rest = parser.parse_known_args(words)
    if args.object is not None:
        chosen_objects(args.object)
        os.environ["OBJECT"] = args.object
    return whole_chain.reproduce(SYSTEM, rest)


def _report(words: Sequence[str]) -> int:
    """Bring the page of a run up to date, where everything before it is done."""
    parser = whole_chain.report_parser(PROGRAM, SUMMARIES["report"])
    parser.add_argument("--object", default=os.environ.get("OBJECT"), help="qr, face, bird, car or all")
    args = parser.parse(words)
    objects = [chosen_objects(args.object)] if args.object else []
    return whole_chain.report(SYSTEM, args, program=PROGRAM, own=objects)
