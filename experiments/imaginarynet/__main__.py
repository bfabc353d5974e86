"""`python -m experiments.imaginarynet COMMAND ...`: by hand, or as a stage of a run (cli.py)."""

import sys

from experiments.imaginarynet.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
