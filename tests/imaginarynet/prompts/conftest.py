"""What samples from a network needs PyTorch and transformers: an environment without them passes it over."""

import importlib.util

if any(importlib.util.find_spec(name) is None for name in ("torch", "transformers")):
    collect_ignore = ["test_language_model.py", "test_gguf_model.py"]
