import math
import re
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.sample_synthesis.names import OBJECTS
from experiments.sample_synthesis.tables import (
    Figure,
    Result,
    find,
    latex,
    main_table,
    markdown,
    mixing_table,
    pasting_table,
    published_csv_text,
    read_published,
    read_results,
)
from suite.errors import BadInput
from tests.sample_synthesis.published_tables import CAR_MEANS, MIXING_MEANS, PASTING, PUBLISHED_TABLES


def body(table):
    """The rows of a table in Markdown, in ASCII."""
    return markdown(table).replace("\N{PLUS-MINUS SIGN}", "+-").splitlines()[2:]


def without_deviations(lines):
    return [re.sub(r"\+-[\d.]+", "", line) for line in lines]


@pytest.mark.parametrize("name", OBJECTS)
def test_the_published_rows_give_the_printed_main_tables(name):
    printed = PUBLISHED_TABLES[name].strip().splitlines()
    made = body(main_table(read_published(), name))
    assert made[: len(printed)] == printed
    rest = CAR_MEANS.strip().splitlines() if name == "car" else []
    assert without_deviations(made[len(printed) :]) == rest


def test_the_published_rows_give_the_printed_mixing_table():
    rows = read_published()
    assert without_deviations(body(mixing_table(rows))) == MIXING_MEANS.strip().splitlines()
    ablation = [row for row in rows if row.experiment == "pretraining_ablation"]
    assert max(row.figure(ddof=0).sd for row in ablation) == pytest.approx(4.8, abs=0.05)


def test_the_published_rows_give_the_printed_pasting_table_with_the_population_deviation():
    printed = PASTING.strip().splitlines()
    cells = [line.strip("| ").split(" | ") for line in body(pasting_table(read_published(), ddof=0))]
    for row in cells:
        for column in (1, 4):  # of the proposed synthesis the mean alone is printed
            row[column] = row[column].split("+-")[0]
    assert [f"| {' | '.join(row)} |" for row in cells] == printed
    assert body(pasting_table(read_published()))[1].split(" | ")[2] == "70.6+-1.0"  # sample: ours


def test_there_are_264_published_rows_of_three_runs():
    rows = read_published()
    assert len(rows) == 264
    assert {len(row.runs) for row in rows} == {3}
    assert Counter(row.object for row in rows) == {"qr": 58, "face": 74, "bird": 70, "car": 62}
    assert len({replace(row, runs=()) for row in rows}) == 264
    assert all(0 <= run <= 100 for row in rows for run in row.runs)


@pytest.mark.parametrize("name", OBJECTS)
def test_rows_written_in_the_published_columns_are_read_back_as_the_same_table(name, tmp_path):
    rows = [row for row in read_published() if row.object == name]
    for experiment in ("main", "pretraining_ablation", "naive_pasting_ablation"):
        some = [row for row in rows if row.experiment == experiment]
        if not some:
            continue
        path = tmp_path / f"{experiment}.csv"
        path.write_text(published_csv_text(some, experiment), encoding="utf-8")
        again = read_results(path, name, experiment=experiment, num_real=100)
        assert [r.runs for r in again] == [pytest.approx(r.runs) for r in some]
        assert [replace(r, runs=()) for r in again] == [replace(r, runs=()) for r in some]


def test_the_columns_are_the_published_ones():
    row = Result(
        object="qr", experiment="main", architecture="SSDMobileNet", num_real=0, num_synthetic=None,
        train_type="pretrained", runs=(50.0, 25.0),
    )  # fmt: skip
    assert published_csv_text([row]) == (
        "architecture,train_samples,train_type,run_1,run_2\nSSDMobileNet,,pretrained,0.5,0.25\n"
    )


def test_a_single_run_has_no_deviation_and_a_missing_training_a_dash():
    rows = [
        Result(
            object="qr", experiment="main", architecture="tiny", num_real=n, num_synthetic=None,
            train_type=kind, runs=(12.34,),
        )
        for n, kind in ((0, "pretrained"), (5, "finetuned"), (5, "from_scratch"), (9, "finetuned"))
    ]  # fmt: skip
    table = main_table(rows, "qr", note="stand-in")
    assert table.title == "QR codes (stand-in)"
    assert table.header == ("N real", "tiny scratch", "tiny finetuned")
    assert body(table) == [
        "| 0 (pretrain only) | - | 12.3 |",
        "| 5 | 12.3 | 12.3 |",
        "| 9 (all) | - | 12.3 |",
    ]


def test_the_matched_arm_is_a_column_where_it_was_trained():
    rows = [
        Result(
            object="qr", experiment="main", architecture="SSDMobileNet", num_real=5, num_synthetic=None,
            train_type=kind, runs=(1.0, 3.0),
        )
        for kind in ("from_scratch", "matched", "finetuned")
    ]  # fmt: skip
    assert main_table(rows, "qr").header[1:] == (
        "MobileNet scratch", "MobileNet finetuned", "MobileNet matched scratch",
    )  # fmt: skip


@given(st.lists(st.floats(0, 100), min_size=2, max_size=9))
def test_mean_and_deviation_are_the_textbook_ones(runs):
    import statistics

    row = Result(
        object="qr", experiment="main", architecture="a", num_real=1, num_synthetic=None,
        train_type="finetuned", runs=tuple(runs),
    )  # fmt: skip
    assert row.figure().mean == pytest.approx(statistics.fmean(runs))
    assert row.figure().sd == pytest.approx(statistics.stdev(runs), abs=1e-9)
    assert row.figure(ddof=0).sd == pytest.approx(statistics.pstdev(runs), abs=1e-9)
    assert row.figure().sd == pytest.approx(
        row.figure(ddof=0).sd * math.sqrt(len(runs) / (len(runs) - 1)), abs=1e-9
    )


def test_latex_has_a_row_per_size_and_no_bare_percent_sign():
    text = latex(main_table(read_published(), "qr"))
    assert text.splitlines()[0] == "% QR codes"
    assert r"10 & 1.6 $\pm$ 0.3 & 52.0 $\pm$ 2.9 & 5.0 $\pm$ 1.3 & 53.1 $\pm$ 1.8 \\ \hline" in text
    assert text.count(r"\\ \hline") == 12
    assert text.count("{|l|c|c|c|c|}") == 1


def test_figures_are_rounded_once():
    assert Figure(49.96, 0.04).text(1, "+-") == "50.0+-0.0"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("architecture,train_type,run_1\na,finetuned,0.5\n", "has no column `train_samples`"),
        ("architecture,train_samples,train_type\na,5,finetuned\n", "has no column `run_1`"),
        ("architecture,train_samples,train_type,run_1\na,5,finetuned,high\n", "line 2: could not convert"),
    ],
)
def test_result_files_with_other_columns_or_cells_are_refused(tmp_path, text, said):
    path = tmp_path / "results.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BadInput, match=said):
        read_results(path, "qr")


def test_two_rows_for_one_place_are_a_mistake_of_the_caller():
    with pytest.raises(ValueError, match="132 rows have"):
        find(read_published(), architecture="SSDMobileNet")
