"""One step of gradient descent: forward, losses, backward, clip, update."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import torch

from experiments.dense_detector.config import Train
from experiments.dense_detector.data import Batch
from experiments.dense_detector.detector import Detector


class Descent:
    """Optimiser and loss scaling of one run."""

    def __init__(self, detector: Detector, train: Train) -> None:
        self.train, self.optimiser = train, make_optimiser(detector.model, train)
        device = detector.device.type
        # float16 has too few exponent bits for small gradients, hence the scaling; bfloat16 has enough.
        self.amp_type = torch.float16 if device == "cuda" else torch.bfloat16
        self.scaler = torch.amp.GradScaler(device, enabled=train.amp and device == "cuda")

    def update(self, detector: Detector, batch: Batch, lr: float) -> dict[str, float | None]:
        """Change the weights once, at rate `lr`; returns losses, positives, gradient norm, rate.

        Raises FloatingPointError, with the weights as they were, when the loss is not finite.
        """
        detector.model.train()
        amp = torch.autocast(detector.device.type, self.amp_type)
        with amp if self.train.amp else contextlib.nullcontext():
            output = detector.forward(batch.images)
        losses = detector.losses(output, batch)
        if not torch.isfinite(losses.total):
            parts = f"class {losses.cls.item():g}, box {losses.box.item():g}"
            raise FloatingPointError(f"the loss is not finite ({parts})")
        for group in self.optimiser.param_groups:
            group["lr"] = lr
        self.optimiser.zero_grad(set_to_none=True)
        self.scaler.scale(losses.total).backward()
        self.scaler.unscale_(self.optimiser)
        limit = self.train.clip_norm or float("inf")
        norm = torch.nn.utils.clip_grad_norm_(detector.model.parameters(), limit)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        return {
            "loss": losses.total.item(),
            "cls": losses.cls.item(),
            "box": losses.box.item(),
            "positives": losses.num_pos.item(),
            "grad_norm": norm.item() if torch.isfinite(norm) else None,  # the scaler skips such a step
            "lr": lr,
        }

    def state_dict(self) -> dict[str, Any]:
        """Part of a checkpoint."""
        return {"optimiser": self.optimiser.state_dict(), "scaler": self.scaler.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The same from a checkpoint."""
        self.optimiser.load_state_dict(state["optimiser"])
        self.scaler.load_state_dict(state["scaler"])


def make_optimiser(model: torch.nn.Module, train: Train) -> torch.optim.Optimizer:
    """The optimiser over all parameters, at rate `train.lr`."""
    if train.optim == "sgd":
        return torch.optim.SGD(
            model.parameters(), lr=train.lr, momentum=train.momentum, weight_decay=train.weight_decay
        )
    kind = torch.optim.AdamW if train.optim == "adamw" else torch.optim.Adam
    return kind(model.parameters(), lr=train.lr, weight_decay=train.weight_decay)
