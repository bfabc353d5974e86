"""The stage `objects`: from folders to arrays that can be drawn from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from experiments.sample_synthesis.objects import shards, stage
from experiments.sample_synthesis.objects.mask_cache import MaskCache
from experiments.sample_synthesis.objects.mask_set import MASKS, cache_folder, predict_set, write_masks
from experiments.sample_synthesis.objects.object_set import (
    PICTURES,
    find_shard,
    open_backgrounds,
    open_objects,
    read_index,
)
from experiments.sample_synthesis.objects.shards import folders_state, object_shards
from experiments.sample_synthesis.objects.types import BackgroundSource, ObjectSource
from suite.errors import BadInput, Missing, Stopped
from suite.seeds import item_rng
from suite.stage import STOP
from tests.sample_synthesis.objects.make import (
    DiscMasks,
    context,
    disc_pictures,
    run_objects,
    save_picture,
    tiny_config,
)

SIZE = 32
MASKED = ["objects=[car]", "ablations=[]"]


def save_discs(folder: Path, num: int, *, alpha: bool = True) -> tuple[np.ndarray, np.ndarray]:
    pictures, masks = (array[:num] for array in disc_pictures(12, SIZE))  # more discs are the same and others
    folder.mkdir(parents=True, exist_ok=True)
    for number, (picture, mask) in enumerate(zip(pictures, masks, strict=True)):
        rgba = np.dstack([picture, mask * np.uint8(255)])
        Image.fromarray(rgba if alpha else picture).save(folder / f"{number:03d}.png")
    return pictures, masks


def car_config(folder: Path, provider: str, *overrides: str):
    source = f"car.source={{kind: folder, folder: {folder}, size: {SIZE}, zoom: 1}}"
    return tiny_config(*MASKED, source, f"car.masks.provider={provider}", "redo.size=32", *overrides)


def content(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and ".work" not in path.parts)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files if path.name[0] != "."}


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr(stage, "CHUNK", 4)


@pytest.fixture
def stop():
    yield STOP
    STOP.is_set = False


def test_shards_are_the_objects_and_their_photographs_of_the_nogan_ablation():
    config = tiny_config("objects=[qr, face, car]", "ablations=[naive, nogan]")
    expected = (("qr", "masked"), ("face", "masked"), ("face", "nogan"), ("car", "masked"), ("car", "nogan"))
    assert object_shards(config) == expected
    assert object_shards(tiny_config("objects=[bird]", "ablations=[naive]")) == (("bird", "masked"),)


def test_cut_outs_are_read_with_their_alpha_and_drawn_by_the_generator_alone(tmp_path, small_chunks):
    pictures, masks = save_discs(tmp_path / "cars", 10)
    config = car_config(tmp_path / "cars", "alpha")
    (ctx,) = run_objects(tmp_path, config)
    objects = open_objects(tmp_path / "objects", "car", config)
    assert isinstance(objects, ObjectSource) and len(objects) == 10
    for row in range(10):
        item = objects.item(row)
        np.testing.assert_array_equal(item.picture, pictures[row])
        np.testing.assert_array_equal(item.mask, masks[row].astype(np.float32))
        assert item.key == f"{row:03d}.png"
    drawn = [objects.draw(item_rng(0, "test", i)).key for i in range(200)]
    assert drawn[::-1] == [objects.draw(item_rng(0, "test", i)).key for i in reversed(range(200))]
    assert len(set(drawn)) == 10
    assert ctx.counts["pictures"] == 10 and ctx.counts["empty masks"] == 0


def test_what_is_drawn_may_be_written_on(tmp_path):
    save_discs(tmp_path / "cars", 1)
    config = car_config(tmp_path / "cars", "alpha")
    run_objects(tmp_path, config)
    objects = open_objects(tmp_path / "objects", "car", config)
    first = objects.item(0)
    first.picture[:] = 0
    first.mask[:] = 0
    assert objects.item(0).picture.max() > 0 and objects.item(0).mask.max() == 1


def test_a_picture_that_does_not_decode_is_left_out_and_counted(tmp_path, small_chunks, capsys):
    pictures, _ = save_discs(tmp_path / "cars", 6)
    (tmp_path / "cars" / "002.png").write_bytes(b"no picture")
    save_picture(tmp_path / "cars" / "004.png")
    config = car_config(tmp_path / "cars", "alpha")
    (ctx,) = run_objects(tmp_path, config)
    index = read_index(tmp_path / "objects" / "00000")
    assert index.keys == ("000.png", "001.png", "003.png", "005.png")
    assert index.skipped == {"unreadable picture": 1, "picture without alpha": 1}
    assert "002.png" in index.examples[0]
    assert ctx.counts["left out: unreadable picture"] == 1
    np.testing.assert_array_equal(np.load(tmp_path / "objects" / "00000" / PICTURES), pictures[[0, 1, 3, 5]])
    assert capsys.readouterr().err.count("2 of 6 pictures of car left out") == 1


def test_a_folder_of_damaged_pictures_is_one_line(tmp_path):
    (tmp_path / "cars").mkdir()
    (tmp_path / "cars" / "a.png").write_bytes(b"no picture")
    with pytest.raises(
        BadInput, match="none of 1 pictures of car can be used; first: a.png: does not decode"
    ):
        run_objects(tmp_path, car_config(tmp_path / "cars", "grabcut"))


def test_pictures_without_alpha_do_not_pass_for_cut_outs(tmp_path):
    config = tiny_config("objects=[face]", "ablations=[]", "face.masks.provider=alpha")
    with pytest.raises(BadInput, match="standin have no alpha channel; choose masks.provider"):
        run_objects(tmp_path, config)


def test_a_stopped_shard_goes_on_with_the_same_result(tmp_path, small_chunks, stop, monkeypatch):
    save_discs(tmp_path / "cars", 11, alpha=False)
    (tmp_path / "cars" / "005.png").write_bytes(b"no picture")
    config = car_config(tmp_path / "cars", "grabcut")
    run_objects(tmp_path / "whole", config)

    read, seen = stage._read, []

    def read_and_stop(pictures, rows, *, alpha):
        seen.append(rows)
        stop.is_set = len(seen) == 1
        return read(pictures, rows, alpha=alpha)

    monkeypatch.setattr(stage, "_read", read_and_stop)
    with pytest.raises(Stopped):
        run_objects(tmp_path / "stopped", config)
    assert not (tmp_path / "stopped" / "objects" / "00000" / PICTURES).exists()
    stop.is_set = False
    run_objects(tmp_path / "stopped", config)
    shards = (tmp_path / run / "objects" / "00000" for run in ("whole", "stopped"))
    whole, stopped = map(content, shards)
    assert whole == stopped and PICTURES in whole and MASKS in whole


def test_pictures_that_were_seen_before_are_not_segmented_again(tmp_path):
    save_discs(tmp_path / "cars", 3, alpha=False)
    config = car_config(tmp_path / "cars", "grabcut")
    (first,) = run_objects(tmp_path / "run", config)
    (tmp_path / "run" / "objects").rename(tmp_path / "old")
    save_discs(tmp_path / "cars", 5, alpha=False)
    (again,) = run_objects(tmp_path / "run", config)
    assert first.facts["masks"] == {"computed": 3}
    assert again.facts["masks"] == {"found": 3, "computed": 2}
    assert cache_folder(again.final).is_dir()


def test_an_object_without_a_mask_is_never_drawn(tmp_path):
    save_discs(tmp_path / "cars", 3)
    Image.fromarray(np.zeros((SIZE, SIZE, 4), np.uint8)).save(tmp_path / "cars" / "001.png")
    config = car_config(tmp_path / "cars", "alpha")
    (ctx,) = run_objects(tmp_path, config)
    objects = open_objects(tmp_path / "objects", "car", config)
    assert [objects.item(i).key for i in range(len(objects))] == ["000.png", "002.png"]
    assert ctx.counts["empty masks"] == 1
    naive = open_objects(tmp_path / "objects", "car", config, variant="naive")
    assert len(naive) == 3 and naive.item(1).mask is None


def test_a_set_of_empty_masks_is_one_line(tmp_path):
    save_picture(tmp_path / "cars" / "a.png", (9, 9, 9))
    with pytest.raises(BadInput, match="every mask is empty; choose another masks.provider"):
        run_objects(tmp_path, car_config(tmp_path / "cars", "grabcut"))


def test_masks_of_a_later_stage_are_found_by_the_name_of_the_shard(tmp_path):
    pictures, masks = save_discs(tmp_path / "cars", 4, alpha=False)
    config = car_config(tmp_path / "cars", "redo")
    run_objects(tmp_path, config)
    assert not (tmp_path / "objects" / "00000" / MASKS).exists()
    with pytest.raises(BadInput, match="cannot be read"):
        open_objects(tmp_path / "objects", "car", config)
    shard = find_shard(tmp_path / "objects", "car", "masked")
    later = tmp_path / "redo-masks" / shard.name
    later.mkdir(parents=True)
    stored = np.load(shard / PICTURES)
    found = predict_set(stored, DiscMasks(swapped=True), cache=MaskCache(tmp_path / "cache"), batch=3)
    write_masks(later, found)
    objects = open_objects(tmp_path / "objects", "car", config, masks=tmp_path / "redo-masks")
    for row in range(4):
        np.testing.assert_array_equal(objects.item(row).mask > 0.5, masks[row])


def test_without_a_provider_pictures_have_no_masks(tmp_path):
    save_discs(tmp_path / "cars", 2)
    config = car_config(tmp_path / "cars", "none")
    run_objects(tmp_path, config)
    objects = open_objects(tmp_path / "objects", "car", config)
    assert len(objects) == 2 and objects.item(0).mask is None


def test_every_variant_has_its_own_pictures(tmp_path):
    save_discs(tmp_path / "made", 2)
    save_discs(tmp_path / "photographed", 3)
    nogan = f"car.nogan={{kind: folder, folder: {tmp_path / 'photographed'}, size: {SIZE}, zoom: 1}}"
    config = car_config(tmp_path / "made", "alpha", nogan, "ablations=[naive, nogan]")
    run_objects(tmp_path, config, 2)
    sizes = {
        v: len(open_objects(tmp_path / "objects", "car", config, variant=v))
        for v in ("masked", "naive", "nogan")
    }
    assert sizes == {"masked": 2, "naive": 2, "nogan": 3}
    with pytest.raises(BadInput, match="holds no pictures of bird masked"):
        open_objects(tmp_path / "objects", "bird", config)


def test_qr_codes_are_drawn_and_stand_in_photographs_are_behind_them(tmp_path):
    config = tiny_config("objects=[qr]")
    run_objects(tmp_path, config)
    assert read_index(tmp_path / "objects" / "00000").source == "library"
    drawn = open_objects(tmp_path / "objects", "qr", config).draw(item_rng(0, "test", 0))
    assert drawn.mask is not None and set(np.unique(drawn.picture)) == {0, 255}
    behind = open_backgrounds(tmp_path / "objects", "qr", config)
    assert isinstance(behind, BackgroundSource) and behind.draw(item_rng(0, "test", 0), 40).shape == (
        40,
        40,
        3,
    )


def test_stand_in_faces_are_named_so_and_their_masks_are_upright(tmp_path):
    config = tiny_config("objects=[face]", "ablations=[]")
    run_objects(tmp_path, config)
    index = read_index(tmp_path / "objects" / "00000")
    assert index.is_standin and len(index.keys) == 50
    mask = open_objects(tmp_path / "objects", "face", config).item(0).mask
    assert mask[mask.shape[0] // 2, mask.shape[1] // 2] == 1 and mask[0, 0] == 0


@pytest.mark.parametrize("damage", ["cut", "gone", "shape"])
def test_a_damaged_shard_says_what_to_run(tmp_path, damage):
    save_discs(tmp_path / "cars", 2)
    config = car_config(tmp_path / "cars", "alpha")
    run_objects(tmp_path, config)
    path = tmp_path / "objects" / "00000" / PICTURES
    if damage == "gone":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:200])
    else:
        np.save(path, np.zeros((2, 3, 3, 3), np.uint8))
    with pytest.raises(BadInput, match="run the stage `objects` again"):
        open_objects(tmp_path / "objects", "car", config)


def test_a_folder_that_is_not_there_is_missing_and_one_that_changes_is_noticed(tmp_path):
    config = car_config(tmp_path / "cars", "alpha")
    with pytest.raises(Missing, match="no such folder"):
        stage.run(context(tmp_path, config, 0))
    before = folders_state(config)
    save_discs(tmp_path / "cars", 2)
    after = folders_state(config)
    assert before["car masked"] is None and after["car masked"] is not None
    save_discs(tmp_path / "cars", 3)
    assert folders_state(config) != after


def test_another_render_of_a_stand_in_is_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "RENDERS", tmp_path)
    config = tiny_config("objects=[bird]", "ablations=[]")
    before = folders_state(config)
    save_picture(tmp_path / "bird" / "0.png")
    first = folders_state(config)
    save_picture(tmp_path / "bird" / "0.png", (9, 9, 9))
    assert before["bird masked"] is None and before != first != folders_state(config)
