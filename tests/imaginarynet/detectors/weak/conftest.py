"""The detectors need PyTorch and detectron2: an environment without them passes over these tests."""

import importlib.util

if any(importlib.util.find_spec(name) is None for name in ("torch", "detectron2")):
    collect_ignore_glob = ["test_*.py"]
