"""The grid: which cells there are."""

import pytest

from experiments.compare.cells.grid import cells
from experiments.compare.config import CONFIG
from suite.config import load_config
from suite.errors import BadInput
from suite.provenance import ROOT

CONFIGS = ROOT / "experiments/compare/configs"


def grid(scale="small", *overrides):
    return cells(load_config(CONFIG, CONFIGS / f"{scale}.yaml", overrides))


def test_every_cell_has_something_to_learn_from():
    assert all(cell.real > 0 or cell.arm.kind == "data" for cell in grid())


def test_the_full_grid_is_that_of_three_seeds_and_four_numbers_of_real_pictures():
    found = grid()
    assert len({cell.name for cell in found}) == len(found)
    of_seed = [cell for cell in found if cell.seed == 1]
    names = [(cell.detector, cell.arm.name) for cell in of_seed]
    expected = {("mask-rcnn", "real"): 3, ("mask-rcnn", "pasted"): 4, ("mask-rcnn", "imaginary"): 4}
    expected |= {("mask-rcnn", "solid"): 3, ("dense", "real"): 3, ("dense", "pasted"): 4}
    expected |= {("dense", "imaginary"): 4}
    assert {name: names.count(name) for name in names} == expected
    assert len(found) == 3 * sum(expected.values())


def test_weights_of_one_network_are_no_arm_of_the_other():
    assert {cell.detector for cell in grid() if cell.arm.kind == "init"} == {"mask-rcnn"}


def test_the_smoke_grid_is_a_part_of_the_full_one():
    assert {cell.name for cell in grid("smoke")} < {cell.name for cell in grid("small")}


@pytest.mark.parametrize(
    ("override", "told"),
    [("cells.real=[]", "cells.real"), ("cells.seeds=[1,1]", "cells.seeds"), ("cells.real=[-1]", "cells.real"),
     ("cells.dense.iterations=0", "iterations"), ("cells.detectors=[yolo]", "detectors")],
)  # fmt: skip
def test_a_grid_that_cannot_be_says_so_in_one_line(override, told):
    with pytest.raises(BadInput, match=told) as caught:
        grid("tiny", override)
    assert "\n" not in str(caught.value)
