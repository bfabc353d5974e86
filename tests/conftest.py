"""What property tests draw, and the end of a test run that loaded Blender (suite/leave.py)."""

from __future__ import annotations

import sys

import pytest
from hypothesis import HealthCheck, settings

from suite.leave import quick_exit

# The same cases everywhere, however slow the machine is; others: --hypothesis-profile=default
settings.register_profile(
    "steady", derandomize=True, database=None, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("steady")

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
