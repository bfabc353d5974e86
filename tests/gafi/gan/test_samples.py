"""Sheets of samples and their animation."""

import numpy as np
import pytest
from PIL import Image

from experiments.gafi.gan.samples import GAP, ROWS, TITLE_HEIGHT, draw_sheet, sheet_latents, write_animation

SIZE = 64


def levels(count, channels=1):
    """Picture i of `count` is of the one level i, from -1 to 1."""
    return np.broadcast_to(np.linspace(-1, 1, count)[:, None, None, None], (count, SIZE, SIZE, channels))


def test_a_sheet_has_five_rows_and_a_column_per_class():
    latents, labels = sheet_latents(1, num_classes=3, latent_dim=7)
    assert latents.shape == (15, 7)
    assert labels.reshape(5, 3).tolist() == [[0, 1, 2]] * 5


@pytest.mark.parametrize(("classes", "row"), [(100, list(range(0, 100, 11))), (10, list(range(10)))])
def test_ten_columns_are_the_most_and_their_classes_are_evenly_spaced(classes, row):
    _, labels = sheet_latents(1, num_classes=classes, latent_dim=2)
    assert labels.reshape(5, -1)[0].tolist() == row


def test_the_same_gan_has_the_same_latents_and_another_one_others():
    one, again, other = (sheet_latents(seed, num_classes=3, latent_dim=7)[0] for seed in (1, 1, 2))
    assert one.tobytes() == again.tobytes() != other.tobytes()


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_stand_row_by_row_in_gaps_of_white(channels):
    page = np.asarray(draw_sheet(levels(10, channels), normalize=True)).reshape(
        ROWS * (SIZE + GAP) + GAP, 2 * (SIZE + GAP) + GAP, channels
    )
    for place, level in enumerate(np.rint(np.linspace(0, 255, 10))):
        y, x = GAP + place // 2 * (SIZE + GAP), GAP + place % 2 * (SIZE + GAP)
        assert (page[y : y + SIZE, x : x + SIZE] == level).all()
    assert (page[:GAP] == 255).all()


def test_pictures_that_are_not_normalised_are_read_from_0_to_1():
    page = np.asarray(draw_sheet(np.full((5, SIZE, SIZE, 1), 0.2), normalize=False))
    assert page[GAP, GAP] == 51


def test_small_pictures_are_enlarged_without_smoothing():
    image = np.zeros((5, 16, 16, 1))
    image[:, 0, 0] = 1.0
    page = np.asarray(draw_sheet(image, normalize=True))
    assert (page[GAP : GAP + 4, GAP : GAP + 4] == 255).all()
    assert page[GAP + 4, GAP] == page[GAP, GAP + 4] == 128


def test_a_title_stands_above_and_moves_the_pictures_down():
    plain, titled = (draw_sheet(levels(10), normalize=True, title=t) for t in ("", "epoch 3"))
    assert titled.height == plain.height + TITLE_HEIGHT
    np.testing.assert_array_equal(np.asarray(titled)[TITLE_HEIGHT:], np.asarray(plain))
    assert (np.asarray(titled)[:TITLE_HEIGHT] < 100).any()


def test_the_animation_shows_the_sheets_in_order_for_a_tenth_of_a_second_each(tmp_path):
    paths = []
    for number, level in enumerate((-1.0, 0.0, 1.0)):
        paths.append(tmp_path / f"{number}.png")
        draw_sheet(np.full((5, SIZE, SIZE, 1), level), normalize=True).save(paths[-1])
    write_animation(paths, tmp_path / "all.gif")
    with Image.open(tmp_path / "all.gif") as animation:
        assert (animation.n_frames, animation.info["duration"], animation.info["loop"]) == (3, 100, 0)
        for number, level in enumerate((0, 128, 255)):
            animation.seek(number)
            assert abs(animation.convert("L").getpixel((GAP + 5, GAP + 5)) - level) <= 2
