"""The tests of this folder run in the toolchain `detectron2`; without torch they are skipped."""

from __future__ import annotations

import importlib.util

if importlib.util.find_spec("torch") is None:
    collect_ignore_glob = ["test_*.py"]
