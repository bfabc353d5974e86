"""The end of a test run that loaded Blender: see suite/leave.py."""

from __future__ import annotations

import sys

import pytest

from suite.leave import quick_exit

STATUS = pytest.StashKey[int]()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Keep the exit status for the last moment."""
    session.config.stash[STATUS] = int(exitstatus)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """After the last line of the report."""
    if "bpy" in sys.modules and STATUS in config.stash:
        quick_exit(config.stash[STATUS])
