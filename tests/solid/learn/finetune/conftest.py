from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A finished, undisturbed run of `finetune` and `evaluate` with both arms. Do not write to it."""
    from tests.solid.learn.finetune.runs import Run

    run = Run(tmp_path_factory.mktemp("finetune"))
    run.must("finetune", fresh=True)
    run.must("evaluate", fresh=True)
    return run
