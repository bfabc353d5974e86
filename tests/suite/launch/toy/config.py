"""Settings of the toy system."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Numbers:
    count: int
    limit: int


@dataclass(frozen=True)
class Toy:
    numbers: Numbers
    shard_size: int
    pause: float = 0.0  # seconds per item; matters to no result


CONFIG = Toy
