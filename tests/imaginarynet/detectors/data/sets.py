"""Small sets on disk for the tests of readers and loaders."""

import json

import numpy as np
from PIL import Image

from suite.datasets.voc_xml import VocImage, VocObject, write_voc_xml

CLASSES = ("mug", "lemon", "traffic light")
WIDTH, HEIGHT = 32, 24


def picture(path, seed, width=WIDTH, height=HEIGHT):
    """A PNG of noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)


def tree(pairs, *, box=(2, 2, 8, 8), info=None, level=None, classes=CLASSES, **extra):
    """COCO as plain dicts; `pairs`: (image id, class name); `level`: label_level of every annotation."""
    ids = {name: number for number, name in enumerate(classes, start=1)}
    images = sorted({image_id for image_id, _ in pairs})
    extra = {**extra, **({"label_level": level} if level else {})}
    return {
        "info": info or {},
        "images": [
            {"id": key, "file_name": f"{key}.png", "width": WIDTH, "height": HEIGHT} for key in images
        ],
        "annotations": [
            {
                "id": number,
                "image_id": image_id,
                "category_id": ids[name],
                "bbox": list(box),
                "area": box[2] * box[3],
                "iscrowd": 0,
                **extra,
            }
            for number, (image_id, name) in enumerate(pairs, start=1)
            if name is not None
        ],
        "categories": [{"id": number, "name": name} for name, number in ids.items()],
    }


def coco_folder(root, content, split="train"):
    """The layout of the stage `export`: annotations/instances_<split>.json and <split>/."""
    for row in content["images"]:
        picture(root / split / row["file_name"], row["id"])
    path = root / "annotations" / f"instances_{split}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def voc_folder(root, split, objects):
    """Annotations, pictures and the split; `objects`: stem -> (name, difficult) pairs."""
    for number, (stem, things) in enumerate(objects.items()):
        picture(root / "JPEGImages" / f"{stem}.jpg", number)
        found = tuple(VocObject(name, (2, 2, 12, 14), difficult=flag) for name, flag in things)
        voc = VocImage(f"{stem}.jpg", WIDTH, HEIGHT, found)
        write_voc_xml(root / "Annotations" / f"{stem}.xml", voc)
    path = root / "ImageSets" / "Main" / f"{split}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{stem}\n" for stem in objects))
