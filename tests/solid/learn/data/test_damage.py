"""Pictures and queries that cannot be read: replaced and counted, or the end of the run, never a hang."""

import dataclasses
import itertools

import pytest

from experiments.solid.learn.data.index import StoreIndex
from experiments.solid.learn.data.pretrain import held_out_batches, pretrain_loader, read_query_pictures
from experiments.solid.store.reader import SolidStore
from experiments.solid.store.samples import QuerySample
from experiments.solid.store.writer import commit_query_shard, shard_files
from suite.errors import BadInput
from tests.solid.learn.stores import LAYOUT, coloured_query, coloured_target, write_store


@pytest.fixture
def folder(tmp_path):
    return write_store(tmp_path / "store")


@pytest.fixture
def index(folder):
    """Made before the damage, as in a run whose disk fails later."""
    return StoreIndex.build(SolidStore.open(folder), folder / "index")


def break_picture(folder, row):
    """Overwrite part of one PNG."""
    file = shard_files(folder / "solid.zarr", "targets", row // LAYOUT.shard_size)["images"]
    whole, png = file.read_bytes(), coloured_target(row).image
    place = whole.index(png) + len(png) // 2
    file.write_bytes(whole[:place] + b"\xff" * 40 + whole[place + 40 :])


def lose_queries(folder, *class_ids):
    """Null all views of some classes without touching the flags."""
    path = folder / "solid.zarr"
    for shard in range(LAYOUT.num_shards("queries")):
        flag = shard_files(path, "queries", shard)["valid"]
        before = flag.read_bytes()
        rows = LAYOUT.shard_rows("queries", shard)
        empty = (b"",) * LAYOUT.num_shots
        samples = [QuerySample(c, empty) if c in class_ids else coloured_query(c) for c in rows]
        commit_query_shard(path, shard, samples)
        flag.write_bytes(before)


def load(folder, index, config, **options):
    options = {"seed": 1, "stop_step": 10, **options}
    return list(pretrain_loader(folder, index, config, **options))


def told(batch):
    return batch.skipped, [t["image_id"] for t in batch.targets], batch.query_ids.tolist()


def test_a_damaged_picture_is_replaced_by_another_counted_and_the_rest_stays(folder, index, with_pretrain):
    config = with_pretrain(batch_size=2, num_queries=6)
    good = load(folder, index, config)
    break_picture(folder, 3)
    bad = load(folder, index, config)
    hit = 0
    for before, after in zip(good, bad, strict=True):
        for one, other in zip(before.targets, after.targets, strict=True):
            if one["image_id"] == 3:
                assert other["image_id"] != 3
                assert other["image_id"] < 10  # not one of those held out
                hit += 1
            else:
                assert (one["image"] == other["image"]).all()
        assert after.skipped >= any(t["image_id"] == 3 for t in before.targets)
    assert hit == 2  # ten steps of two show each of the ten pictures twice
    assert sum(batch.skipped for batch in bad) >= 2


def test_replacements_do_not_depend_on_workers_or_the_first_step(folder, index, with_pretrain):
    break_picture(folder, 3)
    lose_queries(folder, 2)
    runs = [load(folder, index, with_pretrain(workers=w, num_queries=3)) for w in (0, 1, 3)]
    assert any(batch.skipped for batch in runs[0])
    assert [told(b) for b in runs[0]] == [told(b) for b in runs[1]] == [told(b) for b in runs[2]]
    later = load(folder, index, with_pretrain(num_queries=3), start_step=4)
    assert [told(b) for b in later] == [told(b) for b in runs[0][4:]]


@pytest.mark.parametrize("workers", [0, 1])
def test_a_nulled_query_is_skipped_and_never_stops_the_loader(folder, index, with_pretrain, workers):
    lose_queries(folder, 0, 4)
    seen = 0
    for batch in load(folder, index, with_pretrain(workers=workers, num_queries=6)):
        assert sorted(batch.query_ids.tolist()) == [1, 2, 3, 5]
        assert batch.skipped == 2 * LAYOUT.num_shots
        seen += 1
    assert seen == 10


def test_an_index_made_after_the_damage_counts_nothing_as_skipped(folder, with_pretrain):
    lose_queries(folder, 0, 4)
    index = StoreIndex.build(SolidStore.open(folder), folder / "index")
    assert index.has_query.tolist() == [False, True, True, True, False, True]
    batches = load(folder, index, with_pretrain(num_queries=6))
    assert {tuple(sorted(b.query_ids.tolist())) for b in batches} == {(1, 2, 3, 5)}
    assert sum(b.skipped for b in batches) == 0


@pytest.mark.parametrize("workers", [0, 1])
def test_a_lost_shard_of_pictures_ends_the_run_in_one_line(folder, index, with_pretrain, workers):
    shard_files(folder / "solid.zarr", "targets", 0)["images"].unlink()
    config = with_pretrain(workers=workers, num_queries=1)
    with pytest.raises(BadInput, match=r"samples cannot be read; first: .*images is empty") as caught:
        load(folder, index, config, stop_step=500)
    assert "\n" not in str(caught.value)
    assert "check --repair" in str(caught.value)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_store_without_any_readable_picture_ends_the_run_at_once(folder, index, with_pretrain, workers):
    for shard in range(LAYOUT.num_shards("targets")):
        shard_files(folder / "solid.zarr", "targets", shard)["images"].unlink()
    config = with_pretrain(workers=workers)
    with pytest.raises(BadInput, match="20 pictures in a row cannot be read; first: ") as caught:
        load(folder, index, config)
    assert "\n" not in str(caught.value)
    with pytest.raises(BadInput, match="none of 2 pictures can be read"):
        list(held_out_batches(folder, index, config))


def test_a_store_whose_queries_are_all_lost_ends_the_run_at_once(folder, index, with_pretrain):
    lose_queries(folder, *range(6))
    with pytest.raises(BadInput, match="no query of any class can be read; first: "):
        load(folder, index, with_pretrain())
    ids, pictures = read_query_pictures(SolidStore.open(folder), range(6), with_pretrain())
    assert (len(ids), pictures) == (0, [])


def test_one_damaged_picture_of_thirty_goes_on_and_two_do_not(tmp_path, with_pretrain):
    layout = dataclasses.replace(LAYOUT, num_images=32)  # two are held out
    folder = write_store(tmp_path / "store", layout)
    index = StoreIndex.build(SolidStore.open(folder), folder / "index")
    config = with_pretrain(num_queries=1, batch_size=10)
    break_picture(folder, 5)
    batches = load(folder, index, config, stop_step=60)
    assert sum(b.skipped for b in batches) >= 20  # once in each of 20 epochs, of 660 samples
    break_picture(folder, 6)
    with pytest.raises(BadInput, match="cannot be read"):
        load(folder, index, config, stop_step=60)


def test_held_out_pictures_and_queries_that_cannot_be_read_are_left_out(folder, index, with_pretrain):
    break_picture(folder, 10)
    lose_queries(folder, 1)
    found = held_out_batches(folder, index, with_pretrain(held_out=3))
    assert [t["image_id"] for t in itertools.chain(*found)] == [9, 11]
    ids, pictures = read_query_pictures(SolidStore.open(folder), range(6), with_pretrain())
    assert ids.tolist() == [0, 2, 3, 4, 5]
    assert len(pictures) == 5
