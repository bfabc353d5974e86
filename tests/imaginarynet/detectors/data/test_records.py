"""Records: the type of a picture says what training may know of it."""

import dataclasses
import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from experiments.imaginarynet.detectors.data.records import (
    RECORD_OF,
    Boxed,
    ImageLabelled,
    Source,
    Unlabelled,
    picture_digest,
    read_picture,
)
from suite.errors import BadInput

COMMON = {"id": 0, "file": Path("a.png"), "width": 4, "height": 3, "source": "real"}
RECORDS = {
    "image": ImageLabelled(**COMMON, labels=frozenset({1})),
    "boxes": Boxed(**COMMON, boxes=np.zeros((0, 4)), labels=np.zeros(0), difficult=np.zeros(0, bool)),
    "none": Unlabelled(**COMMON),
}


def test_only_the_level_with_boxes_has_a_field_for_them():
    fields = {level: {field.name for field in dataclasses.fields(kind)} for level, kind in RECORD_OF.items()}
    assert fields["image"] - fields["none"] == {"labels"}
    assert fields["boxes"] - fields["none"] == {"boxes", "labels", "difficult"}
    assert fields["none"] == set(COMMON)


@pytest.mark.parametrize("level", RECORDS)
@pytest.mark.parametrize("other", RECORDS)
def test_a_source_takes_records_of_its_level_alone(level, other):
    if level == other:
        assert len(Source("real", level, ("mug",), (RECORDS[other],))) == 1
    else:
        with pytest.raises(ValueError, match=f"level '{level}'"):
            Source("real", level, ("mug",), (RECORDS[other],))


def test_the_digest_is_that_of_the_file_and_a_missing_file_is_one_line(tmp_path):
    (tmp_path / "a.png").write_bytes(b"abc")
    assert picture_digest(tmp_path / "a.png") == hashlib.sha256(b"abc").hexdigest()
    for read in (picture_digest, read_picture):
        with pytest.raises(BadInput, match="no such picture"):
            read(tmp_path / "b.png")


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "CMYK"])
def test_pictures_of_any_mode_are_read_as_rgb(tmp_path, mode):
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    Image.new("RGB", (5, 3), (255, 255, 255)).convert(mode).save(path)
    pixels = read_picture(path)
    assert pixels.shape == (3, 5, 3) and pixels.dtype == np.uint8 and pixels.min() == 255


def test_a_picture_cut_short_is_one_line(tmp_path):
    path = tmp_path / "a.jpg"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(BadInput, match="does not decode"):
        read_picture(path)
