"""These tests need diffusers: an environment without it passes over this folder."""

import importlib.util

import pytest

if importlib.util.find_spec("diffusers") is None:
    collect_ignore_glob = ["*"]


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """A tiny pipeline with random weights and no safety checker."""
    from tests.imaginarynet.diffusion.tiny_pipeline import write_pipeline

    return write_pipeline(tmp_path_factory.mktemp("weights") / "tiny")
