"""`python -m experiments.compare VERB --config FILE --out DIR ...`: a stage; `--help` lists them in order."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from experiments.compare.config import CONFIG
from experiments.compare.stages import STAGES, stages_of
from suite.config import load_config
from suite.errors import BadInput, guard
from suite.leave import leave
from suite.stage_cli import main as stage_main


def main(words: Sequence[str]) -> int:
    """Parse, run, return the exit code (suite/errors.py). The settings decide which flags a stage has."""
    return guard(lambda: _run(list(words)))


def _run(words: list[str]) -> int:
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--config", type=Path)
    parser.add_argument("-o", "--override", action="append", default=[])
    try:
        known, _ = parser.parse_known_args(words)
    except argparse.ArgumentError:  # said by the parser of the stages
        return stage_main("compare", STAGES, CONFIG, words)
    stages = STAGES
    if known.config is not None:
        stages = stages_of(load_config(CONFIG, known.config, known.override))
        if words[0] in STAGES and words[0] not in stages:
            what = f"these settings need no stage {words[0]}"
            raise BadInput(what, fix=f"they need {', '.join(stages)}")
    return stage_main("compare", stages, CONFIG, words)


if __name__ == "__main__":
    leave(lambda: main(sys.argv[1:]))
