"""Mixed precision: autocast, and loss scaling where float16 needs it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

_DTYPES = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}


class Amp:
    """Forward passes in `precision`; backward and update with loss scaling for float16. Has a state."""

    def __init__(self, precision: str, device: torch.device) -> None:
        self.dtype, self.device = _DTYPES[precision], device
        self.scaler = torch.amp.GradScaler(device.type, enabled=precision == "float16")

    def autocast(self) -> AbstractContextManager[Any]:
        """Context of a forward pass."""
        return torch.autocast(self.device.type, self.dtype) if self.dtype else nullcontext()

    def update(self, loss: torch.Tensor, optimizer: torch.optim.Optimizer) -> None:
        """Gradients of the scalar `loss`, one step. Gradients are cleared before."""
        optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()
        self.scaler.step(optimizer)
        self.scaler.update()

    def state_dict(self) -> dict[str, Any]:
        return self.scaler.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        if state:
            self.scaler.load_state_dict(dict(state))
