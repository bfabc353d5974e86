"""What the stages of the search consist of, without running them: steps, shards, arms of the controls.

Pure Python: the table of stages imports it, and it loads without numpy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from suite.errors import BadInput

STEPS = ("ckpt", "stddev", "threshold", "best")  # in the order in which each needs the one before
FOLDERS = {  # published names
    "ckpt": "ckpt_optimization",
    "stddev": "stddev_optimization",
    "threshold": "threshold_optimization",
    "best": "best_hyperparameters",
}
ARMS = ("unfiltered", "fixed", "shuffled", "real")  # of the controls


@dataclass(frozen=True, kw_only=True)
class Shard:
    """Candidates `start` to `stop` (excluded) of the grid of one GAN."""

    gan: int
    start: int
    stop: int


def shards(num_gans: int, num_candidates: int, per_shard: int) -> tuple[Shard, ...]:
    """All shards of a step, GAN after GAN, each with up to `per_shard` consecutive candidates of one GAN."""
    return tuple(
        Shard(gan=gan, start=start, stop=min(start + per_shard, num_candidates))
        for gan in range(num_gans)
        for start in range(0, num_candidates, per_shard)
    )


def arm_shards(per_shard: int) -> tuple[tuple[str, ...], ...]:
    """The arms of each shard of the controls: up to `per_shard`, evenly dealt."""
    count = -(-len(ARMS) // per_shard)
    return tuple(ARMS[number::count] for number in range(count))


def parse_steps(value: str | Sequence[str]) -> tuple[str, ...]:
    """The steps that `--steps` names, in the order in which they run; `all` is every step.

    value: "ckpt,stddev" or a sequence of names (a plain `all` as text works, too). Raises BadInput for an
    unknown name and for no name at all.
    """
    names = value.split(",") if isinstance(value, str) else list(value)
    names = [name.strip() for name in names if name.strip()]
    unknown = [name for name in names if name not in (*STEPS, "all")]
    if unknown or not names:
        what = f"unknown step `{unknown[0]}`" if unknown else "no step is named"
        raise BadInput(what, fix=f"choose of {', '.join(STEPS)}, or all")
    return STEPS if "all" in names else tuple(step for step in STEPS if step in names)


def shard_of(gan: int, position: int, *, num_candidates: int, per_shard: int) -> int:
    """Number of the shard in `shards` that holds a position of a GAN's grid."""
    per_gan = -(-num_candidates // per_shard)
    return gan * per_gan + position // per_shard
