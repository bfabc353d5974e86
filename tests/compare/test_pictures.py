"""What a cell learns from: which real pictures, and how often each picture is shown."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.compare.cells.grid import cells
from experiments.compare.cells.pictures import load_lesson, made_pictures, shown_order
from experiments.compare.config import CONFIG
from experiments.compare.target import load_target
from suite.config import load_config
from suite.errors import BadInput
from suite.provenance import ROOT
from tests.compare.sets import write_arm, write_target

TINY = ROOT / "experiments/compare/configs/tiny.yaml"


@pytest.fixture
def config(tmp_path):
    words = write_target(tmp_path / "target")
    more = ["arms=[real,pasted]", "cells.real=[0,2,5]", "cells.seeds=[0,1]"]
    return load_config(CONFIG, TINY, [*words, *more])


def real_files(config, folder, seed=0):
    """Names of the real pictures by cell."""
    found = {}
    for cell in cells(config):
        lesson = load_lesson(config, cell, folder if cell.arm.kind == "data" else None, seed=seed)
        found[cell] = [one.file.name for one in lesson.pictures if one.is_real]
    return found


def test_real_pictures_of_a_seed_are_the_same_in_all_arms_and_few_are_among_many(config, tmp_path):
    found = real_files(config, write_arm(tmp_path / "pasted"))
    by_place = {}
    for cell, names in found.items():
        assert len(names) == cell.real
        by_place.setdefault((cell.seed, cell.real), set()).add(tuple(names))
    assert all(len(kinds) == 1 for kinds in by_place.values())
    for seed in (0, 1):
        few, many = (next(iter(by_place[seed, real])) for real in (2, 5))
        assert few == many[:2]
    assert by_place[0, 5] != by_place[1, 5]


def test_another_seed_of_the_run_draws_other_pictures(config, tmp_path):
    folder = write_arm(tmp_path / "pasted")
    assert real_files(config, folder, seed=0) != real_files(config, folder, seed=1)


@given(st.integers(0, 40), st.integers(0, 40))
def test_each_kind_is_half_of_what_is_shown_and_no_picture_is_left_out(made, real):
    order = shown_order(made, real)
    counts = Counter(order)
    assert set(counts) == set(range(made + real))
    if made and real:
        assert sum(counts[place] for place in range(made)) == len(order) / 2
        assert max(counts[place] for place in range(made)) - min(counts[place] for place in range(made)) <= 1
        rest = [counts[place] for place in range(made, made + real)]
        assert max(rest) - min(rest) <= 1


def test_more_real_pictures_than_there_are_is_one_line(config):
    cell = next(cell for cell in cells(config) if cell.real == 5)
    few = load_config(CONFIG, TINY, ["arms=[real]", "cells.real=[900]"])
    with pytest.raises(BadInput, match=r"cells.real.* has 900, but the target has \d+"):
        load_lesson(few, cells(few)[0], None, seed=0)
    assert load_lesson(config, cell, None, seed=0).num_real == 5


def test_boxes_are_corners_and_labels_places_of_the_classes(config, tmp_path):
    target = load_target(config.target)
    found = made_pictures(write_arm(tmp_path / "pasted", masks=False), target.categories)
    assert len(found) == 4 and not any(one.has_masks or one.is_real for one in found)
    for one in found:
        assert (one.boxes[:, 2:] > one.boxes[:, :2]).all()
        assert one.labels.tolist() == [0, 1]
        assert one.file.is_file() and one.boxes.dtype == np.float64


def test_a_set_of_other_classes_is_refused(config, tmp_path):
    folder = write_arm(tmp_path / "pasted")
    path = folder / "coco/annotations.json"
    path.write_text(path.read_text().replace('"lemon"', '"boat"'))
    with pytest.raises(BadInput, match="boat"):
        made_pictures(folder, load_target(config.target).categories)
