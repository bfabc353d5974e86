"""Every link of a page leads somewhere, and every page can be read at one sitting."""

import re

import pytest

from tests.suite.pages.markdown import PAGES, ROOT, anchors, links, prose, text

LONGEST = 400  # lines
LONGER = {"experiments/imaginarynet/README.md": 470}  # two papers' worth of tables, which tests compare


@pytest.mark.parametrize("page", PAGES)
def test_every_link_of_a_page_leads_to_a_file_and_to_a_heading_in_it(page):
    for link in links(page):
        name, _, anchor = link.partition("#")
        target = (ROOT / page).parent / name if name else ROOT / page
        assert target.exists(), link
        if anchor and target.suffix == ".py":  # a test in it
            assert re.search(rf"^def {anchor}\(", target.read_text(encoding="utf-8"), flags=re.M), link
        elif anchor:
            assert anchor in anchors(str(target.resolve().relative_to(ROOT))), link


def test_the_first_page_leads_to_every_page_of_docs_and_of_a_system():
    first = {link.partition("#")[0] for link in links("README.md")}
    wanted = {page for page in PAGES if page.startswith(("docs/", "experiments/"))}
    assert wanted - first == set()


@pytest.mark.parametrize("page", PAGES)
def test_every_table_has_a_head_and_as_many_cells_in_each_row(page):
    for table in re.findall(r"(?:^\|.*\n?)+", prose(page), flags=re.M):
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(widths) == 1, table.splitlines()[0]
        assert re.fullmatch(r"\|[ |:-]+\|", table.splitlines()[1]), table.splitlines()[0]


@pytest.mark.parametrize("page", PAGES)
def test_no_page_is_longer_than_a_reader_can_hold(page):
    assert len(text(page).splitlines()) <= LONGER.get(page, LONGEST)
