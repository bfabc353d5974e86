"""docs/features.md claims for us only what a test shows."""

import re

from suite.audits.inputs.cases import load_part, part_names
from tests.suite.pages.markdown import ROOT, rows

PAGE = "docs/features.md"
TEST = re.compile(r"\[[\w ]+\]\(\.\./(tests/[\w/]+\.py)#(test_\w+)\)")
TABLE = [cells for cells in rows(PAGE) if len(cells) == 6]


def test_every_claim_of_ours_links_to_a_test_that_exists():
    assert len(TABLE) > 20
    for what, here, *_ in TABLE:
        named = TEST.findall(here)
        assert named, what
        assert not re.sub(r"\(on fake GPUs\)|[ ,]", "", TEST.sub("", here)), "a claim beside the test"
        for path, name in named:
            assert re.search(rf"^def {name}\(", (ROOT / path).read_text(encoding="utf-8"), flags=re.M), name


def test_every_other_project_is_one_whose_page_is_named_with_its_state():
    head = next(line for line in (ROOT / PAGE).read_text(encoding="utf-8").splitlines() if "| here |" in line)
    others = [name.strip() for name in head.strip("|").split("|")[2:]]
    read = [cells for cells in rows(PAGE) if len(cells) == 3 and cells[0].startswith("[")]
    assert [re.match(r"\[(.*?)\]", cells[0])[1] for cells in read] == others
    assert all(re.fullmatch(r"[0-9a-f]{7}", cells[2]) for cells in read)


def test_the_number_of_damaged_inputs_is_that_of_the_corpus():
    said = re.search(r"all systems (\d+) damaged inputs", (ROOT / PAGE).read_text(encoding="utf-8"))
    assert int(said[1]) == sum(len(load_part(name).cases) for name in part_names())
