import pickle

import numpy as np
import pytest

from experiments.sample_synthesis.data.cub import cub, make_split, split_text, string_constants
from experiments.sample_synthesis.data.splits import PUBLISHED
from suite.errors import BadInput, Missing
from tests.sample_synthesis.data.lookalikes import change, write_cub, write_lines

# Published split, ids below 420: which are test, and which of the others the shuffle made validation.
PUBLISHED_TEST = """
10 12 19 20 23 26 42 181 194 199 203 209 210 219 224 226 232 236 302 303 311 378 406 412 414
""".split()
PUBLISHED_VALID = """
4 45 55 62 70 78 85 95 117 135 138 175 189 190 197 213 222 240 253 257 261 269 275 283 291 306 323 335 350 358
383 385 393 401 415
""".split()


def test_the_split_file_decides_and_boxes_become_corners(tmp_path):
    sets = cub(write_cub(tmp_path))
    ids = {split: [image.extra["cub_id"] for image in real.coco.images] for split, real in sets.items()}
    assert ids == {"train": [1, 2, 3, 6, 7, 8, 11, 12], "valid": [4, 9], "test": [5, 10]}
    assert sets["valid"].boxes()[0].tolist() == [[5, 6, 25, 16.5]]
    assert sets["test"].paths()[0] == tmp_path / "images" / "002.Bird_1" / "Bird_0004.jpg"


def test_the_folder_above_and_a_split_file_beside_it_are_accepted(tmp_path):
    root = write_cub(tmp_path / "CUB_200_2011")
    (root / "our_train_test_split.txt").rename(tmp_path / "our_train_test_split.txt")
    assert len(cub(tmp_path)["train"]) == 8


def test_the_rule_gives_the_published_split_with_10345_1000_and_443_images():
    # The published test ids beyond 420 do not move the shuffle of the ids below, only their number does: 443.
    ids = [str(number) for number in range(1, 11_789)]
    test = PUBLISHED_TEST + ids[420 : 420 + 443 - len(PUBLISHED_TEST)]
    paths = {key: f"some/{key}.jpg" for key in ids}
    redo = dict.fromkeys(ids, "2")
    codes = make_split(ids, paths, redo=redo, dmgan=[f"some/{key}" for key in test])
    below = {code: [key for key in ids[:419] if codes[key] == code] for code in "012"}
    assert below["2"] == PUBLISHED_TEST
    assert below["1"] == PUBLISHED_VALID
    counts = {
        name: list(codes.values()).count(code) for code, name in zip("012", PUBLISHED["cub"], strict=True)
    }
    assert counts == PUBLISHED["cub"]


def test_an_image_that_redo_trained_on_is_no_test_image():
    ids = [str(number) for number in range(1, 2001)]
    paths = {key: f"some/{key}.jpg" for key in ids}
    redo = {**dict.fromkeys(ids, "2"), "7": "0"}
    codes = make_split(ids, paths, redo=redo, dmgan=["some/7", "some/8", "some/9"])
    assert [key for key in ids if codes[key] == "2"] == ["8", "9"]
    assert list(codes.values()).count("1") == 1000


@pytest.mark.parametrize("protocol", range(6))
def test_without_a_split_file_it_is_made_from_the_two_lists_and_nothing_is_unpickled(tmp_path, protocol):
    write_cub(tmp_path, codes=None)
    write_lines(
        tmp_path / "redo_train_val_test_split.txt", [f"{i} {0 if i < 6 else 2}" for i in range(1, 13)]
    )
    names = ["001.Bird_0/Bird_0001", "002.Bird_1/Bird_0006", "003.Bird_2/Bird_0011"]
    (tmp_path / "dmgan_test_filenames.pickle").write_bytes(pickle.dumps(names, protocol=protocol))
    with pytest.raises(BadInput, match="lists no usable picture"):  # 10 are left, and the rule holds 1000 out
        cub(tmp_path)
    assert string_constants(tmp_path / "dmgan_test_filenames.pickle") == names


class Harmful:
    """Unpickling this would write a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_a_pickle_that_would_run_code_is_only_listed(tmp_path):
    trap = tmp_path / "trap"
    (tmp_path / "names.pickle").write_bytes(pickle.dumps(["a/b", Harmful(trap)]))
    assert "a/b" in string_constants(tmp_path / "names.pickle")
    assert not trap.exists()


def test_a_cut_pickle_is_said_to_be_none(tmp_path):
    (tmp_path / "names.pickle").write_bytes(pickle.dumps(["abc"] * 9)[:-4])
    with pytest.raises(BadInput, match="is no pickled list of names"):
        string_constants(tmp_path / "names.pickle")


def test_split_text_is_the_split_file(tmp_path):
    root = write_cub(tmp_path)
    assert split_text(cub(root)) == (root / "our_train_test_split.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("our_train_test_split.txt", "3 0", "3 5", r"`3 5`: the split is 0, 1 or 2"),
        ("our_train_test_split.txt", "3 0", "99 0", r"`99 0`: no such id in images.txt"),
        ("our_train_test_split.txt", "3 0", "2 0", "line 3: id twice"),
        ("images.txt", "3 001", "three 001", "line 3: 'three 001"),
        ("bounding_boxes.txt", "3 5.0 6.0 20.0 10.5\n", "", "has no box of image 3"),
        (
            "bounding_boxes.txt",
            "3 5.0 6.0 20.0",
            "3 5.0 6.0 -20.0",
            r"line 3: box .* is reversed or has no area",
        ),
        (
            "bounding_boxes.txt",
            "3 5.0 6.0 20.0",
            "3 5.0 6.0 wide",
            r"line 3: xmax is 'wide', no finite number",
        ),
        (
            "bounding_boxes.txt",
            "3 5.0",
            "3 500.0",
            r"line 3: box \(500, 6\)-\(520, 16.5\) is outside 001.Bird_0",
        ),
    ],
)
def test_what_is_damaged_is_one_line_with_file_and_row(tmp_path, file, old, new, said):
    write_cub(tmp_path)
    change(tmp_path / file, old, new)
    with pytest.raises(BadInput, match=said) as caught:
        cub(tmp_path)
    assert "\n" not in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_without_any_split_the_message_names_the_file_and_its_sources(tmp_path):
    write_cub(tmp_path, codes=None)
    with pytest.raises(Missing, match=r"our_train_test_split.txt.*redo_train_val_test_split.txt"):
        cub(tmp_path)


def test_grey_pictures_are_pictures(tmp_path):
    from PIL import Image

    root = write_cub(tmp_path)
    Image.fromarray(np.zeros((40, 60), np.uint8)).save(root / "images" / "001.Bird_0" / "Bird_0000.jpg")
    assert len(cub(root)["train"]) == 8
