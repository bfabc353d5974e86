"""These tests run in the environment of the toolchain `detectron2`; where torch is absent the folder is skipped."""

from __future__ import annotations

import importlib.util

if importlib.util.find_spec("torch") is None:
    collect_ignore_glob = ["test_*.py"]
