"""The bank: one embedding per class, overwritten whenever the class is queried (SOLID, published code).

Rows start as N(0, 1) and are used normalised. The original stores them raw and normalises the whole bank in
every step; here a row is normalised once, before it is written, which gives the same numbers.
"""

from __future__ import annotations

import torch
from torch.nn import functional as F

from suite.errors import BadInput

NEVER_WRITTEN = -1  # in `queue_ids`: the row still holds its random start


def random_bank(num_classes: int, dim: int, generator: torch.Generator) -> torch.Tensor:
    """(num_classes, dim) float32 unit rows, uniform on the sphere."""
    return F.normalize(torch.randn(num_classes, dim, generator=generator), dim=1)


def first_occurrences(ids: torch.Tensor) -> torch.Tensor:
    """Positions (U,) int64 of the first occurrence of every distinct id in `ids` (Q,), ordered by id."""
    order = torch.argsort(ids, stable=True)
    in_order = ids[order]
    is_first = torch.ones_like(in_order, dtype=torch.bool)
    is_first[1:] = in_order[1:] != in_order[:-1]
    return order[is_first]


@torch.no_grad()
def write_rows_(
    bank: torch.Tensor, written: torch.Tensor, ids: torch.Tensor, embeddings: torch.Tensor
) -> None:
    """Overwrite the rows `ids` (Q,) of `bank` (K, D) by the unit rows `embeddings` (Q, D); in place.

    Where an id occurs twice (two ranks drew it), the first one wins. `written` (K,) int64 gets the id of
    every row that was written. BadInput for ids outside the bank.
    """
    if len(ids) == 0:
        return
    lowest, highest = int(ids.min()), int(ids.max())
    if lowest < 0 or highest >= len(bank):
        raise BadInput(
            f"query of class {highest if highest >= len(bank) else lowest}, the bank has {len(bank)} classes",
            fix="store and index are not of the same set of models: make the store anew",
        )
    first = first_occurrences(ids)
    rows = ids[first]
    bank[rows] = embeddings[first]
    written[rows] = rows
