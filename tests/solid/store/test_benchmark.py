import dataclasses

import numpy as np

from benchmarks.zarr_read import (
    CHUNK,
    decode_chunk,
    encode_chunk,
    measure_ours,
    measure_published,
    synthetic_sample,
)
from experiments.solid.store.invariants import target_problems
from experiments.solid.store.schema import StoreLayout
from tests.solid.store.fakes import LAYOUT, target


def test_both_formats_return_the_samples_and_ours_reads_fewer_bytes(tmp_path):
    layout = dataclasses.replace(LAYOUT, num_images=CHUNK, height=60, width=80)
    samples = [target(index, layout) for index in range(CHUNK)]
    ours = measure_ours(tmp_path / "ours", samples, [5, 250])
    published = measure_published(tmp_path / "published", samples, [5, 250])
    assert published[1] > 30 * ours[1]  # bytes read per sample; rates are for the benchmark itself
    assert min(*ours, *published) > 0


def test_an_object_chunk_holds_arrays_of_different_lengths():
    arrays = [np.arange(n, dtype=np.int32) for n in (0, 3, 1)]
    found = decode_chunk("bboxes", encode_chunk("bboxes", arrays))
    assert [a.tolist() for a in found] == [[], [0, 1, 2], [0]]


def test_a_synthetic_sample_is_a_valid_target():
    sample = synthetic_sample(np.random.default_rng(0), 20)
    layout = StoreLayout(1, 32, 1, 20, 480, 640, 1, 1, 1)
    assert target_problems(sample, layout) == []
    assert 100_000 < len(sample.image) < 900_000
