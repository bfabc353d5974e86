"""The key network follows the query network as a moving average: EMAN.

    k <- m k + (1 - m) q

for every float entry of the state, the running mean and variance of batch norm among them; counters are
copied (SOLID, published code). The original walks `state_dict()` tensor by tensor in every step; here all
tensors are listed once and updated by one fused call (benchmarks/solid_pretrain_step.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Pairs:
    """Tensors of the key network and, at the same place, those of the query network that they follow."""

    keys: list[torch.Tensor]  # float
    queries: list[torch.Tensor]
    key_counters: list[torch.Tensor]  # integer: `num_batches_tracked`
    query_counters: list[torch.Tensor]


def pair(keys: Mapping[str, torch.Tensor], queries: Mapping[str, torch.Tensor]) -> Pairs:
    """Match two states by name; each key entry needs a query entry of its shape (KeyError, ValueError)."""
    pairs = Pairs([], [], [], [])
    for name, key in keys.items():
        query = queries[name]
        if key.shape != query.shape or key.dtype != query.dtype:
            raise ValueError(f"{name}: {key.dtype} {key.shape} follows {query.dtype} {query.shape}")
        is_float = key.is_floating_point()
        (pairs.keys if is_float else pairs.key_counters).append(key.detach())
        (pairs.queries if is_float else pairs.query_counters).append(query.detach())
    return pairs


@torch.no_grad()
def follow_(pairs: Pairs, momentum: float) -> None:
    """One step of the moving average, in place. Entries that are equal already stay bit by bit."""
    torch._foreach_lerp_(pairs.keys, pairs.queries, 1 - momentum)
    if pairs.key_counters:
        torch._foreach_copy_(pairs.key_counters, pairs.query_counters)
