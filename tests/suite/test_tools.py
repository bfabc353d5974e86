"""Small commands: what is typed wrong is told first, whatever the machine has."""

import pytest

from suite import tools
from suite.errors import BadInput, Missing


def test_images_names_an_unknown_toolchain_on_a_machine_without_docker(monkeypatch):
    monkeypatch.setattr(tools, "find_engine", lambda: None)
    with pytest.raises(BadInput, match="torch"):
        tools.images("torch", accel="auto")


def test_images_needs_an_engine(monkeypatch):
    monkeypatch.setattr(tools, "find_engine", lambda: None)
    with pytest.raises(Missing, match="no Docker engine"):
        tools.images("all", accel="auto")
