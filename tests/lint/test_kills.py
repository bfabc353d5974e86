"""Every system has a test that kills one of its stages with SIGKILL and compares the end, and CI runs it.

`pytest -m kill tests/solid` runs those of one system; `make audit-kill` kills every stage of all.
"""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from suite.runs import systems

ROOT = Path(__file__).resolve().parents[2]


@cache
def kill_tests(system: str) -> tuple[str, ...]:
    """`file::test` of what is marked `kill` among a system's tests, without importing its frameworks."""
    home = ROOT / "tests" / system.replace("-", "_")
    return tuple(
        f"{path.relative_to(ROOT)}::{node.name}"
        for path in sorted(home.rglob("test_*.py"))
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef)
        and "pytest.mark.kill" in map(ast.unparse, node.decorator_list)
    )  # fmt: skip


@pytest.mark.parametrize("system", systems())
def test_every_system_has_a_kill_test(system):
    assert kill_tests(system), f"mark one of tests/{system.replace('-', '_')} with pytest.mark.kill"


@pytest.mark.parametrize("system", systems())
def test_a_kill_test_kills_and_is_among_the_slow_tests_that_ci_runs(system):
    slow_step = re.search(r"^step_slow\(\) \{$(.*?)^\}$", (ROOT / ".ci/run").read_text(), re.S | re.M)[1]
    folders = [
        word for line in re.findall(r'"slow_tests (.*?)"', slow_step) for word in line.split()
        if not word.startswith("-")
    ]  # fmt: skip
    for name in kill_tests(system):
        path = name.partition("::")[0]
        text = (ROOT / path).read_text()
        assert re.search(r"SIGKILL|\.kill\(\)", text), f"{name}: nothing is killed"
        assert "pytest.mark.slow" in text, f"{name}: not among the slow tests"
        assert any(Path(path).is_relative_to(folder) for folder in folders), f"{name}: not in .ci/run"
