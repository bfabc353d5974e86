"""Several processes of one torchrun: gloo on the CPU, NCCL on CUDA. Alone, everything is a no-op."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from suite import ranks as environment
from suite.errors import BadInput, Missing

TIMEOUT = timedelta(minutes=30)  # the first batch of a cold loader may take minutes

_WRAPPED: list[weakref.ref[DistributedDataParallel]] = []


def rank() -> int:
    """0 is the process that writes."""
    return environment.rank()


def world_size() -> int:
    """Processes that train together."""
    return environment.world_size()


def torch_device(device: str) -> torch.device:
    """The device of this rank; Missing when CUDA was asked for and is not there."""
    if device != "cuda":
        return torch.device(device)
    if not torch.cuda.is_available():
        raise Missing("--device cuda: no usable GPU", fix="look at `make doctor`, or use --device cpu")
    local, found = environment.local_rank(), torch.cuda.device_count()
    if local >= found:
        raise Missing(f"rank {local} of this host has no GPU, {found} are visible", fix="start fewer ranks")
    torch.cuda.set_device(local)
    return torch.device("cuda", local)


@contextmanager
def process_group(device: str) -> Iterator[torch.device]:
    """Join the other ranks, yield the device of this one, leave at the end."""
    chosen = torch_device(device)
    if world_size() == 1:
        yield chosen
        return
    dist.init_process_group("nccl" if chosen.type == "cuda" else "gloo", timeout=TIMEOUT)
    try:
        yield chosen
    finally:
        _release_wrappers()
        dist.destroy_process_group()


def data_parallel(model: nn.Module, device: torch.device, **options: Any) -> nn.Module:
    """The model whose backward pass averages gradients over the ranks; itself when alone.

    Statistics of batch norm stay each rank's own. `options` go to DistributedDataParallel.
    """
    if world_size() == 1:
        return model
    ids = [device.index] if device.type == "cuda" else None
    wrapped = DistributedDataParallel(model, device_ids=ids, broadcast_buffers=False, **options)
    _WRAPPED.append(weakref.ref(wrapped))
    return wrapped


def _release_wrappers() -> None:
    """Take the process group from the wrappers, which may outlive it in a frame or a traceback.

    Whoever drops it last joins gloo's threads. DistributedDataParallel does so with Python's lock held, for
    which such a thread may be waiting: the process would hang (seen with torch 2.13).
    """
    while _WRAPPED:
        wrapped = _WRAPPED.pop()()
        if wrapped is not None:
            wrapped.reducer = wrapped.logger = None


def barrier() -> None:
    """Wait for every rank."""
    if world_size() > 1:
        dist.barrier()


def any_rank(value: bool, device: torch.device) -> bool:
    """Whether it is true on at least one rank."""
    if world_size() == 1:
        return value
    flag = torch.tensor([int(value)], device=device)
    dist.all_reduce(flag, op=dist.ReduceOp.MAX)
    return bool(flag.item())


def mean_over_ranks(values: torch.Tensor) -> torch.Tensor:
    """Mean of a float tensor of any shape over the ranks; the same on every rank."""
    if world_size() == 1:
        return values
    total = values.clone()
    dist.all_reduce(total)
    return total / world_size()


def gather_objects(value: Any) -> list[Any]:
    """`value` of every rank, in rank order, on every rank. For small things: ids, generator states."""
    if world_size() == 1:
        return [value]
    found: list[Any] = [None] * world_size()
    dist.all_gather_object(found, value)
    return found


def from_rank_0(value: Any) -> Any:
    """Rank 0's `value`, on every rank."""
    if world_size() == 1:
        return value
    box = [value]
    dist.broadcast_object_list(box, src=0)
    return box[0]


def all_gather(values: torch.Tensor) -> torch.Tensor:
    """Rows (n_r, ...) of every rank, concatenated in rank order; n_r may differ. No gradient flows.

    Rows are padded to the longest rank's count, because collectives want equal shapes.
    """
    if world_size() == 1:
        return values.detach()
    count = torch.tensor([len(values)], device=values.device)
    counts = [torch.zeros_like(count) for _ in range(world_size())]
    dist.all_gather(counts, count)
    sizes = [int(c) for c in counts]
    padded = values.new_zeros((max(sizes), *values.shape[1:]))
    padded[: len(values)] = values.detach()
    parts = [torch.empty_like(padded) for _ in sizes]
    dist.all_gather(parts, padded)
    return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])


def share_of_batch(batch_size: int) -> int:
    """This rank's part of a global batch; BadInput when it cannot be cut evenly."""
    if batch_size % world_size():
        raise BadInput(
            f"batch_size {batch_size} cannot be cut over {world_size()} ranks", fix="use a multiple of it"
        )
    return batch_size // world_size()
