import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image

from experiments.solid.learn.data.coco import load_target_set
from experiments.solid.learn.data.finetune import finetune_loader, read_bgr, test_loader
from suite.errors import BadInput
from tests.solid.learn.coco_sets import coco_tree


@pytest.fixture
def records(target_settings):
    return load_target_set(target_settings)


@pytest.fixture
def batches(records, tiny_config):
    """`batches(**options)`: a list; options of `finetune_loader`, or settings of `finetune`."""

    def load(*, seed=1, start_step=0, stop_step=6, rank=0, world_size=1, **settings):
        changed = dataclasses.replace(tiny_config.finetune, **settings)
        options = {"rank": rank, "world_size": world_size, "start_step": start_step, "stop_step": stop_step}
        return list(finetune_loader(records.train, changed, seed=seed, **options))

    return load


def pixels(batch):
    """Everything in a batch as comparable bytes."""
    rows = []
    for item in batch:
        found = item["instances"]
        arrays = (item["image"], found.gt_boxes.tensor, found.gt_classes, found.gt_masks.tensor)
        facts = item["image_id"], item["height"], item["width"], item["file_name"], found.image_size
        rows.append((*facts, *((a.shape, a.numpy().tobytes()) for a in arrays)))
    return rows


def test_a_batch_has_the_types_that_detectron2_takes(batches):
    for batch in batches(batch_size=3):
        assert len(batch) == 3
        for item in batch:
            found = item["instances"]
            assert item["image"].dtype == torch.uint8
            assert item["image"].shape == (3, *found.image_size)
            assert (item["height"], item["width"]) == (48, 64)
            assert found.gt_boxes.tensor.shape == (len(found), 4)
            assert found.gt_boxes.tensor.dtype == torch.float32
            assert found.gt_classes.dtype == torch.int64
            assert found.gt_masks.tensor.dtype == torch.bool
            assert found.gt_masks.tensor.shape == (len(found), *found.image_size)


@pytest.mark.parametrize("edge", [48, 72])
@pytest.mark.parametrize("flip", [False, True])
def test_boxes_and_masks_follow_the_picture(batches, records, edge, flip):
    scale, seen = edge / 48, set()
    original = {(a["image_id"], *a["bbox"]): a for a in coco_tree(10)["annotations"] if not a["iscrowd"]}
    for item in (item for batch in batches(short_edges=(edge,), flip=flip, max_edge=200) for item in batch):
        found, width = item["instances"], 64 * scale
        for box, mask, class_id in zip(
            found.gt_boxes.tensor, found.gt_masks.tensor, found.gt_classes, strict=True
        ):
            plain = box.tolist()
            mirrored = [width - box[2].item(), plain[1], width - plain[0], plain[3]]
            here = [
                (key, flipped)
                for flipped, (x0, y0, x1, y1) in enumerate((plain, mirrored))
                if (key := (item["image_id"], *(round(v / scale) for v in (x0, y0, x1 - x0, y1 - y0))))
                in original
            ]
            assert here, "no such box in the file"
            seen |= {flipped for _, flipped in here}
            assert records.category_ids[class_id] in {original[key]["category_id"] for key, _ in here}
            y, x = torch.nonzero(mask, as_tuple=True)
            tight = torch.stack([x.min(), y.min(), x.max() + 1, y.max() + 1])
            assert (tight - box).abs().max() <= 1
            assert mask.sum() == (tight[2] - tight[0]) * (tight[3] - tight[1])  # all are rectangles
            # the colours of the classes are saturated, the background is grey
            inside = item["image"][:, mask].float()
            assert (inside.amax(dim=0) - inside.amin(dim=0)).mean() > 60
    assert seen == ({0, 1} if flip else {0})


def test_pictures_are_bgr(records):
    record = records.train[0]
    rgb = np.asarray(Image.open(record["file_name"]))
    assert (read_bgr(record) == rgb[:, :, ::-1]).all()


@pytest.mark.parametrize("mode", ["L", "P", "RGBA"])
def test_grey_palette_and_transparent_pictures_are_read_as_three_channels(records, mode):
    record = records.train[0]
    Image.open(record["file_name"]).convert(mode).save(record["file_name"])
    assert read_bgr(record).shape == (48, 64, 3)


def test_batches_depend_on_seed_step_and_rank_alone(batches):
    whole = [pixels(b) for b in batches()]
    assert [pixels(b) for b in batches(workers=1)] == whole
    assert [pixels(b) for b in batches(workers=3)] == whole
    assert [pixels(b) for b in batches(workers=1, start_step=4)] == whole[4:]
    assert [pixels(b) for b in batches(seed=2)] != whole
    ranks = [[pixels(b) for b in batches(rank=rank, world_size=2)] for rank in range(2)]
    assert ranks[0] != ranks[1]
    # each of the eight pictures once in the four steps of an epoch
    assert sorted(row[0] for run in ranks for batch in run[:4] for row in batch) == [1, 2, 3, 4, 6, 7, 8, 9]


def test_test_pictures_come_in_order_in_one_size_over_all_ranks(records, tiny_config):
    settings = dataclasses.replace(tiny_config.finetune, test_short_edge=60, test_max_edge=100)
    batches = list(test_loader(records.test, settings, batch_size=2))
    assert [[item["image_id"] for item in batch] for batch in batches] == [[101, 102], [103, 104], [105]]
    for item in (item for batch in batches for item in batch):
        assert item["image"].shape == (3, 60, 80)
        assert (item["height"], item["width"]) == (48, 64)
        assert "instances" not in item
    ranks = [list(test_loader(records.test, settings, batch_size=2, rank=r, world_size=2)) for r in range(2)]
    assert [[item["image_id"] for batch in run for item in batch] for run in ranks] == [
        [101, 103, 105],
        [102, 104],
    ]
    workers = dataclasses.replace(settings, workers=2)
    for one, other in zip(batches, test_loader(records.test, workers, batch_size=2), strict=True):
        assert all(torch.equal(a["image"], b["image"]) for a, b in zip(one, other, strict=True))


def test_an_instance_that_vanishes_in_resizing_is_dropped(target_settings, tiny_config):
    from tests.solid.learn.data.test_coco import rewrite

    def shrink(tree):
        tiny = [10, 10, 1, 1]
        for annotation in tree["annotations"]:
            if annotation["image_id"] == 1 and not annotation["iscrowd"]:
                annotation["bbox"], annotation["segmentation"] = tiny, [[10, 10, 10.2, 10, 10.2, 10.2]]
                break

    rewrite(target_settings.train_json, shrink)
    data = load_target_set(dataclasses.replace(target_settings, max_train=1))
    settings = dataclasses.replace(tiny_config.finetune, batch_size=1, short_edges=(12,), iterations=2)
    for (item,) in finetune_loader(data.train, settings, seed=0):
        assert len(data.train[0]["annotations"]) == 2
        assert len(item["instances"]) == 1


# --- bad input


@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_picture_ends_the_run_in_one_line_that_names_it(batches, records, workers):
    name = records.train[3]["file_name"]
    with open(name, "r+b") as stream:
        stream.truncate(200)
    with pytest.raises(BadInput, match="does not decode") as caught:
        batches(workers=workers)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_picture_of_another_size_is_refused(batches, records):
    name = records.train[3]["file_name"]
    Image.new("RGB", (30, 20)).save(name)
    with pytest.raises(BadInput, match="is 30x20, its entry says 64x48"):
        batches()


def test_fewer_pictures_than_a_batch_are_refused_at_the_call(records, tiny_config):
    settings = dataclasses.replace(tiny_config.finetune, batch_size=9)
    with pytest.raises(BadInput, match="8 pictures to train on, a batch takes 9"):
        finetune_loader(records.train, settings, seed=0)
