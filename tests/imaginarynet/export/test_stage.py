"""The stage `export`: every format from a finished filter, twice the same, whatever a kill left behind."""

import csv
import importlib.util
from dataclasses import replace

import pytest

from experiments.imaginarynet.config import ImaginaryNetConfig
from experiments.imaginarynet.config_sections import ExportConfig, ImagesConfig
from experiments.imaginarynet.export.stage import run
from experiments.imaginarynet.store.manifest import read_rows
from suite.errors import BadInput, Missing
from tests.imaginarynet.candidates import CLASSES, context, filter_stage, images_stage, queued
from tests.imaginarynet.export.test_formats import decided

FORMATS = ("voc", "coco", "unlabelled", "webdataset", "published")


def at_work(folder, *, formats=FORMATS, image_format="jpeg"):
    """The stage's context over two rounds: four candidates a class, then two more of the first class."""
    first = images_stage(
        folder, [queued(c, n) for c in range(3) for n in range(4)], image_format=image_format
    )
    second = images_stage(
        folder, [queued(0, n, round=2) for n in (4, 5)], name="images-2", image_format=image_format
    )
    found = filter_stage(folder, [decided(row) for row in (*first, *second)])
    config = ImaginaryNetConfig(
        classes=CLASSES, num=4, export=ExportConfig(formats=formats), images=ImagesConfig(format=image_format)
    )
    inputs = {"filter": found, "images": folder / "images", "images-2": folder / "images-2"}
    return context(folder, "export", config=config, inputs=inputs)


def files(ctx):
    return {p.relative_to(ctx.out).as_posix(): p.read_bytes() for p in ctx.out.rglob("*") if p.is_file()}


def test_pictures_of_all_rounds_are_in_every_format(tmp_path):
    ctx = at_work(tmp_path)
    run(ctx)
    assert {path.name for path in ctx.out.iterdir()} == {*FORMATS, "manifest.jsonl", "classes.csv"}
    kept = [row.candidate_id for row in read_rows(ctx.out / "manifest.jsonl") if row.kept]
    assert len(kept) == 11
    assert (ctx.out / "voc/ImageSets/Main/train.txt").read_text().split() == kept
    assert len(list((ctx.out / "published/image").iterdir())) == 11
    assert ctx.counts["pictures"] == 11
    assert ctx.counts["candidates"] == 14


def test_each_class_meets_its_quota_or_its_shortage_is_recorded_and_statuses_add_up(tmp_path):
    ctx = at_work(tmp_path)
    run(ctx)
    with (ctx.out / "classes.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["class_name"] for row in rows] == list(CLASSES)
    for row in rows:
        numbers = {key: int(value) for key, value in row.items() if key != "class_name"}
        assert numbers["failed"] + numbers["rejected"] + numbers["kept"] == numbers["candidates"]
        assert numbers["kept"] >= numbers["quota"] or (
            numbers["shortage"] == numbers["quota"] - numbers["kept"]
        )
    assert [(row["candidates"], row["kept"], row["shortage"], row["rounds"]) for row in rows] == [
        ("6", "5", "0", "2"),
        ("4", "3", "1", "1"),
        ("4", "3", "1", "1"),
    ]
    assert ctx.warnings == [
        "2 of 3 classes have fewer pictures than asked for: traffic light 3 of 4, lemon 3 of 4"
    ]


def test_what_a_kill_left_changes_nothing(tmp_path):
    ctx = at_work(tmp_path)
    run(ctx)
    first = files(ctx)
    (ctx.out / "voc" / "JPEGImages" / "00009-000000.jpg").write_bytes(b"of another time")
    (ctx.out / "coco" / "annotations" / "instances_train.json").unlink()
    run(ctx)
    assert files(ctx) == first


def test_a_class_list_that_is_too_short_is_an_error(tmp_path):
    ctx = at_work(tmp_path)
    ctx.config = replace(ctx.config, classes=CLASSES[:2])
    with pytest.raises(BadInput, match="not in the list"):
        run(ctx)


def test_pictures_of_a_stage_that_was_not_given_are_an_error(tmp_path):
    ctx = at_work(tmp_path)
    del ctx.inputs["images-2"]
    with pytest.raises(BadInput, match="name the folder of `images-2`"):
        run(ctx)


def test_png_in_a_voc_folder_is_said(tmp_path):
    ctx = at_work(tmp_path, formats=("voc",), image_format="png")
    run(ctx)
    assert any("PNG" in text for text in ctx.warnings)


@pytest.mark.skipif(importlib.util.find_spec("pyarrow") is not None, reason="pyarrow is installed")
def test_parquet_without_its_package_is_said_before_anything_is_written(tmp_path):
    ctx = at_work(tmp_path, formats=("voc", "parquet"))
    with pytest.raises(Missing, match="pyarrow"):
        run(ctx)
    assert files(ctx) == {}
