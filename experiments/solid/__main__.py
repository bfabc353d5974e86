"""`python -m experiments.solid <verb> --config FILE --out DIR ...`; `--help` lists the verbs in order."""

import sys

from experiments.solid.config import SolidConfig
from experiments.solid.stages import STAGES
from suite.stage_cli import main

if __name__ == "__main__":
    sys.exit(main("solid", STAGES, SolidConfig))
