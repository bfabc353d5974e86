"""Pictures per second and core of SOLID's pre-training loader, against the published way, in one run.

    python -m benchmarks.solid_loader              # 32 synthetic pictures of 640x480; half a minute
    python -m benchmarks.solid_loader --store DIR  # the pictures of a finished create-store folder

Run it in the detectron2 environment. Rates are per second of processor time of one process, all its threads
counted, so that a busy machine changes them less. Two figures of both sides:

  read      boxes, decoded picture and masks as they are stored: ours a label map, published (n, H, W)
  sample    the same, resized and mirrored as in training, as a detectron2 input dict: ours with bit-masks,
            published with polygons by scikit-image's find_contours and boxes made from these

"Published" is the pre-training loader of SOLID's code on the chunks that zarr 2 writes: a chunk is read and
decoded as a whole, and each of its pictures is used twice before the next chunk. Its figure therefore holds
the whole chunk's cost shared among all its pictures and both passes, the best case for it. Its pictures are
PNG as Pillow writes them, ours as the stage `targets` does; the bytes of both are printed. Not covered: the
rasterising of polygons at every RoI later in training, a cold page cache, and queries.
"""

from __future__ import annotations

import argparse
import io
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

import suite.compat.detectron2  # noqa: F401

# isort: split
from detectron2.structures import Boxes, Instances, PolygonMasks
from PIL import Image
from skimage.measure import approximate_polygon, find_contours

from benchmarks.zarr_read import decode_chunk, encode_chunk, machine, synthetic_sample
from experiments.solid.config import SolidConfig
from experiments.solid.config_learning import Pretrain
from experiments.solid.learn.data.index import StoreIndex
from experiments.solid.learn.data.pretrain import input_dict, load_target
from experiments.solid.learn.data.transforms import resize_and_flip, to_bgr
from experiments.solid.store.create import CLASSES_NAME
from experiments.solid.store.reader import SolidStore
from experiments.solid.store.samples import QuerySample, TargetSample, encode_png
from experiments.solid.store.schema import STORE_NAME, StoreLayout
from experiments.solid.store.writer import (
    commit_query_shard,
    commit_target_shard,
    create_store,
    reset_group,
)
from suite.config import load_config
from suite.errors import BadInput, guard
from suite.manifest import write_json
from suite.provenance import ROOT

PASSES = 2  # SOLID code: every cached picture is used twice


def main() -> None:
    """Measure both sides on the same pictures and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", type=Path, help="take the pictures of this store; default: synthetic ones")
    parser.add_argument("--pictures", type=int, default=32, help="pictures in the chunk, default 32")
    parser.add_argument("--objects", type=int, default=20, help="objects per synthetic picture, default 20")
    args = parser.parse_args()
    torch.set_num_threads(1)
    settings = load_config(SolidConfig, ROOT / "experiments/solid/configs/paper.yaml").pretrain
    samples = stored(args.store, args.pictures) if args.store else synthetic(args.pictures, args.objects)
    with tempfile.TemporaryDirectory() as folder:
        ours = measure_ours(Path(folder) / "ours", samples, settings)
        published = measure_published(Path(folder) / "published", samples, settings)
    height, width = samples[0].label_map.shape
    boxes = np.mean([len(s.bboxes) for s in samples])
    print(f"{len(samples)} pictures of {width}x{height}, {boxes:.1f} objects, {machine()}")
    files = [np.mean([len(data) for data in side]) / 1e3 for side in (
        [pillow_png(s.rgb()) for s in samples], [encode_png(s.rgb()) for s in samples])]  # fmt: skip
    print(f"PNG by Pillow {files[0]:.0f} kB a picture, ours {files[1]:.0f} kB")
    print(f"{'pictures/s and core':22} {'published':>10} {'ours':>10} {'ratio':>8}")
    for name, theirs, rate in zip(("read", "sample"), published, ours, strict=True):
        print(f"{name:22} {theirs:10.1f} {rate:10.1f} {rate / theirs:7.1f}x")


def measure_ours(folder: Path, samples: Sequence[TargetSample], settings: Pretrain) -> tuple[float, float]:
    """(read, sample) rates of our store and loader; pictures in random order."""
    store, index = as_store(folder, samples)
    order = np.random.default_rng(1).permutation(len(samples)).tolist()

    def read(row: int) -> None:
        store.read_picture(row, len(index.boxes_of(row)))

    def sample(row: int) -> None:
        edge = settings.short_edges[row % len(settings.short_edges)]
        target, image, label_map = load_target(
            store, index, row, settings, short_edge=edge, flip=row % 2 == 0
        )
        input_dict(target, torch.from_numpy(image), torch.from_numpy(label_map))

    return rate(read, order), rate(sample, order)


def measure_published(
    folder: Path, samples: Sequence[TargetSample], settings: Pretrain
) -> tuple[float, float]:
    """(read, sample) rates of one chunk that is walked twice."""
    folder.mkdir()
    height, width = samples[0].label_map.shape
    columns = {
        "images": [np.frombuffer(pillow_png(s.rgb()), np.int8) for s in samples],
        "bboxes": [s.bboxes.ravel() for s in samples],
        "masks": [s.masks().view(np.int8).ravel() for s in samples],
    }
    for name, arrays in columns.items():
        (folder / name).write_bytes(encode_chunk(name, arrays))
    del columns

    def chunk() -> dict[str, np.ndarray]:
        return {
            name: decode_chunk(name, (folder / name).read_bytes()) for name in ("images", "bboxes", "masks")
        }

    def read(cache: dict[str, np.ndarray], row: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        masks = cache["masks"][row].reshape(-1, height, width)
        with Image.open(io.BytesIO(cache["images"][row].tobytes())) as picture:
            rgb = np.asarray(picture)
        return rgb, cache["bboxes"][row].reshape(-1, 5), masks

    def sample(cache: dict[str, np.ndarray], row: int) -> None:
        edge = settings.short_edges[row % len(settings.short_edges)]
        polygon_sample(*read(cache, row), edge, settings, flip=row % 2 == 0)

    order = np.random.default_rng(1).permutation(len(samples)).tolist()
    found = []
    for one in (read, sample):

        def walk(_: int, one: Callable = one) -> None:
            cache = chunk()
            for row in PASSES * order:
                one(cache, row)

        found.append(PASSES * len(samples) * rate(walk, [0], warm=False))
    return found[0], found[1]


def pillow_png(rgb: np.ndarray) -> bytes:
    """The picture as a PNG file the way Pillow writes it by default."""
    buffer = io.BytesIO()
    Image.fromarray(rgb, "RGB").save(buffer, format="PNG")
    return buffer.getvalue()


def polygon_sample(
    rgb: np.ndarray, bboxes: np.ndarray, masks: np.ndarray, edge: int, settings: Pretrain, *, flip: bool
) -> dict:
    """The published way from a stored picture to a detectron2 input dict."""
    transform = resize_and_flip(*rgb.shape[:2], edge, settings.max_edge, flip)
    image = to_bgr(transform.apply_image(rgb))
    outlines = [[transform.apply_coords(p).ravel() for p in contours(mask)] for mask in masks]
    instances = Instances(image.shape[1:])
    instances.gt_masks = PolygonMasks(outlines)
    instances.gt_boxes = Boxes(instances.gt_masks.get_bounding_boxes().tensor)
    instances.gt_classes = torch.from_numpy(bboxes[:, 4].astype(np.int64))
    sides = instances.gt_boxes.tensor[:, 2:] - instances.gt_boxes.tensor[:, :2]
    kept = instances[(sides > settings.min_box).all(dim=1)]
    return {"image": torch.from_numpy(image), "instances": kept}


def contours(mask: np.ndarray) -> list[np.ndarray]:
    """Polygons (k, 2) x, y of an (H, W) mask as SOLID's code makes them."""
    found = []
    for outline in find_contours(np.pad(mask, 1), 0.5):
        points = approximate_polygon(outline - 1, tolerance=0)
        if len(points) >= 3:
            found.append(np.maximum(points[:, ::-1], 0).copy())
    return found


def rate(work: Callable[[int], None], order: Sequence[int], *, warm: bool = True) -> float:
    """Calls per second of processor time, after one call that is not counted."""
    if warm:
        work(order[0])
    started = time.process_time()
    for row in order:
        work(row)
    return len(order) / (time.process_time() - started)


def as_store(folder: Path, samples: Sequence[TargetSample]) -> tuple[SolidStore, StoreIndex]:
    """One shard of the samples, with a query for each class so that every object counts."""
    height, width = samples[0].label_map.shape
    classes = 1 + max(int(s.bboxes[:, 4].max()) for s in samples)
    layout = StoreLayout(
        num_images=len(samples),
        num_classes=classes,
        num_shots=1,
        max_objects=max(len(s.bboxes) for s in samples),
        height=height,
        width=width,
        query_resolution=8,
        shard_size=len(samples),
        query_shard_size=classes,
    )
    folder.mkdir()
    write_json(folder / CLASSES_NAME, [{"id": str(c)} for c in range(classes)])
    path = create_store(folder / STORE_NAME, layout, classes_sha256="")
    for group in ("targets", "queries"):
        reset_group(path, group, key="benchmark")
    commit_target_shard(path, 0, samples)
    view = encode_png(np.zeros((8, 8, 3), np.uint8))
    commit_query_shard(path, 0, [QuerySample(c, (view,)) for c in range(classes)])
    store = SolidStore.open(folder)
    return store, StoreIndex.build(store, folder / "index")


def stored(path: Path, count: int) -> list[TargetSample]:
    """The first finished samples of a store."""
    store = SolidStore.open(path)
    good = np.flatnonzero(store.valid("targets"))[:count]
    if not len(good):
        raise BadInput("the store holds no finished target", file=path, fix="run targets")
    return [store.read_target(int(row)) for row in good]


def synthetic(count: int, objects: int) -> list[TargetSample]:
    """Noise-textured ellipses, as in benchmarks/zarr_read.py."""
    return [synthetic_sample(np.random.default_rng([index, 7]), objects) for index in range(count)]


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    raise SystemExit(guard(main))
