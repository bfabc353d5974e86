"""Stand-ins for the real data sets, which cannot be shipped. Every set that is made here says so: `standin`.

    sets = standin("face", work)        # {"train": RealSet, "valid": ..., "test": ...}

QR codes, birds and cars: rendered scenes in assets/sample_synthesis. Faces: composed here from crops of
Labeled Faces in the Wild that the synthesis never pastes, on photographs that it never pastes onto, in
another way than it pastes: sizes uniform in their logarithm, a perspective warp, tinted and feathered
ellipses, then light that falls off across the picture, a colour cast, blur, noise and JPEG 40. No crop is in
two splits. Picture i of a split depends on i alone, and is the same for every seed of a run.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from experiments.sample_synthesis.data.build import build
from experiments.sample_synthesis.data.coco_folder import coco
from experiments.sample_synthesis.data.types import SPLITS, Account, Listed, ListedBox, RealSet
from experiments.sample_synthesis.data.where import standin_folder
from experiments.sample_synthesis.names import label_of
from experiments.sample_synthesis.objects.backgrounds import PhotoBackgrounds
from experiments.sample_synthesis.objects.faces import lfw_crops
from suite.errors import Missing
from suite.seeds import item_rng

SEED = 2020
FACE_PICTURES = {"train": 120, "valid": 40, "test": 80}
FACE_CROPS = {"train": (0, 25), "valid": (25, 33), "test": (33, 50)}  # of the half that is never pasted
SIZE_WH = (256, 192)  # pixels
MAX_FACES = 3
SIDES = (28.0, 110.0)  # pixels, of a crop in the picture; uniform in the logarithm
TILT = math.radians(20)
JITTER = 0.1  # each corner of a crop moves by up to this share of its side: the perspective
TRIES = 20  # places tried for a face
RADII = (0.42, 0.48)  # of the ellipse that is kept of a crop, in shares of its sides; the box is its extent
FEATHER = 0.15  # the mask falls from 1 to 0 over this share of the radii, 0.5 on the ellipse
RASTER = 100  # pixels a side to which a crop of 25 is enlarged before it is warped
SKIN = (1.0, 0.82, 0.7)  # the tint of a grey crop, red first; drawn between it and half of it
QUALITY = 40


def standin(
    name: str, work: Path, *, limits: dict[str, int | None] | None = None, threads: int = 1
) -> dict[str, RealSet]:
    """The stand-in splits of object `name`. `work`: where the pictures of faces are written, as
    images/<split>/00001.jpg. limits: no more images than this per split. Raises Missing where the scenes or
    the installed package's files are gone.
    """
    if name == "face":
        return _faces(work, limits or {}, threads)
    folder = standin_folder(name)
    if not (folder / "train.json").is_file():
        fix = "restore them: git checkout assets/sample_synthesis"
        raise Missing("the stand-in scenes are not here", file=folder, fix=fix)
    return coco(folder, label=label_of(name), source="standin", threads=threads)


def _faces(work: Path, limits: dict[str, int | None], threads: int) -> dict[str, RealSet]:
    composer = FaceComposer()
    sets = {}
    for split in SPLITS:
        limit = limits.get(split)
        total = FACE_PICTURES[split] if limit is None else min(limit, FACE_PICTURES[split])
        folder = work / "images" / split
        folder.mkdir(parents=True, exist_ok=True)
        listed = []
        for index in range(total):
            data, boxes = composer.compose(split, index)
            file_name = f"{index + 1:05d}.jpg"
            (folder / file_name).write_bytes(data)
            where = f"{split} {index + 1}"
            corners = tuple(ListedBox(tuple(box), where) for box in boxes.tolist())
            listed.append(Listed(file_name, corners, index, where))
        sets[split] = build(
            listed, images_dir=folder, split=split, label=label_of("face"), source="standin",
            account=Account(folder, on_bad="raise"), file=folder, threads=threads,
        )  # fmt: skip
    return sets


class FaceComposer:
    """Composes stand-in pictures of faces."""

    def __init__(self) -> None:
        self.crops = lfw_crops("test")
        self.backgrounds = PhotoBackgrounds("B")

    def compose(self, split: str, index: int) -> tuple[bytes, np.ndarray]:
        """Picture `index` of a split: a JPEG of SIZE_WH, and boxes float64 (n, 4), x1 y1 x2 y2 in pixels."""
        import cv2

        rng = item_rng(SEED, f"sample_synthesis.standin.face.{split}", index)
        width, height = SIZE_WH
        square = self.backgrounds.draw(rng, max(SIZE_WH))
        picture = square[:height, :width].astype(np.float32)
        homographies, boxes = place_faces(rng)
        for homography in homographies:
            crop = self.crops[int(rng.integers(*FACE_CROPS[split]))]
            self._paste(picture, crop, homography, rng)
        picture = photograph(picture, rng)
        coded, data = cv2.imencode(".jpg", picture[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        assert coded, "OpenCV has no JPEG encoder"
        return data.tobytes(), boxes

    def _paste(
        self, picture: np.ndarray, crop: np.ndarray, homography: np.ndarray, rng: np.random.Generator
    ) -> None:
        """Blend a crop into `picture`, in place. homography: unit square of the crop -> pixel edges."""
        import cv2

        enlarged = cv2.resize(crop, (RASTER, RASTER), interpolation=cv2.INTER_CUBIC).astype(np.float32)
        tint = 1 - rng.uniform(0.5, 1.0) * (1 - np.array(SKIN, np.float32))
        face = enlarged[..., None] * tint * np.float32(rng.uniform(0.8, 1.2))
        # Pixel c of a raster covers [c, c + 1), so its centre is at (c + 0.5) / RASTER of the unit square.
        to_unit = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, RASTER]]) / RASTER
        to_index = np.array([[1, 0, -0.5], [0, 1, -0.5], [0, 0, 1]])
        warp = to_index @ homography @ to_unit
        face = cv2.warpPerspective(
            face, warp, SIZE_WH, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        mask = cv2.warpPerspective(_ellipse_mask(), warp, SIZE_WH, flags=cv2.INTER_LINEAR)[..., None]
        picture += (face - picture) * mask


def _ellipse_mask() -> np.ndarray:
    """float32 (RASTER, RASTER): 1 inside the ellipse, 0.5 on it, 0 outside."""
    centres = (np.arange(RASTER) + 0.5) / RASTER - 0.5
    radius = np.hypot(centres[None, :] / RADII[0], centres[:, None] / RADII[1])
    return np.clip(0.5 + (1 - radius) / FEATHER, 0, 1).astype(np.float32)


def place_faces(rng: np.random.Generator) -> tuple[list[np.ndarray], np.ndarray]:
    """Where faces go: one homography (3, 3) each, unit square -> pixel edges, and boxes float64 (n, 4). No
    two boxes meet and all lie inside; at least one face, up to MAX_FACES as far as there is room.
    """
    wanted = int(rng.integers(1, MAX_FACES + 1))
    found: list[np.ndarray] = []
    boxes: list[np.ndarray] = []
    while len(found) < wanted:
        for _ in range(TRIES):
            homography = _placement(rng)
            box = ellipse_extent(homography)
            if _inside(box) and not any(_meet(box, other) for other in boxes):
                found.append(homography)
                boxes.append(box)
                break
        else:
            if found:
                break
    return found, np.array(boxes)


def _placement(rng: np.random.Generator) -> np.ndarray:
    """A tilted square with its corners moved, at a random place."""
    import cv2

    side = math.exp(rng.uniform(*np.log(SIDES)))
    angle = rng.uniform(-TILT, TILT)
    corners = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]])
    corners += rng.uniform(-JITTER, JITTER, corners.shape)
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    centre = rng.uniform((0, 0), SIZE_WH)
    target = corners @ turn * side + centre
    unit = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
    return cv2.getPerspectiveTransform(unit, target.astype(np.float32))


def ellipse_extent(homography: np.ndarray) -> np.ndarray:
    """The box x1, y1, x2, y2 of the kept ellipse under a homography, exact: with the conic C of the ellipse,
    its image has the dual D = H C^-1 H^T, and the lines x = t and y = t touch it where D00 - 2 t D02 + t^2
    D22 = 0.
    """
    a, b = RADII
    shift = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    dual = homography @ shift @ np.diag([a * a, b * b, -1.0]) @ shift.T @ homography.T
    middle = dual[:2, 2] / dual[2, 2]
    half = np.sqrt(middle**2 - dual[[0, 1], [0, 1]] / dual[2, 2])
    return np.concatenate([middle - half, middle + half])


def _inside(box: np.ndarray) -> bool:
    return bool(box[:2].min() >= 0 and (box[2:] <= SIZE_WH).all())


def _meet(one: np.ndarray, other: np.ndarray) -> bool:
    return bool((np.maximum(one[:2], other[:2]) < np.minimum(one[2:], other[2:])).all())


def photograph(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Light that falls off, a colour cast, blur and noise: float32 (h, w, 3) 0..255 -> uint8."""
    import cv2

    height, width = picture.shape[:2]
    direction = rng.uniform(0, 2 * math.pi)
    ys, xs = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    slope = (xs * math.cos(direction) + ys * math.sin(direction)) * rng.uniform(0.1, 0.35)
    picture = picture * (1 + slope)[..., None].astype(np.float32)
    picture = picture * rng.uniform(0.85, 1.15, 3).astype(np.float32)
    picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.3, 1.2))
    picture = picture + rng.normal(0, rng.uniform(2, 8), picture.shape).astype(np.float32)
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)
