"""Small data sets of the tests: coloured rectangles with boxes and masks."""

import json

import numpy as np
from PIL import Image

from tests.compare.test_cost import put

CLASSES = {"mug": (220, 30, 30), "lemon": (230, 220, 30)}
SIZE = (64, 48)
FACTS = {"counts": {}, "warnings": [], "peak_rss_bytes": 1, "facts": {}}


def write_set(file, folder, count, *, seed=0, masks=True):
    """A COCO file of `count` pictures with two rectangles each."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    images, annotations = [], []
    for number in range(1, count + 1):
        name = f"{number:03d}.png"
        rgb = np.full((SIZE[1], SIZE[0], 3), 120, np.uint8)
        images.append({"id": number, "file_name": name, "width": SIZE[0], "height": SIZE[1]})
        for category, color in enumerate(CLASSES.values(), 1):
            width, height = (int(side) for side in rng.integers(12, 24, 2))
            x, y = int(rng.integers(0, SIZE[0] - width)), int(rng.integers(0, SIZE[1] - height))
            rgb[y : y + height, x : x + width] = color
            polygon = [x, y, x + width, y, x + width, y + height, x, y + height]
            row = {"id": len(annotations) + 1, "image_id": number, "category_id": category, "iscrowd": 0}
            row |= {"bbox": [x, y, width, height], "area": width * height}
            annotations.append(row | ({"segmentation": [polygon]} if masks else {}))
        Image.fromarray(rgb).save(folder / name)
    categories = [{"id": k, "name": name} for k, name in enumerate(CLASSES, 1)]
    tree = {"images": images, "annotations": annotations, "categories": categories}
    file.write_text(json.dumps(tree))


def write_target(folder, *, train=6, test=3):
    """Overrides that name a target of rectangles."""
    words = ["target.source=coco", f"cutouts.folder={folder}"]
    for number, (split, count) in enumerate({"train": train, "test": test}.items()):
        write_set(folder / f"{split}.json", folder / split, count, seed=number)
        words += [f"target.{split}_json={folder}/{split}.json", f"target.{split}_images={folder}/{split}"]
    return words


def write_arm(folder, *, count=4, masks=True):
    """A finished stage that left an arm's pictures; returns its folder."""
    put(folder, cpu=7.0, **FACTS)
    write_set_at = folder / "coco"
    write_set_at.mkdir()
    write_set(write_set_at / "annotations.json", write_set_at / "pictures", count, seed=9, masks=masks)
    return folder
