"""The figure of several seeds.

    python -m experiments.sample_synthesis.seeds_figure runs/sample-synthesis/smoke DIR

From the reports below runs/sample-synthesis/<scale>/seed<k>/ it writes `<scale>.csv`, mean and sample
standard deviation of every figure over the seeds, and per object `<scale>.svg` (of QR codes) or
`<scale>_<object>.svg`: test mAP over the number of real images, finetuned against scratch, with a point per
seed.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from matplotlib.axes import Axes

from experiments.sample_synthesis.metrics.published import main_file
from experiments.sample_synthesis.names import ALL
from experiments.sample_synthesis.report_plots import COLOR
from experiments.sample_synthesis.tables import TYPES, read_results
from suite.errors import EXIT_OK, BadInput, guard
from suite.manifest import read_json
from suite.over_seeds import RESULTS, over_seeds, write_spreads
from suite.report.plots import plot

Points = dict[str, dict[int, list[float]]]  # {arm: {real images: a value per seed}}; percent
ALONE = "pretrained"


def points(reports: Iterable[Path], name: str) -> dict[str, Points]:
    """{architecture: points} of an object: of each seed the mean over its runs."""
    found: dict[str, Points] = {}
    for report in reports:
        path = report / "results" / name / main_file(name)
        if not path.is_file():
            continue
        for row in read_results(path, name):
            arms = found.setdefault(row.architecture, {})
            arms.setdefault(row.train_type, {}).setdefault(row.num_real, []).append(row.figure().mean)
    return found


def is_standin(report: Path, name: str) -> bool:
    """Whether a report's object is a stand-in."""
    tree = read_json(report / "summary.json") or {}
    return bool(tree.get("objects", {}).get(name, {}).get("stand_in"))


def draw_points(found: Points, *, title: str) -> str:
    """SVG: a line through the means per arm, a point per seed; dashed, with a band: pretrained only."""
    sizes = sorted({size for arm, by_size in found.items() if arm != ALONE for size in by_size})

    def draw(axes: Axes) -> None:
        shown = [arm for arm in TYPES if arm in found]
        for number, arm in enumerate(shown):
            places = [
                sizes.index(size) + 0.06 * (number - (len(shown) - 1) / 2) for size in sorted(found[arm])
            ]
            values = [found[arm][size] for size in sorted(found[arm])]
            means = [statistics.fmean(seeds) for seeds in values]
            spreads = [_spread(seeds) for seeds in values]
            axes.errorbar(places, means, yerr=spreads, capsize=3, color=COLOR[arm], label=TYPES[arm])
            for place, seeds in zip(places, values, strict=True):
                axes.plot([place] * len(seeds), seeds, ".", color=COLOR[arm], markersize=7)
        for seeds in found.get(ALONE, {}).values():
            mean, spread = statistics.fmean(seeds), _spread(seeds)
            axes.axhline(mean, linestyle="--", color="grey", label="pretrained only")
            axes.axhspan(mean - spread, mean + spread, color="grey", alpha=0.2)
        axes.set_xticks(range(len(sizes)), [str(size) for size in sizes])
        axes.set_ylim(bottom=0)

    return str(plot(draw, title=title, x="real training images", y="test mAP@0.5, %", size=(6.0, 3.6)))


def _spread(values: Sequence[float]) -> float:
    """Sample standard deviation; 0 of a single value, so that it has no bar."""
    return statistics.stdev(values) if len(values) > 1 else 0.0


def write_figures(runs: Path, reports: Sequence[Path], out: Path) -> list[Path]:
    """An SVG per object and architecture that the reports hold; their paths."""
    written = []
    for name, item in ALL.items():
        by_arch: Mapping[str, Points] = points(reports, name)
        for number, (arch, found) in enumerate(by_arch.items()):
            seeds = max(len(v) for by_size in found.values() for v in by_size.values())
            note = " (stand-in)" if is_standin(reports[0], name) else ""
            title = f"{item.title}{note}, {arch}, {runs.name}, {seeds} seeds"
            parts = [
                runs.name,
                *([] if name == "qr" else [name]),
                *([] if number == 0 else [str(number + 1)]),
            ]
            path = out / f"{'_'.join(parts)}.svg"
            path.write_text(draw_points(found, title=title) + "\n", encoding="utf-8")
            written.append(path)
    return written


def main(argv: Sequence[str] | None = None) -> int:
    """Parse, write the files, return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("runs", type=Path, help="runs/sample-synthesis/<scale>, with a folder per seed")
    parser.add_argument("out", type=Path, help="folder of the files")
    args = parser.parse_args(argv)

    def work() -> int:
        runs = args.runs.resolve()
        reports = sorted(path.parent for path in runs.glob(f"seed*/report/{RESULTS}"))
        if not reports:
            fix = "run make reproduce-sample-synthesis first"
            raise BadInput("no finished report below it", file=args.runs, fix=fix)
        args.out.mkdir(parents=True, exist_ok=True)
        write_spreads(args.out / f"{runs.name}.csv", over_seeds(reports))
        for path in write_figures(runs, reports, args.out):
            print(path)
        return EXIT_OK

    return guard(work)


if __name__ == "__main__":
    sys.exit(main())
