"""The dense detector's stages: what each reads, what decides its result, how it is cut into shards."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from pathlib import Path

from experiments.dense_detector.config import Compare, DenseConfig
from suite.outside import annotated_state, tabletop_state
from suite.stage import Stage


def annotation_state(config: DenseConfig) -> list[str | None]:
    """Digests of the annotation files, or of tabletop's listing."""
    data = config.data
    if data.source == "tabletop":
        return [tabletop_state()]
    files = (data.train_json, data.val_json, data.test_json)
    return annotated_state(files=files, folders=())["files"]


def picture_state(config: DenseConfig) -> list[str | None]:
    """What the folders of pictures hold; tabletop's pictures are covered by its listing."""
    data = config.data
    if data.source == "tabletop":
        return annotation_state(config)
    folders = (data.train_images, data.val_images, data.test_images)
    return annotated_state(files=(), folders=folders)["folders"]


def num_variants(config: DenseConfig, inputs: Mapping[str, Path] | None = None) -> int:
    """Training does one arm of the experiment per shard."""
    return len(config.train.variants)


def comparisons(compare: Compare) -> list[tuple[str, str, int]]:
    """(model, input, seed) of each shard of `compare`; ours has no other input than its own."""
    cells = product(compare.models, compare.inputs, compare.seeds)
    return [cell for cell in cells if cell[:2] != ("ours", "native")]


def num_comparisons(config: DenseConfig, inputs: Mapping[str, Path] | None = None) -> int:
    """One shard per model, input and seed."""
    return len(comparisons(config.compare))


def _stage(name: str, summary: str, run: str, **facts: object) -> Stage:
    return Stage(
        system="dense-detector",
        name=name,
        summary=summary,
        toolchain="detectron2",
        run=f"experiments.dense_detector.{run}",
        **facts,
    )  # type: ignore[arg-type]


LEARNING = ("torch", "torchvision", "numpy", "pillow")

STAGES = {
    stage.name: stage
    for stage in (
        _stage(
            "import", "COCO annotations -> one SQLite database per split", "splits:run_import",
            uses_gpu=False, version=1, outside=annotation_state, decides=("numpy",),
            config=("data.source", "data.train_json", "data.val_json", "data.test_json"),
        ),
        _stage(
            "verify", "decode every picture; those that cannot be are left out", "splits:run_verify",
            uses_gpu=False, version=1, inputs=("import",), outside=picture_state, decides=("pillow",),
            config=("data.train_images", "data.val_images", "data.test_images"),
        ),
        _stage(
            "train", "train the detector, once per variant", "train:run",
            version=1, inputs=("import", "verify"), decides=LEARNING, num_shards=num_variants,
            config=("data", "model", "anchors", "assign", "loss", "train", "evaluate"),
        ),
        _stage(
            "eval", "AP on the test pictures, beside what is possible and what is trivial", "evaluate:run",
            version=1, inputs=("import", "verify", "train"), decides=(*LEARNING, "pycocotools"),
            config=("data", "model", "anchors", "assign", "loss", "train", "evaluate"),
        ),
        _stage(
            "compare", "torchvision's detectors under the same budget; not part of the default run",
            "compare:run", optional=True,
            version=1, inputs=("import", "verify"), decides=(*LEARNING, "pycocotools"),
            num_shards=num_comparisons,
            config=("data", "model", "anchors", "assign", "loss", "train", "evaluate", "compare"),
        ),
        _stage(
            "compare-table", "one table of what `compare` found", "compare_table:run",
            optional=True,
            version=1, inputs=("import", "verify", "compare"), decides=(*LEARNING, "pycocotools"),
            config=("data", "model", "anchors", "assign", "loss", "train", "evaluate", "compare"),
        ),
        _stage(
            "report", "one offline page: curves, heat maps and predictions over training time", "report:run",
            uses_gpu=False, version=2, inputs=("import", "verify", "train", "eval"),
            config=("data", "model", "anchors", "assign", "loss", "train", "evaluate"),
        ),
    )
}  # fmt: skip
