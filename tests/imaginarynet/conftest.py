"""Every test of this system runs without a network: no hub, no download."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.sample_synthesis.no_network import block


@pytest.fixture(autouse=True, scope="module")
def _refuses_the_network() -> Iterator[None]:
    block()
    yield
    block(False)
