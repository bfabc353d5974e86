"""`python -m experiments.solid <verb> --config FILE --out DIR ...`; `--help` lists the verbs in order, and
the commands by hand (by_hand.py).
"""

import sys

from experiments.solid import by_hand
from experiments.solid.config import SolidConfig
from experiments.solid.stages import STAGES
from suite.leave import leave
from suite.stage_cli import main


def run() -> int:
    """A command by hand, or a stage."""
    words = sys.argv[1:]
    if words and words[0] in by_hand.COMMANDS:
        return by_hand.main(words)
    if words and words[0] in ("-h", "--help"):
        print(by_hand.overview() + "\n")
    return main("solid", STAGES, SolidConfig)


if __name__ == "__main__":
    leave(run)
