"""What loads a CLIP needs PyTorch and transformers: an environment without them passes over those files."""

import importlib.util

if any(importlib.util.find_spec(name) is None for name in ("torch", "transformers")):
    collect_ignore = ["test_scorer.py", "test_scores_stage.py"]
