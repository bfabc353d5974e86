"""Rounds: `prompts` -> `images` -> `scores`, and once more for what was rejected.

The stages of round 1 have the plain names; later ones end in the number: `prompts-2`. Candidates of a class
are numbered over all rounds, from 0. Pure Python: the table of stages imports it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from experiments.imaginarynet.config import ImaginaryNetConfig
from experiments.imaginarynet.config_sections import ReplaceConfig
from experiments.imaginarynet.store.manifest import Candidate

VERBS = ("prompts", "images", "scores")  # of a round, in order


def stage_name(verb: str, round: int) -> str:
    """`images` for round 1, `images-2` for round 2."""
    return verb if round == 1 else f"{verb}-{round}"


def round_of(name: str) -> int:
    """The round that a stage belongs to; 1 for a stage of no round."""
    verb, _, number = name.partition("-")
    return int(number) if verb in VERBS and number else 1


def num_rounds(config: ImaginaryNetConfig) -> int:
    """How many rounds a run has: without the filter nothing is rejected."""
    return config.replace.rounds if config.clip.enabled else 1


def names_of(verb: str, config: ImaginaryNetConfig, *, before: int | None = None) -> tuple[str, ...]:
    """The stages of a verb in order of their rounds; before: those of earlier rounds only."""
    stop = num_rounds(config) + 1 if before is None else before
    return tuple(stage_name(verb, round) for round in range(1, stop))


# --- how many ---


def quotas(config: ImaginaryNetConfig, num_classes: int) -> tuple[int, ...]:
    """Pictures that each class is to have, in the order of the classes.

    `num` is per class; `num_total` is dealt evenly, what does not divide to the first classes. Times
    `images.samples_per_prompt`.
    """
    each = config.images.samples_per_prompt
    if config.num_total is None:
        return (config.num * each,) * num_classes
    share, left = divmod(config.num_total, num_classes)
    return tuple((share + (index < left)) * each for index in range(num_classes))


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What earlier rounds gave for one class."""

    made: int  # candidates, drawn or failed
    accepted: int  # of these, kept at `replace.threshold`

    def __post_init__(self) -> None:
        if not 0 <= self.accepted <= self.made:
            raise ValueError(f"{self.accepted} of {self.made} candidates cannot be accepted")


def seen_of(rows: Iterable[Candidate], num_classes: int, *, threshold: float) -> tuple[Seen, ...]:
    """What earlier rounds gave for each class. rows: of all their `scores`.

    Accepted is what the published rule keeps: the class itself has the highest probability, above the
    threshold. It is `replace.threshold`, so that another `filter.threshold` makes no other picture.
    """
    made, accepted = [0] * num_classes, [0] * num_classes
    for row in rows:
        made[row.class_id] += 1
        leads = row.top1 == row.class_id and row.p_label is not None
        accepted[row.class_id] += leads and row.p_label > threshold
    return tuple(Seen(made=all_, accepted=some) for all_, some in zip(made, accepted, strict=True))


def to_make(quota: int, seen: Seen, replace: ReplaceConfig, *, samples_per_prompt: int = 1) -> range:
    """Numbers of the candidates that the next round makes for a class; empty where none is missing.

    The first round makes the quota. A later one makes what is missing divided by the acceptance rate so far
    (one in all that were made, where none was accepted), in whole prompts of `samples_per_prompt`
    candidates, and never more than `max_attempts` quotas in all rounds.
    """
    missing = quota - seen.accepted
    if missing <= 0:
        return range(seen.made, seen.made)
    rate = max(seen.accepted, 1) / seen.made if seen.made else 1.0
    allowed = max(0, math.floor(quota * replace.max_attempts) - seen.made)
    prompts = min(math.ceil(missing / rate / samples_per_prompt), allowed // samples_per_prompt)
    return range(seen.made, seen.made + prompts * samples_per_prompt)


def plan_round(config: ImaginaryNetConfig, seen: Sequence[Seen]) -> tuple[range, ...]:
    """`to_make` for every class, in the order of the classes; for round 1 all `seen` are zero."""
    wanted = quotas(config, len(seen))
    each = config.images.samples_per_prompt
    return tuple(
        to_make(quota, past, config.replace, samples_per_prompt=each)
        for quota, past in zip(wanted, seen, strict=True)
    )


# --- shards of `images` and `scores` ---


def shard_range(num_candidates: int, shard: int, shard_size: int) -> range:
    """Rows of a round's prompts that a shard holds."""
    return range(shard * shard_size, min((shard + 1) * shard_size, num_candidates))


def num_shards_of(num_candidates: int, shard_size: int) -> int:
    """Shards of a round; one, which is empty, where there is no candidate."""
    return max(1, -(-num_candidates // shard_size))
