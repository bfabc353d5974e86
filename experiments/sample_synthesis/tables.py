"""Results as tables: the published ones from published.csv, measured ones from files in the published
columns.

    rows = read_published()
    print(markdown(main_table(rows, "qr")))

A figure is the test mAP@0.5 in percent, mean +- standard deviation over the runs. The deviation is the sample
one (divisor runs - 1) everywhere; the published tables take that for from_scratch and finetuned and the
population one (divisor runs) for pretrained and the ablations: `ddof=0` makes those again. published.csv has
two decimals, and four in the ten rows where two are too few for the one decimal of these tables.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from experiments.sample_synthesis.names import ALL, OBJECTS
from suite.errors import BadInput
from suite.published import read_published as rows_of_file
from suite.tables import read_csv

PUBLISHED = Path(__file__).resolve().parent / "published.csv"

Experiment = Literal["main", "pretraining_ablation", "naive_pasting_ablation", "nogan_ablation"]
EXPERIMENTS: dict[str, Experiment] = {  # by the end of a table's name in published.csv and results.csv
    "test": "main",
    "ablation pretraining": "pretraining_ablation",
    "ablation naive": "naive_pasting_ablation",
    "ablation nogan": "nogan_ablation",
}
METRIC = "mAP@0.5 as published"
TYPES = {"from_scratch": "scratch", "finetuned": "finetuned", "matched": "matched scratch"}  # in tables
NOTHING = "-"


@dataclass(frozen=True, kw_only=True)
class Result:
    """One row: the runs of one training."""

    object: str  # qr, face, bird, car
    experiment: Experiment
    architecture: str  # as published: SSDMobileNet, SSDResNet50
    num_real: int  # real training images; 0: pretrained only
    num_synthetic: int | None  # None: all
    train_type: str  # pretrained, from_scratch, finetuned, matched, mixed
    runs: tuple[float, ...]  # percent

    def figure(self, *, ddof: int = 1) -> Figure:
        """Mean and deviation over the runs."""
        mean = math.fsum(self.runs) / len(self.runs)
        if len(self.runs) <= ddof:
            return Figure(mean, None)
        return Figure(
            mean, math.sqrt(math.fsum((r - mean) ** 2 for r in self.runs) / (len(self.runs) - ddof))
        )


@dataclass(frozen=True)
class Figure:
    """Percent; no deviation of a single run."""

    mean: float
    sd: float | None = None

    def text(self, decimals: int, plus_minus: str) -> str:
        """`52.0 +- 2.9`, with this sign between the two."""
        deviation = "" if self.sd is None else f"{plus_minus}{self.sd:.{decimals}f}"
        return f"{self.mean:.{decimals}f}{deviation}"


@dataclass(frozen=True)
class Table:
    """Cells are texts or figures; None: there is no such training."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str | Figure | None, ...], ...]


def read_published(path: Path = PUBLISHED) -> tuple[Result, ...]:
    """The published rows: four objects, two architectures, three runs each."""
    runs: dict[tuple[str, str], list[float]] = {}
    for row in rows_of_file(path):
        if row.metric.startswith(METRIC):
            runs.setdefault((row.table, row.row), []).append(float(row.value))
    return tuple(_published(table, row, tuple(values)) for (table, row), values in runs.items())


def _published(table: str, row: str, runs: tuple[float, ...]) -> Result:
    """From the keys that the stage `evaluate` gives its figures: "Faces, test, ablation naive" and
    "SSDMobileNet, finetuned, 100 real, 2x synthetic".
    """
    title, *_, experiment = table.split(", ")
    architecture, train_type, *numbers = row.split(", ")
    counts = {word: int(count.rstrip("x")) for count, word in (text.split(" ") for text in numbers)}
    num_real = counts.get("real", 0)
    return Result(
        object=next(name for name in OBJECTS if ALL[name].title == title),
        experiment=EXPERIMENTS[experiment],
        architecture=architecture,
        num_real=num_real,
        num_synthetic=counts["synthetic"] * num_real if "synthetic" in counts else None,
        train_type=train_type.replace(" ", "_"),
        runs=runs,
    )


def read_results(
    path: Path, name: str, *, experiment: Experiment = "main", num_real: int | None = None
) -> tuple[Result, ...]:
    """Measured rows of object `name` from a file in the published columns, which hold fractions.

    main: architecture, train_samples (empty: pretrained), train_type, run_1, ...; pretraining_ablation:
    num_real_samples, num_fake_samples in place of train_samples; the other two: architecture and runs alone,
    of networks finetuned on `num_real` images. A run without a value is left out. Raises BadInput.
    """
    rows = read_csv(path)
    wanted = {
        "main": ("architecture", "train_samples", "train_type"),
        "pretraining_ablation": ("architecture", "num_real_samples", "num_fake_samples", "train_type"),
    }.get(experiment, ("architecture",))
    found = []
    for line, row in enumerate(rows, start=2):
        missing = [column for column in wanted if row.get(column) is None]
        if missing or not any(column.startswith("run_") for column in row):
            what = f"has no column `{missing[0] if missing else 'run_1'}`"
            raise BadInput(what, file=path, fix=f"the columns are {', '.join((*wanted, 'run_1, ...'))}")
        try:
            found.append(_measured(row, name, experiment, num_real))
        except ValueError as error:
            raise BadInput(f"line {line}: {error}", file=path, fix="run the stage `evaluate` again") from None
    return tuple(result for result in found if result.runs)


def _measured(row: dict[str, str], name: str, experiment: Experiment, num_real: int | None) -> Result:
    runs = tuple(100 * float(text) for key, text in row.items() if key.startswith("run_") and text)
    samples = row.get("train_samples", row.get("num_real_samples"))
    synthetic = row.get("num_fake_samples")
    return Result(
        object=name,
        experiment=experiment,
        architecture=row["architecture"],
        num_real=int(float(samples or 0)) if samples is not None else num_real or 0,
        num_synthetic=int(float(synthetic)) if synthetic else None,
        train_type=row.get("train_type", "finetuned"),
        runs=runs,
    )


def find(rows: Iterable[Result], **wanted: object) -> Result | None:
    """The row with these fields, or None. Raises ValueError for more than one."""
    found = [row for row in rows if all(getattr(row, key) == value for key, value in wanted.items())]
    if len(found) > 1:
        raise ValueError(f"{len(found)} rows have {wanted}")
    return found[0] if found else None


def architectures(rows: Iterable[Result]) -> tuple[str, ...]:
    """Those of the rows, in order of first sight."""
    return tuple(dict.fromkeys(row.architecture for row in rows))


def short(architecture: str) -> str:
    """Its name in a header: MobileNet for SSDMobileNet."""
    return architecture.removeprefix("SSD")


def main_table(rows: Sequence[Result], name: str, *, ddof: int = 1, note: str = "") -> Table:
    """Object `name`: a row per number of real images, for each architecture the columns scratch and finetuned
    (and matched, where there are such rows). note: follows the title, such as "stand-in".
    """
    main = [row for row in rows if row.experiment == "main" and row.object == name]
    archs = architectures(main)
    kinds = [kind for kind in TYPES if any(row.train_type == kind for row in main)] or ["finetuned"]
    sizes = sorted({row.num_real for row in main})
    lines = []
    for size in sizes:
        label = "0 (pretrain only)" if size == 0 else f"{size} (all)" if size == sizes[-1] else str(size)
        cells: list[str | Figure | None] = [label]
        for arch in archs:
            for kind in kinds:
                wanted = "pretrained" if size == 0 and kind == "finetuned" else kind
                row = find(main, architecture=arch, num_real=size, train_type=wanted)
                cells.append(None if row is None else row.figure(ddof=ddof))
        lines.append(tuple(cells))
    header = ("N real", *(f"{short(arch)} {TYPES[kind]}" for arch in archs for kind in kinds))
    return Table(_title(ALL[name].title, note), header, tuple(lines))


def mixing_table(rows: Sequence[Result], *, ddof: int = 1, note: str = "") -> Table:
    """Ablation 1, pretraining against mixing: a row per object and architecture, a column per arm and number
    of synthetic images per real one.
    """
    ablation = [row for row in rows if row.experiment == "pretraining_ablation"]
    kinds = [kind for kind in ("mixed", "finetuned") if any(row.train_type == kind for row in ablation)]
    factors = sorted({_factor(row) for row in ablation})
    lines = []
    for name, arch in _pairs(ablation):
        here = [row for row in ablation if (row.object, row.architecture) == (name, arch)]
        cells: list[str | Figure | None] = [f"{ALL[name].title}, {short(arch)}"]
        for kind in kinds:
            for factor in factors:
                row = next((r for r in here if r.train_type == kind and _factor(r) == factor), None)
                cells.append(None if row is None else row.figure(ddof=ddof))
        lines.append(tuple(cells))
    header = ("object, architecture", *(f"{kind} {factor:g}x" for kind in kinds for factor in factors))
    return Table(_title("Pretraining or mixing", note), header, tuple(lines))


def pasting_table(rows: Sequence[Result], *, ddof: int = 1, note: str = "") -> Table:
    """Ablations 2 and 3, finetuned on as many real images: the proposed synthesis, naive pasting, and
    photographed objects; a row per object.
    """
    experiments = {"naive": "naive_pasting_ablation", "no-GAN": "nogan_ablation"}
    ablations = [row for row in rows if row.experiment in experiments.values()]
    archs = architectures(ablations)
    lines = []
    for name in (name for name in OBJECTS if any(row.object == name for row in ablations)):
        cells: list[str | Figure | None] = [ALL[name].title]
        sizes = {row.architecture: row.num_real for row in ablations if row.object == name}
        for arch in archs:
            place = {
                "object": name,
                "architecture": arch,
                "train_type": "finetuned",
                "num_real": sizes.get(arch),
            }
            for experiment in ("main", *experiments.values()):
                row = find(rows, experiment=experiment, **place)
                cells.append(None if row is None else row.figure(ddof=ddof))
        lines.append(tuple(cells))
    header = ("object", *(f"{short(arch)} {kind}" for arch in archs for kind in ("proposed", *experiments)))
    return Table(_title("What is pasted", note), header, tuple(lines))


def markdown(table: Table, *, decimals: int = 1) -> str:
    """A Markdown table, without its title."""
    lines = [table.header, ["---"] * len(table.header), *_texts(table, decimals, "\N{PLUS-MINUS SIGN}")]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def latex(table: Table, *, decimals: int = 1) -> str:
    """A LaTeX tabular. The published code prints two decimals, for which published.csv has too few digits."""
    lines = [list(table.header), *_texts(table, decimals, r" $\pm$ ")]
    body = "".join(f"{' & '.join(map(_escaped, line))} \\\\ \\hline\n" for line in lines)
    columns = "|".join(["l", *["c"] * (len(table.header) - 1)])
    head = f"% {table.title}\n\\begin{{tabular}}{{|{columns}|}}\n\\hline\n"
    return f"{head}{body}\\end{{tabular}}\n"


def published_csv_text(rows: Sequence[Result], experiment: Experiment = "main") -> str:
    """Rows of one object as the published file of an experiment: fractions in run_1, run_2, ..."""
    num_runs = max(len(row.runs) for row in rows)
    names = {
        "main": ["train_samples", "train_type"],
        "pretraining_ablation": ["num_real_samples", "num_fake_samples", "train_type"],
    }.get(experiment, [])
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["architecture", *names, *(f"run_{run}" for run in range(1, num_runs + 1))])
    for row in rows:
        keys = {
            "train_samples": row.num_real or "",
            "num_real_samples": row.num_real,
            "num_fake_samples": row.num_synthetic,
            "train_type": row.train_type,
        }
        writer.writerow([row.architecture, *(keys[name] for name in names), *(run / 100 for run in row.runs)])
    return stream.getvalue()


def _texts(table: Table, decimals: int, plus_minus: str) -> list[list[str]]:
    def text(cell: str | Figure | None) -> str:
        if cell is None:
            return NOTHING
        return cell if isinstance(cell, str) else cell.text(decimals, plus_minus)

    return [[text(cell) for cell in row] for row in table.rows]


def _escaped(text: str) -> str:
    return text.replace("%", r"\%").replace("_", r"\_")


def _title(title: str, note: str) -> str:
    return f"{title} ({note})" if note else title


def _factor(row: Result) -> float:
    return (row.num_synthetic or 0) / row.num_real


def _pairs(rows: Iterable[Result]) -> list[tuple[str, str]]:
    """(object, architecture) in the order of the objects, then of first sight."""
    seen = dict.fromkeys((row.object, row.architecture) for row in rows)
    return sorted(seen, key=lambda pair: OBJECTS.index(pair[0]))
