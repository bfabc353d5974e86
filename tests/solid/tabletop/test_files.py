"""The shipped files of assets/tabletop: whole, small, and in agreement with each other."""

from __future__ import annotations

import io
import re
from collections import Counter
from functools import cache

import numpy as np
import pytest
from PIL import Image

from assets.make.tabletop_plan import CONFIG, config_digest
from assets.make.tabletop_set import COMMAND, DESCRIPTION, JPEG_QUALITY, MAX_BYTES
from assets.make.tabletop_sheet import MAX_BYTES as MAX_SHEET_BYTES
from experiments.solid.config import SolidConfig
from suite.config import load_config
from suite.datasets import CocoSet, read_coco
from suite.datasets.coco import read_json
from suite.datasets.rle import rle_pixels
from suite.datasets.tabletop import LISTING, TABLETOP, TABLETOP_SPLITS, tabletop_path
from suite.errors import BadInput, Missing
from suite.manifest import file_digest

SPLITS = tuple(TABLETOP_SPLITS)
WORDS = {"a": 1, "two": 2, "three": 3, "four": 4, "five": 5}
BESIDE = {"README.md", LISTING, "contact_sheet.jpg"}  # files that the listing does not name


@cache
def listing() -> dict:
    return read_json(TABLETOP / LISTING)


@cache
def read(split: str) -> CocoSet:
    json_path, images_dir = tabletop_path(split)
    return read_coco(json_path, images_dir=images_dir, deep=True, box_tolerance=0.0)


def masks(split: str, image_id: int) -> list[np.ndarray]:
    return [rle_pixels(row.segmentation) for row in read(split).annotations_by_image[image_id]]


def counted(caption: str) -> tuple[Counter[str], str]:
    """The things of a caption by class name, and its floor."""
    things, floor = re.fullmatch(r"(.*) on a ([a-z]+) floor", caption).groups()
    found = Counter()
    for part in re.split(r", | and ", things):
        number, _, name = part.partition(" ")
        name = re.sub(r"^(loaf|loaves) of bread$", "bread", name)
        found[name if WORDS[number] == 1 or name == "bread" else name.removesuffix("s")] += WORDS[number]
    return found, floor


def test_every_file_has_the_recorded_digest_and_nothing_else_lies_there():
    there = {p.relative_to(TABLETOP).as_posix(): file_digest(p) for p in TABLETOP.rglob("*") if p.is_file()}
    assert {name: digest for name, digest in there.items() if name not in BESIDE} == listing()["files"]
    assert set(there) >= BESIDE


def test_the_set_and_its_sheet_stay_small():
    size = sum((TABLETOP / name).stat().st_size for name in listing()["files"])
    assert size == listing()["bytes"] <= MAX_BYTES == 8_000_000
    assert (TABLETOP / "contact_sheet.jpg").stat().st_size <= MAX_SHEET_BYTES == 150_000


@pytest.mark.parametrize("split", SPLITS)
def test_the_listing_counts_what_is_there(split):
    coco, row = read(split), listing()["splits"][split]
    assert len(coco.images) == row["pictures"] == TABLETOP_SPLITS[split]
    assert len(coco.annotations) == row["objects"]
    names = Counter(coco.category_by_id[a.category_id].name for a in coco.annotations)
    assert dict(names) == row["classes"]


def test_the_listing_names_the_settings_that_made_the_set():
    assert listing()["config_sha256"] == config_digest(load_config(SolidConfig, CONFIG))
    assert listing()["command"] == COMMAND
    assert "stand-in" in listing()["description"]


@pytest.mark.parametrize("split", SPLITS)
def test_classes_are_few_named_alike_in_every_split_and_about_equally_frequent(split):
    names = [category.name for category in read(split).categories]
    assert names == sorted(listing()["classes"])
    assert 8 <= len(names) <= 10
    assert all(1 <= len(meshes) <= 2 for meshes in listing()["classes"].values())
    counts = np.array(list(listing()["splits"][split]["classes"].values()))
    assert counts.max() <= 2 * counts.min()


@pytest.mark.parametrize("split", SPLITS)
def test_boxes_and_areas_are_those_of_the_masks(split):
    for row in read(split).annotations:
        mask = rle_pixels(row.segmentation)
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        x, y = columns[0], rows[0]
        assert row.box_xywh == (x, y, columns[-1] - x + 1, rows[-1] - y + 1)
        assert row.area == mask.sum()
        assert not row.iscrowd


@pytest.mark.parametrize("split", SPLITS)
def test_no_two_masks_share_a_pixel(split):
    for image in read(split).images:
        assert np.sum(masks(split, image.id), axis=0, dtype=int).max() == 1


@pytest.mark.parametrize("split", SPLITS)
def test_captions_name_the_annotated_objects_and_nothing_else(split):
    coco = read(split)
    for image in coco.images:
        rows = coco.annotations_by_image[image.id]
        names = Counter(coco.category_by_id[row.category_id].name for row in rows)
        assert counted(image.extra["caption"])[0] == names, image.file_name


@pytest.mark.parametrize("split", SPLITS)
def test_objects_are_large_enough_to_be_learnt_and_mostly_visible(split):
    for image in read(split).images:
        rows = read(split).annotations_by_image[image.id]
        assert 2 <= len(rows) <= 5
        for row in rows:
            assert min(row.box_xywh[2:]) >= 10
            assert row.area >= 120
            assert 0.45 <= row.extra["visibility"] <= 1
    longest = [max(row.box_xywh[2:]) for row in read(split).annotations]
    assert np.mean([20 <= side <= 90 for side in longest]) > 0.9


@pytest.mark.parametrize("split", SPLITS)
def test_pictures_are_jpegs_of_one_size_neither_dark_nor_burnt_out(split):
    means = []
    for image in read(split).images:
        assert (image.width, image.height) == (192, 144)
        with Image.open(tabletop_path(split)[1] / image.file_name) as picture:
            assert picture.format == "JPEG"
            means.append(np.asarray(picture).mean())
    assert 90 <= np.mean(means) <= 165
    assert min(means) > 40
    assert max(means) < 225


def test_no_picture_occurs_twice():
    digests = [digest for name, digest in listing()["files"].items() if name.startswith("images/")]
    assert len(set(digests)) == len(digests) == 700


@pytest.mark.parametrize("split", SPLITS)
def test_every_picture_names_a_licence_of_the_file(split):
    coco = read(split)
    known = {row["id"] for row in coco.info["licenses"]}
    assert all(image.extra["license"] in known for image in coco.images)
    assert coco.info["info"] == {"description": DESCRIPTION, "split": split}


def test_pictures_have_the_stated_jpeg_quality():
    reference = io.BytesIO()
    Image.new("RGB", (16, 16)).save(reference, format="JPEG", quality=JPEG_QUALITY)
    with Image.open(reference) as wanted:
        for split in SPLITS:
            with Image.open(tabletop_path(split)[1] / "000001.jpg") as picture:
                assert picture.quantization == wanted.quantization
    assert JPEG_QUALITY == 90


def test_an_unknown_split_and_missing_files_are_said_in_one_line(tmp_path):
    with pytest.raises(BadInput, match="no split 'dev'; choose one of train, val, test"):
        tabletop_path("dev")
    with pytest.raises(Missing, match=r"val\.json: .*git checkout assets/tabletop"):
        tabletop_path("val", root=tmp_path)
    (tmp_path / "val.json").write_text("{}")
    with pytest.raises(Missing, match="images/val"):
        tabletop_path("val", root=tmp_path)
