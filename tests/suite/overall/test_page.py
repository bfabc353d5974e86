"""The page about all runs: whole, offline, and published numbers only where they belong."""

import csv
import json
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from urllib.parse import unquote

import pytest

from suite.errors import Missing
from suite.overall import systems
from suite.overall.page import write_report
from suite.provenance import ROOT
from suite.published import read_published
from suite.runs import papers
from tests.suite.overall.fakes import all_runs, audit, run

VOID = frozenset({"meta", "img", "br", "link", "path", "use", "rect", "hr"})


class Page(HTMLParser):
    """What the page refers to, the texts of its cells by their class, and whether its tags nest."""

    def __init__(self, text):
        super().__init__()
        self.open, self.references, self.ids, self.cells, self.tags = [], [], set(), [], set()
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.tags.add(tag)
        names = ("href", "src", "srcset", "action", "data", "poster", "xlink:href")
        self.references += [values[name] for name in names if values.get(name)]
        self.ids.add(values.get("id"))
        if tag in ("td", "th"):
            self.cells.append([values.get("class") or "", ""])
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        if {"td", "th"} & set(self.open):
            self.cells[-1][1] += data

    def column(self, name):
        """The texts of the cells of a kind, without the heads."""
        return [text for kind, text in self.cells if name in kind.split()]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    all_runs(folder)
    return folder


@pytest.fixture(scope="module")
def text(runs):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RUNS_DIR", str(runs))
        assert write_report() == 0
    return (runs / "report/index.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(text):
    return Page(text)


def test_it_is_one_file_that_asks_for_nothing(text, page):
    assert page.open == []
    assert "script" not in page.tags and "link" not in page.tags
    outside = [ref for ref in page.references if re.match(r"(?:\w+:)?//|https?:", ref)]
    assert outside == []
    assert not re.search(r"@import|url\(\s*['\"]?(?!#)[a-z/]", text)


def test_every_link_leads_to_a_file_or_to_a_place_on_the_page(runs, page):
    for ref in page.references:
        if ref.startswith("#"):
            assert ref[1:] in page.ids
        elif not ref.startswith("data:image/jpeg;base64,"):
            assert (runs / "report" / unquote(ref)).is_file(), ref
    own = [ref for ref in page.references if ref.endswith("report/index.html")]
    assert len(own) == 6
    assert "../solid/smoke/seed0/train/manifest.json" in page.references


def made(runs, folder):
    """(page, rows of results.csv, results.json) of a RUNS_DIR, made below `folder`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RUNS_DIR", str(runs))
        write_report(folder)
    with (folder / "results.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    page = Page((folder / "index.html").read_text(encoding="utf-8"))
    return page, rows, json.loads((folder / "results.json").read_text())


MEASURED = ("mean", "sd", "seeds")


def test_a_report_of_published_figures_alone_has_empty_measured_columns(tmp_path):
    """Every paper ran and measured nothing: whatever is published, no measured cell says a word."""
    for system in papers():
        run(tmp_path / "runs", system, [])
    page, rows, tree = made(tmp_path / "runs", tmp_path / "out")
    assert len(page.column("measured")) >= 5 and set(page.column("measured")) == {""}
    assert len({text for text in page.column("published") if text}) > 300
    assert len(rows) > 600 and all(row["published"] for row in rows)
    assert {row[name] for row in rows for name in (*MEASURED, "difference")} == {""}
    lines = [line for one in tree["systems"] for line in one["published"]]
    assert len(lines) == len(rows)
    assert all(line["mean"] is line["sd"] is line["difference"] is None for line in lines)
    assert all(one["compared"] == one["measured"] == [] for one in tree["systems"])


def test_measured_columns_follow_the_results_alone_and_published_ones_the_publications(tmp_path, monkeypatch):
    """Change every number on one side: the other side must not move by a character."""
    all_runs(tmp_path / "runs")
    page, rows, _ = made(tmp_path / "runs", tmp_path / "a")

    def invented(path):
        old = read_published(path)
        return tuple(
            replace(row, value=str(k + 0.59765625)) if row.number is not None else row
            for k, row in enumerate(old)
        )

    monkeypatch.setattr(systems, "read_published", invented)
    other, other_rows, _ = made(tmp_path / "runs", tmp_path / "b")
    assert other.column("measured") == page.column("measured")
    assert [[row[name] for name in MEASURED] for row in other_rows if row["mean"]] == [
        [row[name] for name in MEASURED] for row in rows if row["mean"]
    ]
    assert other.column("published") != page.column("published")
    monkeypatch.undo()

    for file in (tmp_path / "runs").rglob("results.csv"):
        file.write_text(re.sub(r",(\d[\d.]*),", lambda found: f",{3 * float(found[1])},", file.read_text()))
    third, third_rows, _ = made(tmp_path / "runs", tmp_path / "c")
    assert third.column("published") == page.column("published")
    assert [row["published"] for row in third_rows] == [row["published"] for row in rows]
    changed = [(a, b) for a, b in zip(page.column("measured"), third.column("measured"), strict=True) if a]
    of_results = [(a, b) for a, b in changed if "seed" in a]  # the comparison's come from its summary
    assert len(of_results) >= 8 and all(a != b for a, b in of_results)


def test_a_measured_cell_has_two_digits_of_the_deviation_and_the_number_of_seeds(page):
    cells = set(page.column("measured"))
    assert "12.0 \N{PLUS-MINUS SIGN} 1.4 (2 seeds)" in cells
    assert {"64.12 (1 seed)", "7.062 (1 seed)", "18.22 (1 seed)"} <= cells


def test_the_summary_has_a_line_for_every_paper_and_says_which_did_not_run(runs, text):
    section = text.partition('id="summary"')[2].partition("</table>")[0]
    assert section.count("<tr><td") == 6  # five papers, one of them at two scales
    assert section.count("not run here") == 2
    assert "not comparable: scale smoke" in section


def test_it_says_at_its_top_which_runs_commit_and_machine_made_it(text):
    head = text.partition('id="summary"')[0]
    assert "gafi smoke, seeds 0 1" in head and "solid tiny, seed 0" in head
    assert "0123456789ab" in head and "toy CPU, 2 cores" in head


def test_a_published_metric_is_defined_on_the_page_and_in_the_numbers(runs, text):
    words = "best top-1 accuracy over the epochs on the real test pictures"
    assert words in text
    with (runs / "report/results.csv").open(newline="", encoding="utf-8") as stream:
        gap = next(row for row in csv.DictReader(stream) if row["table"] == "gap")
    assert words in gap["definition"]
    assert gap["tolerance"] == "1.0"


def test_the_tables_of_numbers_keep_the_two_apart_too(runs, text):
    with (runs / "report/results.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    measured = {float(row["mean"]) for row in rows if row["mean"]}
    published = {float(row["published"]) for row in rows if re.fullmatch(r"[\d.]+", row["published"])}
    assert measured == {64.125, 7.0625, 12.03125, 0.703125, 18.21875, 3.140625, 12.140625}
    assert 1e6 in published and 2.03 in published
    assert not measured & published
    gap = next(row for row in rows if row["row"] == "FashionMNIST" and row["table"] == "gap")
    assert (gap["published"], gap["seeds"], gap["unit"]) == ("2.03", "0 1", "points")
    assert float(gap["difference"]) == pytest.approx(10.00125)
    assert float(gap["sd"]) == pytest.approx(2**0.5)
    tree = json.loads((runs / "report/results.json").read_text())
    assert {(one["system"], one["scale"]) for one in tree["systems"]} == {
        ("compare", "smoke"), ("gafi", "smoke"), ("sample-synthesis", "smoke"), ("solid", "smoke"),
        ("solid", "tiny"),
    }  # fmt: skip
    assert tree["audits"][0]["counts"] == {"cases": 2, "failed": 0}


def test_every_compared_line_of_these_scales_is_not_comparable(page):
    said = [text for _, text in page.cells if text.startswith("not comparable")]
    assert sorted(set(said)) == ["not comparable: scale smoke", "not comparable: scale tiny"]
    assert "within" not in " ".join(text for _, text in page.cells)


def test_it_shows_stages_warnings_switches_deviations_environments_and_audits(text):
    assert text.count("odd &lt;thing&gt; happened") >= 5
    assert "<odd" not in text and "odd <thing>" not in text
    assert "(2 of 2 seeds)" in text
    assert "it leaks" in text and "<code>a.b2</code>" in text
    assert "12 s" in text and "5.0 MB" in text
    assert "aaaaaaaaaaaa" in text
    assert "syndet/blender:cpu, id dddddddddddd, content cccccccccccc" in text
    assert "no image: virtual environment from the lock" in text
    assert "inputs: passed, 2 cases, 1 min 1 s" in text
    assert "Skipped gpu: no GPU here" in text


def test_figures_are_inlined_of_the_largest_scale_alone(text, page):
    pictures = [ref for ref in page.references if ref.startswith("data:")]
    assert len(pictures) == text.count("<svg") == 4  # solid at smoke, gafi, sample synthesis, the comparison
    assert "boxes &amp; masks" in text
    assert "<metadata>" not in text


def test_the_comparison_has_a_section_without_published_numbers(text):
    section = text.partition('id="comparison"')[2].partition('id="audits"')[0]
    assert "12.14" in section
    assert "12.1 &plusmn; 1.0" in section and "0.125" in section
    assert section.index("Pictures: dense") < section.index("Initialisation, without classes: mask-rcnn")
    assert 'class="n published"' not in section


def test_the_same_runs_give_the_same_bytes(runs, text, monkeypatch):
    monkeypatch.setenv("RUNS_DIR", str(runs))
    write_report()
    assert (runs / "report/index.html").read_text(encoding="utf-8") == text


def test_a_page_outside_of_the_runs_has_no_links_into_them(runs, tmp_path, monkeypatch):
    monkeypatch.setenv("RUNS_DIR", str(runs))
    write_report(tmp_path / "kept")
    page = Page((tmp_path / "kept/index.html").read_text(encoding="utf-8"))
    files = {ref for ref in page.references if not ref.startswith(("#", "data:"))}
    assert files == {"results.csv", "results.json"}


def test_a_failed_audit_and_seeds_of_unlike_settings_are_told(tmp_path, monkeypatch):
    run(tmp_path, "solid", ["t,r,m,1,s"], figures=False)
    run(tmp_path, "solid", ["t,r,m,2,s"], seed=1, figures=False, config={"width": 16})
    audit(tmp_path, passed=False)
    monkeypatch.setenv("RUNS_DIR", str(tmp_path))
    write_report()
    text = (tmp_path / "report/index.html").read_text(encoding="utf-8")
    assert "different settings" in text
    assert "inputs: 1 failed" in text and "traceback; two lines" in text
    assert "No figure of this run has a published counterpart" in text


def test_a_run_of_before_without_figures_or_summary_is_still_shown(tmp_path, monkeypatch):
    report = run(tmp_path, "solid", ["t,r,m,1,s"], figures=False)
    (report / "summary.json").unlink()
    (report / "results.csv").unlink()
    monkeypatch.setenv("RUNS_DIR", str(tmp_path))
    assert write_report() == 0
    assert "SOLID" in (tmp_path / "report/index.html").read_text(encoding="utf-8")


def test_no_report_at_all_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("RUNS_DIR", str(tmp_path))
    with pytest.raises(Missing, match="no run has a report yet; make reproduce-solid"):
        write_report()


def test_the_page_is_made_without_numpy_or_pillow():
    """`make report` runs in the environment of the workflow, which has neither."""
    code = "import sys; sys.modules.update(numpy=None, PIL=None, matplotlib=None); import suite.overall.page"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
