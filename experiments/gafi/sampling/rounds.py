"""Which candidates of a class are kept: the published rounds, on a table of scores.

A round draws as many candidates as are missing, twice as many once one has been accepted. A candidate is
kept if the classifier's first choice is its class, with a probability above the threshold (GaFi, dynamic
sample filtering).

Difference from the published code, which adds the whole last batch unfiltered when the attempts are spent:
here only what is missing is filled, by a stated policy, and nothing is taken twice.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from experiments.gafi.sampling.score import Segment
from suite.errors import BadInput

FALLBACKS = ("unfiltered", "topk", "error")
STALLED_ROUNDS = 100  # without a limit: rounds in a row that accept nothing of a class before it is given up


class ScoreTable:
    """What the classifier said of a class's candidates so far, in the order of their sequence."""

    def __init__(self):
        self.agrees = np.zeros(0, bool)  # the first choice is the wanted class
        self.confidence = np.zeros(0, np.float32)  # probability of the wanted class
        self.fingerprint = np.zeros(0, np.uint64)

    def __len__(self) -> int:
        return len(self.agrees)

    def extend(self, agrees: np.ndarray, confidence: np.ndarray, fingerprint: np.ndarray) -> None:
        """Add the next candidates, (n,) each."""
        self.agrees = np.concatenate([self.agrees, agrees])
        self.confidence = np.concatenate([self.confidence, confidence])
        self.fingerprint = np.concatenate([self.fingerprint, fingerprint])


@dataclass(frozen=True)
class Rule:
    """How a set is chosen: threshold in [0, 1) or None (no filter), rounds for a class or None (no limit)."""

    threshold: float | None
    cap: int | None
    fallback: str

    def __post_init__(self):
        if self.threshold is not None and not 0 <= self.threshold < 1:
            raise BadInput(f"threshold {self.threshold}", fix="give a number from 0 to below 1, or none")
        if self.cap is not None and self.cap < 1:
            raise BadInput(f"{self.cap} rounds of filtering", fix="give at least 1, or None for no limit")
        if self.fallback not in FALLBACKS:
            raise BadInput(f"SAMPLING.fallback {self.fallback}", fix=f"choose one of {', '.join(FALLBACKS)}")

    def accepts(self, agrees: np.ndarray, confidence: np.ndarray) -> np.ndarray:
        """(n,) bool: agreement and a confidence strictly above the threshold, compared as float32."""
        if self.threshold is None:
            return np.ones(len(agrees), bool)
        return agrees & (confidence > np.float32(self.threshold))


class ClassRounds:
    """The rounds of one class, as far as its table goes."""

    def __init__(self, label: int, quota: int, *, rule: Rule, table: ScoreTable):
        self.label, self.quota, self.rule, self.table = label, quota, rule, table
        self.drawn = self.accepted = self.rounds = 0
        self._stalled = self._last = 0
        self._kept: list[np.ndarray] = []
        self.number_kept = 0

    def wanted(self) -> Segment | None:
        """Go on; the candidates that must be in the table before it can, or None when the class is finished.

        Raises BadInput for a class of which nothing is accepted, where there is no limit.
        """
        while self.number_kept < self.quota and (self.rule.cap is None or self.rounds < self.rule.cap):
            missing = self.quota - self.number_kept
            stop = self.drawn + missing * (2 if self.number_kept else 1)
            if stop > len(self.table):
                return Segment(self.label, len(self.table), stop)
            self._round(stop)
        return None

    def _round(self, stop: int) -> None:
        part = slice(self.drawn, stop)
        found = np.flatnonzero(self.rule.accepts(self.table.agrees[part], self.table.confidence[part]))
        kept = found[: self.quota - self.number_kept] + self.drawn
        self._kept.append(kept)
        self.number_kept += len(kept)
        self.accepted += len(found)
        self._last, self.drawn, self.rounds = self.drawn, stop, self.rounds + 1
        self._stalled = 0 if len(found) else self._stalled + 1
        if self.rule.cap is None and self._stalled == STALLED_ROUNDS:
            raise self._refusal(
                f"the last {STALLED_ROUNDS} rounds accepted none", "set SAMPLING.max_attempts to a limit"
            )

    def kept(self) -> np.ndarray:
        """(number_kept,) int64: places of the accepted candidates, in order."""
        return np.concatenate([*self._kept, np.zeros(0, np.int64)]).astype(np.int64)

    def filled(self) -> np.ndarray:
        """(quota - number_kept,) int64: places of what fills a finished class. Raises BadInput (`error`)."""
        missing = self.quota - self.number_kept
        if not missing:
            return np.zeros(0, np.int64)
        if self.rule.fallback == "error":
            fix = "raise SAMPLING.max_attempts, lower the threshold, or choose another SAMPLING.fallback"
            raise self._refusal(f"{missing} of {self.quota} missing after {self.rounds} rounds", fix)
        first = self._last if self.rule.fallback == "unfiltered" else 0
        part = slice(first, self.drawn)
        agrees, confidence = self.table.agrees[part], self.table.confidence[part]
        rejected = np.flatnonzero(~self.rule.accepts(agrees, confidence))
        if self.rule.fallback == "topk":
            best = np.argsort(-confidence[rejected], kind="stable")[:missing]
            rejected = np.sort(rejected[best])
        return (rejected[:missing] + first).astype(np.int64)

    def _refusal(self, what: str, fix: str) -> BadInput:
        share = 100 * self.accepted / max(self.drawn, 1)
        return BadInput(
            f"class {self.label}: {what}; {self.accepted} of {self.drawn} generated images accepted"
            f" ({share:.2f} %)",
            fix=fix,
        )
