"""Scenes of the corpus, drawn once for all tests of this folder."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from assets.make.t2i_corpus_plan import SEED
from assets.make.t2i_corpus_scene import Scene, compose

# Pure, but long: once is enough, where the corpus is made.
collect_ignore = [] if find_spec("bpy") else ["test_scene.py", "test_apart.py"]


@pytest.fixture(scope="package")
def scenes() -> list[Scene]:
    """The first 160 scenes of the seed that is rendered."""
    return [compose(SEED, index) for index in range(160)]
