"""The quick PNG files against Pillow and against damage."""

import io
import struct
import zlib

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from experiments.solid.store.png import SIGNATURE, decode_up, encode_up
from experiments.solid.store.samples import decode_png
from suite.errors import BadInput

pictures = hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12).map(lambda s: (*s, 3)))


def by_pillow(rgb, **options):
    buffer = io.BytesIO()
    Image.fromarray(rgb, "RGB").save(buffer, format="PNG", **options)
    return buffer.getvalue()


def smooth(height, width):
    y, x = np.mgrid[:height, :width]
    return np.stack([x + y, 3 * x, 2 * y], axis=-1).astype(np.uint8)


def with_chunk(name, content, data):
    """The file with the content of one chunk replaced and its checksum right again."""
    start = data.index(name)
    length = int.from_bytes(data[start - 4 : start], "big")
    body = name + content
    return (data[: start - 4] + struct.pack(">I", len(content)) + body
            + struct.pack(">I", zlib.crc32(body)) + data[start + 8 + length :])  # fmt: skip


@given(pictures)
def test_pillow_and_the_quick_reader_see_the_picture_that_was_written(rgb):
    data = encode_up(rgb)
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        assert image.mode == "RGB"
        np.testing.assert_array_equal(np.asarray(image), rgb)
    np.testing.assert_array_equal(decode_up(data), rgb)
    np.testing.assert_array_equal(decode_png(data), rgb)


def test_files_of_stores_made_before_are_left_to_pillow_and_read_the_same():
    rgb = np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8)
    rgb[:20] = smooth(20, 30)  # Pillow takes several filters here
    data = by_pillow(rgb)
    assert decode_up(data) is None
    np.testing.assert_array_equal(decode_png(data), rgb)


def test_rows_that_are_stored_as_they_are_may_stand_among_the_others():
    rgb = smooth(9, 7)
    rows = np.empty((9, 22), np.uint8)
    rows[:, 0], rows[:, 1:] = 0, rgb.reshape(9, -1)
    rows[4:7, 0], rows[4:7, 1:] = 2, rgb.reshape(9, -1)[4:7] - rgb.reshape(9, -1)[3:6]
    data = with_chunk(b"IDAT", zlib.compress(rows.tobytes()), encode_up(rgb))
    np.testing.assert_array_equal(decode_up(data), rgb)


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_changed_byte_anywhere_is_never_another_picture(where, change):
    rgb = smooth(16, 11)
    data = bytearray(encode_up(rgb))
    data[where % len(data)] ^= change
    assert decode_up(bytes(data)) is None
    try:
        found = decode_png(bytes(data))  # Pillow forgives damage behind the last row
    except BadInput:
        return
    np.testing.assert_array_equal(found, rgb)


@pytest.mark.parametrize("height, width", [(2**31 - 1, 2**31 - 1), (16, 12), (0, 11), (15, 11)])
def test_a_header_of_another_size_is_refused(height, width):
    data = encode_up(smooth(16, 11))
    header = struct.pack(">II", height, width)[4:] + struct.pack(">I", height) + bytes((8, 2, 0, 0, 0))
    assert decode_up(with_chunk(b"IHDR", header, data)) is None


def test_the_compressed_rows_may_not_be_more_than_the_header_says():
    rgb = smooth(16, 11)
    bomb = zlib.compress(bytes(100_000_000))
    assert decode_up(with_chunk(b"IDAT", bomb, encode_up(rgb))) is None


def test_other_kinds_of_picture_are_left_to_pillow():
    for mode in ("L", "RGBA", "P"):
        buffer = io.BytesIO()
        Image.new(mode, (4, 4)).save(buffer, format="PNG")
        assert decode_up(buffer.getvalue()) is None
    assert decode_up(b"") is None and decode_up(SIGNATURE) is None and decode_up(b"JFIF") is None
