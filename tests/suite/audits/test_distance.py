import json
import math
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from suite.audits.distance import READERS, distance

FLOATS = st.floats(-1e6, 1e6, width=32)


def write_safetensors(path, tensors):
    """The published format: length of the header, header, data."""
    header, data = {}, b""
    for name, value in tensors.items():
        kind = {"float32": "F32", "float16": "F16", "int64": "I64"}[str(value.dtype)]
        offsets = [len(data), len(data) + value.nbytes]
        header[name] = {"dtype": kind, "shape": list(value.shape), "data_offsets": offsets}
        data += value.tobytes()
    text = json.dumps(header | {"__metadata__": {"format": "pt"}}).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def write(path, value):
    """An array in the format that the name says."""
    if path.suffix == ".npy":
        np.save(path, value)
    elif path.suffix == ".npz":
        np.savez(path, numbers=value)
    elif path.suffix == ".safetensors":
        write_safetensors(path, {"numbers": value})
    elif path.suffix == ".csv":
        path.write_text("name,value\n" + "".join(f"row {i},{x!r}\n" for i, x in enumerate(value.tolist())))
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps({"a": x}) + "\n" for x in value.tolist()))
    else:
        path.write_text(json.dumps({"a": {"b": value.tolist()}, "text": "same"}))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("distance")


@pytest.mark.parametrize("suffix", sorted(READERS))
@given(
    values=hnp.arrays(np.float32, st.integers(1, 6), elements=FLOATS),
    more=hnp.arrays(np.float32, 6, elements=FLOATS),
)
def test_it_is_the_largest_relative_difference_in_every_format(folder, suffix, values, more):
    other = values + more[: len(values)]
    for name, value in (("a", values), ("b", other)):
        write(folder / f"{name}{suffix}", value)
    one, two = values.astype(float), other.astype(float)
    wanted = np.max(np.abs(one - two) / np.maximum(1, np.maximum(np.abs(one), np.abs(two))))
    assert distance(folder / f"a{suffix}", folder / f"b{suffix}") == pytest.approx(
        wanted, rel=1e-6, abs=1e-12
    )
    assert distance(folder / f"a{suffix}", folder / f"a{suffix}") == 0


@pytest.mark.parametrize(
    ("one", "other"),
    [({"a": 1}, {"b": 1}), ({"a": [1, 2]}, {"a": [1]}), ({"a": "x"}, {"a": "y"}), ({"a": 1}, {"a": None})],
)
def test_other_names_shapes_or_texts_have_no_distance(tmp_path, one, other):
    (tmp_path / "a.json").write_text(json.dumps(one))
    (tmp_path / "b.json").write_text(json.dumps(other))
    assert distance(tmp_path / "a.json", tmp_path / "b.json") is None


def test_another_shape_of_the_same_numbers_has_no_distance(tmp_path):
    write(tmp_path / "a.safetensors", np.zeros((2, 3), np.float32))
    write(tmp_path / "b.safetensors", np.zeros((3, 2), np.float32))
    assert distance(tmp_path / "a.safetensors", tmp_path / "b.safetensors") is None


def test_a_number_that_became_none_is_infinitely_far(tmp_path):
    np.save(tmp_path / "a.npy", np.array([1.0, math.nan]))
    np.save(tmp_path / "b.npy", np.array([math.nan, math.nan]))
    assert distance(tmp_path / "a.npy", tmp_path / "b.npy") == math.inf
    assert distance(tmp_path / "b.npy", tmp_path / "b.npy") == 0


@pytest.mark.parametrize("name", ["a.jpg", "a.html", "broken.json", "broken.npz", "broken.safetensors"])
def test_what_is_no_file_of_numbers_has_no_distance(tmp_path, name):
    (tmp_path / name).write_bytes(b"{nothing of the kind")
    assert distance(tmp_path / name, tmp_path / name) is None
