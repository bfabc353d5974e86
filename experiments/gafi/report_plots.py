"""The plots of the page: search curves with the chosen point, training curves, confidence, acceptance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from markupsafe import Markup
from matplotlib.axes import Axes

from suite.report.plots import COLORS, lines, plot

AXIS = {"ckpt": "epoch of the GAN", "stddev": "stddev of the latent vectors", "threshold": "threshold"}
MAX_LINES = len(COLORS)  # no two lines of one colour


def search_plot(step: Mapping[str, Any], split: str) -> Markup:
    """One step of one GAN: accuracy over the grid, the chosen point marked.

    step: {"gan", "step", "points": [{"x", "judged", "test", "test_best"}], "chosen": position}; `test` and
    `test_best` are None where the weights of the epochs were not kept.
    """
    points = step["points"]
    x = [point["x"] for point in points]
    series = {f"{split}: chose": [point["judged"] for point in points]}
    if split != "test" and all(point["test"] is not None for point in points):
        series["test, of the same epoch"] = [point["test"] for point in points]
        series["test, best epoch by test"] = [point["test_best"] for point in points]

    def draw(axes: Axes) -> None:
        for k, (name, y) in enumerate(series.items()):
            axes.plot(x, y, marker="o", markersize=3, linewidth=1.2, color=COLORS[k], label=name)
        at = step["chosen"]
        axes.plot(
            x[at], points[at]["judged"], marker="o", markersize=10, markerfacecolor="none",
            markeredgecolor=COLORS[3], markeredgewidth=2, linestyle="none", label="chosen",
        )  # fmt: skip

    title = f"{step['gan']}, {step['step']}: {points[step['chosen']]['x']:g}"
    return plot(draw, title=title, x=AXIS[step["step"]], y="accuracy of C_syn")


def confidence_plot(gan: str, histogram: Mapping[str, Any]) -> Markup:
    """Probability of the wanted class over the drawn pictures, with the threshold.

    histogram: {"edges", "agrees", "disagrees", "threshold", "stddev"}; see metrics/acceptance.py.
    """
    edges, agrees = histogram["edges"], histogram["agrees"]
    both = [a + d for a, d in zip(agrees, histogram["disagrees"], strict=True)]

    def draw(axes: Axes) -> None:
        axes.stairs(both, edges, fill=True, color=COLORS[1], label="another class is likelier")
        axes.stairs(agrees, edges, fill=True, color=COLORS[0], label="the wanted class is the answer")
        if histogram["threshold"] is not None:
            text = f"threshold {histogram['threshold']:g}"
            axes.axvline(histogram["threshold"], color=COLORS[3], linewidth=2, label=text)
        axes.set_ylim(bottom=0)

    title = f"{gan}: confidence of C_real at stddev {histogram['stddev']:g}"
    return plot(draw, title=title, x="probability of the wanted class", y="pictures drawn")


def acceptance_plot(gan: str, rows: Sequence[Mapping[str, str]]) -> Markup:
    """Share that passes over the threshold, mean over classes, one curve per stddev.

    rows: of acceptance.csv of this GAN. Of many stddevs, MAX_LINES evenly spaced ones are drawn.
    """
    every = sorted({float(row["stddev"]) for row in rows})
    places = [round(k * (len(every) - 1) / (MAX_LINES - 1)) for k in range(MAX_LINES)]
    shown = every if len(every) <= MAX_LINES else [every[place] for place in places]
    thresholds = sorted({float(row["threshold"]) for row in rows})
    curves = {}
    for stddev in shown:
        of_stddev = [row for row in rows if float(row["stddev"]) == stddev]
        means = [
            fmean(float(r["share"]) for r in of_stddev if float(r["threshold"]) == t) for t in thresholds
        ]
        curves[f"stddev {stddev:g}"] = (thresholds, means)
    return lines(curves, title=f"{gan}: share accepted", x="threshold", y="share, mean over classes")


def training_plots(curves: Sequence[Mapping[str, Any]]) -> list[Markup]:
    """Training curves of curves.json: [{"title", "x", "y", "curves": {name: [[x, ...], [y, ...]]}}]."""
    plots = []
    for one in curves:
        xy = {name: (points[0], points[1]) for name, points in one["curves"].items()}
        plots.append(lines(xy, title=one["title"], x=one["x"], y=one["y"]))
    return plots
