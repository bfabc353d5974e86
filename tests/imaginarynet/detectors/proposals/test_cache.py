"""The cache: a picture is searched once per settings; what is damaged or forbidden costs a search only."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("cv2", reason="OpenCV is part of the PyTorch toolchain")

from experiments.imaginarynet.detectors.proposals.cache import FOLDER, Cache, search_digest
from tests.imaginarynet.detectors.proposals.shapes import SEARCH, proposals

DIGEST = "ab" * 32
FOUND = proposals((0, 0, 4, 4), (1, 2, 3, 4.5), scores=[0.5, 0.25])


@pytest.fixture
def runs(tmp_path, monkeypatch):
    monkeypatch.setenv("RUNS_DIR", str(tmp_path / "runs"))
    return tmp_path / "runs"


def no_search():
    raise AssertionError("searched again")


def test_runs_share_what_was_searched(runs):
    first = Cache.of(runs / "imaginarynet" / "smoke" / "seed0" / "proposals", SEARCH)
    assert first.get(DIGEST, lambda: FOUND) is FOUND
    other = Cache.of(runs / "imaginarynet" / "small" / "seed3" / "proposals", SEARCH)
    again = other.get(DIGEST, no_search)
    np.testing.assert_array_equal(again.boxes, FOUND.boxes)
    np.testing.assert_array_equal(again.scores, FOUND.scores)
    assert (first.kept, other.found) == (1, 1)


def test_a_result_elsewhere_leaves_nothing_in_the_folder_of_runs(runs, tmp_path):
    cache = Cache.of(tmp_path / "mine", SEARCH)
    assert cache.get(DIGEST, lambda: FOUND) is FOUND
    assert not runs.exists()


@pytest.mark.parametrize(
    ("name", "value"),
    [("side", 96), ("mode", "quality"), ("min_side", 3), ("max_proposals", 9), ("grid", 1), ("seed", 1)],
)
def test_other_settings_of_the_search_are_searched_anew(name, value):
    assert search_digest(replace(SEARCH, **{name: value})) != search_digest(SEARCH)


@pytest.mark.parametrize(("name", "value"), [("shards", 3), ("files", ("a.mat",))])
def test_settings_that_no_searched_box_depends_on_share_the_cache(name, value):
    assert search_digest(replace(SEARCH, **{name: value})) == search_digest(SEARCH)


@pytest.mark.parametrize("size", [0, 40, 300])
def test_a_file_cut_short_is_searched_and_written_again(runs, size):
    cache = Cache.of(runs / "x", SEARCH)
    cache.get(DIGEST, lambda: FOUND)
    (path,) = (runs / FOLDER).rglob("*.npz")
    whole = path.read_bytes()
    path.write_bytes(whole[:size])
    assert cache.get(DIGEST, lambda: FOUND) is FOUND
    assert path.read_bytes() == whole


def test_a_file_where_the_folder_should_be_costs_the_cache_and_not_the_run(runs):
    runs.mkdir()
    (runs / ".cache").write_text("in the way")
    cache = Cache.of(runs / "x", SEARCH)
    assert cache.get(DIGEST, lambda: FOUND) is FOUND
    assert cache.folder is None
