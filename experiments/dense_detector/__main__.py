"""`python -m experiments.dense_detector VERB ...`: by hand, or with --config as a stage of a run (cli.py)."""

import sys

from experiments.dense_detector.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
