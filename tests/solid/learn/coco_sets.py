"""Small COCO sets with pictures, as files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from experiments.solid.config_learning import TargetSet
from suite.datasets.masks import encode
from tests.solid.learn.stores import colour, textured

CATEGORIES = [{"id": 7, "name": "cup"}, {"id": 3, "name": "box"}, {"id": 11, "name": "ball"}]


def coco_tree(num_images: int, *, first: int = 1, width: int = 64, height: int = 48) -> dict:
    """A COCO file's content: on picture i one object per annotation, alternately polygons and RLE.

    Every third picture has a crowd region too; every fifth picture has no object.
    """
    images, annotations = [], []
    for image_id in range(first, first + num_images):
        rng = np.random.default_rng([image_id, 5])
        images.append({"id": image_id, "file_name": f"{image_id:06d}.png", "width": width, "height": height})
        for number in range(0 if image_id % 5 == 0 else 1 + image_id % 2):
            w, h = rng.integers(12, 24, 2).tolist()
            x, y = int(rng.integers(0, width - w)), int(rng.integers(0, height - h))
            mask = np.zeros((height, width), bool)
            mask[y : y + h, x : x + w] = True
            corners = [x, y, x + w, y, x + w, y + h, x, y + h]
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": CATEGORIES[int(rng.integers(3))]["id"],
                    "bbox": [x, y, w, h],
                    "area": w * h,
                    "iscrowd": 0,
                    "segmentation": [corners] if number else encode(mask),
                }
            )
        if image_id % 3 == 0:
            whole = encode(np.ones((height, width), bool))
            crowd = {"id": len(annotations) + 1, "image_id": image_id, "category_id": 3, "iscrowd": 1}
            annotations.append(
                {**crowd, "bbox": [0, 0, width, height], "area": width * height, "segmentation": whole}
            )
    return {"images": images, "annotations": annotations, "categories": CATEGORIES}


def draw(tree: dict, images_dir: Path) -> None:
    """The pictures of a tree: coloured rectangles on grey, lossless."""
    images_dir.mkdir(parents=True)
    for image in tree["images"]:
        rng = np.random.default_rng([image["id"], 6])
        rgb = textured(rng, image["height"], image["width"], np.full(3, 90.0))
        for annotation in tree["annotations"]:
            if annotation["image_id"] == image["id"] and not annotation["iscrowd"]:
                x, y, w, h = annotation["bbox"]
                rgb[y : y + h, x : x + w] = textured(rng, h, w, colour(annotation["category_id"], 12))
        Image.fromarray(rgb, "RGB").save(images_dir / image["file_name"])


def write_target_set(folder: Path, *, train: int = 10, test: int = 5) -> TargetSet:
    """Files of both sides below `folder`, and the settings that name them."""
    for side, tree in (("train", coco_tree(train)), ("test", coco_tree(test, first=101))):
        (folder / f"{side}.json").write_text(json.dumps(tree), encoding="utf-8")
        draw(tree, folder / side)
    return TargetSet(
        source="folder",
        train_json=str(folder / "train.json"),
        train_images=str(folder / "train"),
        test_json=str(folder / "test.json"),
        test_images=str(folder / "test"),
        max_train=None,
        max_test=None,
    )
