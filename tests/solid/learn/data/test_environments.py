"""A store that was rendered and written in Blender's environment, read by the loader in this one."""

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from experiments.solid.learn.data.index import StoreIndex, check_classes
from experiments.solid.learn.data.pretrain import held_out_batches, pretrain_loader, read_query_pictures
from experiments.solid.store.reader import SolidStore
from tests.solid.conftest import ROOT, Run

BLENDER = Path(os.environ.get("SYNDET_BLENDER_PYTHON", ROOT / ".tox/blender/bin/python"))
VERBS = ("fetch-meshes", "index", "clean", "rooms", "create-store", "targets", "queries")


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    """The folder of a tiny run, made by the public commands in the other environment."""
    if not BLENDER.is_file():
        pytest.skip("no Blender environment here; SYNDET_BLENDER_PYTHON can name one")
    run = Run(tmp_path_factory.mktemp("rendered"))
    for verb in VERBS:
        line = [str(BLENDER), *run.command(verb)[1:]]
        done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
    return run.folder


@pytest.mark.slow
def test_every_rendered_picture_and_query_comes_through_the_loader(rendered, tmp_path, with_pretrain):
    folder = rendered / "create-store"
    store = SolidStore.open(folder)
    check_classes(store, rendered / "clean" / "classes.json")
    index = StoreIndex.build(store, tmp_path / "index")
    height, width = store.layout.height, store.layout.width
    finished = np.flatnonzero(store.valid("targets"))
    assert len(finished) == store.layout.num_images == 8
    config = with_pretrain(short_edges=(height,), max_edge=width, flip=False, min_box=0.0, workers=1)
    rows = index.train_rows(config.pretrain.held_out)
    batches = list(pretrain_loader(folder, index, config, seed=0, stop_step=len(rows) // 2))
    targets = [t for batch in batches for t in batch.targets]
    targets += [t for batch in held_out_batches(folder, index, config) for t in batch]
    assert sorted(t["image_id"] for t in targets) == finished.tolist()
    for target in targets:
        sample, found = store.read_target(target["image_id"]), target["instances"]
        assert (target["image"].numpy() == sample.rgb()[:, :, ::-1].transpose(2, 0, 1)).all()
        assert found.gt_boxes.tensor.tolist() == sample.bboxes[:, :4].tolist()
        assert found.gt_classes.tolist() == sample.bboxes[:, 4].tolist()
        assert (found.gt_masks.tensor.numpy() == sample.masks()).all()
    assert sum(batch.skipped for batch in batches) == 0
    ids, pictures = read_query_pictures(store, range(store.layout.num_classes), config)
    assert ids.tolist() == np.flatnonzero(store.valid("queries")).tolist()
    assert all(max(p.shape[1:]) == config.pretrain.query_size for p in pictures)
    assert all(p.dtype == torch.uint8 and p.float().std() > 0 for p in pictures)
