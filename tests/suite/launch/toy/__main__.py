"""`python -m experiments.toy <verb> ...`"""

import sys

from experiments.toy.config import CONFIG
from experiments.toy.stages import STAGES

from suite.stage_cli import main

if __name__ == "__main__":
    sys.exit(main("toy", STAGES, CONFIG))
