"""Exports: what is kept and nothing else, true sizes, boxes marked as none, and readers that agree."""

import io
import json
import os
import tarfile
import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from experiments.imaginarynet.export.coco import write_labelled, write_unlabelled
from experiments.imaginarynet.export.published import write_published
from experiments.imaginarynet.export.source import Source, hidden_name
from experiments.imaginarynet.export.voc import write_voc
from experiments.imaginarynet.export.webdataset import write_webdataset
from experiments.imaginarynet.store.pictures import Pictures, decode
from suite.datasets import read_coco, read_voc
from tests.imaginarynet.candidates import CLASSES, images_stage, queued, scored

LABELS = ("mug", "trafficlight", "lemon")
REJECTED = ((0, 1), (2, 2))
FAILED = (1, 3)


def decided(row):
    """What a filter could have made of a row."""
    if (row.class_id, row.number) == FAILED:
        blank = {"path": "", "sha256": "", "width": 0, "height": 0}
        return replace(row, status="failed", reason="not finite", **blank)
    kept = (row.class_id, row.number) not in REJECTED
    opinion = scored(row.class_id, row.number, kept=kept)
    return replace(
        row, status=opinion.status, kept=kept, scores=opinion.scores, top1=opinion.top1,
        p_label=opinion.p_label, decision=opinion.decision,
    )  # fmt: skip


def source(folder, *, num=4, size=(6, 8), image_format="jpeg", **settings):
    """Three classes of `num` candidates: two were rejected, one failed."""
    rows = [queued(class_id, number) for class_id in range(3) for number in range(num)]
    done = images_stage(folder, rows, size=size, image_format=image_format)
    pictures = Pictures([folder / "images"])
    return Source(
        class_names=CLASSES, rows=[decided(row) for row in reversed(done)], pictures=pictures,
        split="train", **settings,
    )  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("export")
    return source(folder), folder


def kept_ids(of):
    return [row.candidate_id for row in of.rows if row.kept]


# --- VOC ---


@pytest.fixture(scope="module")
def voc(made):
    assert write_voc(made[0], made[1] / "voc") == 9
    return made[1] / "voc"


def test_voc_is_read_and_its_pictures_decode_to_their_recorded_size(voc):
    found = read_voc(voc, split="train", classes=LABELS, deep=True, box_tolerance=0)
    assert len(found.images) == 9
    assert {(image.width, image.height) for image in found.images} == {(8, 6)}
    assert {a.box_xywh for a in found.annotations} == {(0, 0, 8, 6)}  # 1,1,8,6 in the file
    assert not any(a.ignore or a.truncated for a in found.annotations)


def test_voc_boxes_count_from_1_and_the_level_is_marked(voc, made):
    root = ET.parse(voc / "Annotations" / "00001-000002.xml").getroot()
    box = {key: root.findtext(f"object/bndbox/{key}") for key in ("xmin", "ymin", "xmax", "ymax")}
    assert box == {"xmin": "1", "ymin": "1", "xmax": "8", "ymax": "6"}
    assert (root.findtext("level"), root.findtext("source/image")) == ("image", "dalle-mini")
    assert root.findtext("object/name") == "trafficlight"
    assert root.findtext("filename") == "00001-000002.jpg"
    assert [root.findtext(f"size/{key}") for key in ("width", "height", "depth")] == ["8", "6", "3"]


def test_voc_image_sets_are_complete_and_each_picture_is_of_exactly_its_class(voc, made):
    sets = voc / "ImageSets" / "Main"
    assert (sets / "train.txt").read_text().split() == kept_ids(made[0])
    assert {path.name for path in sets.iterdir()} == {"train.txt", *(f"{n}_train.txt" for n in LABELS)}
    for index, label in enumerate(LABELS):
        signs = dict(line.split() for line in (sets / f"{label}_train.txt").read_text().splitlines())
        assert list(signs) == kept_ids(made[0])
        assert {name for name, sign in signs.items() if sign == "1"} == {
            name for name in kept_ids(made[0]) if name.startswith(f"{index:05d}-")
        }
        assert set(signs.values()) == {"1", "-1"}


def test_a_picture_of_512_pixels_is_recorded_as_one(tmp_path):
    write_voc(source(tmp_path, num=1, size=(512, 512)), tmp_path / "voc")
    found = read_voc(tmp_path / "voc", split="train", deep=True)
    assert {(image.width, image.height) for image in found.images} == {(512, 512)}
    assert {a.box_xywh for a in found.annotations} == {(0, 0, 512, 512)}


def test_a_picture_of_several_labels_has_them_all(tmp_path):
    of = source(tmp_path, num=1)
    of.kept[0] = replace(of.kept[0], labels=(0, 2))
    write_voc(of, tmp_path / "voc")
    write_labelled(of, tmp_path / "coco")
    root = ET.parse(tmp_path / "voc" / "Annotations" / "00000-000000.xml").getroot()
    assert [node.text for node in root.findall("object/name")] == ["mug", "lemon"]
    assert "00000-000000  1" in (tmp_path / "voc/ImageSets/Main/lemon_train.txt").read_text()
    found = read_coco(tmp_path / "coco" / "annotations" / "instances_train.json")
    assert [a.category_id for a in found.annotations_by_image[1]] == [1, 3]


# --- COCO ---


@pytest.fixture(scope="module")
def coco(made):
    assert write_labelled(made[0], made[1] / "coco") == 9
    return made[1] / "coco"


def test_coco_is_read_with_every_picture_and_says_what_its_labels_mean(coco):
    path = coco / "annotations" / "instances_train.json"
    found = read_coco(path, images_dir=coco / "train", deep=True, box_tolerance=0)
    assert [image.id for image in found.images] == list(range(1, 10))
    assert [category.name for category in found.categories] == list(CLASSES)
    assert {a.extra["label_level"] for a in found.annotations} == {"image"}
    assert {image.extra["source"] for image in found.images} == {"imaginary"}
    assert found.info["info"]["label_level"] == "image"
    for annotation in found.annotations:
        image = found.image_by_id[annotation.image_id]
        assert annotation.box_xywh == (0, 0, image.width, image.height)
        assert annotation.area == image.width * image.height
        assert image.file_name.startswith(f"{annotation.category_id - 1:05d}-")


def test_pycocotools_reads_the_set(coco):
    tools = pytest.importorskip("pycocotools.coco")
    found = tools.COCO(str(coco / "annotations" / "instances_train.json"))
    assert len(found.getImgIds()) == len(found.getAnnIds()) == 9
    for category, count in ((1, 3), (2, 3), (3, 3)):
        assert len(found.getImgIds(catIds=[category])) == count
    mask = found.annToMask({**found.loadAnns([1])[0], "segmentation": [[0, 0, 8, 0, 8, 6, 0, 6]]})
    assert mask.sum() == found.loadAnns([1])[0]["area"] == 48


# --- unlabelled ---


def test_an_unlabelled_set_has_all_pictures_and_nothing_that_tells_their_class(made):
    of, folder = made
    assert write_unlabelled(of, folder / "unlabelled") == 9
    path = folder / "unlabelled" / "annotations" / "image_info_train.json"
    found = read_coco(path, images_dir=folder / "unlabelled" / "train", deep=True, require_annotations=False)
    assert found.annotations == ()
    names = [image.file_name for image in found.images]
    assert names == sorted(names)
    assert sorted(names) == sorted(hidden_name(row) for row in of.kept)
    text = path.read_text()
    assert not any(row.candidate_id in text or row.prompt in text for row in of.rows)
    by_name = {hidden_name(row): row.class_id for row in of.kept}
    order = [by_name[name] for name in names]
    assert order != sorted(order)


# --- WebDataset ---


def grouped(path):
    """{key: {ending: bytes}} of a tar: WebDataset groups consecutive members by what precedes the dot."""
    samples, last = {}, None
    with tarfile.open(path) as archive:
        for member in archive:
            key, _, ending = member.name.partition(".")
            assert key == last or key not in samples
            samples.setdefault(key, {})[ending] = archive.extractfile(member).read()
            last = key
    return samples


def test_webdataset_samples_have_picture_class_and_row(made):
    of, folder = made
    assert write_webdataset(of, folder / "webdataset", per_tar=4) == 9
    tars = sorted((folder / "webdataset").iterdir())
    assert [path.name for path in tars] == [f"train-{n:06d}.tar" for n in range(3)]
    samples = {key: value for path in tars for key, value in grouped(path).items()}
    assert list(samples) == kept_ids(of)
    rows = {row.candidate_id: row for row in of.kept}
    for key, sample in samples.items():
        tree = json.loads(sample["json"])
        assert sample.keys() == {"jpg", "cls", "json"}
        assert int(sample["cls"]) == rows[key].class_id
        assert tree["labels"] == [LABELS[rows[key].class_id]]
        assert (tree["label_level"], tree["source"]) == ("image", "imaginary")
        assert (tree["prompt"], tree["seed"]) == (rows[key].prompt, rows[key].seed)
        np.testing.assert_array_equal(decode(sample["jpg"], file=key), of.pictures.decode(rows[key]))


def test_a_set_without_pictures_is_one_empty_tar(tmp_path):
    of = source(tmp_path, num=1)
    of.kept.clear()
    assert write_webdataset(of, tmp_path / "webdataset") == 0
    assert [grouped(path) for path in (tmp_path / "webdataset").iterdir()] == [{}]


# --- Parquet ---


def test_parquet_has_a_row_per_picture_with_its_file(made):
    pq = pytest.importorskip("pyarrow.parquet")
    from experiments.imaginarynet.export.parquet import write_parquet

    of, folder = made
    assert write_parquet(of, folder / "parquet", per_group=4) == 9
    rows = pq.read_table(folder / "parquet" / "train.parquet").to_pylist()
    assert [row["candidate_id"] for row in rows] == kept_ids(of)
    for row, kept in zip(rows, of.kept, strict=True):
        with Image.open(io.BytesIO(row["image"]["bytes"])) as opened:
            assert opened.size == (kept.width, kept.height) == (row["width"], row["height"])
        assert (row["seed"], row["prompt"], row["label_level"]) == (kept.seed, kept.prompt, "image")
        assert row["labels"] == [LABELS[kept.class_id]]
        np.testing.assert_allclose(row["scores"], kept.scores, rtol=1e-6)


# --- as published ---


def test_the_published_layout_has_every_prompt_and_numbers_the_kept_pictures(made):
    of, folder = made
    assert write_published(of, folder / "published") == 9
    out = folder / "published"
    lines = (out / "prompt.txt").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 12
    assert lines[5] == "A photo of traffic light number 1\ttrafficlight"
    stems = [f"{number:06d}" for number in range(9)]
    assert sorted(path.stem for path in (out / "image").iterdir()) == stems
    assert sorted(path.stem for path in (out / "annotation").iterdir()) == stems
    for stem, row in zip(stems, of.kept, strict=True):
        root = ET.parse(out / "annotation" / f"{stem}.xml").getroot()
        assert (root.findtext("folder"), root.findtext("filename")) == ("PseudoWSODv1", f"{stem}.jpg")
        assert root.findtext("object/name") == LABELS[row.class_id]
        assert root.findtext("size/width") == "8"
        assert (out / "image" / f"{stem}.jpg").read_bytes() == of.pictures.read(row)


def test_pictures_that_share_a_prompt_have_one_line_of_it(tmp_path):
    of = source(tmp_path, num=4, samples_per_prompt=2)
    write_published(of, tmp_path / "published")
    lines = (tmp_path / "published" / "prompt.txt").read_text().splitlines()
    assert [line.split("\t")[0][-1] for line in lines] == ["0", "2"] * 3


# --- files ---


def test_formats_share_one_file_of_a_picture_unless_they_are_to_copy_it(tmp_path):
    for hard_links, links in ((True, 3), (False, 1)):
        of = source(tmp_path / str(hard_links), num=1, hard_links=hard_links)
        out = tmp_path / str(hard_links)
        write_voc(of, out / "voc")
        write_labelled(of, out / "coco")
        write_unlabelled(of, out / "unlabelled")
        files = [path for format in ("voc", "coco", "unlabelled") for path in (out / format).rglob("*.jpg")]
        assert len(files) == 9
        assert {os.stat(path).st_nlink for path in files} == {links}
        assert len({path.read_bytes() for path in files}) == 3


def test_where_the_disk_has_no_hard_links_files_are_copied(tmp_path, monkeypatch):
    def refused(*_):
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    of = source(tmp_path, num=1)
    write_voc(of, tmp_path / "voc")
    write_labelled(of, tmp_path / "coco")
    assert len(list((tmp_path / "coco" / "train").iterdir())) == 3


def test_png_pictures_keep_their_ending_and_pixels(tmp_path):
    of = source(tmp_path, num=1, image_format="png")
    write_voc(of, tmp_path / "voc")
    found = read_voc(tmp_path / "voc", split="train", deep=True)
    assert [image.file_name for image in found.images] == [f"0000{n}-000000.png" for n in range(3)]


def test_exports_are_the_same_bytes_whatever_the_order_of_the_rows(tmp_path):
    def files(folder, rows_of):
        of = source(folder)
        of = Source(class_names=CLASSES, rows=rows_of(of.rows), pictures=of.pictures, split="train")
        for write in (write_voc, write_labelled, write_unlabelled, write_webdataset, write_published):
            write(of, folder / "out" / write.__name__)
        root = folder / "out"
        return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}

    assert files(tmp_path / "a", list) == files(tmp_path / "b", lambda rows: rows[::-1])
