"""These tests need JAX: an environment without it passes over this folder."""

import importlib.util

if importlib.util.find_spec("jax") is None:
    collect_ignore_glob = ["*"]
