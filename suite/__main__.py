"""`python -m suite <command>`: what the Makefile's targets call. `--help` lists the commands."""

import sys

from suite.cli import main

if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)  # in a pipe, too, results come in turn with what stderr says
    sys.exit(main())
