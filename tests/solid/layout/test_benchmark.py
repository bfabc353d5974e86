"""The benchmarks' own arithmetic: both sides do real work, ratios are those of the seconds shown."""

import re
from collections import Counter

import pytest

from benchmarks.solid_layout import compose, measure_ours, measure_published
from benchmarks.solid_render import print_table


def test_both_sides_lay_out_whole_scenes(rooms, meshes, with_layout):
    config = with_layout(cells_per_unit=2, num_objects=(3, 3))
    for measure in (measure_ours, measure_published):
        seconds, tries, objects, number = measure(config, rooms, meshes, [0, 5])
        assert seconds > 0 and number == 2
        assert 2 <= objects <= 6 and objects <= tries <= 30


def test_the_scene_of_an_index_is_the_same_every_time(rooms, meshes, with_layout):
    config = with_layout(cells_per_unit=2)
    assert compose(config, rooms, meshes, 4) == compose(config, rooms, meshes, 4)
    assert compose(config, rooms, meshes, 4) != compose(config, rooms, meshes, 5)


def test_the_ratios_of_a_rendered_picture_are_those_of_its_phases(capsys):
    ours = Counter(layout=1, load=2, rgb=10, id=1, solo=2, annotate=1, encode=3)
    theirs = Counter(layout=30, load=8, rgb=10, segmentation=12, encode=0)
    print_table(ours, theirs, 2, "clock")
    printed = capsys.readouterr().out
    figures = dict(re.findall(r"^(.+): ([0-9.]+)", printed, flags=re.MULTILINE))
    assert {name: float(value) for name, value in figures.items()} == {
        "layout": 30.0,
        "annotation passes": 4.0,
        "loading": 4.0,
        "whole image": 3.0,
        "whole image without the RGB pass": 5.0,
        "layout and annotation": 25.0,
    }
    (rgb,) = [line.split() for line in printed.splitlines() if line.startswith("rgb")]
    assert [float(word) for word in rgb[1:]] == [pytest.approx(5.0)] * 2
