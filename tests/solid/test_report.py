import csv
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from experiments.solid.config import SolidConfig
from experiments.solid.report import PUBLISHED, compare, result_rows, run
from experiments.solid.store.check import check_store, summarize
from suite.config import load_config
from suite.errors import BadInput
from suite.manifest import MANIFEST, write_json
from suite.overall.figure_files import MAX_BYTES, read_figures
from suite.published import read_published
from suite.stage import Context, Stage
from tests.solid.learning_fakes import AP50, finished_learning
from tests.solid.store.fakes import LAYOUT, finished_run, manifest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def ctx(tmp_path):
    folders = finished_run(tmp_path)
    for name in ("clean", "rooms", "check"):
        (tmp_path / name).mkdir()
        write_json(
            tmp_path / name / MANIFEST, manifest(name, warnings=["odd <thing>"] if name == "check" else [])
        )
    rooms = [
        {"id": "000", "surfaces": [{"kind": "wall"}, {"kind": "floor"}], "materials": {"wood": ["a.jpg"]}}
    ]
    write_json(tmp_path / "rooms" / "rooms.json", {"rooms": rooms})
    write_json(tmp_path / "check" / "check.json", summarize(check_store(folders["store"], stages={})))
    (tmp_path / "report.part").mkdir()
    return Context(
        stage=Stage(system="solid", name="report", summary="", toolchain="blender", version=1, run=""),
        config=load_config(SolidConfig, ROOT / "experiments/solid/configs/tiny.yaml"),
        seed=0,
        device="cpu",
        inputs={
            **folders,
            **{name: tmp_path / name for name in ("clean", "rooms", "check")},
            **finished_learning(tmp_path),
        },
        out=tmp_path / "report.part",
        final=tmp_path / "report",
        key="",
    )


class Page(HTMLParser):
    """Collects what the page refers to and checks that its tags nest."""

    VOID = {"meta", "img", "br", "link", "path", "use", "rect"}

    def __init__(self, text):
        super().__init__()
        self.open, self.references = [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.references += [value for name, value in attributes if name in ("src", "href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag


def test_the_page_is_one_offline_file_whose_links_lead_somewhere(ctx):
    run(ctx)
    text = (ctx.out / "index.html").read_text()
    page = Page(text)
    pictures = [r for r in page.references if r.startswith("data:image/jpeg")]
    assert len(pictures) == 2 * LAYOUT.num_images + LAYOUT.num_classes + 1
    links = [r for r in page.references if not r.startswith(("data:", "#"))]
    assert "../targets/manifest.json" in links
    for link in links:
        assert (ctx.out / link).exists(), link
    assert not re.search(r"(src|href)=\"(https?:)?//", text)
    assert "<script" not in text


def test_the_page_names_deviations_warnings_rooms_and_environment(ctx):
    run(ctx)
    text = (ctx.out / "index.html").read_text()
    for part in (
        "render.samples",
        "odd &lt;thing&gt;",
        "1 floor, 1 wall",
        "wood (1)",
        "bpy 4.5.15",
        "not comparable",
    ):
        assert part in text


def test_the_figures_are_data_too(ctx):
    run(ctx)
    summary = json.loads((ctx.out / "summary.json").read_text())
    assert summary["images"] == LAYOUT.num_images
    assert summary["seconds_per_image"] == pytest.approx((1 + 0 + 1 + 2) / LAYOUT.num_images)
    assert "store.num_images" in {row["key"] for row in summary["deviations"]}
    rows = list(csv.DictReader((ctx.out / "results.csv").open()))
    assert {(r["row"], r["metric"]): r["value"] for r in rows}[("models", "classes")] == str(
        LAYOUT.num_classes
    )


def test_the_same_run_gives_the_same_page(ctx):
    run(ctx)
    first = {p: p.read_bytes() for p in ctx.out.rglob("*") if p.is_file()}
    run(ctx)
    assert first == {p: p.read_bytes() for p in ctx.out.rglob("*") if p.is_file()}


def test_figures_are_left_for_the_page_about_all_systems(ctx):
    run(ctx)
    rows = read_figures(ctx.out)
    assert {"targets", "queries", "found", "curve0"} <= {row["name"] for row in rows}
    assert sum(row["path"].stat().st_size for row in rows) < MAX_BYTES


def test_only_the_published_setting_is_judged():
    summary = dict.fromkeys(("boxes", "boxes_per_image", "seconds_per_image", "store_bytes"), 1)
    rows = result_rows({**summary, "images": 1000000, "classes": 5, "shots_per_model": 8})
    small, full = (compare(rows, read_published(PUBLISHED), same_settings=same) for same in (False, True))
    assert {row["verdict"] for row in small} == {"not comparable"}
    assert [row["verdict"] for row in full] == ["as published", "differs", "as published"]


def test_the_page_shows_ap_of_both_initialisations_and_what_was_loaded(ctx):
    run(ctx)
    text = (ctx.out / "index.html").read_text()
    assert '<td>box AP50</td><td class="n">12.5</td><td class="n">3.25</td>' in text
    assert '<td>mask AP75</td><td class="n">1.5</td><td class="n">-</td>' in text
    assert "2 tensors of the pre-trained detector loaded, 1 of other shapes skipped" in text
    assert "<code>cls_score.weight</code>" in text
    for title in ("Pre-training losses", "Fine-tuning, total loss", "top-1 retrieval, %"):
        assert title in text
    assert '<td>seen</td><td class="n">2</td><td class="n">9</td><td class="n">12.5</td>' in text
    assert "<td>unseen</td>" not in text  # no such model was shown
    assert '<td>mug</td><td class="n">7</td><td class="n">12.5</td><td class="n">3.25</td>' in text


def test_results_hold_ap_and_retrieval_and_nothing_published(ctx):
    run(ctx)
    with (ctx.out / "results.csv").open() as stream:
        rows = {(r["row"], r["metric"]): r["value"] for r in csv.DictReader(stream)}
    for init, value in AP50.items():
        assert float(rows[f"tabletop {init}", "box AP50"]) == value
    assert rows["tabletop random", "mask AP75"] == ""
    assert float(rows["retrieval", "top-1, new scenes"]) == 50.0
    assert "not found" not in rows.values()


@pytest.mark.parametrize(
    "path",
    [
        "evaluate/summary.json",
        "pretrain/retrieval.jsonl",
        "finetune/00001/metrics.jsonl",
        "evaluate/results.csv",
    ],
)
def test_a_damaged_result_of_learning_is_named(ctx, path):
    stage, _, name = path.partition("/")
    (ctx.inputs[stage] / name).unlink()
    with pytest.raises(BadInput, match=name):
        run(ctx)
