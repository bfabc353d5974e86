import dataclasses
import itertools

import numpy as np
import pytest
import torch

from experiments.solid.learn.data.index import StoreIndex
from experiments.solid.learn.data.pretrain import (
    held_out_batches,
    make_sampler,
    pretrain_loader,
    read_query_pictures,
)
from experiments.solid.store.invariants import tight_boxes
from experiments.solid.store.reader import SolidStore
from suite.errors import BadInput
from tests.solid.learn.stores import LAYOUT, colour, coloured_target, write_store


@pytest.fixture
def batches(store_folder, store_index, with_pretrain):
    """`batches(**options)`: a list; options of `pretrain_loader`, or settings of `pretrain`."""

    def load(*, seed=1, start_step=0, stop_step=6, rank=0, world_size=1, **settings):
        config = with_pretrain(**settings)
        options = {"rank": rank, "world_size": world_size, "start_step": start_step, "stop_step": stop_step}
        return list(pretrain_loader(store_folder, store_index, config, seed=seed, **options))

    return load


def pixels(batch):
    """Everything in a batch as comparable bytes."""
    targets = []
    for target in batch.targets:
        found = target["instances"]
        arrays = (target["image"], found.gt_boxes.tensor, found.gt_classes, found.gt_masks.tensor)
        facts = target["image_id"], target["height"], target["width"], found.image_size
        targets.append((*facts, *((a.shape, a.numpy().tobytes()) for a in arrays)))
    queries = [(query.shape, query.numpy().tobytes()) for query in batch.queries]
    return batch.step, targets, queries, batch.query_ids.tolist(), batch.skipped


# --- what a batch is


def test_a_batch_has_the_types_that_detectron2_takes(batches):
    for batch in batches(batch_size=3, num_queries=4):
        assert len(batch.targets) == 3
        for target in batch.targets:
            image, found = target["image"], target["instances"]
            assert image.dtype == torch.uint8
            assert image.shape == (3, *found.image_size)
            assert (target["height"], target["width"]) == (48, 64)
            n = len(found)
            assert found.gt_boxes.tensor.shape == (n, 4)
            assert found.gt_boxes.tensor.dtype == torch.float32
            assert found.gt_classes.dtype == torch.int64
            assert found.gt_masks.tensor.shape == (n, *found.image_size)
            assert found.gt_masks.tensor.dtype == torch.bool
        assert batch.query_ids.dtype == torch.int64
        assert len(batch.queries) == len(batch.query_ids) == 4
        assert all(q.dtype == torch.uint8 and max(q.shape[1:]) == 32 for q in batch.queries)
        assert batch.skipped == 0


def test_boxes_and_classes_are_those_of_the_transformed_label_map(batches):
    for batch in batches(short_edges=(72,), max_edge=500, min_box=4.0):
        for target in batch.targets:
            sample, found = coloured_target(target["image_id"]), target["instances"]
            bounds = found.gt_masks.get_bounding_boxes().tensor
            assert found.gt_boxes.tensor.tolist() == bounds.tolist()
            # 1.5 times larger, mirrored or not: each stored box is at most a pixel off.
            stored = torch.from_numpy(sample.bboxes[:, :4] * 1.5).float()
            mirrored = torch.stack([96 - stored[:, 2], stored[:, 1], 96 - stored[:, 0], stored[:, 3]], dim=1)
            large = ((stored[:, 2:] - stored[:, :2]) > 6).all(dim=1)
            for side in (stored, mirrored):
                near = (side[large][:, None] - bounds[None]).abs().amax(dim=2) <= 1
                if near.any(dim=1).all():
                    classes = sample.bboxes[large.numpy(), 4]
                    assert classes.tolist() == [found.gt_classes[row.nonzero()[0, 0]] for row in near]
                    break
            else:
                raise AssertionError("neither the plain nor the mirrored boxes")


def test_targets_and_queries_of_a_class_show_its_colour_in_bgr(batches):
    for batch in batches():
        for target in batch.targets:
            found = target["instances"]
            for class_id, mask in zip(found.gt_classes, found.gt_masks.tensor, strict=True):
                assert nearest_class(target["image"][:, mask].float().mean(dim=1)) == class_id
        for class_id, query in zip(batch.query_ids, batch.queries, strict=True):
            assert nearest_class(query.float().mean(dim=(1, 2))) == class_id


def nearest_class(bgr):
    rgb = bgr.flip(0).numpy()
    shades = [colour(c, LAYOUT.num_classes) * 0.85 for c in range(LAYOUT.num_classes)]
    return int(np.argmin([np.abs(rgb - shade).sum() for shade in shades]))


@pytest.mark.parametrize("min_box", [0.0, 10.0, 20.0, 1000.0])
def test_instances_at_or_below_min_box_after_resizing_are_dropped(batches, min_box):
    for batch in batches(min_box=min_box, short_edges=(48,), flip=False):
        for target in batch.targets:
            sample = coloured_target(target["image_id"])
            sides = sample.bboxes[:, 2:4] - sample.bboxes[:, :2]
            expected = sample.bboxes[(sides > min_box).all(axis=1)]
            assert target["instances"].gt_boxes.tensor.tolist() == expected[:, :4].tolist()
            assert target["instances"].gt_classes.tolist() == expected[:, 4].tolist()
            assert len(batch.query_ids) == 4


def test_short_edges_and_flips_are_drawn_for_every_picture(batches):
    sizes, flips = set(), set()
    for batch in batches(stop_step=12, short_edges=(48, 56, 60)):
        for target in batch.targets:
            sizes.add(min(target["image"].shape[1:]))
            if min(target["image"].shape[1:]) == 48:
                rgb = coloured_target(target["image_id"]).rgb()[:, :, ::-1].transpose(2, 0, 1)
                flips.add(target["image"].numpy().tobytes() != rgb.tobytes())
    assert sizes == {48, 56, 60}
    assert flips == {True, False}


# --- queries


def test_the_classes_on_the_ranks_own_pictures_are_queried_first(batches):
    for rank in range(2):
        for batch in batches(rank=rank, world_size=2, batch_size=4, num_queries=6):
            shown = {c for t in batch.targets for c in coloured_target(t["image_id"]).bboxes[:, 4].tolist()}
            ids = batch.query_ids.tolist()
            assert set(ids[: len(shown)]) == shown
            assert sorted(ids) == list(range(6))
    few = batches(num_queries=1)
    for batch in few:
        shown = {c for t in batch.targets for c in coloured_target(t["image_id"]).bboxes[:, 4].tolist()}
        assert set(batch.query_ids.tolist()) <= shown


def test_more_queries_than_classes_are_clamped_to_the_classes(batches):
    assert {tuple(sorted(b.query_ids.tolist())) for b in batches(num_queries=100)} == {tuple(range(6))}


def test_shuffled_queries_show_another_class_each_time_and_change_nothing_else(batches):
    plain, shuffled = batches(num_queries=6), batches(num_queries=6, shuffled_queries=True)
    shown = []
    for one, other in zip(plain, shuffled, strict=True):
        assert one.query_ids.tolist() == other.query_ids.tolist()
        assert pixels(one)[1] == pixels(other)[1]
        classes = [nearest_class(query.float().mean(dim=(1, 2))) for query in other.queries]
        ids = other.query_ids.tolist()
        assert sorted(classes) == sorted(ids)
        assert all(a != b for a, b in zip(classes, ids, strict=True))
        shown.append(dict(zip(ids, classes, strict=True)))
    assert any(a != b for a, b in itertools.pairwise(shown))  # nothing that could be learned by heart


# --- order and restarts


@pytest.mark.parametrize("sampler", ["epoch", "chunk_cache"])
def test_batches_do_not_depend_on_the_number_of_workers(batches, sampler):
    runs = [[pixels(b) for b in batches(workers=w, sampler=sampler, cache_size=5)] for w in (0, 1, 3)]
    assert runs[0] == runs[1] == runs[2]
    assert [step for step, *_ in runs[0]] == list(range(6))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("sampler", ["epoch", "chunk_cache"])
def test_batches_do_not_depend_on_the_step_at_which_the_run_was_started(batches, workers, sampler):
    options = {"sampler": sampler, "cache_size": 5, "rank": 1, "world_size": 2}
    whole = [pixels(b) for b in batches(**options)]
    for start in (1, 4, 6):
        assert [pixels(b) for b in batches(start_step=start, workers=workers, **options)] == whole[start:]


def test_another_seed_or_rank_gives_other_batches(batches):
    runs = [batches(seed=seed, rank=rank, world_size=2) for seed in (1, 2) for rank in (0, 1)]
    assert len({str([pixels(b) for b in run]) for run in runs}) == 4


def test_all_ranks_together_show_every_training_picture_once_per_epoch(batches):
    runs = [batches(stop_step=5, batch_size=2, rank=rank, world_size=2) for rank in range(2)]
    shown = [t["image_id"] for run in runs for batch in run for t in batch.targets]
    assert sorted(shown) == list(range(10))  # the last two of twelve are held out


def test_the_loader_leaves_torchs_global_generator_alone(batches):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    batches(workers=1)
    assert torch.equal(torch.rand(3), expected)


# --- measuring


def test_held_out_pictures_come_in_order_unflipped_at_one_size(store_folder, store_index, with_pretrain):
    config = with_pretrain(short_edges=(60, 48, 72), held_out=5, max_edge=500)
    found = list(held_out_batches(store_folder, store_index, config))
    assert [len(batch) for batch in found] == [2, 2, 1]
    rows = [t["image_id"] for batch in found for t in batch]
    assert rows == [7, 8, 9, 10, 11]
    for target in itertools.chain(*found):
        assert target["image"].shape == (3, 60, 80)
        boxes, _ = tight_boxes(coloured_target(target["image_id"]).label_map, 9)
        first = target["instances"].gt_boxes.tensor[0]
        assert np.abs(boxes[: len(target["instances"])] * 1.25 - first.numpy()).max(axis=1).min() <= 1
    some = list(held_out_batches(store_folder, store_index, config, rows=[3, 0]))
    assert [t["image_id"] for t in some[0]] == [3, 0]


def test_every_class_has_its_picture_in_a_full_bank(store_folder, tiny_config):
    ids, pictures = read_query_pictures(SolidStore.open(store_folder), range(6), tiny_config)
    assert ids.tolist() == list(range(6))
    assert [nearest_class(p.float().mean(dim=(1, 2))) for p in pictures] == list(range(6))
    assert all(max(p.shape[1:]) == 32 for p in pictures)
    _, others = read_query_pictures(SolidStore.open(store_folder), range(6), tiny_config, shot=2)
    assert all(a.shape != b.shape for a, b in zip(pictures, others, strict=True))


# --- bad input


def test_settings_that_leave_too_few_pictures_are_refused_at_the_call(
    store_folder, store_index, with_pretrain
):
    def load(**settings):
        return pretrain_loader(store_folder, store_index, with_pretrain(**settings), seed=0)

    with pytest.raises(BadInput, match="10 pictures to train on, a batch takes 11"):
        load(batch_size=11)
    with pytest.raises(BadInput, match="10 pictures to train on, a batch takes 11"):
        load(batch_size=11, sampler="chunk_cache")
    with pytest.raises(BadInput, match="does not divide among 2 processes"):
        pretrain_loader(store_folder, store_index, with_pretrain(batch_size=3), seed=0, world_size=2)


def test_an_index_of_another_store_is_refused_at_the_call(tmp_path, store_index, tiny_config):
    other = write_store(tmp_path, dataclasses.replace(LAYOUT, num_classes=5))
    with pytest.raises(BadInput, match="index is of another store"):
        pretrain_loader(other, store_index, tiny_config, seed=0)
    with pytest.raises(BadInput, match="index is of another store"):
        next(held_out_batches(other, store_index, tiny_config))


def test_instances_of_classes_without_a_query_are_not_trained_on(tmp_path, with_pretrain):
    folder = write_store(tmp_path / "store")
    store = SolidStore.open(folder)
    index = StoreIndex.build(store, tmp_path / "index")
    shots = np.array(index.shots)
    shots[:3] = False
    index = dataclasses.replace(index, shots=shots)
    config = with_pretrain(num_queries=6, held_out=0, workers=0)
    rows = make_sampler(index, config.pretrain, seed=0).items
    assert [r for r in range(12) if not (coloured_target(r).bboxes[:, 4] >= 3).any()] == sorted(
        {*range(12)} - {*rows}
    )
    for batch in pretrain_loader(folder, index, config, seed=0):
        assert sorted(batch.query_ids.tolist()) == [3, 4, 5]
        assert all((t["instances"].gt_classes >= 3).all() for t in batch.targets)
