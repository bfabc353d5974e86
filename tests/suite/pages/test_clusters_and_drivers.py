"""docs/scaling.md and docs/gpu.md name the settings and the drivers that the program has."""

import dataclasses
import re

import pytest

from suite.launch.slurm_settings import SlurmSettings
from tests.suite.pages.markdown import ROOT, rows

FIELDS = {field.name: field for field in dataclasses.fields(SlurmSettings)}


def settings() -> list[list[str]]:
    """Rows of the table of settings: keys, default, meaning."""
    table = [cells for cells in rows("docs/scaling.md") if len(cells) == 3]
    return [cells for cells in table if set(re.findall(r"`(\w+)`", cells[0])) & set(FIELDS)]


def test_the_table_has_every_setting_of_a_job_and_no_other():
    named = [name for cells in settings() for name in re.findall(r"`(\w+)`", cells[0])]
    assert sorted(named) == sorted(FIELDS)


@pytest.mark.parametrize("cells", settings(), ids=lambda cells: cells[0])
def test_every_default_that_is_a_number_is_the_one_of_the_program(cells):
    names = re.findall(r"`(\w+)`", cells[0])
    numbers = [float(number) for number in re.findall(r"\d+", cells[1])]
    defaults = [FIELDS[name].default for name in names]
    assert numbers == [float(value) for value in defaults if isinstance(value, int | float)]


@pytest.mark.parametrize("toolchain", ["blender", "detectron2", "tensorflow", "jax"])
def test_the_driver_of_each_image_is_that_of_its_label(toolchain):
    cells = next(cells for cells in rows("docs/gpu.md") if cells[0].startswith(f"`syndet/{toolchain}"))
    dockerfile = (ROOT / f"docker/{toolchain}/Dockerfile").read_text(encoding="utf-8")
    assert cells[2] in re.findall(r'syndet\.accel=cuda .*syndet\.min-driver="(\d+)"', dockerfile)
