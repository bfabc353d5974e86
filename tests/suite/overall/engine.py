"""Have a Chromium for the test of the page.

    python3 -m tests.suite.overall.engine

One that is there is used as it is. Else, as root on Debian, one is installed from the package mirror.
Exit codes: 0 it answers; 4 it cannot be had: one line says why, and its tests skip themselves. Standard
library only.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from tests.containers.engine import EXIT_SKIPPED, NoEngine, apt_install, run
from tests.suite.overall.browser import find_browser

PACKAGES = ("chromium", "fonts-dejavu-core")  # without a font no text is drawn


def browser() -> str:
    """The program, installed if it is absent; NoEngine with the reason where it cannot be."""
    if find_browser() is None:
        if os.geteuid() != 0:
            raise NoEngine("none is installed, and only root can install one")
        if shutil.which("apt-get") is None or not Path("/etc/debian_version").is_file():
            raise NoEngine("none is installed, and this is not Debian")
        print("browser: none is installed; installing one", flush=True)
        run("apt-get", "update", "-qq")
        apt_install(*PACKAGES)
    program = find_browser()
    if program is None:
        raise NoEngine("its package brought no program of a known name")
    return program


def main() -> int:
    """Command line: see the module docstring."""
    try:
        program = browser()
        words = ["--no-sandbox"] if os.geteuid() == 0 else []
        version = run(program, *words, "--version").strip().splitlines()[-1]
        print(f"browser: {version} answers")
    except NoEngine as reason:
        print(f"browser: skipped (no Chromium: {reason})")
        return EXIT_SKIPPED
    return 0


if __name__ == "__main__":
    sys.exit(main())
