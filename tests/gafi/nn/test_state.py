"""A network's state as arrays: applied without touching the network, stored and read back."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from keras import ops

from experiments.gafi.nn.state import (
    apply,
    assign,
    from_arrays,
    load_arrays,
    names_of,
    save_arrays,
    state_of,
    to_arrays,
)
from suite.errors import BadInput


class Counting(keras.Model):
    """y = w x; counts its training calls."""

    def __init__(self, outputs=2):
        super().__init__(name="counting")
        self.outputs = outputs

    def build(self, input_shape=None):
        self.w = self.add_weight(shape=(3, self.outputs), initializer="ones", name="w")
        self.calls = self.add_weight(shape=(), initializer="zeros", name="calls", trainable=False)

    def call(self, x, training=False):
        if training:
            self.calls.assign(self.calls.value + 1.0)
        return ops.matmul(x, self.w.value)


def network(**options):
    model = Counting(**options)
    model.build()
    return model


def array(x):
    return ops.convert_to_numpy(x)


def test_apply_uses_the_state_and_leaves_the_network_alone():
    model, x = network(), ops.ones((1, 3))
    state = state_of(model)
    changed = state._replace(trainable=[2.0 * state.trainable[0]])
    out, other = apply(model, changed, x, training=True)
    np.testing.assert_array_equal(array(out), [[6.0, 6.0]])
    assert float(other[0]) == 1.0
    assert float(apply(model, changed._replace(other=other), x, training=True)[1][0]) == 2.0
    assert float(apply(model, changed, x, training=False)[1][0]) == 0.0
    np.testing.assert_array_equal(array(model(x)), [[3.0, 3.0]])
    assert float(model.calls.value) == 0.0


def test_a_state_is_a_copy_and_assign_writes_one_into_the_network():
    model = network()
    state = state_of(model)
    model.w.assign(5.0 * np.ones((3, 2)))
    np.testing.assert_array_equal(array(state.trainable[0]), np.ones((3, 2)))
    assign(model, state)
    np.testing.assert_array_equal(array(model.w.value), np.ones((3, 2)))


def test_names_are_paths_below_the_model():
    assert names_of(network()) == (["w"], ["calls"])


def test_a_stored_state_comes_back_bit_for_bit_and_equal_states_give_equal_bytes(tmp_path):
    model = network()
    model.w.assign(np.random.default_rng(0).standard_normal((3, 2)))
    state = state_of(model)
    for name in ("a.npz", "b.npz"):
        save_arrays(tmp_path / name, to_arrays(model, state))
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.npz", "b.npz"]
    again = from_arrays(network(), load_arrays(tmp_path / "a.npz"), where=tmp_path / "a.npz")
    np.testing.assert_array_equal(array(again.trainable[0]), array(state.trainable[0]))
    np.testing.assert_array_equal(array(again.other[0]), array(state.other[0]))


@settings(max_examples=20, deadline=None)
@given(
    st.dictionaries(
        st.text("abc/_0", min_size=1, max_size=8).filter(lambda name: not name.startswith("/")),
        hnp.arrays(st.sampled_from([np.float32, np.int32, np.uint8]), hnp.array_shapes(min_dims=0)),
        max_size=4,
    )
)
def test_any_arrays_survive_the_round_trip(tmp_path_factory, arrays):
    path = tmp_path_factory.mktemp("arrays") / "x.npz"
    save_arrays(path, arrays)
    again = load_arrays(path)
    assert set(again) == set(arrays)
    for name, value in arrays.items():
        assert again[name].dtype == value.dtype
        np.testing.assert_array_equal(again[name], value)


@pytest.mark.parametrize(
    ("arrays", "what"),
    [
        ({"w": np.ones((3, 2))}, "no `calls`"),
        ({"w": np.ones((3, 4)), "calls": np.zeros(())}, "`w` is 3x4, not 3x2"),
        ({"w": np.ones((3, 2)), "calls": np.zeros(()), "v": np.zeros(())}, "surplus `v`"),
    ],
)
def test_a_checkpoint_of_another_architecture_is_refused_with_the_first_difference(arrays, what):
    with pytest.raises(BadInput) as raised:
        from_arrays(network(), arrays, where=Path("x.npz"))
    assert str(raised.value) == (
        f"x.npz: checkpoint of another architecture: {what}; "
        "give the settings that it was trained with, or train again"
    )


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut off", b"not a zip at all"])
def test_a_damaged_file_is_one_clear_line(tmp_path, content):
    path = tmp_path / "x.npz"
    path.write_bytes(content)
    with pytest.raises(BadInput, match="x.npz: cannot be read as .npz"):
        load_arrays(path)


def test_a_checkpoint_cut_short_or_a_bare_array_is_refused(tmp_path):
    save_arrays(tmp_path / "x.npz", {"w": np.ones(100)})
    (tmp_path / "x.npz").write_bytes((tmp_path / "x.npz").read_bytes()[:-30])
    with (tmp_path / "y.npz").open("wb") as stream:
        np.save(stream, np.ones(3))
    for name in ("x.npz", "y.npz"):
        with pytest.raises(BadInput, match=f"{name}: cannot be read as .npz"):
            load_arrays(tmp_path / name)


def test_a_missing_file_is_one_clear_line(tmp_path):
    with pytest.raises(BadInput, match="x.npz: no such checkpoint; train it first, or check the path"):
        load_arrays(tmp_path / "x.npz")


def test_nothing_is_unpickled(tmp_path):
    np.savez(tmp_path / "x.npz", w=np.array([{"a": 1}], dtype=object))
    with pytest.raises(BadInput, match="cannot be read as .npz"):
        load_arrays(tmp_path / "x.npz")
