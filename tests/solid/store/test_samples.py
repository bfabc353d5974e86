import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.solid.store.samples import (
    GivenUp,
    QuerySample,
    decode_png,
    encode_png,
    load_sample,
    missing_indices,
    pack_scene,
    sample_path,
    save_sample,
    unpack_scene,
)
from suite.errors import BadInput
from tests.solid.store.fakes import query, target


def assert_same(one, other):
    assert type(one) is type(other)
    for name, value in vars(one).items():
        np.testing.assert_array_equal(value, getattr(other, name))
        if isinstance(value, np.ndarray):
            assert value.dtype == getattr(other, name).dtype


@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12).map(lambda s: (*s, 3))))
def test_png_round_trip_is_exact_and_deterministic(rgb):
    data = encode_png(rgb)
    assert data == encode_png(rgb)
    np.testing.assert_array_equal(decode_png(data), rgb)


@given(st.integers(min_value=0, max_value=10_000))
def test_a_png_cut_anywhere_does_not_decode(where):
    data = target(0).image
    with pytest.raises(BadInput, match="PNG"):
        decode_png(data[: where % len(data)])


def test_a_png_with_flipped_pixels_does_not_decode():
    data = bytearray(target(0).image)
    data[len(data) // 2] ^= 0xFF
    with pytest.raises(BadInput, match="PNG does not decode"):
        decode_png(bytes(data))


def test_a_png_of_another_mode_is_refused():
    import io

    from PIL import Image

    buffer = io.BytesIO()
    Image.new("L", (4, 4)).save(buffer, format="PNG")
    with pytest.raises(BadInput, match="mode L"):
        decode_png(buffer.getvalue())


@given(st.text())
def test_scene_round_trip(text):
    assert unpack_scene(pack_scene(text)) == text


@pytest.mark.parametrize(
    "sample",
    [target(3), query(2), QuerySample(1, (b"", b"x", b"")), GivenUp("no room")],
    ids=lambda s: type(s).__name__,
)
def test_checkpoint_round_trip(tmp_path, sample):
    save_sample(tmp_path / "new", 7, sample)
    assert_same(load_sample(tmp_path / "new", 7), sample)


def test_missing_indices_are_those_without_a_readable_checkpoint(tmp_path):
    for index in (1, 2, 4):
        save_sample(tmp_path, index, target(index))
    path = sample_path(tmp_path, 2)
    path.write_bytes(path.read_bytes()[:100])
    assert missing_indices(tmp_path, range(5)) == [0, 2, 3]
    assert not path.exists()


def test_a_damaged_checkpoint_is_one_clear_line(tmp_path):
    sample_path(tmp_path, 0).write_bytes(b"PK not a zip")
    with pytest.raises(BadInput, match=r"00000000\.npz: unreadable checkpoint"):
        load_sample(tmp_path, 0)


def test_a_checkpoint_never_unpickles(tmp_path):
    np.savez(sample_path(tmp_path, 0), reason=np.array([{"a": 1}], dtype=object))
    with pytest.raises(BadInput, match="unreadable checkpoint"):
        load_sample(tmp_path, 0)


def test_masks_are_disjoint_and_cover_the_label_map():
    sample = target(5)
    masks = sample.masks()
    assert masks.shape == (len(sample.bboxes), *sample.label_map.shape)
    np.testing.assert_array_equal(masks.sum(axis=0), sample.label_map > 0)
