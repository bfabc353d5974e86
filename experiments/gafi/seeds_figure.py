"""The figure of several seeds: `python -m experiments.gafi.seeds_figure runs/gafi/small FOLDER`.

From the reports below runs/gafi/<scale>/seed<k>/ it writes `<scale>.csv`, mean and sample standard deviation
of every figure, and `<scale>.svg`, the accuracies on test with a point per seed.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from suite.errors import EXIT_OK, BadInput, guard
from suite.over_seeds import RESULTS, over_seeds, read_results, write_spreads
from suite.report.plots import COLORS, plot

TABLE, METRIC = "CAS", "accuracy"


def accuracies(reports: Sequence[Path]) -> dict[str, list[float]]:
    """{what was trained on: accuracy on test, a value per seed}, in the order of the reports' tables."""
    found: dict[str, list[float]] = {}
    for report in reports:
        for (table, row, metric, _), value in read_results(report / RESULTS):
            if (table, metric) == (TABLE, METRIC):
                found.setdefault(row, []).append(value)
    return found


def chance(report: Path) -> float | None:
    """Accuracy of guessing: one over the classes in the table by class; None where a report has none."""
    classes = {metric for (table, _, metric, _), _ in read_results(report / RESULTS) if table == "per class"}
    return 1 / len(classes) if classes else None


def draw_accuracies(values: Mapping[str, Sequence[float]], *, title: str, guessing: float | None) -> str:
    """SVG: a row per classifier with mean, sample standard deviation and the seeds as points.

    guessing: accuracy of chance, as a dotted line.
    """
    rows = list(values)

    def draw(axes) -> None:
        for place, row in enumerate(rows):
            seeds = values[row]
            spread = statistics.stdev(seeds) if len(seeds) > 1 else 0.0
            axes.barh(place, statistics.fmean(seeds), xerr=spread, color=COLORS[0], alpha=0.6, capsize=3)
            axes.plot(seeds, [place] * len(seeds), ".", color="#1b2a49")
        axes.set_yticks(range(len(rows)), rows)
        axes.invert_yaxis()
        if guessing is not None:
            axes.axvline(guessing, linestyle=":", color="grey")
        axes.set_xlim(0, 1)

    size = (7.0, 0.4 * len(rows) + 1.2)
    x = "accuracy on test" if guessing is None else "accuracy on test; dotted: chance"
    return str(plot(draw, title=title, x=x, size=size))


def main(argv: Sequence[str] | None = None) -> int:
    """Parse, write both files, return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("runs", type=Path, help="runs/gafi/<scale>, with a folder per seed")
    parser.add_argument("out", type=Path, help="folder of the two files")
    args = parser.parse_args(argv)

    def work() -> int:
        runs = args.runs.resolve()
        reports = sorted(path.parent for path in runs.glob(f"seed*/report/{RESULTS}"))
        if not reports:
            raise BadInput("no finished report below it", file=args.runs, fix="run make reproduce-gafi first")
        args.out.mkdir(parents=True, exist_ok=True)
        write_spreads(args.out / f"{runs.name}.csv", over_seeds(reports))
        title = f"{runs.name}: {len(reports)} seeds, mean and sample standard deviation"
        text = draw_accuracies(accuracies(reports), title=title, guessing=chance(reports[0]))
        (args.out / f"{runs.name}.svg").write_text(text + "\n", encoding="utf-8")
        return EXIT_OK

    return guard(work)


if __name__ == "__main__":
    sys.exit(main())
