"""Counts over the targets of a store: additive, so that shards are counted apart and merged in any order.

Source of the expected distributions: SOLID code, defaults of the target composer (size mixture, number of
objects).
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from experiments.solid.config import Layout
from experiments.solid.store.samples import TargetSample

VISIBILITY_EDGES = np.linspace(0, 1, 11)
BOX_EDGES = np.linspace(0, 1, 21)
# A warning, not an error: five standard deviations, so that chance alone hardly ever raises it.
SIGMAS = 5.0


@dataclass
class TargetStatistics:
    """What the targets of a store, or of one shard, look like."""

    pictures: int = 0
    boxes_per_picture: Counter[int] = field(default_factory=Counter)
    attempted: Counter[int] = field(default_factory=Counter)  # objects that were to be placed
    placed: Counter[int] = field(default_factory=Counter)  # objects in the scene, visible or not
    drawn_bins: Counter[int] = field(default_factory=Counter)  # poses drawn, per entry of layout.size_bins
    placed_bins: Counter[int] = field(default_factory=Counter)  # the ones that were placed
    class_boxes: Counter[int] = field(default_factory=Counter)
    rooms: Counter[str] = field(default_factory=Counter)
    attempts: Counter[int] = field(default_factory=Counter)  # scenes per picture
    visibility: np.ndarray = field(default_factory=lambda: np.zeros(len(VISIBILITY_EDGES) - 1, np.int64))
    box_size: np.ndarray = field(default_factory=lambda: np.zeros(len(BOX_EDGES) - 1, np.int64))

    def add(self, sample: TargetSample, scene: dict) -> None:
        """Count one picture and its scene file."""
        boxes = sample.bboxes
        height, width = sample.label_map.shape
        share = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]) / (height * width)
        self.pictures += 1
        self.boxes_per_picture[len(boxes)] += 1
        self.attempts[sample.attempts] += 1
        self.class_boxes.update(boxes[:, 4].tolist())
        self.visibility += np.histogram(sample.visibility, VISIBILITY_EDGES)[0]
        self.box_size += np.histogram(np.sqrt(share), BOX_EDGES)[0]
        self.placed[len(scene.get("objects", ()))] += 1
        if "attempted" in scene:
            self.attempted[scene["attempted"]] += 1
        if scene.get("room"):
            self.rooms[str(scene["room"]["id"])] += 1
        for draw in scene.get("drawn", ()):
            self.drawn_bins[draw["bin"]] += 1
            self.placed_bins[draw["bin"]] += bool(draw["placed"])

    def merge(self, other: TargetStatistics) -> None:
        """Add the counts of another part of the store."""
        for item in dataclasses.fields(self):
            mine, theirs = getattr(self, item.name), getattr(other, item.name)
            if isinstance(mine, Counter):
                mine.update(theirs)
            else:
                setattr(self, item.name, mine + theirs)

    def to_tree(self) -> dict:
        """JSON form; `from_tree` reads it back."""
        tree: dict = {"visibility_edges": VISIBILITY_EDGES.tolist(), "box_size_edges": BOX_EDGES.tolist()}
        for item in dataclasses.fields(self):
            value = getattr(self, item.name)
            if isinstance(value, Counter):
                value = {str(key): value[key] for key in sorted(value)}
            tree[item.name] = value.tolist() if isinstance(value, np.ndarray) else value
        return tree

    @classmethod
    def from_tree(cls, tree: dict) -> TargetStatistics:
        """The inverse of `to_tree`."""
        values: dict = {}
        for item in dataclasses.fields(cls):
            value = tree[item.name]
            if isinstance(value, dict):
                text_keys = item.name == "rooms"
                value = Counter({key if text_keys else int(key): n for key, n in value.items()})
            values[item.name] = np.array(value, np.int64) if isinstance(value, list) else value
        return cls(**values)


def distribution_warnings(found: TargetStatistics, layout: Layout) -> list[str]:
    """Where the drawn object counts or sizes are farther from the config than chance explains."""
    low, high = layout.num_objects
    uniform = [1 / (high - low + 1)] * (high - low + 1)
    warnings = _far_from("attempted objects", found.attempted, range(low, high + 1), uniform)
    bins = range(len(layout.size_bins))
    return warnings + _far_from("drawn size bin", found.drawn_bins, bins, layout.size_probs)


def _far_from(name: str, counts: Counter[int], values: range, probs: Sequence[float]) -> list[str]:
    """Binomial bound for each value; a value outside `values` is always told."""
    total = counts.total()
    warnings = [f"{name} {v} is outside the config" for v in sorted(counts) if v not in values]
    for value, prob in zip(values, probs, strict=True):
        spread = SIGMAS * np.sqrt(total * prob * (1 - prob)) + 1  # + 1: at least one count, for small stores
        if abs(counts[value] - total * prob) > spread:
            share = counts[value] / max(total, 1)
            warnings.append(f"{name} {value}: {share:.3f} of {total}, expected {prob:.3f}")
    return warnings
