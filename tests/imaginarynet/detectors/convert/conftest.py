"""These tests make checkpoints, for which they need PyTorch."""

import pytest

pytest.importorskip("torch", reason="checkpoints are PyTorch's")
