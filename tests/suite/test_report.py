import io
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from suite.manifest import write_json
from suite.report.draw import contact_row, draw_annotations, enlarge, jpeg_uri, palette
from suite.report.html import human_bytes, human_number, human_seconds, write_page
from suite.report.plots import bars, grouped_bars, histogram, horizontal_bars, lines, plot_png
from suite.report.provenance import StageRecord, collect, deviations

# --- text


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (0, "0 B"), (999, "999 B"), (1536, "1.5 kB"), (2.5e11, "250 GB"), (4e15, "4000.0 TB")],
)
def test_bytes_are_readable(value, text):
    assert human_bytes(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (0.254, "0.25 s"),
        (42.4, "42 s"),
        (75, "1 min 15 s"),
        (3599.9, "1 h 0 min"),
        (7260, "2 h 1 min"),
    ],
)
def test_seconds_are_readable(value, text):
    assert human_seconds(value) == text


@pytest.mark.parametrize(("value", "text"), [(None, "-"), (1234567, "1,234,567"), (0.123456, "0.1235")])
def test_numbers_are_readable(value, text):
    assert human_number(value) == text


def test_a_page_escapes_what_it_is_given_and_is_whole(tmp_path):
    (tmp_path / "page.html").write_text(
        '{% extends "base.html" %}{% block body %}<p>{{ text }}</p>{% endblock %}'
    )
    path = write_page(
        tmp_path / "index.html", "page.html", folder=tmp_path, title="a < b", text="<script>x</script>"
    )
    page = path.read_text()
    assert "<title>a &lt; b</title>" in page
    assert "<script" not in page
    assert 'name="viewport"' in page
    assert not list(tmp_path.glob(".*.tmp"))


def test_a_forgotten_value_is_an_error_not_a_gap(tmp_path):
    import jinja2

    (tmp_path / "page.html").write_text("{{ forgotten }}")
    with pytest.raises(jinja2.UndefinedError, match="forgotten"):
        write_page(tmp_path / "index.html", "page.html", folder=tmp_path, title="")


# --- pictures


@given(st.integers(1, 60))
def test_colours_are_distinct_and_stable(n):
    colors = palette(n)
    assert len({tuple(c) for c in colors.tolist()}) == n
    np.testing.assert_array_equal(colors, palette(n + 1)[:n])


def test_a_box_is_drawn_on_its_outermost_pixels_and_a_mask_inside_it():
    rgb = np.zeros((40, 60, 3), np.uint8)
    label_map = np.zeros((40, 60), np.uint8)
    label_map[10:30, 20:50] = 1
    drawn = draw_annotations(rgb, boxes=np.array([[20, 10, 50, 30]]), label_map=label_map, min_width=60)
    color = palette(1)[0]
    changed = np.argwhere(drawn.any(axis=2))
    assert changed.min(axis=0).tolist() == [10, 20]
    assert changed.max(axis=0).tolist() == [29, 49]
    assert drawn[10, 20].tolist() == drawn[29, 49].tolist() == color.tolist()
    np.testing.assert_allclose(drawn[20, 35], 0.45 * color, atol=1)
    assert not rgb.any()


def test_small_pictures_are_enlarged_by_a_whole_factor():
    picture, factor = enlarge(np.zeros((12, 16, 3), np.uint8), 40)
    assert factor == 3
    assert picture.shape == (36, 48, 3)
    assert enlarge(np.zeros((12, 16, 3), np.uint8), 16)[1] == 1


def test_a_row_keeps_its_cells_whatever_the_pictures_are():
    pictures = [np.zeros((100, 50, 3), np.uint8), None, np.zeros((3, 5, 3), np.uint8)]
    assert contact_row(pictures, cell=32, gap=4).shape == (32, 3 * 36 - 4, 3)


def test_a_picture_becomes_a_data_uri():
    assert jpeg_uri(np.zeros((4, 4, 3), np.uint8)).startswith("data:image/jpeg;base64,/9j/")


# --- plots

PLOTS = {
    "bars": lambda: bars({"a<b": 1, 2: 3}, title="t & u", x="x", y="y"),
    "bars of nothing": lambda: bars({}, title="t & u"),
    "grouped bars": lambda: grouped_bars(["g"], {"s": [1], "t": [2]}, title="t & u"),
    "horizontal bars": lambda: horizontal_bars({"one": 1.0}, title="t & u", x="s"),
    "histogram": lambda: histogram([0, 1, 3], [4, 5], title="t & u"),
    "lines": lambda: lines({"c": ([1, 2], [3, 4])}, title="t & u", x="x", y="y"),
}


@pytest.mark.parametrize("name", PLOTS)
def test_a_plot_is_scalable_escaped_and_the_same_every_time(name):
    svg = PLOTS[name]()
    root = ElementTree.fromstring(svg)
    assert root.tag.endswith("svg")
    assert "viewBox" in root.attrib
    assert "width" not in root.attrib and "height" not in root.attrib
    assert "t &amp; u" in svg
    assert svg == PLOTS[name]()
    assert not re.search(r"\d\d\d\d-\d\d-\d\dT", svg)  # no clock


def test_a_plot_as_a_file_has_the_pixels_that_were_asked_for_and_the_same_bytes_every_time():
    facts = {"title": "t", "x": "x", "y": "y", "size": (3.0, 2.0), "dpi": 50}
    files = [plot_png(lambda axes: axes.plot([1, 2], [3, 4], label="c"), **facts) for _ in range(2)]
    assert files[0] == files[1]
    with Image.open(io.BytesIO(files[0])) as image:
        assert image.format == "PNG" and image.size == (150, 100)


# --- provenance


def record(folder, stage, seconds, inputs=(), shards=()):
    folder.mkdir(parents=True, exist_ok=True)
    usage = {
        "wall_seconds": seconds,
        "cpu_seconds": seconds,
        "peak_rss_bytes": int(seconds),
        "peak_gpu_bytes": None,
    }
    tree = {"stage": stage, "key": stage, "inputs": {n: {"path": f"../{n}"} for n in inputs}, **usage}
    if shards:
        tree["shards"] = [
            {**usage, "wall_seconds": s, "peak_rss_bytes": s, "facts": {"seconds": {"rgb": s}}}
            for s in shards
        ]
    write_json(folder / "manifest.json", tree)


def test_stages_are_found_through_the_inputs_of_their_manifests(tmp_path):
    record(tmp_path / "a", "first", 1)
    record(tmp_path / "b", "second", 2, inputs=["a"])
    record(tmp_path / "c", "third", 3, inputs=["b", "a", "lost"])
    found = collect([tmp_path / "c"], ["first", "second", "third"])
    assert [stage.name for stage in found] == ["first", "second", "third"]


def test_the_time_of_a_wide_stage_is_that_of_its_shards(tmp_path):
    record(tmp_path / "w", "wide", 1, shards=[10, 20])
    (stage,) = collect([tmp_path / "w"], [])
    assert isinstance(stage, StageRecord)
    assert stage.wall_seconds == 31
    assert stage.peak_rss_bytes == 20
    assert stage.phases == {"rgb": 30}
    assert stage.num_shards == 2


def test_deviations_are_the_settings_that_differ():
    here = {"render": {"samples": 16, "denoise": True}, "store": {"images": 5}}
    published = {"render": {"samples": 1024, "denoise": True}, "store": {"images": 5}}
    (only,) = deviations(here, published)
    assert (only.key, only.here, only.published) == ("render.samples", 16, 1024)
    assert deviations(here, here) == []
