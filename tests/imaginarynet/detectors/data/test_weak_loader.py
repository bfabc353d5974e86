"""Batches for WSDDN and OICR: pictures, proposals and labels fit together, and no box of an annotation is in.

Not here: the arithmetic of views (test_views.py) and the rules for labels (test_read.py).
"""

import itertools
import json
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from experiments.imaginarynet.config import ImaginaryNetConfig  # noqa: E402
from experiments.imaginarynet.config_detectors import ImaginaryConfig, SettingConfig  # noqa: E402
from experiments.imaginarynet.config_weak import WeakConfig  # noqa: E402
from experiments.imaginarynet.detectors.data.load import load_sources  # noqa: E402
from experiments.imaginarynet.detectors.data.records import picture_digest, read_picture  # noqa: E402
from experiments.imaginarynet.detectors.data.weak_loader import weak_batches, with_proposals  # noqa: E402
from experiments.imaginarynet.detectors.proposals.book import ProposalBook, write_book  # noqa: E402
from experiments.imaginarynet.detectors.proposals.records import Proposals  # noqa: E402
from suite.errors import BadInput  # noqa: E402
from tests.imaginarynet.detectors.data.sets import CLASSES, HEIGHT, WIDTH, coco_folder, tree  # noqa: E402

NUM_PICTURES, NUM_PROPOSALS = 6, 12
PAIRS = [(number, CLASSES[number % 3]) for number in range(1, NUM_PICTURES + 1)] + [(1, CLASSES[0])]
SETTINGS = {"scales": (32, 48), "scale_side": "longest", "batch": 2, "flip": False, "dedup": False}


def settings(**changes):
    return WeakConfig(**{**SETTINGS, **changes})


def data_of(folder, names=CLASSES):
    config = ImaginaryNetConfig(classes=names, imaginary=ImaginaryConfig(folder=str(folder)))
    return load_sources(config, None, SettingConfig(image_labels=("imaginary",)), seed=0)


def some_boxes(number):
    rng = np.random.default_rng(number)
    corner = rng.uniform(0, (WIDTH - 8, HEIGHT - 8), (NUM_PROPOSALS, 2))
    return np.concatenate([corner, corner + rng.uniform(2, 8, corner.shape)], axis=1)


@pytest.fixture
def data(tmp_path):
    coco_folder(tmp_path / "set", tree(PAIRS, level="image"))
    return data_of(tmp_path / "set")


def book_of(data, folder, *, without=()):
    """Twelve proposals of each picture, their scores telling which is which; none for the ids `without`."""
    found = {}
    for picture in data.image_labels.pictures:
        boxes = np.zeros((0, 4)) if picture.id in without else some_boxes(picture.id)
        found[picture_digest(picture.file)] = Proposals.of(boxes, np.arange(len(boxes)))
    write_book(folder, found)
    return ProposalBook.open(folder)


@pytest.fixture
def book(data, tmp_path):
    return book_of(data, tmp_path / "book")


def first(data, book, count, *, first_step=0, seed=0, workers=0, **changes):
    """`count` batches."""
    made = weak_batches(data, book, settings(**changes), seed=seed, first_step=first_step, workers=workers)
    batches = list(itertools.islice(made, count))
    made.close()
    return batches


def assert_same(ours, theirs):
    for batch, other in zip(ours, theirs, strict=True):
        for a, b in zip(batch, other, strict=True):
            assert {k: v for k, v in a.items() if isinstance(v, int)} == {
                k: v for k, v in b.items() if isinstance(v, int)
            }
            assert torch.equal(a["image"], b["image"])
            assert torch.equal(a["image_labels"], b["image_labels"])
            for name in ("proposal_boxes", "objectness_logits"):
                x, y = a["proposals"].get(name), b["proposals"].get(name)
                assert torch.equal(*(getattr(v, "tensor", v) for v in (x, y)))


def test_a_dict_holds_what_the_level_allows_and_no_more(data, book):
    for row in itertools.chain(*first(data, book, 3)):
        keys = {"image", "file_name", "image_id", "height", "width", "proposals", "image_labels"}
        assert set(row) == keys
        assert set(row["proposals"].get_fields()) == {"proposal_boxes", "objectness_logits"}
        assert (row["height"], row["width"]) == (HEIGHT, WIDTH)
        assert row["image"].dtype == torch.uint8 and row["image_labels"].dtype == torch.float32


def test_labels_are_those_of_the_picture(data, book):
    wanted = {picture.id: picture.labels for picture in data.image_labels.pictures}
    assert wanted[0] == {0, 1}
    for row in itertools.chain(*first(data, book, 3)):
        assert set(row["image_labels"].nonzero().flatten().tolist()) == wanted[row["image_id"]]


@pytest.mark.parametrize("order", ["rgb", "bgr"])
def test_at_its_own_scale_the_picture_and_its_boxes_are_as_stored(data, book, order):
    pictures = {picture.id: picture for picture in data.image_labels.pictures}
    for row in itertools.chain(*first(data, book, 3, scales=(WIDTH,), channel_order=order)):
        stored = read_picture(pictures[row["image_id"]].file)
        wanted = stored if order == "rgb" else stored[..., ::-1]
        np.testing.assert_array_equal(row["image"].permute(1, 2, 0), wanted)
        places = row["proposals"].objectness_logits.long()
        boxes = row["proposals"].proposal_boxes.tensor.numpy()
        np.testing.assert_array_equal(boxes, some_boxes(row["image_id"]).astype(np.float32)[places])


def test_proposals_are_all_there_in_an_order_of_the_pass(data, book):
    one, other = first(data, book, 2, batch=NUM_PICTURES)
    orders = []
    for row in one + other:
        order = row["proposals"].objectness_logits.tolist()
        assert sorted(order) == list(range(NUM_PROPOSALS))
        orders.append(tuple(order))
    assert len(set(orders)) == len(orders)


def test_scales_are_drawn_per_picture_and_boxes_go_along(data, book):
    rows = list(itertools.chain(*first(data, book, 12)))
    widths = {row["image"].shape[2] for row in rows}
    assert widths == {32, 48}
    for row in rows:
        height, width = row["image"].shape[1:]
        assert row["proposals"].image_size == (height, width)
        places = row["proposals"].objectness_logits.long()
        wanted = some_boxes(row["image_id"])[places] * ([width / WIDTH, height / HEIGHT] * 2)
        np.testing.assert_allclose(row["proposals"].proposal_boxes.tensor, wanted, atol=1e-4)


def test_imaginary_pictures_may_have_scales_of_their_own(data, book):
    one, *others = data.image_labels.pictures
    mixed = replace(one, source="real"), *others
    mixed = replace(data, image_labels=replace(data.image_labels, pictures=mixed))
    rows = list(itertools.chain(*first(mixed, book, 6, scales=(64,), imaginary_scales=(32, 40))))
    widths = {(row["image_id"] == one.id, row["image"].shape[2]) for row in rows}
    assert widths == {(True, 64), (False, 32), (False, 40)}


def test_the_longest_side_is_bounded_where_the_shortest_is_scaled(data, book):
    rows = first(data, book, 3, scale_side="shortest", scales=(48,), max_side=50)
    assert {tuple(row["image"].shape[1:]) for row in itertools.chain(*rows)} == {(38, 50)}
    rows = first(data, book, 3, scale_side="shortest", scales=(48,), max_side=64)
    assert {tuple(row["image"].shape[1:]) for row in itertools.chain(*rows)} == {(48, 64)}


def test_every_picture_comes_once_as_it_is_and_once_mirrored(data, book):
    rows = list(itertools.chain(*first(data, book, 2, batch=NUM_PICTURES, flip=True, scales=(WIDTH,))))
    pictures = {picture.id: picture for picture in data.image_labels.pictures}
    seen = []
    for row in rows:
        stored = read_picture(pictures[row["image_id"]].file)[..., ::-1]
        shown = row["image"].permute(1, 2, 0).numpy()
        is_mirrored = not (shown == stored).all()
        np.testing.assert_array_equal(shown, stored[:, ::-1] if is_mirrored else stored)
        x1, y1, x2, y2 = some_boxes(row["image_id"])[row["proposals"].objectness_logits.long()].T
        wanted = [WIDTH - x2, y1, WIDTH - x1, y2] if is_mirrored else [x1, y1, x2, y2]
        np.testing.assert_allclose(row["proposals"].proposal_boxes.tensor.T, wanted, atol=1e-5)
        seen.append((row["image_id"], is_mirrored))
    assert sorted(seen) == [(number, flag) for number in range(NUM_PICTURES) for flag in (False, True)]


def test_one_of_the_proposals_on_the_same_cells_is_kept(data, book):
    for row in itertools.chain(*first(data, book, 3, dedup=True, scales=(WIDTH,))):
        cells = [tuple(np.round(box / 8)) for box in some_boxes(row["image_id"]).astype(np.float32)]
        wanted = {cells.index(cell) for cell in cells}
        assert set(row["proposals"].objectness_logits.long().tolist()) == wanted
        assert len(wanted) < NUM_PROPOSALS


def test_no_more_proposals_than_the_settings_allow(data, book):
    batches = first(data, book, 2, batch=NUM_PICTURES, max_proposals=5)
    kept = [row["proposals"].objectness_logits.tolist() for row in itertools.chain(*batches)]
    assert {len(row) for row in kept} == {5}
    assert {place for row in kept for place in row} > set(range(5, NUM_PROPOSALS))  # not the first five


@pytest.mark.parametrize("workers", [0, 2])
def test_training_goes_on_at_any_pass_with_the_same_batches(data, book, workers):
    whole = first(data, book, 9, flip=True)
    assert_same(whole[4:], first(data, book, 5, first_step=4, flip=True, workers=workers))


def test_the_seed_decides(data, book):
    assert_same(first(data, book, 2, seed=5), first(data, book, 2, seed=5))
    ids = {tuple(row["image_id"] for row in first(data, book, 1, batch=6, seed=s)[0]) for s in range(4)}
    assert len(ids) > 1


def test_poisoned_boxes_of_an_image_level_set_change_no_batch(data, book, tmp_path):
    clean = first(data, book, 6)
    path = tmp_path / "set" / "annotations" / "instances_train.json"
    content = json.loads(path.read_text())
    for number, row in enumerate(content["annotations"]):
        row |= {"bbox": [float("nan"), -1e9, "x", None][: number % 5], "area": -1, "segmentation": "?"}
    path.write_text(json.dumps(content))
    assert_same(clean, first(data_of(tmp_path / "set"), book, 6))


def test_moved_boxes_of_a_real_set_change_no_batch(book, data, tmp_path):
    clean = first(data, book, 6)
    for box in ((2, 2, 8, 8), (10, 1, 4, 20)):
        coco_folder(tmp_path / "real", tree(PAIRS, box=box))
        assert_same(clean, first(data_of(tmp_path / "real"), book, 6))


def test_pictures_without_proposals_are_left_out_and_counted(data, tmp_path):
    book = book_of(data, tmp_path / "book", without=(1, 4))
    kept = with_proposals(data, book)
    assert [picture.id for picture in kept.image_labels.pictures] == [0, 2, 3, 5]
    assert kept.notes == (*data.notes, "2 pictures without a proposal left out")
    assert with_proposals(kept, book) == kept
    assert {row["image_id"] for row in itertools.chain(*first(kept, book, 4))} == {0, 2, 3, 5}


def test_a_set_without_any_proposal_is_one_line(data, tmp_path):
    with pytest.raises(BadInput, match="none of the 6 pictures has a proposal"):
        with_proposals(data, book_of(data, tmp_path / "book", without=range(6)))


def test_a_picture_that_nobody_searched_is_one_line(data, tmp_path):
    write_book(tmp_path / "book", {"0" * 64: Proposals.of(some_boxes(0))})
    with pytest.raises(BadInput, match="run `proposals` again"):
        with_proposals(data, ProposalBook.open(tmp_path / "book"))


def test_other_levels_are_refused(data, book):
    with pytest.raises(BadInput, match="no pictures with image-level labels"):
        weak_batches(replace(data, image_labels=None), book, settings(), seed=0, first_step=0)
