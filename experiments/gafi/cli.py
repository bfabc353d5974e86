"""The commands, by hand and as stages of a run: the same functions behind both.

    python -m experiments.gafi train-classifier --cfg_file configs/FashionMNIST/ResNet20.yaml
    python -m experiments.gafi train-gan --cfg_file configs/FashionMNIST/BigGAN_deep.yaml --seed 42
    python -m experiments.gafi run-pipeline --cfg_file configs/FashionMNIST/Pipeline.yaml --steps ckpt,stddev
    python -m experiments.gafi run-multigan --cfg_file configs/FashionMNIST/MultiGAN.yaml
    python -m experiments.gafi reproduce --scale smoke

The files lie in experiments/gafi. Published names are understood, too: train_classifier, train_gan,
train_gain, run_pipeline, run_multigan, with or without `.py`. With `--out DIR` a command is a stage of a run:
`train-gan --config FILE --import DIR --out DIR`.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from experiments.gafi.config import CONFIG
from experiments.gafi.flags import PROGRAM, add_flags, settings_of
from experiments.gafi.stages import STAGES
from suite import stage_cli, whole_chain
from suite.by_hand import Parser
from suite.errors import BadInput, Missing, guard
from suite.stage import STOP

BY_HAND = {  # command: (script, what it does)
    "train-classifier": ("classifier", "the classifier of real pictures"),
    "train-gan": ("gan", "one GAN"),
    "run-pipeline": ("pipeline", "the search on one GAN: epoch, stddev, threshold, then the classifier"),
    "run-multigan": ("multigan", "one classifier from several GANs that were searched"),
}
CHAIN = {
    "reproduce": "the whole chain at a scale; what is done is not redone",
    "report": "the page of a run of the whole chain whose stages are done",
}
OTHER_NAMES = {"train-gain": "train-gan"}  # as the published README has it


def main(argv: Sequence[str]) -> int:
    """Parse, run, return the exit code (0 done, 2 bad input, 3 missing, 75 stopped, 1 a bug)."""
    words = list(argv)
    if not words or words[0] in ("-h", "--help", "help"):
        print(overview())
        return 0 if words else 2
    verb, rest = verb_of(words[0]), words[1:]
    as_stage = any(word == "--out" or word.startswith("--out=") for word in rest)
    if verb in STAGES and (as_stage or verb not in (*BY_HAND, *CHAIN)):
        return stage_cli.main("gafi", STAGES, CONFIG, [verb, *rest])
    return guard(lambda: _run(verb, rest))


def verb_of(word: str) -> str:
    """The command that a word means: `train_gain.py` is `train-gan`."""
    verb = word.removesuffix(".py").replace("_", "-")
    return OTHER_NAMES.get(verb, verb)


def overview() -> str:
    """What there is, for -h."""
    lines = [f"usage: {PROGRAM} COMMAND [flags]        (COMMAND -h lists its flags)", "", "by hand:"]
    lines += [f"  {name:<18}{text}" for name, (_, text) in BY_HAND.items()]
    lines += ["", "the whole chain:", *(f"  {name:<18}{text}" for name, text in CHAIN.items())]
    lines += ["", "as stages of a run, with --config FILE and --out DIR, in order:"]
    lines += [f"  {stage.name:<18}{stage.summary}" for stage in STAGES.values()]
    return "\n".join(lines)


def _run(verb: str, words: Sequence[str]) -> int:
    if verb in BY_HAND:
        return _by_hand(verb, words)
    if verb in CHAIN:
        return whole_chain.reproduce("gafi", words) if verb == "reproduce" else _report(words)
    known = list(dict.fromkeys([*BY_HAND, *CHAIN, *STAGES]))
    near = difflib.get_close_matches(verb, known, n=2)
    fix = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(known)}"
    raise BadInput(f"no command {verb!r}", fix=fix)


def build_parser(verb: str) -> Parser:
    """The flags of a command by hand; the help ends with its form as a stage, where it is one."""
    script, text = BY_HAND[verb]
    epilog = None
    if verb in STAGES:
        stages = stage_cli.build_parser("gafi", STAGES)._subparsers._group_actions[0].choices
        epilog = stages[verb].format_usage().replace("usage:", "as a stage:")
    parser = Parser(prog=f"{PROGRAM} {verb}", description=text, epilog=epilog, allow_abbrev=False)
    parser.add_argument(
        "--device", choices=("cpu", "cuda"), default="cpu", help="default cpu; cuda never falls back"
    )
    parser.add_argument(
        "--data_dir", type=Path, metavar="DIR", help="folder of the data set, or a .npz [SUBSET.folder]"
    )
    parser.add_argument(
        "--force", action="store_true", help="move a result of other settings aside, and begin anew"
    )
    add_flags(parser, script)
    return parser


def _by_hand(verb: str, words: Sequence[str]) -> int:
    args = build_parser(verb).parse(words)
    if args.data_dir is not None:
        args.override.append(f"SUBSET.folder={args.data_dir}")
    config = settings_of(BY_HAND[verb][0], args)
    STOP.install()
    try:
        for line in command_of(verb)(config, device=args.device, force=args.force):
            print(line, flush=True)
    except ModuleNotFoundError as error:
        fix = "use .tox/tensorflow/bin/python (python3 workflow/bootstrap.py tensorflow makes it), or Docker"
        raise Missing(f"{sys.executable} has no {error.name}", fix=fix) from None
    return 0


def command_of(verb: str) -> Callable[..., Iterator[str]]:
    """The function behind a command by hand; imports what it needs, a framework among it."""
    from experiments.gafi import by_hand

    if verb == "train-classifier":
        return by_hand.train_classifier
    if verb == "train-gan":
        return by_hand.train_gan
    from experiments.gafi import by_hand_search

    return by_hand_search.run_pipeline if verb == "run-pipeline" else by_hand_search.run_multigan


def _report(words: Sequence[str]) -> int:
    """Bring the page of a run up to date, where everything before it is done."""
    args = whole_chain.report_parser(PROGRAM, CHAIN["report"]).parse(words)
    return whole_chain.report("gafi", args, program=PROGRAM)
