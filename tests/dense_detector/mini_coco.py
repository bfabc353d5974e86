"""A tiny COCO set drawn by NumPy: real JSON and real JPEG files, for tests only.

    path = make_mini_coco(folder, num_images=12, seed=0)     # folder/annotations.json, folder/images/*.jpg

Scenes of 160x120 on value noise with 1 to 4 objects of three classes under their true COCO ids: person (1:
head, torso, legs), car (3: body, cabin, wheels), dog (18: body, head, legs). Objects overlap; one that is
hidden to three quarters is no annotation. Some scenes hold a crowd row, picture 2 has no annotation,
picture 3 is a grey JPEG.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from suite.seeds import item_rng

WIDTH, HEIGHT = 160, 120
CATEGORIES = (
    {"id": 1, "name": "person", "supercategory": "person"},
    {"id": 3, "name": "car", "supercategory": "vehicle"},
    {"id": 18, "name": "dog", "supercategory": "animal"},
)
EMPTY, GREY = 1, 2  # places (from 0) of the picture without annotation and of the grey one
HIDDEN = 0.75
QUALITY = 92


def make_mini_coco(folder: Path, *, num_images: int = 12, seed: int = 0, first_id: int = 1) -> Path:
    """Write the set; returns the path of annotations.json. All ids count from `first_id`."""
    (folder / "images").mkdir(parents=True)
    images, annotations = [], []
    for place in range(num_images):
        pixels, objects = draw_scene(item_rng(seed, "mini-coco", place), empty=place == EMPTY)
        image_id = first_id + place
        name = f"{image_id:06d}.jpg"
        picture = Image.fromarray(pixels)
        (picture.convert("L") if place == GREY else picture).save(folder / "images" / name, quality=QUALITY)
        images.append({"id": image_id, "file_name": name, "width": WIDTH, "height": HEIGHT})
        for row in objects:
            annotations.append({"id": first_id + len(annotations), "image_id": image_id, **row})
    path = folder / "annotations.json"
    tree = {"images": images, "annotations": annotations, "categories": list(CATEGORIES)}
    path.write_text(json.dumps(tree), encoding="utf-8")
    return path


def draw_scene(rng: np.random.Generator, *, empty: bool = False) -> tuple[np.ndarray, list[dict]]:
    """Pixels uint8 (HEIGHT, WIDTH, 3) and the rows of the annotations, without ids."""
    pixels = background(rng)
    owner = np.full((HEIGHT, WIDTH), -1)
    drawn: list[tuple[int, np.ndarray]] = []
    for number in range(0 if empty else int(rng.integers(1, 5))):
        category_id = (1, 3, 18)[int(rng.integers(3))]
        mask = place_object(rng, category_id)
        colour = rng.integers(20, 236, 3)
        pixels[mask] = np.clip(colour + rng.normal(0, 8, (int(mask.sum()), 3)), 0, 255)
        owner[mask] = number
        drawn.append((category_id, mask))
    rows = []
    for number, (category_id, mask) in enumerate(drawn):
        visible = owner == number
        if visible.sum() > (1 - HIDDEN) * mask.sum():
            rows.append(annotation(category_id, visible, iscrowd=0))
    if len(rows) > 1 and rng.random() < 0.3:
        rows.append(annotation(rows[0]["category_id"], crowd_area(rng), iscrowd=1))
    return pixels.astype(np.uint8), rows


def background(rng: np.random.Generator) -> np.ndarray:
    """Value noise: two grids of random greys, stretched and added, float (HEIGHT, WIDTH, 3)."""
    layers = [
        np.asarray(Image.fromarray(rng.random((h, w)).astype(np.float32)).resize((WIDTH, HEIGHT)))
        for h, w in ((4, 5), (15, 20))
    ]
    grey = 90 + 60 * layers[0] + 30 * layers[1]
    return grey[..., None] * rng.uniform(0.85, 1.15, 3)


def place_object(rng: np.random.Generator, category_id: int) -> np.ndarray:
    """Mask bool (HEIGHT, WIDTH) of one object, 20 to 90 pixels high or wide, at least half of it inside."""
    extent = rng.uniform(20, 90)
    aspect = {1: 0.4, 3: 2.2, 18: 1.4}[category_id]  # width / height
    width, height = (extent * aspect, extent) if aspect < 1 else (extent, extent / aspect)
    centre_x, centre_y = rng.uniform(0.2, 0.8) * WIDTH, rng.uniform(0.3, 0.7) * HEIGHT
    ys, xs = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    u = (xs - centre_x) / width + 0.5  # 0..1 over the object's own box
    v = (ys - centre_y) / height + 0.5
    return {1: person, 3: car, 18: dog}[category_id](u, v)


def _disc(u: np.ndarray, v: np.ndarray, at: tuple[float, float], radius: tuple[float, float]) -> np.ndarray:
    return ((u - at[0]) / radius[0]) ** 2 + ((v - at[1]) / radius[1]) ** 2 <= 1


def _bar(u: np.ndarray, v: np.ndarray, left: float, top: float, right: float, bottom: float) -> np.ndarray:
    return (u >= left) & (u <= right) & (v >= top) & (v <= bottom)


def person(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Head, torso and two legs."""
    legs = _bar(u, v, 0.2, 0.55, 0.42, 1) | _bar(u, v, 0.58, 0.55, 0.8, 1)
    return _disc(u, v, (0.5, 0.11), (0.25, 0.11)) | _bar(u, v, 0.05, 0.2, 0.95, 0.6) | legs


def car(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Cabin, body and two wheels."""
    wheels = _disc(u, v, (0.22, 0.8), (0.1, 0.2)) | _disc(u, v, (0.78, 0.8), (0.1, 0.2))
    return _bar(u, v, 0.22, 0, 0.75, 0.5) | _bar(u, v, 0, 0.38, 1, 0.8) | wheels


def dog(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Body, head and two legs."""
    legs = _bar(u, v, 0.1, 0.6, 0.22, 1) | _bar(u, v, 0.6, 0.6, 0.72, 1)
    return _bar(u, v, 0, 0.3, 0.75, 0.7) | _disc(u, v, (0.85, 0.22), (0.15, 0.22)) | legs


def crowd_area(rng: np.random.Generator) -> np.ndarray:
    """A rectangle of many objects."""
    left, top = int(rng.integers(0, WIDTH // 2)), int(rng.integers(0, HEIGHT // 2))
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[top : top + 40, left : left + 60] = True
    return mask


def annotation(category_id: int, mask: np.ndarray, *, iscrowd: int) -> dict:
    """A row with the box and the pixel count of a mask."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    left, top = float(columns[0]), float(rows[0])
    box = [left, top, float(columns[-1] + 1) - left, float(rows[-1] + 1) - top]
    return {"category_id": category_id, "bbox": box, "area": float(mask.sum()), "iscrowd": iscrowd}
