"""Pictures of single objects from folders and stand-ins."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from experiments.sample_synthesis.config_sections import SourceConfig
from experiments.sample_synthesis.objects import sources
from experiments.sample_synthesis.objects.crops import BoxCrops, cub_crops
from experiments.sample_synthesis.objects.faces import lfw_crops, lfw_rows
from experiments.sample_synthesis.objects.sources import PictureFolder, StandInRenders, open_pictures, resized
from suite.datasets.faults import Fault
from suite.errors import BadInput, Missing
from tests.sample_synthesis.objects.make import save_picture


def gradient(width: int, height: int) -> Image.Image:
    rows, columns = np.mgrid[:height, :width]
    return Image.fromarray(np.stack([rows, columns, rows + columns], -1).astype(np.uint8))


@pytest.mark.parametrize("kind", ["stylegan", "dmgan", "ffhq", "lsun", "folder"])
def test_sub_folders_are_flattened_in_a_fixed_order(tmp_path, kind):
    names = ["b/2.png", "a/x/1.jpg", "10.PNG", "9.png"]
    for name in names:
        save_picture(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no picture")
    save_picture(tmp_path / ".trash" / "1.png")
    found = open_pictures(SourceConfig(kind=kind, folder=str(tmp_path), size=16), "car")
    assert found.keys == ("10.PNG", "9.png", "a/x/1.jpg", "b/2.png")
    assert found.read(0).shape == (16, 16, 3)
    limited = open_pictures(SourceConfig(kind=kind, folder=str(tmp_path), size=16, limit=2), "car")
    assert limited.keys == ("10.PNG", "9.png")


def test_a_picture_is_stretched_as_pillow_does_by_default():
    picture = gradient(60, 40)
    np.testing.assert_array_equal(resized(picture, 32), np.asarray(picture.resize((32, 32))))


def test_zoom_two_keeps_the_middle_of_twice_the_size():
    picture = gradient(80, 50)
    twice = np.asarray(picture.resize((64, 64)))
    np.testing.assert_array_equal(resized(picture, 32, zoom=2), twice[16:48, 16:48])


def test_a_picture_that_does_not_decode_is_a_fault(tmp_path):
    data = save_picture(tmp_path / "cut.png", size=(200, 200)).read_bytes()
    (tmp_path / "cut.png").write_bytes(data[: len(data) // 2])
    (tmp_path / "text.jpg").write_text("no picture")
    (tmp_path / "zero.png").write_bytes(b"")
    found = PictureFolder(tmp_path, size=16)
    for index in range(3):
        with pytest.raises(Fault, match="does not decode"):
            found.read(index)


@pytest.mark.parametrize("files", [(), ("readme.txt",)])
def test_a_folder_without_pictures_is_one_line(tmp_path, files):
    for name in files:
        (tmp_path / name).write_text("x")
    with pytest.raises(BadInput, match=f"{tmp_path}: holds no pictures; put .png"):
        PictureFolder(tmp_path, size=16)
    with pytest.raises(Missing, match="no such folder"):
        PictureFolder(tmp_path / "other", size=16)


def test_alpha_is_read_where_it_is_asked_for(tmp_path):
    save_picture(tmp_path / "a.png", (100, 150, 200, 128), mode="RGBA")
    save_picture(tmp_path / "b.png", (1, 2, 3))
    found = PictureFolder(tmp_path, size=16)
    # Pillow multiplies colour by alpha while it resizes, which rounds.
    assert np.abs(found.read(0, alpha=True).astype(int) - (100, 150, 200, 128)).max() <= 1
    assert found.read(0).shape == (16, 16, 3)
    with pytest.raises(Fault, match="no alpha channel"):
        found.read(1, alpha=True)


# --- crops by ground-truth boxes ---


def make_cub(root, train=("1", "2", "3")):
    """Four photographs: left half red, right half blue; the boxes are the right halves. 3 is grey."""
    for name in ("1.jpg", "2.jpg", "4.jpg"):
        save_picture(root / "images" / "x" / name, (255, 0, 0))
        halves = Image.open(root / "images" / "x" / name).copy()
        halves.paste((0, 0, 255), (20, 0, 40, 30))
        halves.save(root / "images" / "x" / name, quality=100, subsampling=0)
    save_picture(root / "images" / "x" / "3.jpg", 90, mode="L")
    (root / "images.txt").write_text("".join(f"{n} x/{n}.jpg\n" for n in range(1, 5)))
    (root / "bounding_boxes.txt").write_text("".join(f"{n} 20.0 0.0 20.0 30.0\n" for n in range(1, 5)))
    split = "".join(f"{n} {0 if str(n) in train else 2}\n" for n in range(1, 5))
    (root / "our_train_test_split.txt").write_text(split)


def test_birds_are_cut_out_of_training_photographs_by_their_boxes(tmp_path):
    make_cub(tmp_path)
    found = open_pictures(SourceConfig(kind="cub_crops", folder=str(tmp_path), size=16), "bird")
    assert found.keys == ("x/1.jpg", "x/2.jpg", "x/3.jpg"), "4 is for testing"
    assert found.read(0)[..., 2].min() > 240 and found.read(0)[..., 0].max() < 15
    with pytest.raises(Fault, match="is grey"):
        found.read(2)


def test_without_boxes_the_whole_photograph_is_taken(tmp_path):
    make_cub(tmp_path)
    found = cub_crops(tmp_path, SourceConfig(kind="cub_crops", folder=str(tmp_path), size=16, boxes=False))
    picture = found.read(0)
    assert picture[:, :6, 0].min() > 240 and picture[:, -6:, 2].min() > 240


def test_a_box_is_rounded_outward_and_clipped(tmp_path):
    gradient(40, 30).save(tmp_path / "a.png")
    rows = [("a.png", (-3.0, 4.2, 10.5, 99.0)), ("b.png", (50.0, 0.0, 60.0, 9.0))]
    gradient(40, 30).save(tmp_path / "b.png")
    found = BoxCrops(tmp_path, rows, size=16)
    expected = np.asarray(gradient(40, 30).crop((0, 4, 11, 30)).resize((16, 16)))
    np.testing.assert_array_equal(found.read(0), expected)
    with pytest.raises(Fault, match="lies outside"):
        found.read(1)


# --- stand-ins ---


def test_halves_of_the_stand_in_faces_share_no_picture():
    paste, test = lfw_crops("paste"), lfw_crops("test")
    assert paste.shape == test.shape == (50, 25, 25) and paste.dtype == np.uint8
    assert len({crop.tobytes() for crop in (*paste, *test)}) == 100
    assert not set(lfw_rows("paste")) & set(lfw_rows("test"))


def test_stand_ins_are_named_so_and_faces_are_grey():
    found = open_pictures(SourceConfig(kind="standin", size=32), "face")
    assert len(found.keys) == 50 and all(key.startswith("standin:") for key in found.keys)
    picture = found.read(7)
    assert picture.shape == (32, 32, 3) and np.ptp(picture, axis=-1).max() == 0 and np.ptp(picture) > 50
    assert not found.has_alpha


def test_a_render_stands_on_a_photograph_and_keeps_its_own_colour_at_the_edge(tmp_path, monkeypatch):
    render = np.zeros((32, 32, 4), np.uint8)
    render[8:24, 8:24] = (200, 10, 10, 255)
    render[7, 8:24] = (200, 10, 10, 100)
    (tmp_path / "bird").mkdir()
    Image.fromarray(render).save(tmp_path / "bird" / "0.png")
    found = StandInRenders(
        tmp_path / "bird", lambda index, size: np.full((size, size, 3), 77 + index, np.uint8), size=32
    )
    assert found.keys == ("standin:bird/0.png",)
    picture = found.read(0, alpha=True)
    np.testing.assert_array_equal(picture[..., 3], render[..., 3])
    assert (picture[render[..., 3] > 0, :3] == (200, 10, 10)).all()
    assert (picture[render[..., 3] == 0, :3] == 77).all()
    np.testing.assert_array_equal(found.read(0), picture[..., :3])
    monkeypatch.setattr(sources, "RENDERS", tmp_path)
    opened = open_pictures(SourceConfig(kind="standin", size=32), "bird")
    np.testing.assert_array_equal(opened.read(0), opened.read(0))
    assert np.ptp(opened.read(0)[render[..., 3] == 0]) > 0, "a photograph, not one colour"


def test_renders_that_are_gone_are_to_be_restored(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "RENDERS", tmp_path)
    with pytest.raises(Missing, match="git checkout"):
        open_pictures(SourceConfig(kind="standin"), "car")


def test_qr_codes_have_no_pictures():
    with pytest.raises(BadInput, match="drawn as they are needed"):
        open_pictures(SourceConfig(kind="library"), "qr")
