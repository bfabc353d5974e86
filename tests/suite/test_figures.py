"""Figures that a report leaves as files: few, small, listed."""

import io

import numpy as np
import pytest
from PIL import Image

from suite.overall.figure_files import read_figures
from suite.report.draw import jpeg_uri
from suite.report.figures import GAP, WIDTH, Figures

RED = np.full((40, 60, 3), (255, 0, 0), np.uint8)


def test_figures_come_back_in_order_with_their_titles(tmp_path):
    figures = Figures(tmp_path)
    figures.svg("curve", "A curve", "<svg></svg>")
    figures.picture("red", "Red", RED, caption="all of it")
    figures.write()
    rows = read_figures(tmp_path)
    assert [(row["name"], row["title"], row["caption"]) for row in rows] == [
        ("curve", "A curve", ""),
        ("red", "Red", "all of it"),
    ]
    assert all(row["path"].is_file() for row in rows)


def test_a_report_without_figures_has_none_and_an_empty_sheet_leaves_no_file(tmp_path):
    assert read_figures(tmp_path) == []
    figures = Figures(tmp_path)
    figures.sheet("none", "None", [])
    figures.svg("none", "None", None)
    figures.write()
    assert read_figures(tmp_path) == []
    assert [path.name for path in (tmp_path / "figures").iterdir()] == ["figures.json"]


@pytest.mark.parametrize("of", [lambda one: one, jpeg_uri])
def test_a_sheet_is_made_of_arrays_or_of_pictures_that_are_inlined(tmp_path, of):
    figures = Figures(tmp_path)
    figures.sheet("red", "Red", [of(RED)] * 3, columns=2)
    with Image.open(tmp_path / "figures/red.jpg") as image:
        assert image.size == (2 * 60 + GAP, 2 * 40 + GAP)
        pixels = np.asarray(image).astype(int)
    assert abs(pixels[20, 30] - (255, 0, 0)).max() < 12
    assert pixels[-5, -5].min() > 240  # the fourth cell is white


def test_wide_pictures_are_made_smaller_and_never_larger(tmp_path):
    figures = Figures(tmp_path)
    figures.picture("wide", "Wide", np.zeros((100, 3 * WIDTH, 3), np.uint8))
    figures.write()
    with Image.open(tmp_path / "figures/wide.jpg") as image:
        assert image.size == (WIDTH, 33)


def test_the_same_figure_gives_the_same_bytes(tmp_path):
    found = []
    for name in ("a", "b"):
        figures = Figures(tmp_path / name)
        figures.picture("noise", "Noise", np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
        found.append((tmp_path / name / "figures/noise.jpg").read_bytes())
    assert found[0] == found[1]
    assert Image.open(io.BytesIO(found[0])).format == "JPEG"
