from __future__ import annotations

import numpy as np
import pytest

from experiments.sample_synthesis.config import CONFIG, CONFIGS
from experiments.sample_synthesis.stages import stages_of
from experiments.sample_synthesis.synth.stage import open_stream, read_written
from suite.config import load_config
from suite.errors import BadInput
from suite.stage import Job

pytest.importorskip("segno")
SMALL = ["qr.synthesis.num_samples=12", "qr.synthesis.image_size=64", "compute.synth_shard_size=5"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The finished stages `qr-objects` and `qr-synth`."""
    folder = tmp_path_factory.mktemp("run")
    config = load_config(CONFIG, CONFIGS / "smoke.yaml", SMALL)
    stages = stages_of(config)

    def job(name: str, **inputs) -> Job:
        out = folder / name
        return Job(stage=stages[name], config=config, seed=3, device="cpu", inputs=inputs, out=out)

    job("qr-objects").run()
    job("qr-synth", **{"qr-objects": folder / "qr-objects"}).run()
    return config, folder


def test_shards_hold_the_items_of_the_stream(run):
    config, folder = run
    stream = open_stream(config, "qr", seed=3, objects=folder / "qr-objects")
    files = read_written(folder / "qr-synth")
    assert [file.item for file in files] == list(range(12))
    for file in files:
        assert file.path.name == f"{file.item + 1:05d}.jpg"
        assert np.array_equal(file.boxes, stream.item(file.item).boxes)
    assert len({file.path.parent for file in files}) == 3  # 5, 5 and 2 items


def test_the_first_items_can_be_asked_for(run):
    files = read_written(run[1] / "qr-synth", limit=7)
    assert [file.item for file in files] == list(range(7))


def test_too_few_images_are_told(run):
    with pytest.raises(BadInput, match="holds 12 of 13 masked images"):
        read_written(run[1] / "qr-synth", limit=13)
    with pytest.raises(BadInput, match="holds 0 naive images"):
        read_written(run[1] / "qr-synth", "naive")


def test_counts_of_images_boxes_and_redrawn_objects_are_in_the_manifest(run):
    from suite.manifest import read_manifest

    counts = read_manifest(run[1] / "qr-synth")["counts"]
    assert counts["images"] == 12
    assert counts["boxes"] == sum(len(file.boxes) for file in read_written(run[1] / "qr-synth"))
    assert counts["redrawn"] == 0
