"""`python -m experiments.team <verb> ...`"""

import sys

from experiments.team.config import CONFIG
from experiments.team.stages import STAGES

from suite.stage_cli import main

if __name__ == "__main__":
    sys.exit(main("team", STAGES, CONFIG))
