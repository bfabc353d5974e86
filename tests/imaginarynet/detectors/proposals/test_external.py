"""Proposals made elsewhere: what their forms mean, and what is refused."""

import pickle

import numpy as np
import pytest

from experiments.imaginarynet.detectors.proposals.external import check_names, read_external
from suite.arrays import write_arrays
from suite.errors import BadInput

savemat = pytest.importorskip("scipy.io", reason="SciPy reads MATLAB's files").savemat


def cell(*items):
    array = np.empty((len(items), 1), object)
    array[:, 0] = items
    return array


def mat(path, **arrays):
    savemat(str(path), arrays)
    return path


def npz(path, **changes):
    whole = {
        "names": np.array(["a.jpg", "b.jpg"]),
        "offsets": np.array([0, 1, 3]),
        "boxes": np.array([[0, 0, 4, 4], [1, 1, 5, 5], [2, 2, 6, 6]], np.float32),
        "scores": np.array([0.5, 0.1, 0.9]),
    }
    write_arrays(path, **{name: one for name, one in {**whole, **changes}.items() if one is not None})
    return path


def test_matlab_boxes_count_from_one_in_rows_and_columns_and_include_the_last_pixel(tmp_path):
    boxes = cell(np.array([[1, 1, 10, 20], [3, 5, 3, 5]], np.uint16), np.zeros((0, 4)))
    found = read_external(mat(tmp_path / "ss.mat", images=cell("000005", "000007.jpg"), boxes=boxes))
    assert found.find("", "000005.jpg").boxes.tolist() == [[0, 0, 20, 10], [4, 2, 5, 3]]
    assert len(found.find("", "000007.png")) == 0
    assert found.find("", "000009.jpg") is None


@pytest.mark.parametrize("key", ["boxScores", "scores"])
def test_matlab_scores_put_the_surest_first(tmp_path, key):
    boxes = cell(np.array([[1, 1, 2, 2], [1, 1, 9, 9]]))
    arrays = {"images": cell("x"), "boxes": boxes, key: cell(np.array([[0.25], [0.75]]))}
    found = read_external(mat(tmp_path / "eb.mat", **arrays)).find("", "x.jpg")
    assert found.scores.tolist() == [0.75, 0.25]
    assert found.boxes[0].tolist() == [0, 0, 9, 9]


def test_npz_by_name_is_cut_by_the_offsets_and_sorted_by_score(tmp_path):
    found = read_external(npz(tmp_path / "p.npz"))
    assert found.find("", "b.png").boxes.tolist() == [[2, 2, 6, 6], [1, 1, 5, 5]]


def test_npz_by_digest_is_found_by_digest_alone(tmp_path):
    path = npz(tmp_path / "p.npz", names=None, digests=np.array([b"0" * 64, b"1" * 64]), scores=None)
    found = read_external(path)
    assert found.find("1" * 64, "a.jpg").boxes.tolist() == [[1, 1, 5, 5], [2, 2, 6, 6]]
    assert found.find("2" * 64, "a.jpg") is None


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"names": None}, "lacks either `names` or `digests`"),
        ({"offsets": np.array([0, 3])}, r"offsets \(2,\) of 2 pictures"),
        ({"offsets": np.array([0, 1, 2])}, "do not cut the boxes"),
        ({"offsets": np.array([0, 4, 3])}, "do not cut the boxes"),
        ({"offsets": np.array([0.0, 1.0, 3.0])}, "need .* whole numbers"),
        ({"boxes": np.zeros((3, 5))}, r"boxes \(3, 5\)"),
        ({"boxes": np.full((3, 4), np.nan)}, "not finite"),
        ({"boxes": np.full((3, 4), "x")}, "are no numbers"),
        ({"scores": np.zeros(2)}, r"scores are \(2,\)"),
    ],
)
def test_a_faulty_npz_is_one_line(tmp_path, changes, told):
    path = npz(tmp_path / "p.npz", **changes)
    with pytest.raises(BadInput, match=told):
        read_external(path)


@pytest.mark.parametrize(
    ("arrays", "told"),
    [
        ({"images": cell("a")}, "lacks boxes; it has images"),
        ({"images": cell("a", "b"), "boxes": cell(np.ones((1, 4)))}, "has 2 images, 1 boxes"),
        ({"images": cell("a"), "boxes": cell(np.ones((1, 5)))}, r"boxes of a are \(1, 5\)"),
        (
            {"images": cell("a"), "boxes": cell(np.ones((2, 4))), "scores": cell(np.ones(3))},
            "a has 2 boxes, 3 scores",
        ),
    ],
)
def test_a_faulty_mat_is_one_line(tmp_path, arrays, told):
    path = mat(tmp_path / "p.mat", **arrays)
    with pytest.raises(BadInput, match=told):
        read_external(path)


def test_a_damaged_mat_is_one_line(tmp_path):
    path = mat(tmp_path / "p.mat", images=cell("a"), boxes=cell(np.ones((50, 4))))
    path.write_bytes(path.read_bytes()[:150])
    with pytest.raises(BadInput, match="cannot be read as .mat"):
        read_external(path)


def test_mat_of_version_7_3_is_refused_with_what_to_do(tmp_path):
    path = tmp_path / "p.mat"
    path.write_bytes(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(512))
    with pytest.raises(BadInput, match="version 7.3.*save it with -v7"):
        read_external(path)


def test_a_missing_file_is_one_line(tmp_path):
    with pytest.raises(BadInput, match="no such file"):
        read_external(tmp_path / "p.mat")


class Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_nothing_is_unpickled(tmp_path):
    (tmp_path / "p.pkl").write_bytes(pickle.dumps(Trap(tmp_path / "ran")))
    np.savez(tmp_path / "p.npz", names=np.array([Trap(tmp_path / "ran")], object), offsets=[0, 0], boxes=[])
    for name in ("p.pkl", "p.npz"):
        with pytest.raises(BadInput):
            read_external(tmp_path / name)
    assert not (tmp_path / "ran").exists()


def test_a_name_that_fits_two_pictures_is_refused(tmp_path):
    external = read_external(npz(tmp_path / "p.npz"))
    check_names(external, [tmp_path / "train" / "a.jpg", tmp_path / "test" / "c.jpg"])
    with pytest.raises(BadInput, match="`a` fits .*train/a.jpg and .*test/a.jpg"):
        check_names(external, [tmp_path / "train" / "a.jpg", tmp_path / "test" / "a.jpg"])
