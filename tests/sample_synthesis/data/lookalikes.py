"""Small folders in the layouts of the published data sets; pictures are flat, their sizes differ."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 60, 40  # of picture 0; number i is i % 5 pixels wider


def write_picture(path: Path, number: int = 0) -> Path:
    """A JPEG of its number's size."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((HEIGHT, WIDTH + number % 5, 3), (37 * number) % 256, np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def write_fddb(root: Path, *, per_fold: int = 3, form: str = "ellipse", inside: str = "") -> Path:
    """Ten folds. Picture j of a fold has j + 1 faces: upright ellipses of radii 6 and 4, centres 8 apart."""
    for fold in range(1, 11):
        lines = []
        for j in range(per_fold):
            name = f"2002/08/{fold:02d}/big/img_{j}"
            write_picture(root / inside / f"{name}.jpg", j)
            centres = [(10.0 + 8 * k, 20.0) for k in range(j + 1)]
            if form == "ellipse":
                faces = [f"6.000000 4.000000 1.570796327 {x:.6f} {y:.6f}  1" for x, y in centres]
                lines += [name, str(len(faces)), *faces]
            else:
                lines += [f"{name}.jpg,{x - 4},{y - 6},{x + 4},{y + 6}" for x, y in centres]
        path = root / "FDDB-folds" / f"FDDB-fold-{fold:02d}-{form}List.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return root


def write_cub(root: Path, *, num: int = 12, codes: str | None = "000120001200") -> Path:
    """Bird i (from 1) has the box 5, 6, 20, 10.5 (x, y, width, height); codes: the split file's, None: no
    file.
    """
    names = [f"{1 + i // 4:03d}.Bird_{i // 4}/Bird_{i:04d}.jpg" for i in range(num)]
    for number, name in enumerate(names):
        write_picture(root / "images" / name, number)
    write_lines(root / "images.txt", [f"{i} {name}" for i, name in enumerate(names, start=1)])
    write_lines(root / "bounding_boxes.txt", [f"{i} 5.0 6.0 20.0 10.5" for i in range(1, num + 1)])
    if codes is not None:
        rows = [f"{i} {codes[(i - 1) % len(codes)]}" for i in range(1, num + 1)]
        write_lines(root / "our_train_test_split.txt", rows)
    return root


def write_cars(root: Path, *, num_train: int = 8, num_test: int = 4, form: str = "csv") -> Path:
    """Car i (from 0) has the corners 1, 2, 30 + i % 30, 35, counted from 1."""
    for part, num in (("train", num_train), ("test", num_test)):
        names = [f"{i + 1:05d}.jpg" for i in range(num)]
        for number, name in enumerate(names):
            write_picture(root / f"cars_{part}" / name, number)
        corners = [(1, 2, 30 + i % 30, 35) for i in range(num)]
        path = root / "devkit" / f"cars_{part}_annos.{form}"
        path.parent.mkdir(parents=True, exist_ok=True)
        if form == "csv":
            rows = [f"{name},{','.join(map(str, box))}" for name, box in zip(names, corners, strict=True)]
            write_lines(path, ["image_file,xmin,ymin,xmax,ymax", *rows])
        else:
            write_mat(path, names, corners, with_class=part == "train")
    return root


def write_mat(path: Path, names: Sequence[str], corners: Sequence[tuple], *, with_class: bool) -> None:
    """A MATLAB 5 file with the devkit's struct array; the test part has no classes."""
    from scipy.io import savemat

    fields = ["bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2", *(["class"] if with_class else []), "fname"]
    array = np.zeros((1, len(names)), dtype=[(field, object) for field in fields])
    for i, (name, box) in enumerate(zip(names, corners, strict=True)):
        array[0, i] = (*(np.uint16(v) for v in box), *([np.uint8(1 + i % 196)] if with_class else []), name)
    savemat(path, {"annotations": array})


def write_qr(root: Path, *, num_train: int = 12, num_valid: int = 3, num_test: int = 4) -> Path:
    """Ids count up without leading zeros over the three lists; id k has 1 + k % 2 symbols."""
    key = 0
    for split, num in (("train", num_train), ("valid", num_valid), ("test", num_test)):
        rows = ["image_id,image_height,image_width,object_id,class,xmin,ymin,xmax,ymax"]
        for _ in range(num):
            key += 1
            write_picture(root / "images" / f"{key}.jpg", key)
            boxes = [(2, 3, 12, 13), (20, 15, 41, 36)][: 1 + key % 2]
            for number, box in enumerate(boxes):
                rows.append(f"{key},40,{WIDTH + key % 5},{number},qr_code,{','.join(map(str, box))}")
        write_lines(root / f"qr_codes_{split}.csv", rows)
    return root


def write_own(root: Path, *, num: int = 4, inside: str = "") -> Path:
    """num pictures a split; number i has the box 3, 4, 10 + i, 12 (x, y, width, height)."""
    for split in ("train", "valid", "test"):
        images, annotations = [], []
        for i in range(1, num + 1):
            name = f"{inside}{split}-{i}.jpg"
            write_picture(root / ("images" if not inside else "") / name, i)
            images.append({"id": 10 * i, "file_name": name, "width": WIDTH + i % 5, "height": HEIGHT})
            box = [3, 4, 10 + i, 12]
            annotations.append({"id": i, "image_id": 10 * i, "category_id": 7, "bbox": box, "iscrowd": 0})
        tree = {"images": images, "annotations": annotations, "categories": [{"id": 7, "name": "duck"}]}
        (root / f"{split}.json").write_text(json.dumps(tree), encoding="utf-8")
    return root


def write_lines(path: Path, lines: Sequence[str]) -> None:
    """A text file, a line each."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def change(path: Path, old: str, new: str) -> None:
    """Replace the first occurrence of `old`, which must be there."""
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
