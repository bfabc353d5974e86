"""The page: what it says, that it is whole, offline and legible in one column, and its verdicts."""

import csv
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from experiments.gafi.config import GafiConfig
from experiments.gafi.report import run
from experiments.gafi.report_switches import SWITCHES, turned
from experiments.gafi.report_tables import (
    PUBLISHED,
    comparisons,
    is_paper_scale,
    joined_results,
    published_value,
    verdict,
)
from experiments.gafi.stages import STAGES
from suite.config import load_config
from suite.errors import BadInput
from suite.overall.figure_files import MAX_BYTES as MAX_FIGURES
from suite.overall.figure_files import read_figures
from suite.published import NOT_FOUND, read_published
from suite.stage import Context
from tests.gafi.report_fakes import BY_TEST, FILTERED, REAL, finished_run, summary

CONFIGS = Path(__file__).resolve().parents[2] / "experiments" / "gafi" / "configs"


def config_of(scale, *overrides):
    return load_config(GafiConfig, CONFIGS / f"{scale}.yaml", overrides)


def context(root, **run_facts):
    (root / "report.part").mkdir()
    return Context(
        stage=STAGES["report"], config=config_of("tiny"), seed=0, device="cpu",
        inputs=finished_run(root, **run_facts), out=root / "report.part", final=root / "report", key="",
    )  # fmt: skip


class Page(HTMLParser):
    """What the page refers to, and whether its tags nest."""

    VOID = frozenset({"meta", "img", "br", "link", "path", "use", "rect"})

    def __init__(self, text):
        super().__init__()
        self.open, self.references, self.text = [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.references += [value for name, value in attrs if name in ("href", "src") and value]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    ctx = context(tmp_path_factory.mktemp("run"))
    run(ctx)
    return ctx, (ctx.out / "index.html").read_text(encoding="utf-8")


def test_the_page_is_one_offline_file_whose_tags_nest(page):
    ctx, text = page
    parsed = Page(text)
    assert parsed.open == []
    outside = [r for r in parsed.references if not r.startswith(("data:", "#"))]
    assert {r for r in outside if not r.startswith("../")} == {"summary.json", "results.csv"}
    assert {r for r in outside if r.startswith("../")} == {
        f"../{n}/manifest.json" for n in STAGES["report"].inputs
    }
    assert "<script" not in text
    assert "http" not in re.sub(r'xmlns(:\w+)?="[^"]*"|<metadata>.*?</metadata>', "", text, flags=re.S)


def test_published_and_measured_stand_with_the_split_and_no_verdict_below_paper_scale(page):
    text = " ".join(Page(page[1]).text)
    gap = 100 * (REAL - FILTERED)
    assert f"{gap:.2f}" in text
    assert f"{100 * (REAL - BY_TEST):.2f}" in text
    assert "not comparable: smaller than the published scale" in text
    assert "test (classifier's epoch)" in text
    assert "2.03" in text


def test_every_gan_has_sheets_histograms_acceptance_and_search_curves(page):
    ctx, text = page
    assert text.count("before and after the filter") >= 2 * 3
    for gan in ("GAN 1", "GAN 2"):
        assert f"{gan}: confidence of C_real at stddev 1.2" in text
        assert f"{gan}: share accepted" in text
        for step in ("ckpt: 4", "stddev: 1.2", "threshold: 0.5"):
            assert f"{gan}, {step}" in text
    assert "test, best epoch by test" in text
    assert "Real pictures" in text


def test_warnings_switches_and_deviations_are_said_and_texts_are_escaped(page):
    text = page[1]
    assert "odd &lt;thing&gt;" in text
    assert "boot &lt;b&gt;" in text
    assert "<b>boot" not in text
    assert "SEARCH.selection_split" in text
    assert "SUBSET.train" in text


def test_the_figures_lie_beside_the_page_as_data(page):
    ctx, _ = page
    tree = json.loads((ctx.out / "summary.json").read_text(encoding="utf-8"))
    assert tree["real"]["accuracy"] == REAL
    assert tree["worker_seconds"] == 2.0 * len(STAGES["report"].inputs)
    assert {row["figure"] for row in tree["comparisons"]} >= {"real accuracy", "gap, MultiGAN"}
    with (ctx.out / "results.csv").open(newline="", encoding="utf-8") as stream:
        assert list(csv.DictReader(stream))[0]["row"] == "real"


def test_the_same_run_gives_the_same_bytes(page, tmp_path):
    again = context(tmp_path)
    run(again)
    assert (again.out / "index.html").read_text(encoding="utf-8") == page[1]


def test_without_the_weights_of_the_epochs_the_page_has_no_test_curves(tmp_path):
    ctx = context(tmp_path, kept_epochs=False)
    run(ctx)
    text = (ctx.out / "index.html").read_text(encoding="utf-8")
    assert "test, best epoch by test" not in text
    assert f"{100 * (REAL - BY_TEST):.2f}" not in text


def test_a_missing_file_of_evaluate_is_one_line(tmp_path):
    ctx = context(tmp_path)
    (ctx.inputs["evaluate"] / "selection.json").unlink()
    with pytest.raises(BadInput, match=r"selection\.json: is missing or damaged; run `evaluate` again"):
        run(ctx)


def test_figures_are_left_for_the_page_about_all_systems(tmp_path):
    ctx = context(tmp_path)
    run(ctx)
    rows = read_figures(ctx.out)
    assert [row["name"] for row in rows][:1] == ["samples"]
    assert {"training0", "search0", "confidence"} <= {row["name"] for row in rows}
    assert sum(row["path"].stat().st_size for row in rows) < MAX_FIGURES


# --- published.csv ---


def test_the_published_gaps_are_those_of_the_abstract():
    values = {name: published_value("gap", name)[0] for name in ("FashionMNIST", "CIFAR10", "CIFAR100")}
    assert values == {"FashionMNIST": "2.03", "CIFAR10": "1.78", "CIFAR100": "3.99"}


def test_what_was_not_found_stays_not_found():
    ours = [row for row in read_published(PUBLISHED) if row.table not in ("gap", "other works")]
    assert ours
    assert {row.value for row in ours} == {NOT_FOUND}
    assert published_value("gap", "DermaMNIST") == (NOT_FOUND, None)
    assert published_value("gap", "no such set") == (NOT_FOUND, None)


def test_every_row_names_its_source_and_other_works_say_so():
    for row in read_published(PUBLISHED):
        assert (row.table == "other works") == ("not GaFi" in row.source)


def test_measured_figures_carry_the_keys_of_the_published_ones():
    measured = summary(kept_epochs=True, by="val")
    keys = {row.key for row in read_published(PUBLISHED)}
    rows = joined_results(measured)
    found = {(row["table"], row["row"], row["metric"]): row["value"] for row in rows}
    assert set(found) - keys == {("gap", "FashionMNIST", "real accuracy minus CAS, epoch by test")}
    assert found["real accuracy", "FashionMNIST", "accuracy"] == REAL
    assert found["CAS", "FashionMNIST", "accuracy"] == FILTERED
    assert found["gap", "FashionMNIST", "real accuracy minus CAS"] == pytest.approx(100 * (REAL - FILTERED))


# --- verdicts ---


@pytest.mark.parametrize(
    ("measured", "by", "expected"),
    [
        (2.9, "test", "within published + 1 points"),
        (3.1, "test", "above published + 1 points"),
        (2.9, "val", "within published + 1 points; the published gap was chosen by test"),
    ],
)
def test_at_paper_scale_a_gap_is_held_to_the_published_one_and_its_tolerance(measured, by, expected):
    assert verdict("2.03", measured, 1.0, at_paper_scale=True, by=by) == expected


def test_below_paper_scale_no_gap_has_a_verdict():
    assert verdict("2.03", 0.0, 1.0, at_paper_scale=False, by="test").startswith("not comparable")
    rows = comparisons(summary(kept_epochs=True, by="val"), at_paper_scale=False)
    assert not [row for row in rows if "within" in row.verdict or "above" in row.verdict]


def test_chosen_by_test_the_gap_stands_once_and_the_split_is_named():
    rows = comparisons(summary(kept_epochs=True, by="test"), at_paper_scale=False)
    gaps = [(row.figure, row.split) for row in rows if row.figure.startswith("gap")]
    assert gaps == [("gap, GAN 1 filtered", "test"), ("gap, MultiGAN", "test")]


@pytest.mark.parametrize("dataset", ["FashionMNIST", "CIFAR10", "DermaMNIST"])
def test_paper_scale_is_paper_scale_whatever_the_threads_and_no_other_scale_is(dataset):
    paper = config_of("paper", f"dataset={dataset}")
    other = config_of("paper", f"dataset={dataset}", "COMPUTE.threads=7", "SEARCH.selection_split=test")
    assert is_paper_scale(other, paper)
    for change in ("SUBSET.test=100", "pipeline.OPTIMIZATION.epochs=99", "RECYCLE.search=9"):
        assert not is_paper_scale(config_of("paper", f"dataset={dataset}", change), paper)
    for scale in ("tiny", "smoke", "small", "medium"):
        assert not is_paper_scale(config_of(scale, f"dataset={dataset}"), paper)


# --- switches ---


def test_every_switch_can_be_set_to_its_faithful_value_and_then_is_not_turned():
    def spelt(value):
        return json.dumps(value)

    config = config_of("paper", *(f"{s.key}={spelt(s.faithful)}" for s in SWITCHES))
    assert turned(config) == []


def test_a_turned_switch_is_told_with_both_values():
    config = config_of("paper", "SAMPLING.fallback=topk")
    (found,) = [one for one in turned(config) if one.key == "SAMPLING.fallback"]
    assert (found.here, found.published) == ("topk", "unfiltered")
