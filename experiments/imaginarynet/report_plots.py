"""Plots of the page: what every threshold would keep, and how sure the filter was."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes

from experiments.imaginarynet.counts import ClassCount
from experiments.imaginarynet.report_tables import Kept
from experiments.imaginarynet.store.manifest import Candidate
from suite.report.plots import COLORS, plot

BINS = 20
MOST_CLASSES = 20  # bars that can be told apart


def trade_off_plot(rows: Sequence[Kept], threshold: float) -> Markup:
    """Share of the candidates that is kept, and mean probability of their labels, over the threshold."""

    def draw(axes: Axes) -> None:
        xs = [row.threshold for row in rows]
        nan = float("nan")
        axes.plot(xs, [nan if r.share is None else r.share for r in rows], label="kept", color=COLORS[0])
        means = [nan if row.mean is None else row.mean for row in rows]
        axes.plot(xs, means, label="mean probability of the label, kept", color=COLORS[1], linestyle="--")
        axes.axvline(threshold, color=COLORS[4], linewidth=1, label=f"here: {threshold:g}")
        axes.set_ylim(0, 1.02)
        axes.set_xlim(0, 1)

    return plot(draw, title="What each threshold keeps", x="threshold", y="share")


def class_trade_off_plot(table: Sequence[Kept], class_names: Sequence[str], threshold: float) -> Markup:
    """The same per class: the middle half of the classes, the lowest and the highest."""
    shares = [
        [row.share for row in table if row.class_name == name and row.share is not None]
        for name in class_names
    ]
    xs = sorted({row.threshold for row in table})
    drawn = np.array([one for one in shares if len(one) == len(xs)], dtype=float)

    def draw(axes: Axes) -> None:
        if len(drawn):
            low, first, middle, third, high = np.percentile(drawn, (0, 25, 50, 75, 100), axis=0)
            axes.fill_between(xs, low, high, color=COLORS[0], alpha=0.15, label="all classes", linewidth=0)
            axes.fill_between(xs, first, third, color=COLORS[0], alpha=0.35, label="middle half", linewidth=0)
            axes.plot(xs, middle, color=COLORS[0], label="median class")
        axes.axvline(threshold, color=COLORS[4], linewidth=1)
        axes.set_ylim(0, 1.02)
        axes.set_xlim(0, 1)

    return plot(draw, title="Kept per class", x="threshold", y="share")


def probability_plot(rows: Sequence[Candidate]) -> Markup:
    """How probable the filter found the label: candidates whose label leads, and the others."""
    edges = np.linspace(0, 1, BINS + 1)
    leads = [row.p_label for row in rows if row.p_label is not None and row.top1 == row.class_id]
    others = [row.p_label for row in rows if row.p_label is not None and row.top1 != row.class_id]

    def draw(axes: Axes) -> None:
        parts = (leads, "the label leads", COLORS[0]), (others, "another class leads", COLORS[1])
        for values, name, color in parts:
            counts, _ = np.histogram(values, edges)
            axes.stairs(counts, edges, label=f"{name}: {len(values)}", color=color, linewidth=1.5)
        axes.set_xlim(0, 1)
        axes.set_ylim(bottom=0)

    return plot(draw, title="Probability of the label", x="probability", y="candidates")


def class_plot(counts: Sequence[ClassCount]) -> Markup | None:
    """Pictures asked for, made and kept, per class; None for more classes than bars can show."""
    if len(counts) > MOST_CLASSES:
        return None
    names = [count.class_name.replace(" ", "\n") for count in counts]

    def draw(axes: Axes) -> None:
        places = np.arange(len(counts))
        axes.bar(places, [count.candidates for count in counts], color="#d5dbe5", label="candidates")
        axes.bar(places, [count.kept for count in counts], width=0.5, color=COLORS[0], label="kept")
        quotas = [count.quota for count in counts]
        axes.hlines(quotas, places - 0.45, places + 0.45, color=COLORS[1], label="asked for")
        axes.set_xticks(places, names, rotation=30 if len(counts) > 6 else 0)
        axes.set_ylim(0, 1.35 * max(max(count.candidates, count.quota) for count in counts))  # the legend

    return plot(draw, title="Pictures per class", y="pictures")
