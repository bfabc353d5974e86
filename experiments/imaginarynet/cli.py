"""The command line: by hand with the published flags, the whole chain, and every stage of a run.

    python -m experiments.imaginarynet generate --classfile VOC.txt --num 20 --gpt --clip --outputdir runs/voc
    python -m experiments.imaginarynet filter --outputdir runs/voc --threshold 0.8
    python -m experiments.imaginarynet import-archive DIR --out DIR
    python -m experiments.imaginarynet reproduce --scale smoke

A verb with `--config FILE` is that stage of a run: `prompts-2 --config FILE --prompts DIR --scores DIR
--out DIR`. Commands that need a framework say which environment has it.
"""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from experiments.imaginarynet.config import CONFIG
from experiments.imaginarynet.flags import PROGRAM, STEPS, parser_of
from experiments.imaginarynet.rounds import round_of
from experiments.imaginarynet.stage_maker import SYSTEM
from experiments.imaginarynet.stages import STAGES, stages_of
from suite import stage_cli, whole_chain
from suite.by_hand import Parser
from suite.config import load_config
from suite.errors import BadInput, Missing, guard
from suite.stage import STOP

# Command: its module, with add_flags(parser) and run(args), which yields the lines to be printed.
COMMANDS = {
    "import-archive": "archive",
    "predict": "detectors.predict",
    "import-checkpoint": "detectors.convert.command",
    "train-tokenizer": "learn.tokenizer_command",
    "train-vqgan": "learn.vqgan_command",
    "train-dallebart": "learn.dallebart_command",
    "train-clip": "learn.clip_command",
    "train-diffusion": "learn.diffusion_command",
    "show-training": "learn.show_command",
}
SUMMARIES = {
    "import-archive": "a folder of the published code, as a manifest and pictures of ours",
    "predict": "what a trained detector finds in pictures: COCO results, and the pictures with boxes",
    "import-checkpoint": "a released detector's weights, or a backbone's, as a folder of ours",
    "train-tokenizer": "the words of DALL-E mini from a corpus of captioned pictures",
    "train-vqgan": "its image tokenizer",
    "train-dallebart": "its transformer, on the codes of that tokenizer",
    "train-clip": "the tiny CLIP of the filter",
    "train-diffusion": "the tiny latent diffusion pipeline",
    "show-training": "curves of a training, and sheets of what its networks make",
}
CHAIN = {
    "reproduce": "the whole chain at a scale; what is done is not redone",
    "report": "the page of a run of the whole chain whose stages are done",
}
# Module: toolchain that has it; every other framework is in detectron2.
ENVIRONMENTS = {"jax": "jax", "jaxlib": "jax", "flax": "jax", "optax": "jax", "tqdm": "workflow"}


def main(argv: Sequence[str]) -> int:
    """Parse, run, return the exit code (suite/errors.py)."""
    words = list(argv)
    if not words or words[0] in ("-h", "--help", "help"):
        return guard(lambda: _overview(0 if words else 2))
    verb, rest = words[0].removesuffix(".py"), words[1:]
    if verb == "imaginarynet":  # the published script
        verb = "generate"
    as_stage = any(word == "--config" or word.startswith("--config=") for word in rest)
    is_known = verb in (*STEPS, *COMMANDS, *CHAIN)
    if as_stage and verb not in ("generate", *COMMANDS) or (verb in STAGES and not is_known):
        return guard(lambda: _stage(verb, rest))
    return guard(lambda: _run(verb, rest))


def _overview(code: int) -> int:
    print(overview())
    return code


def overview() -> str:
    """What there is, for -h."""
    lines = [f"usage: {PROGRAM} COMMAND [flags]        (COMMAND -h lists its flags)", "", "by hand:"]
    lines += [f"  {name:<19}{text}" for name, text in STEPS.items()]
    lines += [f"  {name:<19}{text}" for name, text in SUMMARIES.items()]
    lines += ["", "the whole chain:", *(f"  {name:<19}{text}" for name, text in CHAIN.items())]
    lines += ["", "as stages of a run, with --config FILE and --out DIR, in order:"]
    shown = (stage for name, stage in STAGES.items() if round_of(name) < 3)
    lines += [f"  {stage.name:<19}{stage.summary}" for stage in shown]
    lines += [
        "",
        "other settings and detectors have stages of their own: train-wsod-wsddn, and so on",
    ]
    return "\n".join(lines)


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
    if verb == "reproduce":
        return whole_chain.reproduce(SYSTEM, words)
    if verb == "report":
        return _report(words)
    if verb in STEPS:
        args = parser_of(verb).parse(words)
        return _with_remedy(lambda: _generate(args, verb))
    if verb in COMMANDS:
        return _with_remedy(lambda: _command(verb, words))
    known = list(dict.fromkeys([*STEPS, *COMMANDS, *CHAIN, *STAGES]))
    near = difflib.get_close_matches(verb, known, n=2)
    fix = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join((*STEPS, *COMMANDS))}"
    raise BadInput(f"no command {verb!r}", fix=fix)


def _with_remedy(run) -> int:
    """A missing framework is one line that says which environment has it."""
    try:
        return run()
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("experiments"):
            raise
        name = ENVIRONMENTS.get((error.name or "").partition(".")[0], "detectron2")
        fix = f"use .tox/{name}/bin/python (python3 workflow/bootstrap.py {name} makes it), or Docker"
        raise Missing(f"{sys.executable} has no {error.name}", fix=fix) from None


def _generate(args: argparse.Namespace, verb: str) -> int:
    from experiments.imaginarynet.generate import generate

    return generate(args, verb)


def _command(verb: str, words: Sequence[str]) -> int:
    module = import_module(f"experiments.imaginarynet.{COMMANDS[verb]}")
    parser = Parser(prog=f"{PROGRAM} {verb}", description=SUMMARIES[verb], allow_abbrev=False)
    module.add_flags(parser)
    args = parser.parse(words)
    STOP.install()
    for line in module.run(args):
        print(line, flush=True)
    return 0


# --- the whole chain ---


def _report(words: Sequence[str]) -> int:
    """Bring the page of a run up to date, where everything before it is done."""
    from suite.runs import own_overrides

    args = whole_chain.report_parser(PROGRAM, CHAIN["report"]).parse(words)
    return whole_chain.report(SYSTEM, args, program=PROGRAM, own=own_overrides(SYSTEM))
