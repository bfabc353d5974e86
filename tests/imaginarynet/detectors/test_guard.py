"""The guard: what a setting withholds of a picture changes no bit of what is trained.

Whole training stages on a set with image-level labels, whose boxes are wrecked in between. That records,
readers and batches hold none is tested in data/; here it is the weights at the end.
"""

import json

import pytest

pytest.importorskip("detectron2")
pytest.importorskip("mmdet")

import numpy as np

from experiments.imaginarynet.config import CONFIG, CONFIGS
from experiments.imaginarynet.detectors import api
from experiments.imaginarynet.detectors.data.records import picture_digest
from experiments.imaginarynet.detectors.proposals.book import write_book
from experiments.imaginarynet.detectors.proposals.records import Proposals
from experiments.imaginarynet.detectors.semi import train_stage as semi_stage
from experiments.imaginarynet.detectors.weak import train_stage as weak_stage
from suite.config import load_config
from suite.stage import Context, Stage
from tests.imaginarynet.detectors.data.sets import HEIGHT, WIDTH, coco_folder, tree

CLASSES = ("mug", "chair", "lemon")
PAIRS = [(number, CLASSES[number % 3]) for number in range(1, 7)]
POISON = {"bbox": [-1e9, "x", None], "area": float("nan"), "segmentation": "?", "iscrowd": "maybe"}
SMALL = ("fc=[8]", "scales=[64]", "iterations=3", "batch=2", "iter_size=1", "refine_start=0", "lr=0.01")
OICR = tuple(f"oicr.{text}" for text in SMALL)


@pytest.fixture
def folder(tmp_path):
    """An imaginary set, and proposals for it."""
    coco_folder(tmp_path / "set", tree(PAIRS, level="image", classes=CLASSES))
    boxes = np.float32([[x, y, x + 12, y + 10] for x in range(0, WIDTH - 12, 4) for y in (0, HEIGHT - 10)])
    found = {picture_digest(file): Proposals.of(boxes) for file in (tmp_path / "set" / "train").iterdir()}
    write_book(tmp_path / "book", found)
    return tmp_path


def rewrite(folder, change):
    """Apply `change` to every annotation of the set."""
    (path,) = (folder / "set" / "annotations").iterdir()
    content = json.loads(path.read_text())
    for row in content["annotations"]:
        change(row)
    path.write_text(json.dumps(content))


def trained(folder, name, stage_module, setting, detector, *overrides):
    """The bytes of the detector after its training stage."""
    chosen = [
        f"setting=[{setting}]",
        f"detector=[{detector}]",
        f"imaginary.folder={folder / 'set'}",
        *overrides,
    ]
    stage = Stage(
        system="imaginarynet", name=f"train-{setting}-{detector}", summary="", toolchain="detectron2",
        version=1, run="",
    )  # fmt: skip
    out = folder / name
    out.mkdir()
    ctx = Context(
        stage=stage, config=load_config(CONFIG, CONFIGS / "tiny.yaml", chosen), seed=0, device="cpu",
        inputs={"proposals": folder / "book"}, out=out, final=out, key="k",
    )  # fmt: skip
    stage_module.run(ctx)
    return (out / api.MODEL).read_bytes()


def test_no_box_of_an_imaginary_picture_reaches_a_loss_of_oicr(folder):
    clean = trained(folder, "clean", weak_stage, "isod", "oicr", *OICR)
    rewrite(folder, lambda row: row.update(POISON))
    assert trained(folder, "poisoned", weak_stage, "isod", "oicr", *OICR) == clean
    # That labels do reach it shows that the comparison can tell.
    rewrite(folder, lambda row: row.update(category_id=row["category_id"] % 3 + 1))
    assert trained(folder, "relabelled", weak_stage, "isod", "oicr", *OICR) != clean


def test_neither_boxes_nor_labels_of_an_unlabelled_picture_reach_a_loss_of_unbiased_teacher(folder):
    weak_teacher = ("unbiased_teacher.threshold=0.0", "unbiased_teacher.test_score=0.0")
    arm = (semi_stage, "ssod", "unbiased-teacher", *weak_teacher)
    clean = trained(folder, "clean", *arm)
    rewrite(folder, lambda row: row.update(POISON, category_id=9, image_id="none"))
    assert trained(folder, "poisoned", *arm) == clean
    # That the pictures do reach it shows that the comparison can tell.
    for file in (folder / "set" / "train").iterdir():
        file.write_bytes((folder / "set" / "train" / "1.png").read_bytes())
    assert trained(folder, "other pictures", *arm) != clean
