"""The table: closed forms, and what stands beside what."""

import json

import pytest

from experiments.compare.cells.grid import cells
from experiments.compare.config import CONFIG
from experiments.compare.table import read_cells, read_table, run, table
from suite.config import load_config
from suite.errors import BadInput
from suite.provenance import ROOT


def one(arm, real, seed, ap, kind="data"):
    return {
        "detector": "dense", "arm": arm, "kind": "real" if arm == "real" else kind, "real": real,
        "seed": seed, "ap": ap, "ap50": 2 * ap, "pictures": 5,
    }  # fmt: skip


def test_mean_deviation_and_gain_are_the_closed_forms():
    found = [one("real", 10, 0, 0.1), one("real", 10, 1, 0.2)]
    found += [one("pasted", 10, 0, 0.3), one("pasted", 10, 1, 0.6)]
    real, pasted = table(found)
    assert (real.ap, real.ap_sd, real.seeds) == (pytest.approx(0.15), pytest.approx(0.05 * 2**0.5), 2)
    assert (real.gain, real.gain_sd) == (None, None)
    assert (pasted.ap, pasted.ap50) == (pytest.approx(0.45), pytest.approx(0.9))
    # seed by seed: 0.2 and 0.4
    assert (pasted.gain, pasted.gain_sd) == (pytest.approx(0.3), pytest.approx(0.1 * 2**0.5))


def test_one_seed_has_no_deviation_and_no_real_pictures_no_gain():
    (row,) = table([one("pasted", 0, 0, 0.3)])
    assert (row.ap_sd, row.gain, row.gain_sd) == (None, None, None)


def test_a_gain_is_told_only_where_every_seed_has_its_partner():
    rows = table([one("real", 10, 0, 0.1), one("pasted", 10, 0, 0.3), one("pasted", 10, 1, 0.3)])
    assert [row.gain for row in rows] == [None, None]


def test_titles_say_what_was_trained_on():
    found = [one("real", 10, 0, 0.1), one("pasted", 0, 0, 0.1), one("solid", 10, 0, 0.1, kind="init")]
    titles = [row.title for row in table(found)]
    assert titles == ["10 real pictures only", "pasted samples", "SOLID initialisation + 10 real"]


class Fake:
    """As much of a stage's context as the table reads."""

    def __init__(self, config, folder, out):
        self.config, self.inputs, self.out = config, {"cells": folder}, out
        out.mkdir()

    def count(self, *_):
        pass


@pytest.fixture
def config():
    return load_config(CONFIG, ROOT / "experiments/compare/configs/tiny.yaml", ["arms=[real,pasted]"])


def write_cells(config, folder):
    for shard, cell in enumerate(cells(config)):
        path = folder / f"{shard:05d}" / "cell.json"
        path.parent.mkdir(parents=True)
        tree = one(cell.arm.name, cell.real, cell.seed, 0.01 * shard) | {"detector": cell.detector}
        more = dict.fromkeys(("pictures_without_masks", "objects", "detections", "test_pictures"), 3)
        path.write_text(json.dumps(tree | more | {"ap75": 0.0, "name": cell.name}))


def test_what_is_written_reads_back(config, tmp_path):
    write_cells(config, tmp_path / "cells")
    ctx = Fake(config, tmp_path / "cells", tmp_path / "table")
    run(ctx)
    assert read_table(ctx.out) == table(read_cells(config, tmp_path / "cells"))
    assert len((ctx.out / "cells.csv").read_text().splitlines()) == 1 + len(cells(config))


def test_a_cell_that_is_gone_or_another_s_is_one_line(config, tmp_path):
    write_cells(config, tmp_path)
    (tmp_path / "00001/cell.json").write_text((tmp_path / "00000/cell.json").read_text())
    with pytest.raises(BadInput, match="missing or damaged"):
        read_cells(config, tmp_path)
