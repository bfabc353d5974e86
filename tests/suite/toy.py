"""A tiny real system: numbers are made, then squared in shards. `python -m tests.suite.toy <verb> ...`."""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import dataclass

from suite.seeds import item_rng
from suite.stage import Context, Stage
from suite.stage_cli import main


@dataclass(frozen=True)
class Toy:
    numbers: int
    shard_size: int
    pause: float = 0.0  # seconds per item, so that a kill can hit the middle
    note: str = ""  # matters to no stage


def make(ctx: Context) -> None:
    (ctx.out / "sub").mkdir(exist_ok=True)
    values = [int(item_rng(ctx.seed, "toy", i).integers(1000)) for i in range(ctx.config.numbers)]
    (ctx.out / "sub" / "numbers.json").write_text(json.dumps(values))
    ctx.count("numbers", len(values))


def square(ctx: Context) -> None:
    values = json.loads((ctx.inputs["numbers"] / "sub" / "numbers.json").read_text())
    first = ctx.shard * ctx.config.shard_size
    chosen = range(first, min(first + ctx.config.shard_size, len(values)))
    for index in chosen:
        path = ctx.work / str(index)
        if path.exists():
            continue
        ctx.check_stop()
        time.sleep(ctx.config.pause)
        temporary = path.with_suffix(".tmp")
        temporary.write_text(str(values[index] ** 2))
        os.replace(temporary, path)
        ctx.event("squared", index=index)
    result = [int((ctx.work / str(index)).read_text()) for index in chosen]
    (ctx.out / "squares.json").write_text(json.dumps(result))
    ctx.count("squares", len(result))


def num_shards(config: Toy, inputs: object = None) -> int:
    return -(-config.numbers // config.shard_size)


STAGES = {
    stage.name: stage
    for stage in (
        Stage(
            system="toy", name="numbers", summary="make numbers", toolchain="suite", version=1,
            run="tests.suite.toy:make", config=("numbers",), decides=("numpy",),
        ),
        Stage(
            system="toy", name="squares", summary="square them", toolchain="suite", version=1,
            inputs=("numbers",), run="tests.suite.toy:square",
            config=("numbers", "shard_size"), num_shards=num_shards,
            disk_bytes=lambda config: config.numbers,
        ),
    )
}  # fmt: skip

if __name__ == "__main__":
    sys.exit(main("toy", STAGES, Toy))
