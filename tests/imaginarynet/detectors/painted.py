"""Sets on disk for the chain of the detectors: a bright rectangle of its class's colour on a dark ground."""

import json

import numpy as np
from PIL import Image

CLASSES = ("mug", "lemon", "cone")
COLOURS = ((220, 40, 40), (230, 220, 40), (40, 90, 230))
SIDE = 48  # pixels


def rectangle(number):
    """(x1, y1, x2, y2) of the object in picture `number`."""
    x, y = 4 + 5 * (number % 4), 3 + 4 * (number % 5)
    return x, y, x + 18 + number % 3, y + 16 + number % 4


def paint(path, number, label):
    """A PNG with one object."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(number).integers(0, 50, (SIDE, SIDE, 3), dtype=np.uint8)
    x1, y1, x2, y2 = rectangle(number)
    pixels[y1:y2, x1:x2] = COLOURS[label]
    Image.fromarray(pixels).save(path)


def coco_set(root, split, numbers, *, level=None):
    """A COCO-format set, classes in turn, in the layout of the stage `export`; its tree.

    level: "image" for labels of whole pictures.
    """
    images, rows = [], []
    for number in numbers:
        label = number % len(CLASSES)
        paint(root / split / f"{number}.png", number, label)
        x1, y1, x2, y2 = (0, 0, SIDE, SIDE) if level else rectangle(number)
        box = [x1, y1, x2 - x1, y2 - y1]
        images.append({"id": number, "file_name": f"{number}.png", "width": SIDE, "height": SIDE})
        row = {"id": number, "image_id": number, "category_id": label + 1, "bbox": box, "iscrowd": 0}
        rows.append({**row, "area": box[2] * box[3], **({"label_level": level} if level else {})})
    categories = [{"id": place, "name": name} for place, name in enumerate(CLASSES, start=1)]
    tree = {"info": {}, "images": images, "annotations": rows, "categories": categories}
    write(root, split, tree)
    return tree


def write(root, split, tree):
    """The annotation file of a split."""
    path = root / "annotations" / f"instances_{split}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(tree))


def sets(root):
    """A target and an imaginary set below `root`, and the overrides that name them."""
    coco_set(root / "target", "train", range(1, 13))
    coco_set(root / "target", "test", range(21, 27))
    coco_set(root / "imaginary", "train", range(31, 37), level="image")
    return (
        f"classes=[{', '.join(CLASSES)}]",
        f"target={{data: coco, root: {root / 'target'}, limit: null, boxed: 6}}",
        f"imaginary.folder={root / 'imaginary'}",
    )
