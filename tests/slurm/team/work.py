"""What the team's stage does: a sum over all ranks at each step, resumed where it was stopped."""

import json
import os
import time

import torch
import torch.distributed as dist

from suite import ranks
from suite.stage import STOP, Context


def count(ctx: Context) -> None:
    """team.json: {first step of this start, members: [[node, local rank, GPUs]], sum}."""
    dist.init_process_group("gloo")
    checkpoint = ctx.final.with_name(ctx.final.name + ".part") / ".work/step"
    first = int(checkpoint.read_text()) if checkpoint.exists() else 0
    total = torch.zeros(())
    for step in range(first, ctx.config.steps):
        stop = torch.tensor(float(STOP.is_set))
        dist.all_reduce(stop)
        if stop and ctx.rank == 0:
            (ctx.work / "step").write_text(str(step))
        dist.barrier()
        ctx.check_stop(told=bool(stop))
        time.sleep(ctx.config.pause)
        total = torch.ones(())
        dist.all_reduce(total)
        ctx.event("counted", step=step)
    me = [os.environ["SLURMD_NODENAME"], ranks.local_rank(), os.environ.get("CUDA_VISIBLE_DEVICES")]
    members = [None] * ranks.world_size()
    dist.all_gather_object(members, me)
    dist.destroy_process_group()
    tree = {"first": first, "members": sorted(members), "sum": float(total)}
    (ctx.out / "team.json").write_text(json.dumps(tree))
