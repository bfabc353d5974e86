"""Most of these tests need JAX: an environment without it passes over them."""

import importlib.util

if importlib.util.find_spec("jax") is None:
    collect_ignore = ["test_model.py", "test_checkpoint.py"]
