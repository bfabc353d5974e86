"""`python -m experiments.sample_synthesis COMMAND ...`: by hand, or as a stage of a run (cli.py)."""

import sys

from experiments.sample_synthesis.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
