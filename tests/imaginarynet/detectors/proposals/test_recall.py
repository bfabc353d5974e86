"""Recall of proposals: by hand, by its invariants, and on the embedded target set."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from experiments.imaginarynet.config_detectors import ProposalsConfig
from experiments.imaginarynet.detectors.data.records import picture_digest, read_picture
from experiments.imaginarynet.detectors.proposals.book import ProposalBook, write_book
from experiments.imaginarynet.detectors.proposals.recall import (
    best_overlaps,
    recall_plot,
    recall_rows,
    write_recall,
)
from experiments.imaginarynet.detectors.proposals.records import Proposals
from experiments.imaginarynet.detectors.proposals.search import selective_search
from suite.datasets import CocoAnnotation, CocoCategory, CocoImage, CocoSet, read_coco
from suite.datasets.tabletop import tabletop_path
from suite.tables import read_csv
from tests.imaginarynet.detectors.proposals.shapes import proposals


def one_picture(folder: Path, boxes, found, **flags):
    """A set of one 32 x 32 picture with these objects (x, y, w, h), and the book of its proposals."""
    Image.new("RGB", (32, 32)).save(folder / "a.png")
    rows = tuple(
        CocoAnnotation(id=n, image_id=1, category_id=1, box_xywh=box, area=box[2] * box[3], **flags)
        for n, box in enumerate(boxes, 1)
    )
    coco = CocoSet((CocoImage(1, "a.png", 32, 32),), rows, (CocoCategory(1, "mug"),))
    write_book(folder, {picture_digest(folder / "a.png"): found})
    return coco, ProposalBook.open(folder)


def test_an_object_is_found_from_the_rank_and_up_to_the_iou_of_its_best_box(tmp_path):
    found = proposals((0, 0, 4, 4), (0, 0, 10, 6), (0, 0, 10, 10))  # IoU 0.16, 0.6, 1 with the object
    coco, book = one_picture(tmp_path, [(0, 0, 10, 10), (20, 20, 5, 5)], found)
    overlaps = best_overlaps(book, coco, tmp_path, numbers=(1, 2, 3, 10))
    np.testing.assert_allclose(overlaps.best, [[0.16, 0.6, 1, 1], [0, 0, 0, 0]])
    assert [overlaps.recall(0.5, n) for n in (1, 2, 3, 10)] == [0, 0.5, 0.5, 0.5]
    assert overlaps.recall(0.7, 2) == 0


@pytest.mark.parametrize("flag", ["iscrowd", "ignore"])
def test_crowds_and_difficult_objects_do_not_count(tmp_path, flag):
    coco, book = one_picture(tmp_path, [(0, 0, 10, 10)], proposals((0, 0, 10, 10)), **{flag: True})
    overlaps = best_overlaps(book, coco, tmp_path)
    assert len(overlaps.best) == 0
    assert overlaps.recall(0.5, 10) is None


def test_a_picture_without_proposals_finds_none_of_its_objects(tmp_path):
    coco, book = one_picture(tmp_path, [(0, 0, 10, 10)], proposals())
    assert best_overlaps(book, coco, tmp_path).recall(0.5, 3000) == 0


@given(
    boxes=st.lists(st.tuples(*[st.integers(0, 20)] * 2, *[st.integers(1, 12)] * 2), min_size=1, max_size=6),
    seed=st.integers(0, 99),
)
@settings(deadline=None, max_examples=20)
def test_recall_never_falls_with_more_boxes_nor_rises_with_the_iou(boxes, seed, tmp_path_factory):
    folder = tmp_path_factory.mktemp("recall")
    corner = np.random.default_rng(seed).integers(0, 20, (40, 2))
    found = Proposals.of(np.concatenate([corner, corner + 8], axis=1))
    coco, book = one_picture(folder, boxes, found)
    rows = recall_rows(best_overlaps(book, coco, folder))
    table = {(row["iou"], row["proposals"]): row["recall"] for row in rows}
    for (iou, number), value in table.items():
        assert all(value <= other for (i, n), other in table.items() if i <= iou and n >= number)


def test_the_plot_reads_what_was_written(tmp_path):
    coco, book = one_picture(tmp_path, [(0, 0, 10, 10)], proposals((0, 0, 10, 9)))
    write_recall(tmp_path / "recall.csv", best_overlaps(book, coco, tmp_path))
    rows = read_csv(tmp_path / "recall.csv")
    assert {row["recall"] for row in rows if row["iou"] == "0.9"} == {"1.0"}
    page = str(recall_plot(rows))
    assert "<svg" in page and "IoU 0.5" in page


@pytest.mark.parametrize("side", [144, 192])
def test_the_embedded_target_is_covered_by_the_search_at_these_sides(side, tmp_path):
    pytest.importorskip("cv2", reason="OpenCV is part of the PyTorch toolchain")
    path, images_dir = tabletop_path("train")
    coco = read_coco(path, images_dir=images_dir)
    images = coco.images[::25]
    kept = {image.id for image in images}
    annotations = tuple(row for row in coco.annotations if row.image_id in kept)
    part = CocoSet(images, annotations, coco.categories)
    files = [images_dir / image.file_name for image in images]
    found = {
        picture_digest(file): selective_search(read_picture(file), ProposalsConfig(side=side))
        for file in files
    }
    write_book(tmp_path, found)
    overlaps = best_overlaps(ProposalBook.open(tmp_path), part, images_dir, numbers=(300, 1000))
    assert overlaps.recall(0.5, 300) >= 0.90
    assert overlaps.recall(0.5, 1000) >= 0.95
