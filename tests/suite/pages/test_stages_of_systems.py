"""The tables of docs/scaling.md and docs/gpu.md say which stages are wide, have ranks, use a GPU."""

import re
from fnmatch import fnmatch
from importlib import import_module

import pytest

from suite.runs import systems
from suite.stage import Stage
from tests.suite.pages.markdown import rows

TABLES = {  # page, column: what the stages in it are
    ("docs/scaling.md", 1): lambda stage: stage.is_wide,
    ("docs/scaling.md", 2): lambda stage: stage.ranks,
    ("docs/gpu.md", 1): lambda stage: stage.uses_gpu,
}


def stages(system: str) -> dict[str, Stage]:
    return import_module(f"experiments.{system.replace('-', '_')}.stages").STAGES


def plain(name: str) -> str:
    """A stage without its object or round: the tables name one of each kind."""
    return re.sub(r"-\d+$", "", re.sub(r"^(qr|face|bird|car)-", "", name))


@pytest.mark.parametrize(("page", "column"), TABLES, ids=str)
@pytest.mark.parametrize("system", systems())
def test_the_table_names_these_stages_and_no_others(system, page, column):
    cells = next(cells for cells in rows(page) if cells[0] == f"`{system}`")
    named = {plain(name) for name in re.findall(r"`([a-z*-]+)`", cells[column])}
    right = {plain(name) for name, stage in stages(system).items() if TABLES[page, column](stage)}
    assert {name for name in named if not any(fnmatch(one, name) for one in right)} == set()
    assert {one for one in right if not any(fnmatch(one, name) for name in named)} == set()
