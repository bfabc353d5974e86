"""What the toy's stages do. TOY_FAIL="<shard>:<exit code>" makes one shard fail; every shard notes what it
was given.
"""

import json
import os
import time

from suite.errors import BadInput, Missing
from suite.seeds import item_rng
from suite.stage import Context


def draw(ctx: Context) -> None:
    """numbers.json: list of int."""
    drawn = [
        int(item_rng(ctx.seed, "toy", i).integers(ctx.config.numbers.limit))
        for i in range(ctx.config.numbers.count)
    ]
    (ctx.out / "numbers.json").write_text(json.dumps(drawn))
    ctx.count("numbers", len(drawn))


def square(ctx: Context) -> None:
    """squares.json of one shard; items that are on disk already are kept."""
    note("begin", ctx.shard)
    fail(ctx.shard)
    numbers = json.loads((ctx.inputs["numbers"] / "numbers.json").read_text())
    size = ctx.config.shard_size
    squares = []
    for index in range(ctx.shard * size, min((ctx.shard + 1) * size, len(numbers))):
        ctx.check_stop()
        item = ctx.work / str(index)
        if not item.exists():
            time.sleep(ctx.config.pause)
            item.with_suffix(".tmp").write_text(str(numbers[index] ** 2))
            item.with_suffix(".tmp").rename(item)
            note("squared", index)
        squares.append(int(item.read_text()))
    (ctx.out / "squares.json").write_text(json.dumps(squares))
    ctx.count("squares", len(squares))
    note("end", ctx.shard)


def add(ctx: Context) -> None:
    """sum.json and a report page; it cannot be stopped in the middle."""
    note("adding", 0)
    time.sleep(ctx.config.pause)
    files = sorted(ctx.inputs["squares"].glob("*/squares.json"))
    (ctx.out / "index.html").write_text(f"<p>{sum(sum(json.loads(f.read_text())) for f in files)}</p>")


def fail(shard: int) -> None:
    """Fail as TOY_FAIL says."""
    which, _, code = os.environ.get("TOY_FAIL", "").partition(":")
    if which in (str(shard), "all"):
        raise {"2": BadInput, "3": Missing, "1": RuntimeError}[code]("the toy was told to fail")


def note(what: str, number: int) -> None:
    """One line in $TOY_NOTES: what, number, GPU, threads, time."""
    if "TOY_NOTES" in os.environ:
        env = os.environ
        words = (what, number, env.get("CUDA_VISIBLE_DEVICES", "-"), env["SYNDET_THREADS"], time.monotonic())
        with open(env["TOY_NOTES"], "a") as notes:
            notes.write(" ".join(map(str, words)) + "\n")
