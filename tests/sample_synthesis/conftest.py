"""Every test of this system runs without a network, and on the threads that its commands set.

TensorFlow takes its number of threads once, before its first operation; a test that runs a command in this
process would come too late.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec

import pytest

from experiments.sample_synthesis.config_sections import ComputeConfig
from tests.sample_synthesis.no_network import block

if find_spec("tensorflow"):
    from experiments.sample_synthesis.train.runtime import setup

    setup(threads=ComputeConfig().threads, device="cpu")


@pytest.fixture(autouse=True, scope="module")
def _refuses_the_network() -> Iterator[None]:
    block()
    yield
    block(False)
