"""Prompts of a class, unique within it, whatever the batch and the round that they are made in.

    prompts = make_prompts(model, config.prompts, "mug", count=20, seed=0, first_number=0, taken=set())

Prompt n is the first of its drawings 0, 1, 2, ... that none of the prompts before it equals (published code:
exact text, per class). A drawing depends on (seed, class, n, its number) alone, so a set made in one go and
one made in pieces are the same. The published code seeds its generator with 42 whatever `--seed` says, draws
all sequences of a class in one batch, and all of them again while one is missing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from experiments.imaginarynet.config_sections import CLASS_PLACE, PromptsConfig
from experiments.imaginarynet.store.seeds import sample_seed

REDRAWN = 8  # rows of a call for what is drawn again: mostly a few, which need no full batch
STREAM = "prompts"  # what the seeds of texts are made for: the same texts whatever draws the pictures
ENDS = (".", "\n", "\t")  # a text is cut before the first of each, in this order (published code)
LINE_ENDS = re.compile("[\x0b\x0c\r\x1c\x1d\x1e\x85\u2028\u2029\ufffd]")  # further ones, and half a character
GAPS = (
    *((f" {end}", end) for end in ".?!,"),
    (" ' ", "'"),
    *((f" {end}", end) for end in ("n't", "'m", "'s", "'ve", "'re")),
)


class TextModel(Protocol):
    """What continues texts."""

    @property
    def source(self) -> str:
        """The name in the manifest, e.g. "lm:packaged"."""

    def continue_text(self, prefix: str, seeds: Sequence[int], *, batch: int) -> list[str]:
        """What follows the prefix, once for each seed; each depends on the prefix and its seed alone.

        batch: rows of every call of the network, which is filled up where fewer seeds are left.
        """


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """One description. `reason` is empty, or says why there is none that would be usable."""

    number: int  # within the class, over all rounds
    text: str
    drawings: int  # that it took, 1 at least
    reason: str = ""


def prefix_of(config: PromptsConfig, class_name: str) -> str:
    """The template with the class name, as it is written in the class list."""
    return config.template.replace(CLASS_PLACE, class_name)


def cut(text: str) -> str:
    """The text up to its first full stop, line end and tab, without them (published code)."""
    for end in ENDS:
        text = text.partition(end)[0]
    return text


def close_gaps(text: str) -> str:
    """Without the spaces before punctuation: what the text-generation pipeline does to its output."""
    for gap, closed in GAPS:
        text = text.replace(gap, closed)
    return text


def make_prompts(
    model: TextModel | None,
    config: PromptsConfig,
    class_name: str,
    *,
    count: int,
    seed: int,
    first_number: int = 0,
    taken: set[str] | frozenset[str] = frozenset(),
) -> list[Prompt]:
    """Prompts first_number .. first_number + count - 1 of a class, in order.

    model: None for `config.source` "bare". seed: the run's. taken: the texts of this class's prompts below
    first_number; it is not changed. A prompt whose `max_tries` drawings were all taken or unusable has a
    `reason`; its text is that of the last drawing.
    """
    prefix = prefix_of(config, class_name)
    if config.source == "bare":
        return [Prompt(number=first_number + n, text=prefix, drawings=1) for n in range(count)]
    if model is None:
        raise ValueError("prompts.source is `lm`: a model is needed")
    drawn: dict[int, list[str]] = {number: [] for number in range(first_number, first_number + count)}
    is_usable = usable_of(config, class_name)
    batch = config.batch
    while True:
        prompts, wanting = _settle(drawn, taken, is_usable, config.max_tries)
        if not wanting:
            return prompts
        places = _drawings(wanting, drawn, batch, config.max_tries)
        seeds = [sample_seed(seed, STREAM, class_name, prompt_id=n, sample_idx=i) for n, i in places]
        rests = model.continue_text(prefix, seeds, batch=batch)
        for (number, _), rest in zip(places, rests, strict=True):
            drawn[number].append(prefix + cut(close_gaps(rest)))
        batch = min(config.batch, REDRAWN)


def _drawings(
    wanting: Sequence[int], drawn: Mapping[int, Sequence[str]], batch: int, most: int
) -> list[tuple[int, int]]:
    """(prompt number, number of its drawing) of what is drawn next: one each, and where these are drawn again
    what else finds room in the last call, so that a class seldom needs a third one.

    First drawings stay alone: whether a drawing comes from a call of one size or of the other must not
    depend on what else is drawn.
    """
    if not drawn[wanting[0]]:
        return [(number, 0) for number in wanting]
    turns = max(1, batch // len(wanting))
    return [
        (number, len(drawn[number]) + turn)
        for turn in range(turns)
        for number in wanting
        if len(drawn[number]) + turn < most
    ]


def usable_of(config: PromptsConfig, class_name: str) -> Callable[[str], bool]:
    """Whether a text may be a prompt: one line and, with `require_class`, the class name as whole words.

    The template has the name already, but a model may go on within the word: "A photo of mugby".
    """
    word = re.compile(rf"(?<!\w){re.escape(class_name)}(?!\w)", re.IGNORECASE)
    return lambda text: (
        not LINE_ENDS.search(text) and (not config.require_class or word.search(text) is not None)
    )


def uniforms(seeds: Sequence[int], length: int) -> np.ndarray:
    """float64 (len(seeds), length) in [0, 1): one generator per seed, so no row depends on another."""
    rows = [np.random.Generator(np.random.PCG64(seed)).random(length) for seed in seeds]
    return np.stack(rows) if rows else np.zeros((0, length))


def _settle(
    drawn: dict[int, list[str]], taken: set[str] | frozenset[str], is_usable: Callable[[str], bool], most: int
) -> tuple[list[Prompt], list[int]]:
    """The prompts that follow from the drawings so far, and the numbers that need one more.

    Always from the first number on: what was settled on a guess about an earlier prompt is settled anew.
    """
    texts = set(taken)
    prompts, wanting = [], []
    for number, drawings in drawn.items():
        found = next((i for i, t in enumerate(drawings[:most]) if is_usable(t) and t not in texts), None)
        if found is not None:
            texts.add(drawings[found])
            prompts.append(Prompt(number=number, text=drawings[found], drawings=found + 1))
        elif len(drawings) < most:
            wanting.append(number)
        else:
            reason = f"none of {most} drawings was a new text of one line"
            prompts.append(Prompt(number=number, text=drawings[-1], drawings=most, reason=reason))
    return prompts, wanting
