"""Sound inputs that the corpus damages: small sets, made anew in every audit, always the same.

Arrays and pictures come from generators that are passed a number; nothing here is random.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

CLASSES = ("mug", "lemon", "cone")
VOC_CLASSES = ("cat", "dog", "car")
COLOURS = ((220, 40, 40), (230, 220, 40), (40, 90, 230))
VOC_XML = """<annotation><folder>VOC2007</folder><filename>{name}</filename>
<size><width>{width}</width><height>{height}</height><depth>3</depth></size>
<object><name>{label}</name><pose>Rear</pose><truncated>0</truncated><difficult>0</difficult>
<bndbox><xmin>3</xmin><ymin>4</ymin><xmax>20</xmax><ymax>24</ymax></bndbox></object>
</annotation>
"""


def photo(path: Path, number: int = 0, *, size: Sequence[int] = (40, 30), mode: str = "RGB") -> None:
    """A picture of noise, of (width, height); with mode RGBA its middle is opaque."""
    import numpy as np
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    width, height = size
    pixels = np.random.default_rng(number).integers(0, 256, (height, width, len(mode)), dtype=np.uint8)
    if mode == "RGBA":
        pixels[..., 3] = 0
        pixels[height // 4 : -height // 4, width // 4 : -width // 4, 3] = 255
    Image.fromarray(pixels).save(path)


def photos(path: Path, *, num: int, size: Sequence[int] = (40, 30), mode: str = "RGB", suffix: str = "png"):
    """A folder of such pictures: 0.png, 1.png, ..."""
    for number in range(num):
        photo(path / f"{number}.{suffix}", number, size=size, mode=mode)


def text(path: Path, *, content: str) -> None:
    """A text file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")


def coco_tree() -> dict[str, Any]:
    """Two pictures of 40 x 30, three objects (a polygon, an RLE crowd, a bare box), two classes."""
    return {
        "info": {"year": 2026},
        "images": [
            {"id": 7, "file_name": "b.png", "width": 40, "height": 30},
            {"id": 3, "file_name": "a.png", "width": 40, "height": 30, "license": 1, "date": "x"},
        ],
        "annotations": [
            {
                "id": 2,
                "image_id": 7,
                "category_id": 5,
                "bbox": [10, 5, 20, 10],
                "area": 100.0,
                "iscrowd": 0,
                "segmentation": [[10, 5, 30, 5, 30, 15]],
            },
            {
                "id": 1,
                "image_id": 3,
                "category_id": 9,
                "bbox": [0, 0, 2, 30],
                "area": 60,
                "iscrowd": 1,
                "segmentation": {"size": [30, 40], "counts": [0, 60, 1140]},
            },
            {"id": 8, "image_id": 3, "category_id": 5, "bbox": [1.5, 2.25, 3.5, 4.0], "caption": "a cup"},
        ],
        "categories": [{"id": 9, "name": "crowd"}, {"id": 5, "name": "cup", "supercategory": "kitchen"}],
    }


def coco_small(path: Path) -> None:
    """That tree as set.json, with its pictures beside it."""
    for number, name in enumerate(("a.png", "b.png")):
        photo(path / name, number)
    (path / "set.json").write_text(json.dumps(coco_tree()), encoding="utf-8")


def painted(
    path: Path, *, split: str, numbers: Sequence[int], level: str | None = None, masks: bool = False
) -> None:
    """A COCO-format split of 48 x 48 pictures with one coloured rectangle each: `annotations/
    instances_<split>.json` and `<split>/<number>.png`. level: "image" for labels of whole pictures.
    """
    import numpy as np
    from PIL import Image

    images, rows, side = [], [], 48
    (path / split).mkdir(parents=True, exist_ok=True)
    for number in range(*numbers):
        label = number % len(CLASSES)
        x1, y1 = 4 + 5 * (number % 4), 3 + 4 * (number % 5)
        x2, y2 = x1 + 18 + number % 3, y1 + 16 + number % 4
        pixels = np.random.default_rng(number).integers(0, 50, (side, side, 3), dtype=np.uint8)
        pixels[y1:y2, x1:x2] = COLOURS[label]
        Image.fromarray(pixels).save(path / split / f"{number}.png")
        box = [0, 0, side, side] if level else [x1, y1, x2 - x1, y2 - y1]
        images.append({"id": number, "file_name": f"{number}.png", "width": side, "height": side})
        row = {"id": number, "image_id": number, "category_id": label + 1, "bbox": box, "iscrowd": 0}
        row |= {"area": box[2] * box[3], **({"label_level": level} if level else {})}
        if masks:
            row["segmentation"] = [[x1, y1, x2, y1, x2, y2, x1, y2]]
        rows.append(row)
    categories = [{"id": place, "name": name} for place, name in enumerate(CLASSES, start=1)]
    tree = {"info": {}, "images": images, "annotations": rows, "categories": categories}
    text(path / "annotations" / f"instances_{split}.json", content=json.dumps(tree))


def archive(path: Path, *, labels: Sequence[str]) -> None:
    """A folder as ImaginaryNet's published code leaves it: image/, annotation/ and prompt.txt."""
    for number, label in enumerate(labels):
        name = f"{number:06d}"
        photo(path / "image" / f"{name}.jpg", number)
        xml = VOC_XML.format(name=f"{name}.jpg", width=256, height=256, label=label)
        text(path / "annotation" / f"{name}.xml", content=xml)
    lines = (f"A photo of thing {number}\t{label}\n" for number, label in enumerate(labels))
    text(path / "prompt.txt", content="".join(lines))


def voc(path: Path, *, splits: Mapping[str, Sequence[int]], year: str = "VOC2007") -> None:
    """A VOCdevkit with an object in each picture, of 3 classes; splits: name -> [first, end]."""
    root = path / year
    for split, numbers in splits.items():
        names = [f"{number:06d}" for number in range(*numbers)]
        for number, name in zip(range(*numbers), names, strict=True):
            photo(root / "JPEGImages" / f"{name}.jpg", number)
            label = VOC_CLASSES[number % len(VOC_CLASSES)]
            xml = VOC_XML.format(name=f"{name}.jpg", width=40, height=30, label=label)
            text(root / "Annotations" / f"{name}.xml", content=xml)
        text(root / "ImageSets/Main" / f"{split}.txt", content="\n".join(names) + "\n")


def qr_codes(path: Path, *, num: int = 120) -> None:
    """A QR data set as it is published: images/, and three tables with a box for each picture."""
    photos(path / "images", num=num, size=(40, 40), suffix="jpg")
    for split, ids in {
        "train": range(num - 20), "valid": range(num - 20, num - 10), "test": range(num - 10, num)
    }.items():  # fmt: skip
        rows = ["image_id,xmin,ymin,xmax,ymax", *(f"{number},5,5,30,30" for number in ids)]
        text(path / f"qr_codes_{split}.csv", content="\n".join(rows) + "\n")


def fddb(path: Path) -> None:
    """A face set as it is published: one picture with one ellipse, ten folds."""
    photo(path / "2002/08/11/big/img_1.jpg", size=(40, 40))
    for fold in range(1, 11):
        content = "2002/08/11/big/img_1\n1\n10 8 0.3 20 20 1\n" if fold == 1 else ""
        text(path / "FDDB-folds" / f"FDDB-fold-{fold:02d}-ellipseList.txt", content=content)


def fake_codes(path: Path, *, num: int = 4) -> None:
    """A synthetic set as it is published: images/ and one table."""
    rows = ["image_id,xmin,ymin,xmax,ymax,label"]
    for number in range(1, num + 1):
        photo(path / f"images/{number:05d}.jpg", number, size=(40, 40))
        rows.append(f"{number:05d},5,5,30,30,qr_code")
    text(path / "qr_codes_fake.csv", content="\n".join(rows) + "\n")


def labelled_arrays(path: Path) -> None:
    """Ten classes of 28 x 28 pictures as .npz: images and labels of train, val and test."""
    import numpy as np

    arrays = {}
    for split, number in (("train", 80), ("val", 40), ("test", 40)):
        labels = np.arange(number) % 10
        images = np.random.default_rng(number).integers(0, 40, (number, 28, 28), dtype=np.uint8)
        images[np.arange(number), 2 * labels + 4] = 250
        arrays |= {f"{split}_images": images, f"{split}_labels": labels.astype(np.int64)}
    np.savez(path, **arrays)


def idx_files(path: Path, *, num: int = 100) -> None:
    """The four files of Fashion-MNIST, not compressed, of a few pictures."""
    import struct

    import numpy as np

    path.mkdir(parents=True, exist_ok=True)
    for split in ("train", "t10k"):
        pixels = np.random.default_rng(num).integers(0, 256, (num, 28, 28), dtype=np.uint8)
        head = struct.pack(">BBBBIII", 0, 0, 8, 3, num, 28, 28)
        (path / f"{split}-images-idx3-ubyte").write_bytes(head + pixels.tobytes())
        labels = (np.arange(num) % 10).astype(np.uint8)
        (path / f"{split}-labels-idx1-ubyte").write_bytes(
            struct.pack(">BBBBI", 0, 0, 8, 1, num) + labels.tobytes()
        )


def cubes(path: Path, *, num: int) -> None:
    """Cuboids as .obj files, each of other sides."""
    for number in range(num):
        sides = (1.0, 1.0 + number / 4, 1.5)
        corners = [(x, y, z) for x in (0, sides[0]) for y in (0, sides[1]) for z in (0, sides[2])]
        faces = ((1, 2, 4, 3), (5, 7, 8, 6), (1, 5, 6, 2), (3, 4, 8, 7), (1, 3, 7, 5), (2, 6, 8, 4))
        lines = [f"v {x} {y} {z}" for x, y, z in corners]
        lines += [f"f {' '.join(map(str, face))}" for face in faces]
        text(path / f"cube{number}.obj", content="\n".join(lines) + "\n")


def weights(path: Path, *, tensors: Mapping[str, Sequence[int]], form: str = "torch") -> None:
    """A file of zeros by name and shape: torch (a state dict), safetensors or npz."""
    import numpy as np

    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {name: np.zeros(shape, np.float32) for name, shape in tensors.items()}
    if form == "npz":
        np.savez(path, **arrays)
    elif form == "safetensors":
        from safetensors.numpy import save_file

        save_file(arrays, path)
    else:
        import torch

        torch.save({name: torch.from_numpy(array) for name, array in arrays.items()}, path)
