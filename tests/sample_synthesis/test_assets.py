"""The embedded stand-ins: whole, small, apart from each other, and drawn again by the code that is here."""

from __future__ import annotations

import json
from functools import cache
from hashlib import sha256

import numpy as np
import pytest
from PIL import Image

from assets.make import sample_synthesis_birds as birds
from assets.make import sample_synthesis_cars as cars
from assets.make.sample_synthesis_codes import CAPACITY, draw_all, unpack
from assets.make.sample_synthesis_designs import CELLS, cell_of
from assets.make.sample_synthesis_plan import CODES, LISTING, SETS, SHIPPED, file_name, folder_of, pictures
from suite.datasets import CocoSet, read_coco

SCENES = [(name, split) for name, one in SETS.items() if one.scenes for split in one.splits]
CUTOUTS = [name for name, one in SETS.items() if not one.scenes]
MODULES = {"bird": birds, "car": cars}
MAX_TOTAL_BYTES = 4_800_000


@cache
def listing() -> dict:
    return json.loads((SHIPPED / LISTING).read_text())["sets"]


@cache
def coco(name: str, split: str) -> CocoSet:
    folder = SHIPPED / name
    return read_coco(folder / f"{split}.json", images_dir=folder / "images", deep=True, box_tolerance=0.0)


@cache
def codes() -> dict[str, list[list[dict]]]:
    return json.loads(CODES.read_text())


def digests(name: str) -> dict[str, str]:
    """SHA-256 of the pictures of a set by `split/index`."""
    found = {}
    for _, split, index in pictures((name,)):
        path = SHIPPED / folder_of(name) / file_name(name, split, index)
        found[f"{split}/{index}"] = sha256(path.read_bytes()).hexdigest()
    return found


@pytest.mark.parametrize(("name", "split"), SCENES)
def test_a_split_has_its_pictures_and_every_one_shows_a_box(name, split):
    found = coco(name, split)
    assert len(found.images) == SETS[name].splits[split]
    assert {(image.width, image.height) for image in found.images} == {SETS[name].resolution}
    assert [category.name for category in found.categories] == [SETS[name].label]
    assert all(found.annotations_by_image[image.id] for image in found.images)
    counted = listing()[name]["splits"][split]
    assert counted == {"pictures": len(found.images), "objects": len(found.annotations)}


@pytest.mark.parametrize(("name", "split"), SCENES)
def test_boxes_lie_inside_are_large_enough_and_their_objects_mostly_in_sight(name, split):
    width, height = SETS[name].resolution
    for row in coco(name, split).annotations:
        x, y, w, h = row.box_xywh
        assert x >= 0 and y >= 0 and x + w <= width + 0.01 and y + h <= height + 0.01
        assert min(w, h) >= 12 - 0.01
        assert row.extra["visibility"] >= 0.7


@pytest.mark.parametrize("name", SETS)
def test_no_picture_is_in_a_set_twice(name):
    found = digests(name)
    assert len(set(found.values())) == len(found) == sum(SETS[name].splits.values())


@pytest.mark.parametrize("name", SETS)
def test_the_listing_has_the_digest_of_every_file_and_the_set_keeps_its_budget(name):
    rows = listing()[name]["files"]
    folder = SHIPPED / folder_of(name)
    there = {path.relative_to(SHIPPED).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert set(rows) == there
    for path, digest in rows.items():
        assert sha256((SHIPPED / path).read_bytes()).hexdigest() == digest, path
    size = sum((SHIPPED / path).stat().st_size for path in rows)
    assert size == listing()[name]["bytes"] <= SETS[name].max_bytes


def test_all_stand_ins_together_keep_their_budget():
    assert sum(p.stat().st_size for p in SHIPPED.rglob("*") if p.is_file()) < MAX_TOTAL_BYTES


@pytest.mark.parametrize("name", CUTOUTS)
def test_cut_outs_are_transparent_around_an_object_that_fills_them(name):
    for _, split, index in pictures((name,)):
        with Image.open(SHIPPED / folder_of(name) / file_name(name, split, index)) as picture:
            assert picture.mode == "RGBA"
            pixels = np.asarray(picture)
        assert pixels.shape == (*SETS[name].resolution[::-1], 4)
        alpha = pixels[..., 3]
        border = np.concatenate([alpha[0], alpha[-1], alpha[:, 0], alpha[:, -1]])
        assert border.max() < 16  # the reach of the pixel filter
        rows, columns = np.nonzero(alpha > 127)
        assert max(np.ptp(rows), np.ptp(columns)) > 0.7 * alpha.shape[0]
        assert 0.02 < (alpha > 127).mean() < 0.8
        assert pixels[alpha == 0].max() == 0


def designs(name: str) -> list[dict]:
    """Every design that a set shows."""
    return [design for split in listing()[name]["designs"].values() for shown in split for design in shown]


@pytest.mark.parametrize("label", MODULES)
def test_what_is_pasted_shares_no_palette_and_no_proportion_with_what_stands_in_scenes(label):
    pasted, standing = designs(label), designs(f"{label}_scenes")
    assert len(pasted) == 60
    assert len(standing) >= 120
    assert not {one["palette"] for one in pasted} & {one["palette"] for one in standing}
    kinds = MODULES[label].KINDS
    for side, found in ((0, pasted), (1, standing)):
        for design in found:
            limits = kinds[design["kind"]]
            assert set(limits) == set(design["values"])
            cells = {name: cell_of(value, *limits[name]) for name, value in design["values"].items()}
            assert all(cell % 2 == side and 0 <= cell < 2 * CELLS for cell in cells.values()), design


@pytest.mark.parametrize("label", MODULES)
def test_no_two_pictures_show_the_same_bird_or_car(label):
    found = [json.dumps(one, sort_keys=True) for name in (label, f"{label}_scenes") for one in designs(name)]
    assert len(set(found)) == len(found)


def test_every_palette_and_kind_that_was_drawn_is_one_of_the_tables():
    for label, module in MODULES.items():
        for design in designs(label) + designs(f"{label}_scenes"):
            assert 0 <= design["palette"] < len(module.PALETTES)
            assert design["kind"] in module.KINDS


def test_the_boxes_of_a_qr_picture_are_those_of_its_codes():
    for split, listed in codes().items():
        found = coco("qr_photos", split)
        for number, expected in enumerate(listed, start=1):
            shown = [row.extra["payload"] for row in found.annotations_by_image[number]]
            assert shown == [code["payload"] for code in expected]


def test_no_payload_is_shown_twice():
    payloads = [code["payload"] for listed in codes().values() for shown in listed for code in shown]
    assert len(set(payloads)) == len(payloads)


def test_codes_are_symbols_of_their_version_with_three_finder_patterns():
    finder = np.pad(np.pad(np.ones((3, 3), bool), 1), 1, constant_values=True)
    for listed in codes().values():
        for code in (code for shown in listed for code in shown):
            modules = unpack(code)
            assert modules.shape == (17 + 4 * code["version"],) * 2
            assert 1 <= code["version"] <= 9
            assert CAPACITY[code["version"] - 1] < len(code["payload"]) <= CAPACITY[code["version"]]
            for corner in (modules[:7, :7], modules[:7, -7:], modules[-7:, :7]):
                assert (corner == finder).all()


def test_the_codes_drawn_again_are_the_shipped_ones():
    pytest.importorskip("segno", reason="needs the TensorFlow toolchain")
    assert draw_all() == codes()


@pytest.mark.parametrize("split", SETS["qr_photos"].splits)
def test_a_code_is_darker_and_busier_inside_its_box_than_a_blank(split):
    found = coco("qr_photos", split)
    for image in found.images:
        with Image.open(SHIPPED / "qr_photos" / "images" / image.file_name) as picture:
            grey = np.asarray(picture.convert("L"), dtype=float)
        for row in found.annotations_by_image[image.id]:
            x, y, w, h = (round(value) for value in row.box_xywh)
            assert grey[y : y + h, x : x + w].std() > 10


def test_a_qr_reader_reads_a_share_of_the_pictures():
    cv2 = pytest.importorskip("cv2", reason="needs OpenCV")
    read = total = 0
    reader = cv2.QRCodeDetector()
    found = coco("qr_photos", "valid")
    for image in found.images:
        pixels = cv2.imread(str(SHIPPED / "qr_photos" / "images" / image.file_name))
        for row in found.annotations_by_image[image.id]:
            x, y, w, h = row.box_xywh
            margin = 0.15 * max(w, h)
            crop = pixels[
                max(0, int(y - margin)) : int(y + h + margin), max(0, int(x - margin)) : int(x + w + margin)
            ]
            larger = cv2.resize(crop, None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC)
            read += reader.detectAndDecode(larger)[0] == row.extra["payload"]
            total += 1
    assert read >= 0.1 * total
