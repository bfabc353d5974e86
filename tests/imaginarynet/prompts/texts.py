"""A text model made up for tests: few different texts, so that drawings collide."""

from __future__ import annotations

from collections.abc import Sequence


class FewTexts:
    """Continues with one of `variety` words; its text depends on the prefix and the seed alone."""

    source, digest = "lm:few", "d" * 64

    def __init__(self, variety: int = 40, form: str = " on table {n}. And more"):
        self.variety, self.form = variety, form
        self.calls: list[tuple[str, int]] = []
        self.seeds: list[int] = []

    def continue_text(self, prefix: str, seeds: Sequence[int], *, batch: int) -> list[str]:
        self.calls.append((prefix, batch))
        self.seeds += seeds
        return [self.form.format(n=seed % self.variety) for seed in seeds]
