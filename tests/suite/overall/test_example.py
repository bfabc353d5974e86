"""The example below docs/report: small, whole, offline, and it says which run made it.

The same checks hold for any page that is made to be kept, so they run on one of toy runs, too.
"""

import csv
import re

import pytest

from suite.overall.page import COLUMNS, write_report
from suite.provenance import ROOT
from suite.runs import papers
from tests.suite.overall.browser import Browser, find_browser
from tests.suite.overall.fakes import run
from tests.suite.overall.test_page import Page

EXAMPLE = ROOT / "docs/report"
MAX_BYTES = 3_000_000
needs_example = pytest.mark.skipif(
    not (EXAMPLE / "index.html").is_file(), reason="none here: workflow/run report --out docs/report"
)


@pytest.fixture(scope="module", params=["toy runs", pytest.param("example", marks=needs_example)])
def kept(request, tmp_path_factory):
    """A folder that `python -m suite report --out` wrote."""
    if request.param == "example":
        return EXAMPLE
    folder = tmp_path_factory.mktemp("kept")
    for system in papers():
        run(folder / "runs", system, ["results,a,b,1.5,%"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RUNS_DIR", str(folder / "runs"))
        write_report(folder / "out")
    return folder / "out"


def test_the_folder_is_small(kept):
    assert sum(path.stat().st_size for path in kept.rglob("*") if path.is_file()) <= MAX_BYTES


def test_the_page_asks_for_nothing_and_no_link_is_broken(kept):
    text = (kept / "index.html").read_text(encoding="utf-8")
    page = Page(text)
    assert "script" not in page.tags and "link" not in page.tags
    for ref in page.references:
        if ref.startswith("#"):
            assert ref[1:] in page.ids
        elif not ref.startswith("data:image/"):
            assert (kept / ref).is_file(), ref
    assert not re.search(r"@import|url\(\s*['\"]?(?!#)[a-z/]", text)


def test_the_page_says_at_its_top_which_runs_made_it(kept):
    head = (kept / "index.html").read_text(encoding="utf-8").partition('id="summary"')[0]
    for system in papers():
        assert re.search(rf"{system} \w+, seeds? \d", head), system
    assert re.search(r"<dt>Commit</dt><dd>[0-9a-f]{12}", head)
    assert re.search(r"<dt>Machine</dt><dd>.+, \d+ cores", head)


def test_the_numbers_are_of_every_paper_and_name_no_folder_of_a_machine(kept):
    with (kept / "results.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert tuple(rows[0]) == COLUMNS
    assert {row["system"] for row in rows if row["mean"]} >= set(papers())
    for file in ("index.html", "results.csv", "results.json"):
        assert not re.search(r"[\"' >](/home|/root|/work|/tmp)/", (kept / file).read_text(encoding="utf-8"))


@pytest.mark.skipif(find_browser() is None, reason="no Chromium here (apt-get install chromium)")
def test_a_browser_shows_it_without_a_request_an_error_or_scrolling_sideways(kept):
    with Browser() as browser:
        for width in (400, 1400):
            seen = browser.visit(kept / "index.html", width=width)
            assert (seen.requests, seen.errors, seen.broken, seen.small) == ([], [], 0, 0)
            assert seen.scroll_width == seen.width == width
