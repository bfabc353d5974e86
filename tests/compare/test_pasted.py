"""Pasted samples: what boxes and masks say is where the things are."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

pytest.importorskip("cv2")
pytest.importorskip("skimage")

from experiments.compare.backgrounds import photos
from experiments.compare.coco_files import read_arm
from experiments.compare.config import CONFIG
from experiments.compare.config_data import PastedConfig
from experiments.compare.pasted import Cutouts, Paster, bled, fitted, squeezed
from experiments.compare.stages import stages_of
from experiments.sample_synthesis.objects.backgrounds import FAMILIES
from suite.config import load_config
from suite.datasets import read_coco
from suite.datasets.rle import rle_pixels
from suite.errors import BadInput
from suite.provenance import ROOT
from suite.stage import Job

SMALL = PastedConfig(num_samples=6, size_wh=(64, 48), min_scale=0.3, max_scale=0.5)
COLOURS = {"mug": (250, 0, 0), "lemon": (0, 250, 0)}


class Black:
    """Backgrounds that make every pixel of a thing stand out."""

    def __len__(self):
        return 1

    def draw(self, rng, size):
        return np.zeros((size, size, 3), np.uint8)


def cut_out(path, colour, size=(24, 40)):
    """A PNG: a plain rectangle with alpha, nothing around."""
    rgba = np.zeros((*size, 4), np.uint8)
    rgba[4:-4, 4:-4] = (*colour, 255)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rgba, "RGBA").save(path)
    return path


@pytest.fixture
def cutouts(tmp_path):
    return {name: [cut_out(tmp_path / f"{name}/0.png", colour)] for name, colour in COLOURS.items()}


def paster(cutouts, config=SMALL, seed=0):
    return Paster(config, Cutouts(cutouts, side=32), Black(), seed=seed)


def test_boxes_are_the_extents_of_masks_which_lie_apart_and_inside(cutouts):
    for index in range(20):
        item = paster(cutouts).item(index)
        assert item.picture.shape == (48, 64, 3)
        assert item.masks.sum(axis=0).max() == 1  # things do not cover each other
        for box, mask in zip(item.boxes.tolist(), item.masks, strict=True):
            rows, columns = np.nonzero(mask)
            assert box == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


def test_what_is_bright_is_what_the_masks_say(cutouts):
    """On a black ground a pixel beyond all masks is dark, but for the soft edges of a thing."""
    item = paster(cutouts).item(3)
    inside = item.masks.any(axis=0)
    assert item.picture.max(axis=2)[~inside].astype(float).mean() < 12
    assert item.picture.max(axis=2)[inside].astype(float).mean() > 60


def test_a_picture_depends_on_seed_and_number_alone(cutouts):
    first, again, other = (paster(cutouts, seed=seed).item(5) for seed in (0, 0, 1))
    paster(cutouts).item(4)
    assert np.array_equal(first.picture, again.picture) and np.array_equal(first.boxes, again.boxes)
    assert not np.array_equal(first.picture, other.picture)


def test_all_classes_and_numbers_of_objects_occur(cutouts):
    items = [paster(cutouts, replace(SMALL, max_objects=3)).item(index) for index in range(30)]
    assert {label for item in items for label in item.labels} == set(COLOURS)
    assert {len(item.labels) for item in items} == {1, 2, 3}


corner, length = st.integers(0, 90), st.integers(6, 40)


@settings(deadline=None)
@given(
    st.lists(st.tuples(corner, corner, length, length), min_size=2, max_size=6),
    st.tuples(st.integers(20, 100), st.integers(20, 100)),
)
def test_slots_that_do_not_touch_are_apart_after_squeezing(raw, size_wh):
    side = max(size_wh)
    slots = np.array([(x, y, x + w, y + h) for x, y, w, h in raw if max(x + w, y + h) <= side])
    if not len(slots):
        return
    out = squeezed(slots, size_wh)
    assert (out[:, 2:] > out[:, :2]).all() and (out[:, 2:] <= size_wh).all()
    for i in range(len(slots)):
        for j in range(i):
            if not overlap(slots[i], slots[j], touching=True):
                assert not overlap(out[i], out[j])


def overlap(one, other, *, touching=False):
    """Whether two boxes xyxy share a pixel; with `touching`, or an edge."""
    low, high = np.maximum(one[:2], other[:2]), np.minimum(one[2:], other[2:])
    return bool((low <= high if touching else low < high).all())


def test_a_cut_out_keeps_its_aspect_ratio_and_its_colour_to_the_edge():
    rgba = np.zeros((10, 40, 4), np.uint8)
    rgba[:, :, 0], rgba[:, :, 3] = 200, 255
    small = fitted(rgba, 20)
    assert small.shape == (20, 20, 4)
    rows = np.flatnonzero((small[..., 3] > 0).any(axis=1))
    assert len(rows) == 5 and (small[small[..., 3] > 0][:, 0] == 200).all()
    assert (bled(small)[..., 0] == 200).all()  # nothing dark for a warp to mix in


def test_no_background_shows_a_cup():
    assert "coffee.png" in FAMILIES["A"]
    assert len(photos()) == len(FAMILIES["A"]) - 1


# --- the stage ---

USERS = ("pasted={num_samples: 7, size_wh: [64, 48], backgrounds: [photos]}", "arms=[pasted]")


def job(tmp_path, folder, *more):
    overrides = (*USERS, f"cutouts={{folder: {folder}, side: 32}}", *more)
    config = load_config(CONFIG, ROOT / "experiments/compare/configs/tiny.yaml", overrides)
    stage = stages_of(config)["pasted"]
    return Job(stage=stage, config=config, seed=0, device="cpu", inputs={}, out=tmp_path / "pasted")


@pytest.fixture
def folder(tmp_path):
    for name, colour in COLOURS.items():
        for number in range(2):
            cut_out(tmp_path / f"mine/{name}/{number}.png", colour)
    return tmp_path / "mine"


def test_the_set_reads_has_the_targets_classes_and_masks_of_its_boxes(tmp_path, folder, capsys):
    made = job(tmp_path, folder)
    assert made.run() and not made.run()
    coco, _ = read_arm(tmp_path / "pasted")
    assert coco.categories == read_coco(ROOT / "assets/tabletop/train.json", masks=False).categories
    assert len(coco.images) == 7
    names = {coco.category_by_id[one.category_id].name for one in coco.annotations}
    assert names <= set(COLOURS)
    for one in coco.annotations:
        mask = rle_pixels(one.segmentation)
        x, y, width, height = map(int, one.box_xywh)
        assert one.area == mask.sum() == mask[y : y + height, x : x + width].sum()
    assert "there are no cut-outs of barrel" in capsys.readouterr().err


def test_a_stopped_one_goes_on_and_ends_with_the_same_files(tmp_path, folder, monkeypatch):
    from experiments.compare import pasted

    monkeypatch.setattr(pasted, "CHUNK", 3)
    whole = job(tmp_path / "a", folder)
    whole.run()
    write, calls = pasted.write_picture, []

    def dies(*args):
        calls.append(args[1])
        if len(calls) == 5:
            raise KeyboardInterrupt
        return write(*args)

    monkeypatch.setattr(pasted, "write_picture", dies)
    with pytest.raises(KeyboardInterrupt):
        job(tmp_path / "b", folder).run()
    job(tmp_path / "b", folder).run()
    assert calls == [0, 1, 2, 3, 4, 3, 4, 5, 6]
    digests = [
        {
            row["path"]: row["sha256"]
            for row in json.loads((place / "pasted/manifest.json").read_text())["outputs"]
        }
        for place in (tmp_path / "a", tmp_path / "b")
    ]
    assert digests[0] == digests[1]


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (lambda root: cut_out(root / "unicorn/0.png", (1, 2, 3)), "no class 'unicorn'"),
        (lambda root: cut_out(root / "0.png", (1, 2, 3)), "in no folder of a class"),
        (
            lambda root: [(root / f"mug/{n}.png").write_bytes(b"no picture") for n in range(2)],
            "does not decode",
        ),
        (
            lambda root: [Image.new("RGB", (9, 9)).save(root / f"mug/{n}.png") for n in range(2)],
            "has no alpha channel",
        ),
        (
            lambda root: [Image.new("RGBA", (9, 9)).save(root / f"mug/{n}.png") for n in range(2)],
            "transparent all over",
        ),
    ],
)
def test_a_folder_that_cannot_be_pasted_is_refused_in_one_line(tmp_path, folder, fault, told):
    fault(folder)
    with pytest.raises(BadInput) as caught:
        job(tmp_path, folder).run()
    assert told in str(caught.value)
