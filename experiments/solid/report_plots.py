"""Plots of the report: object counts, sizes, visibility, class usage, seconds per phase."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from markupsafe import Markup

from experiments.solid.config import Layout
from experiments.solid.store.statistics import BOX_EDGES, VISIBILITY_EDGES, TargetStatistics
from suite.report.plots import bars, grouped_bars, histogram, horizontal_bars, lines

MAX_CLASS_BARS = 64  # beyond it, usage is drawn as a sorted curve


def distribution_plots(
    statistics: TargetStatistics, layout: Layout, seconds_per_phase: Mapping[str, float]
) -> list[Markup]:
    """All plots of the page, in order."""
    plots = [
        counts_plot(statistics, layout),
        size_mixture_plot(statistics, layout),
        histogram(
            BOX_EDGES,
            statistics.box_size,
            title="Box size",
            x="square root of (box / picture area)",
            y="boxes",
        ),
        histogram(
            VISIBILITY_EDGES,
            statistics.visibility,
            title="Visible share of objects",
            x="visibility",
            y="boxes",
        ),
        class_usage_plot(statistics.class_boxes),
        bars(_in_order(statistics.attempts), title="Scenes drawn per picture", x="attempts", y="pictures"),
    ]
    if seconds_per_phase:
        slowest_first = dict(sorted(seconds_per_phase.items(), key=lambda item: -item[1]))
        plots.append(
            horizontal_bars(slowest_first, title="Where the time of a picture goes", x="seconds per picture")
        )
    return plots


def counts_plot(statistics: TargetStatistics, layout: Layout) -> Markup:
    """Objects per picture: asked for, placed, visible."""
    series = {
        "to place": statistics.attempted,
        "placed": statistics.placed,
        "visible": statistics.boxes_per_picture,
    }
    seen = [value for counts in series.values() for value in counts]
    values = range(min(seen, default=0), max([*seen, layout.num_objects[1]]) + 1)
    return grouped_bars(
        [str(v) for v in values],
        {name: [counts[v] for v in values] for name, counts in series.items()},
        title="Objects per picture",
        x="objects",
        y="pictures",
    )


def size_mixture_plot(statistics: TargetStatistics, layout: Layout) -> Markup:
    """Object sizes: configured, drawn, placed. Small ones fit more often, so more of them are placed."""
    bins = range(len(layout.size_bins))
    drawn, placed = _shares(statistics.drawn_bins, bins), _shares(statistics.placed_bins, bins)
    return grouped_bars(
        [f"{low:g} to {high:g}" for low, high in layout.size_bins],
        {"config": list(layout.size_probs), "drawn": drawn, "placed": placed},
        title="Object sizes",
        x="longest edge, scene units",
        y="share",
    )


def class_usage_plot(class_boxes: Counter[int]) -> Markup:
    """Boxes per class."""
    title = "Boxes per class"
    if len(class_boxes) <= MAX_CLASS_BARS:
        return bars(_in_order(class_boxes), title=title, x="class", y="boxes")
    counts = sorted(class_boxes.values(), reverse=True)
    return lines(
        {"boxes": (range(len(counts)), counts)}, title=title, x="classes, most used first", y="boxes"
    )


def _shares(counts: Counter[int], values: range) -> list[float]:
    total = max(sum(counts.values()), 1)
    return [counts[v] / total for v in values]


def _in_order(counts: Counter[int]) -> dict[int, int]:
    return {value: counts[value] for value in sorted(counts)}
