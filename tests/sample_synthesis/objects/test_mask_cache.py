"""Masks by the content of the picture."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.sample_synthesis.objects.mask_cache import MaskCache, entry_name, predict_masks
from experiments.sample_synthesis.objects.masks import quantised
from suite.errors import Stopped
from tests.sample_synthesis.objects.make import DiscMasks, disc_pictures

PICTURES, _ = disc_pictures(7)


def predict(folder, pictures=PICTURES, provider=None, **kw):
    provider = provider or DiscMasks()
    cache = MaskCache(folder)
    return predict_masks(pictures, provider, cache, batch=kw.pop("batch", 3), **kw), provider, cache


def test_a_picture_is_computed_once_and_equal_however_it_is_batched(tmp_path):
    first, provider, cache = predict(tmp_path / "a")
    np.testing.assert_array_equal(first, quantised(DiscMasks().masks(PICTURES)))
    assert (provider.seen, provider.calls, cache.counts["computed"]) == (7, 3, 7)
    again, provider, cache = predict(tmp_path / "a", PICTURES[::-1])
    np.testing.assert_array_equal(again, first[::-1])
    assert (provider.seen, cache.counts["found"]) == (0, 7)
    other, _, _ = predict(tmp_path / "b", batch=1)
    np.testing.assert_array_equal(other, first)


def test_equal_pictures_of_one_call_are_computed_once(tmp_path):
    repeated = PICTURES[[0, 1, 0, 0, 1]]
    found, provider, _ = predict(tmp_path, repeated)
    assert provider.seen == 2
    np.testing.assert_array_equal(found, quantised(DiscMasks().masks(repeated)))


def test_another_provider_or_another_picture_has_another_entry():
    changed = PICTURES[0].copy()
    changed[3, 3, 1] ^= 1
    as_rows = PICTURES[0].reshape(16, 64, 3)
    names = {entry_name("a", PICTURES[0]), entry_name("b", PICTURES[0]), entry_name("a", changed)}
    assert len(names | {entry_name("a", as_rows)}) == 4
    assert entry_name("a", PICTURES[0].copy()) in names


@pytest.mark.parametrize("damage", ["cut", "bit", "empty", "shape", "type", "text"])
def test_a_damaged_entry_is_computed_again(tmp_path, damage):
    whole, _, cache = predict(tmp_path)
    path = cache.path(entry_name(DiscMasks().key, PICTURES[2]))
    data = bytearray(path.read_bytes())
    if damage == "bit":
        data[len(data) // 2] ^= 4
    content = {"cut": data[:-30], "bit": data, "empty": b"", "text": b"no archive"}
    if damage in content:
        path.write_bytes(bytes(content[damage]))
    else:
        wrong = whole[2, :5] if damage == "shape" else whole[2].astype(np.float32)
        with path.open("wb") as stream:
            np.savez(stream, mask=wrong)
    found, provider, cache = predict(tmp_path)
    np.testing.assert_array_equal(found, whole)
    assert (provider.seen, cache.counts["damaged"], cache.counts["found"]) == (1, 1, 6)
    assert predict(tmp_path)[1].seen == 0, "and was kept"


def test_a_stop_between_two_calls_keeps_what_is_computed(tmp_path):
    asked = []

    def stop_at_the_third():
        asked.append(None)
        if len(asked) == 3:
            raise Stopped("stopped")

    with pytest.raises(Stopped):
        predict(tmp_path, check_stop=stop_at_the_third)
    _, provider, cache = predict(tmp_path)
    assert (provider.seen, cache.counts["found"]) == (1, 6)
