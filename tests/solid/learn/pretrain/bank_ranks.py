"""Under torchrun: refresh the bank with this rank's share of the queries, compare nothing, write everything.

torchrun --nproc_per_node 2 -m tests.solid.learn.pretrain.bank_ranks OUT
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from experiments.solid.config import SolidConfig
from experiments.solid.learn.engine import ranks
from experiments.solid.learn.engine.checkpoint import save_checkpoint
from experiments.solid.learn.pretrain.lazy import lazy_pretrain, make
from experiments.solid.learn.pretrain.stage import wrap
from suite.config import load_config
from tests.solid.learn.pretrain.batches import queries
from tests.solid.learn.pretrain.runs import TINY

IDS = [3, 1, 4, 1, 5, 3, 0]  # classes 3 and 1 are drawn twice, once by each rank
CUT = 2  # rank 0 has two queries, rank 1 the other five


def main(out: Path) -> None:
    """Write `<rank>.pt` with bank and ids; every rank starts from parameters of its own."""
    torch.set_num_threads(1)
    with ranks.process_group("cpu"):
        torch.manual_seed(ranks.rank())
        tree = lazy_pretrain(load_config(SolidConfig, TINY), num_classes=6, seed=0, device="cpu")
        model = make(tree, torch.device("cpu")).model.train()
        wrap(model, precision="float32")  # the others take rank 0's parameters
        share = slice(None) if ranks.world_size() == 1 else (slice(CUT), slice(CUT, None))[ranks.rank()]
        model.refresh(queries(len(IDS))[share], torch.tensor(IDS)[share])
        found = {"queue": model.queue, "queue_ids": model.queue_ids}
        save_checkpoint(out / f"{ranks.world_size()}-{ranks.rank()}.pt", found)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
