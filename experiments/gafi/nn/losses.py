"""Losses of the GAN (GaFi, section 3; published code): hinge, non-saturating, and the R1 penalty.

All are float32 whatever the precision of the networks: logits are cast before anything is computed from them.
"""

from __future__ import annotations

from collections.abc import Callable

from keras import ops

from experiments.gafi.nn.backend import Tensor, value_and_grad
from suite.errors import BadInput

LOSS_TYPES = ("hinge", "non-saturating")


def discriminator_loss(kind: str, real_logits: Tensor, fake_logits: Tensor) -> tuple[Tensor, Tensor]:
    """(loss on real, loss on fake), float32 scalars; their sum is what the discriminator descends.

    real_logits, fake_logits: (n, 1) or (n,). hinge: E relu(1 - D(x)), E relu(1 + D(G(z))).
    non-saturating: E softplus(-D(x)), E softplus(D(G(z))). Raises BadInput for another kind.
    """
    real, fake = ops.cast(real_logits, "float32"), ops.cast(fake_logits, "float32")
    if kind == "hinge":
        return ops.mean(ops.relu(1.0 - real)), ops.mean(ops.relu(1.0 + fake))
    if kind == "non-saturating":
        return ops.mean(ops.softplus(-real)), ops.mean(ops.softplus(fake))
    raise _unknown(kind)


def generator_loss(kind: str, fake_logits: Tensor) -> Tensor:
    """Float32 scalar. hinge: -E D(G(z)). non-saturating: E softplus(-D(G(z)))."""
    fake = ops.cast(fake_logits, "float32")
    if kind == "hinge":
        return -ops.mean(fake)
    if kind == "non-saturating":
        return ops.mean(ops.softplus(-fake))
    raise _unknown(kind)


def r1_penalty(logits_of: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """E |gradient of D by x|^2 over the images (n, H, W, C): float32 scalar, to be weighted by the caller.

    logits_of: images -> (n, 1). An image's logit depends on that image alone (D has no batch norm), so the
    gradient of the sum holds every image's own gradient.
    """

    def total(inputs: list[Tensor]) -> tuple[Tensor, None]:
        return ops.sum(ops.cast(logits_of(inputs[0]), "float32")), None

    _, (gradient,) = value_and_grad(total)([images])
    squares = ops.square(ops.cast(gradient, "float32"))
    return ops.mean(ops.sum(squares, axis=tuple(range(1, len(images.shape)))))


def _unknown(kind: str) -> BadInput:
    return BadInput(f"LOSS.type is {kind!r}", fix=f"choose one of {', '.join(LOSS_TYPES)}")
