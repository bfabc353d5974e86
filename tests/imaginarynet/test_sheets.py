"""Contact sheets: which pictures they hold, where, and what stands below them."""

import numpy as np
import pytest
from PIL import Image

from experiments.imaginarynet.sheets import (
    CELL,
    GAP,
    HEAD,
    KEPT,
    REJECTED,
    caption,
    class_sheet,
    fitted,
    plain_sheet,
    write_png,
)
from tests.imaginarynet.candidates import CLASSES, scored

COLORS = np.array([(200, 0, 0), (0, 200, 0), (0, 0, 200), (200, 200, 0)], np.uint8)


def color_of(row):
    return np.broadcast_to(COLORS[row.number], (8, 8, 3))


def middle(sheet, row, column, top=0):
    """The pixel in the middle of a cell."""
    return tuple(sheet[top + HEAD + row * (CELL + 18) + CELL // 2, GAP + column * (CELL + GAP) + CELL // 2])


def test_kept_pictures_stand_above_rejected_ones_each_by_number():
    rows = [scored(0, n, kept=n in (0, 2)) for n in (3, 2, 1, 0)]
    sheet = class_sheet(rows, CLASSES, color_of, columns=3)
    half = len(sheet) // 2
    assert [middle(sheet, 0, c) for c in range(2)] == [tuple(COLORS[0]), tuple(COLORS[2])]
    assert [middle(sheet, 0, c, half) for c in range(2)] == [tuple(COLORS[1]), tuple(COLORS[3])]
    frames = [tuple(sheet[top + HEAD, GAP + CELL // 2]) for top in (0, half)]
    assert frames == [KEPT, REJECTED]


def test_a_sheet_is_no_longer_than_asked_and_decodes_no_more_than_it_shows():
    seen = []

    def decode(row):
        seen.append(row.number)
        return np.zeros((4, 4, 3), np.uint8)

    class_sheet([scored(0, n) for n in range(50)], CLASSES, decode, columns=4, most_rows=2)
    assert seen == list(range(8))


def test_failed_candidates_have_no_place_on_a_sheet():
    row = scored(0, 0, status="failed", reason="not finite", kept=None)
    sheet = class_sheet([row], CLASSES, None)
    assert sheet.shape[0] == 2 * (HEAD + GAP)


@pytest.mark.parametrize(
    ("row", "text"),
    [
        (scored(0, 0), "0.80"),
        (scored(0, 0, kept=False), "traffic light 0.80"),
        (scored(0, 0, scores=None, top1=None), ""),
    ],
)
def test_a_caption_has_the_probability_and_names_another_class(row, text):
    assert caption(row, CLASSES) == text


@pytest.mark.parametrize(
    ("height", "width", "size"), [(64, 64, (92, 92)), (50, 100, (92, 46)), (512, 256, (46, 92))]
)
def test_a_picture_keeps_its_shape_in_its_cell(height, width, size):
    assert fitted(np.zeros((height, width, 3), np.uint8), 92).size == size


def test_a_sheet_is_written_as_it_is(tmp_path):
    sheet = plain_sheet("title", [color_of(scored(0, 1))])
    write_png(tmp_path / "sheets" / "mug.png", sheet)
    with Image.open(tmp_path / "sheets" / "mug.png") as image:
        np.testing.assert_array_equal(np.asarray(image), sheet)
