"""Collectives between threads' worth of processes: spawned gloo ranks, no torchrun."""

import os
import socket

import pytest
import torch
import torch.multiprocessing as multiprocessing

from experiments.solid.learn.engine import ranks
from suite.errors import BadInput, Missing


def work(rank, port, results):
    os.environ |= {
        "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port), "GLOO_SOCKET_IFNAME": "lo",
    }  # fmt: skip
    with ranks.process_group("cpu") as device:
        rows = torch.full((1 + 2 * rank, 2), float(rank))
        results[rank] = {
            "gathered": ranks.all_gather(rows).tolist(),
            "no_rows": ranks.all_gather(rows[: 1 - rank]).tolist(),
            "ids": ranks.all_gather(torch.tensor([7 + rank])).tolist(),
            "any": [ranks.any_rank(rank == 1, device), ranks.any_rank(False, device)],
            "mean": ranks.mean_over_ranks(torch.tensor([rank, 4.0])).tolist(),
            "objects": ranks.gather_objects({"rank": rank}),
            "first": ranks.from_rank_0(f"of {rank}"),
            "share": ranks.share_of_batch(6),
        }


@pytest.mark.slow
def test_both_ranks_see_the_same_whatever_each_of_them_has():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with multiprocessing.Manager() as manager:
        results = manager.dict()
        multiprocessing.spawn(work, args=(port, results), nprocs=2)
        first, second = results[0], results[1]
    assert first == second
    assert first == {
        "gathered": [[0, 0], [1, 1], [1, 1], [1, 1]],
        "no_rows": [[0, 0]],
        "ids": [7, 8],
        "any": [True, False],
        "mean": [0.5, 4.0],
        "objects": [{"rank": 0}, {"rank": 1}],
        "first": "of 0",
        "share": 3,
    }


def test_alone_every_collective_gives_back_what_it_gets():
    rows = torch.rand(3, 2, requires_grad=True)
    assert torch.equal(ranks.all_gather(rows), rows) and not ranks.all_gather(rows).requires_grad
    assert ranks.gather_objects(4) == [4] and ranks.from_rank_0(4) == 4
    assert ranks.any_rank(True, torch.device("cpu")) and not ranks.any_rank(False, torch.device("cpu"))
    assert ranks.share_of_batch(7) == 7


def test_a_batch_that_cannot_be_cut_evenly_is_refused(monkeypatch):
    monkeypatch.setattr(ranks, "world_size", lambda: 4)
    with pytest.raises(BadInput, match="batch_size 6 cannot be cut over 4 ranks"):
        ranks.share_of_batch(6)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this host has a GPU")
def test_cuda_never_falls_back():
    with pytest.raises(Missing, match="no usable GPU"):
        ranks.torch_device("cuda")
