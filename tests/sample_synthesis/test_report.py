"""The page: what it says, that it is whole and offline, its files, and that stand-ins are never compared."""

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from experiments.sample_synthesis.report import run
from experiments.sample_synthesis.stages import stages_of
from suite.errors import BadInput
from suite.overall.figure_files import MAX_BYTES, read_figures
from suite.tables import read_csv
from tests.sample_synthesis.report_fakes import context, load

SETTINGS = ("train.runs=2", "arms=[from_scratch,finetuned,matched]", "compute.cells_per_shard=99")


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
    ctx = context(tmp_path_factory.mktemp("run"), load(*SETTINGS))
    run(ctx)
    return ctx, (ctx.out / "index.html").read_text(encoding="utf-8")


def test_the_page_is_one_offline_file_whose_tags_nest_and_links_lead_to_the_manifests(page):
    ctx, text = page
    parsed = Page(text)
    assert parsed.open == []
    outside = {r for r in parsed.references if not r.startswith(("data:", "#"))}
    assert {r for r in outside if not r.startswith("../")} == {"summary.json", "results.csv"}
    manifests = {f"../{name}/manifest.json" for name in stages_of(ctx.config)["report"].inputs}
    assert {r for r in outside if r.startswith("../")} == manifests
    assert "<script" not in text
    assert "http" not in re.sub(r'xmlns(:\w+)?="[^"]*"|<metadata>.*?</metadata>', "", text, flags=re.S)


def test_figures_are_left_for_the_page_about_all_systems(page):
    rows = read_figures(page[0].out)
    assert {"face-sheet0", "face-result0"} <= {row["name"] for row in rows}
    assert sum(row["path"].stat().st_size for row in rows) < MAX_BYTES


def test_measured_and_published_tables_are_two_and_a_stand_in_is_compared_with_nothing(page):
    ctx, text = page
    words = " ".join(Page(text).text)
    assert "Faces (stand-in)" in words and "Faces: published" in words
    assert "58.7 +- 0.6" in words  # published, N = 100
    summary = json.loads((ctx.out / "summary.json").read_text(encoding="utf-8"))
    rows = summary["objects"]["face"]["comparisons"]
    assert {row["verdict"] for row in rows} == {"not comparable: stand-in"}
    assert any("no-GAN" in row["training"] for row in rows)
    measured = read_csv(ctx.out / "results/face/results_face.csv")
    first = f"{50 * (float(measured[1]['run_1']) + float(measured[1]['run_2'])):.1f}"
    assert first in words


def test_every_variant_has_a_sheet_of_objects_or_samples_that_says_stand_in(page):
    ctx, text = page
    names = sorted(path.stem for path in (ctx.out / "sheets").glob("*.jpg"))
    assert names == [
        "face_masked_objects_standin", "face_masked_samples_standin", "face_naive_samples_standin",
        "face_nogan_objects_standin", "face_nogan_samples_standin",
    ]  # fmt: skip
    assert text.count("objects: stand-in; backgrounds: photographs of the packages") >= 2 * len(names)


def test_plots_are_files_under_the_published_names_of_900_by_700_pixels(page):
    ctx, _ = page
    plots = ctx.out / "plots"
    for stem in ("tiny_test_results_face_standin", "tiny_valid_results_face_standin"):
        assert (plots / f"{stem}.svg").read_text(encoding="utf-8").startswith("<svg")
        with Image.open(plots / f"{stem}.png") as image:
            assert image.size == (900, 700)
    published = sorted(path.name for path in (plots / "published").glob("*.png"))
    assert published == ["ssdmobilenet_test_results_face.png", "ssdresnet50_test_results_face.png"]


def test_latex_tables_are_files_with_shares_of_all_real_images(page):
    ctx, _ = page
    names = {path.name for path in (ctx.out / "tables").glob("*.tex")}
    assert names == {
        "face_standin.tex", "published_face.tex", "ablation_1_standin.tex", "ablation_2_standin.tex",
        "published_ablation_1.tex", "published_ablation_2.tex",
    }  # fmt: skip
    text = (ctx.out / "tables/published_face.tex").read_text(encoding="utf-8")
    assert r"100 (6.9 \%) & 58.7 $\pm$ 0.6 & 77.9 $\pm$ 0.5" in text
    assert "1449 (all)" in text
    assert r"4 (67 \%)" in (ctx.out / "tables/face_standin.tex").read_text(encoding="utf-8")


def test_best_and_worst_pictures_show_every_arm_on_the_same_pictures(page):
    words = Page(page[1]).text
    assert [w for w in words if w in ("best", "worst")] == ["best", "worst"]
    for arm in ("finetuned", "from scratch", "matched"):
        assert sum(w.startswith(f"{arm}: ") and "missed" in w for w in words) == 4  # all test pictures
    assert any(re.match(r"finetuned: \d found, 0 missed, 0 false", w) for w in words)
    assert any(re.match(r"finetuned: 0 found, \d missed, 1 false", w) for w in words)


def test_warnings_switches_and_deviations_are_said_and_texts_are_escaped(page):
    text = page[1]
    assert "odd &lt;thing&gt;" in text and "odd <thing>" not in text
    assert "face.synthesis.box_edge" in text and "compat.mixed_real_only" in text
    assert "face.synthesis.num_samples" in text
    assert "car.synthesis" not in text


def test_results_of_all_objects_are_one_table(page):
    assert read_csv(page[0].out / "results.csv") == [
        {"table": "face", "row": "tiny", "metric": "mAP", "value": "12.5", "unit": "%"}
    ]


def test_the_same_run_gives_the_same_bytes(page, tmp_path):
    ctx, _ = page
    again = tmp_path / "report.part"
    again.mkdir()
    other = type(ctx)(**{**vars(ctx), "out": again})
    run(other)
    files = [path for path in sorted(ctx.out.rglob("*")) if path.is_file()]
    assert len(files) > 15
    for path in files:
        assert (again / path.relative_to(ctx.out)).read_bytes() == path.read_bytes(), path


def test_a_damaged_file_of_evaluate_is_one_line(page, tmp_path):
    ctx, _ = page
    path = ctx.inputs["face-evaluate"] / "curves.json"
    kept = path.read_text()
    path.write_text("{")
    try:
        with pytest.raises(BadInput, match=r"curves\.json: is missing or damaged; run `evaluate` again"):
            run(type(ctx)(**{**vars(ctx), "out": tmp_path}))
    finally:
        path.write_text(kept)


def test_the_masks_of_a_sheet_lie_in_their_slots():
    from experiments.sample_synthesis.figures import label_map

    cover = np.zeros((20, 20), np.uint8)
    cover[2:6, 2:6] = 255
    cover[10:20, 10:20] = 127  # less than half covered
    cover[12, 12] = 128
    labels = label_map(cover, np.array([[0, 0, 8, 8], [10, 10, 20, 20]]))
    assert (labels == 1).sum() == 16 and (labels == 2).sum() == 1
    assert labels[12, 12] == 2
