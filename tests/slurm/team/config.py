"""Settings of the team."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Team:
    steps: int
    pause: float = 0.0  # seconds per step


CONFIG = Team
