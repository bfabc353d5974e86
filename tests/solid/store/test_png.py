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

from experiments.solid.store.png import SIGNATURE, decode_simple, encode_simple
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
    data = encode_simple(rgb)
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        assert image.mode == "RGB"
        np.testing.assert_array_equal(np.asarray(image), rgb)
    np.testing.assert_array_equal(decode_simple(data), rgb)
    np.testing.assert_array_equal(decode_png(data), rgb)


def test_files_of_stores_made_before_are_left_to_pillow_and_read_the_same():
    rgb = np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8)
    rgb[:20] = smooth(20, 30) ** 2  # Pillow takes other filters here
    data = by_pillow(rgb)
    assert decode_simple(data) is None
    np.testing.assert_array_equal(decode_png(data), rgb)


@given(pictures, st.integers(0, 2**31))
def test_rows_may_be_stored_by_the_three_simple_filters_in_any_order(rgb, seed):
    height = len(rgb)
    flat, kinds = rgb.reshape(height, -1), np.random.default_rng(seed).integers(0, 3, height)
    rows = np.empty((height, 1 + flat.shape[1]), np.uint8)
    for y, kind in enumerate(kinds):
        row = flat[y].astype(int)
        if kind == 1:
            row[3:] -= flat[y, :-3]
        elif kind == 2 and y:
            row -= flat[y - 1]
        rows[y, 0], rows[y, 1:] = kind, row % 256
    data = with_chunk(b"IDAT", zlib.compress(rows.tobytes()), encode_simple(rgb))
    np.testing.assert_array_equal(decode_simple(data), rgb)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(data))), rgb)


def test_the_better_filter_is_taken_row_by_row():
    rgb = np.zeros((3, 64, 3), np.uint8)
    rgb[0] = np.arange(64)[:, None]  # differs from its left neighbour by one
    rgb[1:] = np.random.default_rng(0).integers(
        0, 256, (64, 3), dtype=np.uint8
    )  # the third equals the second
    data = encode_simple(rgb)
    start = data.index(b"IDAT") + 4
    rows = np.frombuffer(zlib.decompressobj().decompress(data[start:]), np.uint8).reshape(3, -1)
    assert rows[0, 0] == 1 and rows[2, 0] == 2
    assert not rows[2, 1:].any()


@pytest.mark.parametrize("write", [encode_simple, by_pillow])
@given(where=st.integers(0, 10_000), change=st.integers(1, 255))
def test_a_changed_byte_anywhere_is_noticed(write, where, change):
    data = bytearray(write(smooth(16, 11)))
    data[where % len(data)] ^= change
    with pytest.raises(BadInput, match="PNG"):
        decode_png(bytes(data))


@pytest.mark.parametrize("height, width", [(2**31 - 1, 2**31 - 1), (16, 12), (0, 11), (15, 11)])
def test_a_header_of_another_size_is_refused(height, width):
    data = encode_simple(smooth(16, 11))
    header = struct.pack(">II", height, width)[4:] + struct.pack(">I", height) + bytes((8, 2, 0, 0, 0))
    assert decode_simple(with_chunk(b"IHDR", header, data)) is None


def test_the_compressed_rows_may_not_be_more_than_the_header_says():
    rgb = smooth(16, 11)
    bomb = zlib.compress(bytes(100_000_000))
    assert decode_simple(with_chunk(b"IDAT", bomb, encode_simple(rgb))) is None


def test_other_kinds_of_picture_are_left_to_pillow():
    for mode in ("L", "RGBA", "P"):
        buffer = io.BytesIO()
        Image.new(mode, (4, 4)).save(buffer, format="PNG")
        assert decode_simple(buffer.getvalue()) is None
    assert decode_simple(b"") is None and decode_simple(SIGNATURE) is None and decode_simple(b"JFIF") is None
