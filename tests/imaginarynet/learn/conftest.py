"""The trainers of CLIP need PyTorch and transformers: an environment without them passes over their tests."""

import importlib.util

if any(importlib.util.find_spec(name) is None for name in ("torch", "transformers")):
    collect_ignore = ["test_clip.py", "test_augment.py"]
