"""The page in a real browser, without a screen: what a parser cannot see. Skipped where there is none."""

import io

import numpy as np
import pytest
from PIL import Image

from suite.overall.page import write_report
from tests.suite.overall.browser import Browser, find_browser
from tests.suite.overall.fakes import all_runs

pytestmark = pytest.mark.skipif(
    find_browser() is None, reason="no Chromium here (apt-get install chromium); a parser checks the page"
)


@pytest.fixture(scope="module")
def browser():
    with Browser() as one:
        yield one


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    runs = tmp_path_factory.mktemp("runs")
    all_runs(runs)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RUNS_DIR", str(runs))
        write_report()
    return runs / "report/index.html"


@pytest.mark.parametrize("width", [400, 1400])
def test_the_page_asks_for_nothing_says_nothing_and_does_not_scroll_sideways(browser, page, width):
    seen = browser.visit(page, width=width)
    assert seen.requests == []
    assert seen.errors == []
    assert (seen.width, seen.scroll_width) == (width, width)
    assert seen.broken == 0
    assert seen.small == 0
    with Image.open(io.BytesIO(seen.screenshot)) as shot:
        assert shot.width == width
        assert np.asarray(shot.convert("L")).std() > 5  # something is drawn


def test_the_browser_would_notice_all_of_these(browser, tmp_path):
    """The same checks on a page that has every fault."""
    page = tmp_path / "bad.html"
    page.write_text(
        '<!doctype html><meta name="viewport" content="width=device-width">'
        '<img src="http://127.0.0.1:9/x.png"><div style="width: 900px">wide</div>'
        '<p style="font-size: 6px">small</p><script>console.error("said"); nothing.at.all</script>'
    )
    seen = browser.visit(page, width=400)
    assert seen.requests == ["http://127.0.0.1:9/x.png"]
    assert any("said" in text for text in seen.errors) and any("nothing" in text for text in seen.errors)
    assert seen.scroll_width > seen.width == 400
    assert (seen.broken, seen.small) == (1, 1)
