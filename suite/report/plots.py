"""Small plots as inline SVG: they scale with the page, text stays text, equal data give equal bytes."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping, Sequence

import matplotlib
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

COLORS = ("#3366aa", "#dd7722", "#449944", "#aa4466", "#777777")
SIZE = (4.6, 2.7)  # inches; fonts are legible from 330 pixels of width
STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "syndet",
    "font.size": 9,
    "font.family": "sans-serif",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": "#dddddd",
    "axes.axisbelow": True,
}


def plot(draw: Callable[[Axes], None], *, title: str, x: str = "", y: str = "", size: tuple = SIZE) -> Markup:
    """Run `draw` on fresh axes and return `<svg>` for a page; `title` is also its text alternative."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=size, layout="constrained")
        canvas = FigureCanvasSVG(figure)
        _fill(figure, draw, title, x, y)
        text = _svg_text(canvas)
    return Markup(text)  # matplotlib escapes the texts it is given


def plot_png(
    draw: Callable[[Axes], None], *, title: str, x: str = "", y: str = "", size: tuple = SIZE, dpi: int = 150
) -> bytes:
    """The same as a PNG file of `size` times `dpi` pixels."""
    buffer = io.BytesIO()
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=size, layout="constrained", dpi=dpi)
        canvas = FigureCanvasAgg(figure)
        _fill(figure, draw, title, x, y)
        canvas.print_png(buffer, metadata={"Software": None})
    return buffer.getvalue()


def _fill(figure: Figure, draw: Callable[[Axes], None], title: str, x: str, y: str) -> None:
    axes = figure.add_subplot()
    draw(axes)
    axes.set_title(title, fontsize=10, loc="left")
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    if axes.get_legend_handles_labels()[1]:
        axes.legend(frameon=False, fontsize=8)


def bars(counts: Mapping[object, float], *, title: str, x: str = "", y: str = "") -> Markup:
    """One bar per entry, in the order of the mapping."""
    names = [str(name) for name in counts]

    def draw(axes: Axes) -> None:
        axes.bar(range(len(names)), list(counts.values()), color=COLORS[0])
        step = max(1, -(-len(names) // 12))  # at most a dozen labels fit
        axes.set_xticks(range(0, len(names), step), names[::step])
        room = max(0.0, 4 - len(names)) / 2  # a lone bar does not fill the plot
        axes.set_xlim(-0.5 - room, max(len(names), 1) - 0.5 + room)

    return plot(draw, title=title, x=x, y=y)


def grouped_bars(
    groups: Sequence[str], series: Mapping[str, Sequence[float]], *, title: str, x: str = "", y: str = ""
) -> Markup:
    """Bars of several series side by side, one cluster per group."""

    def draw(axes: Axes) -> None:
        width = 0.8 / max(len(series), 1)
        for k, (name, values) in enumerate(series.items()):
            places = [g + (k - (len(series) - 1) / 2) * width for g in range(len(groups))]
            axes.bar(places, list(values), width=0.92 * width, label=name, color=COLORS[k % len(COLORS)])
        axes.set_xticks(range(len(groups)), groups)

    return plot(draw, title=title, x=x, y=y)


def horizontal_bars(values: Mapping[str, float], *, title: str, x: str = "") -> Markup:
    """Named bars from top to bottom."""

    def draw(axes: Axes) -> None:
        axes.barh(range(len(values)), list(values.values()), color=COLORS[0])
        axes.set_yticks(range(len(values)), list(values))
        axes.invert_yaxis()
        axes.grid(axis="x")
        axes.grid(visible=False, axis="y")

    return plot(draw, title=title, x=x, size=(SIZE[0], 0.9 + 0.28 * max(len(values), 2)))


def histogram(
    edges: Sequence[float], counts: Sequence[float], *, title: str, x: str = "", y: str = ""
) -> Markup:
    """Counts between given edges."""

    def draw(axes: Axes) -> None:
        axes.stairs(list(counts), list(edges), fill=True, color=COLORS[0])
        axes.set_ylim(bottom=0)

    return plot(draw, title=title, x=x, y=y)


def lines(
    curves: Mapping[str, tuple[Sequence[float], Sequence[float]]], *, title: str, x: str, y: str
) -> Markup:
    """Curves by name: (x values, y values)."""

    def draw(axes: Axes) -> None:
        for k, (name, (xs, ys)) in enumerate(curves.items()):
            axes.plot(
                list(xs), list(ys), label=name if len(curves) > 1 else None, color=COLORS[k % len(COLORS)]
            )

    return plot(draw, title=title, x=x, y=y)


def _svg_text(canvas: FigureCanvasSVG) -> str:
    """The `<svg>` element alone, scaled by the page instead of by its own width and height."""
    buffer = io.StringIO()
    canvas.print_svg(buffer, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    return re.sub(
        r'(<svg[^>]*?) width="[^"]*"',
        r"\1",
        re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1),
        count=1,
    )


def panels(
    drawers: Mapping[str, Callable[[Axes], None]], *, x: str = "", y: str = "", size: tuple = SIZE
) -> Markup:
    """Plots with one x axis, one above the other, in one `<svg>`, each with its name; `size`: of one of them.

    The first has the legend.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(size[0], size[1] * max(len(drawers), 1)), layout="constrained")
        canvas = FigureCanvasSVG(figure)
        places = figure.subplots(max(len(drawers), 1), 1, sharex=True, squeeze=False)[:, 0]
        for axes, (name, draw) in zip(places, drawers.items(), strict=False):
            draw(axes)
            axes.set_title(name, fontsize=10, loc="left")
            axes.set_ylabel(y)
            axes.tick_params(labelbottom=True)
        places[-1].set_xlabel(x)
        if places[0].get_legend_handles_labels()[1]:
            places[0].legend(frameon=False, fontsize=8)
        text = _svg_text(canvas)
    return Markup(text)
