"""`python -m experiments.solid <verb> --config FILE --out DIR ...`; `--help` lists the verbs in order."""

from experiments.solid.config import SolidConfig
from experiments.solid.stages import STAGES
from suite.leave import leave
from suite.stage_cli import main

if __name__ == "__main__":
    leave(lambda: main("solid", STAGES, SolidConfig))
