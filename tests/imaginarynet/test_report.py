"""The page: what it says, that it is whole and offline, and that its figures add up."""

import csv
import json
import re
from html.parser import HTMLParser
from urllib.parse import unquote

import pytest

from experiments.imaginarynet.config import CONFIG, CONFIGS
from experiments.imaginarynet.report import run
from experiments.imaginarynet.report_switches import SWITCHES, turned
from experiments.imaginarynet.report_tables import published_rows, trade_off_of
from experiments.imaginarynet.store.manifest import CANDIDATES, read_rows
from suite.config import load_config, to_tree
from suite.errors import BadInput
from suite.overall.figure_files import MAX_BYTES, read_figures
from suite.report.switches import value_of
from tests.imaginarynet.candidates import context
from tests.imaginarynet.report_fakes import CLASSES, DIGEST, config_of, finished_run


def made(folder, *overrides, **settings):
    config = config_of(*overrides, **settings)
    ctx = context(folder, "report", config=config, inputs=finished_run(folder, config))
    run(ctx)
    return ctx, (ctx.out / "index.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    return made(tmp_path_factory.mktemp("run"))


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


def test_the_page_is_one_offline_file_whose_tags_nest_and_whose_links_are_there(page):
    ctx, text = page
    parsed = Page(text)
    assert parsed.open == []
    links = [r for r in parsed.references if not r.startswith(("data:", "#"))]
    assert len(links) > 10
    for link in links:
        target = (ctx.final / link).resolve() if link.startswith("..") else ctx.out / unquote(link)
        assert target.is_file(), link
    assert "<script" not in text
    assert "http" not in re.sub(r'xmlns(:\w+)?="[^"]*"|<metadata>.*?</metadata>', "", text, flags=re.S)


def test_figures_are_those_of_the_manifest(page):
    ctx, _ = page
    rows = read_rows(ctx.inputs["filter"] / CANDIDATES)
    summary = json.loads((ctx.out / "summary.json").read_text(encoding="utf-8"))
    assert summary["candidates"] == len(rows) == 18
    assert summary["kept"] == sum(row.kept for row in rows)
    assert 0 < summary["kept"] < 18
    assert summary["kept"] + summary["rejected"] + summary["failed"] == 18
    assert summary["rounds"] == 2
    with (ctx.out / "classes.csv").open(newline="", encoding="utf-8") as stream:
        counts = list(csv.DictReader(stream))
    assert summary["short"] == sum(int(row["shortage"]) for row in counts)
    for row, name in zip(counts, CLASSES, strict=True):
        own = [one for one in rows if one.class_name == name]
        assert (int(row["kept"]), int(row["candidates"])) == (sum(one.kept for one in own), len(own))


def test_results_have_the_columns_that_the_suite_joins_over_seeds(page):
    ctx, _ = page
    with (ctx.out / "results.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0]) == ["table", "row", "metric", "value", "unit"]
    assert {row["row"] for row in rows} == {*CLASSES, "all"}


def test_the_trade_off_falls_with_the_threshold_and_passes_through_what_was_kept(page):
    ctx, text = page
    table = [row for row in trade_off_of(ctx.out / "tradeoff.csv") if row.class_name == "all"]
    assert [row.kept for row in table] == sorted((row.kept for row in table), reverse=True)
    here = next(row for row in table if row.threshold == ctx.config.filter.threshold)
    assert here.kept == json.loads((ctx.out / "summary.json").read_text())["kept"]
    assert "What each threshold keeps" in text


def test_every_class_has_a_sheet_beside_the_page_and_inside_of_it(page):
    ctx, text = page
    assert {path.name for path in (ctx.out / "sheets").iterdir()} == {
        "mug.png", "trafficlight.png", "lemon<b>.png",
    }  # fmt: skip
    assert text.count("data:image/jpeg;base64,") == 4  # three classes, the diffusion samples
    assert (ctx.out / "diffusion-samples.png").is_file()


def test_models_settings_and_prompts_of_the_pictures_are_named(page):
    text = page[1]
    assert DIGEST in text
    assert DIGEST[::-1] in text
    assert "&#34;top_k&#34;: 50" in text
    assert "A photo of traffic light number 0" in text


def test_warnings_switches_and_deviations_are_said_and_texts_are_escaped(page):
    text = page[1]
    assert "odd &lt;thing&gt;" in text
    assert "lemon &lt;b&gt;" in text
    assert "lemon <b>" not in re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.S)
    assert "replace.rounds" in text
    assert "<code>dalle_mini.model</code>" in text
    assert "embedded-tiny" in text


def test_figures_are_left_for_the_page_about_all_systems(page):
    rows = read_figures(page[0].out)
    assert {"classes", "filter"} <= {row["name"] for row in rows}
    assert any(row["name"].startswith("set-") for row in rows)
    assert sum(row["path"].stat().st_size for row in rows) < MAX_BYTES


def test_published_results_are_marked_as_such(page):
    text = page[1]
    head, _, rest = text.partition("<h2>Published results</h2>")
    assert rest.lstrip().startswith("<p><b>Published, not measured here</b>")
    assert "65.05" in rest
    assert "65.05" not in head
    rows = [row for row in published_rows() if row.table == "detectors"]
    assert len(rows) == 29


def test_the_same_run_gives_the_same_bytes(page, tmp_path):
    assert made(tmp_path)[1] == page[1]


def test_a_run_without_the_filter_has_no_trade_off(tmp_path):
    ctx, text = made(tmp_path, clip=False)
    assert Page(text).open == []
    assert "What each threshold keeps" not in text
    assert "no filter: every picture is kept" in text
    assert not (ctx.out / "tradeoff.csv").exists()
    assert json.loads((ctx.out / "summary.json").read_text())["kept"] == 12


def test_a_missing_table_of_the_filter_is_one_line(tmp_path):
    config = config_of()
    ctx = context(tmp_path, "report", config=config, inputs=finished_run(tmp_path, config))
    (ctx.inputs["filter"] / "tradeoff.csv").unlink()
    with pytest.raises(BadInput, match=r"tradeoff\.csv: is missing"):
        run(ctx)


# --- switches ---


@pytest.mark.parametrize("switch", SWITCHES, ids=lambda switch: switch.key)
def test_paper_scale_does_as_published(switch):
    paper = to_tree(load_config(CONFIG, CONFIGS / "paper.yaml"))
    assert value_of(paper, switch.key) == switch.faithful or switch.key in PAPER_DEVIATES


# A checker that is there is used; labels that are known are used, as the paper means it.
PAPER_DEVIATES = {"diffusion.safety", "w2n.use_image_labels"}


def test_switches_that_are_turned_are_told_with_both_values():
    found = {one.key: (one.here, one.published) for one in turned(config_of())}
    assert found["replace.rounds"] == (2, 1)
    assert found["dalle_mini.dtype"] == ("float32", "float16")
    assert "filter.policy" not in found
