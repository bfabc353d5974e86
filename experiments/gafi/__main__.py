"""`python -m experiments.gafi VERB ...`: by hand, or with --out as a stage of a run (cli.py)."""

import sys

from experiments.gafi.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
