"""Detectors that need no framework, and small sets to try them on."""

from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from experiments.imaginarynet.detectors.api import Found
from experiments.imaginarynet.detectors.data.load import Target
from experiments.imaginarynet.detectors.data.records import picture_digest
from experiments.imaginarynet.detectors.proposals.records import Proposals
from suite.datasets import CocoAnnotation, CocoCategory, CocoImage, CocoSet

CLASSES = ("mug", "lemon")
SIDE = 32  # pixels


@dataclass
class BlobDetector:
    """Finds the one bright rectangle of a picture; red ones are mugs, green ones lemons."""

    class_names: tuple[str, ...] = CLASSES
    needs_proposals: bool = False
    seen: list = field(default_factory=list)

    def detect(self, picture, proposals):
        self.seen.append(None if proposals is None else proposals.copy())
        bright = picture.max(axis=2) > 150
        rows, columns = np.flatnonzero(bright.any(axis=1)), np.flatnonzero(bright.any(axis=0))
        if not len(rows):
            return Found.nothing()
        box = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
        label = int(picture[bright].mean(axis=0).argmax())
        return Found([box, [0, 0, SIDE, SIDE]], [0.9, 0.2], [label, 1 - label])


class LocatingDetector(BlobDetector):
    """The same, which also tells the surest box of each class; here always the whole picture."""

    def locate(self, picture, proposals):
        return Found([[0, 0, SIDE, SIDE]] * 2, [0.5, 0.4], [0, 1])


def blob(box, label, seed=0):
    """uint8 (SIDE, SIDE, 3): noise with a bright rectangle."""
    picture = np.random.default_rng(seed).integers(0, 60, (SIDE, SIDE, 3), dtype=np.uint8)
    x1, y1, x2, y2 = box
    picture[y1:y2, x1:x2, label] = 250
    return picture


BOXES = ((2, 3, 14, 20), (5, 5, 30, 12), (0, 0, 10, 10), (8, 8, 31, 31))


def blob_set(folder, *, first=1, boxes=BOXES):
    """A CocoSet of PNG files in `folder`, one blob each, mugs and lemons in turn."""
    folder.mkdir(parents=True, exist_ok=True)
    images, objects = [], []
    for number, (x1, y1, x2, y2) in enumerate(boxes):
        name, key = f"{first + number}.png", first + number
        Image.fromarray(blob((x1, y1, x2, y2), number % 2, seed=key)).save(folder / name)
        images.append(CocoImage(key, name, SIDE, SIDE))
        xywh = (float(x1), float(y1), float(x2 - x1), float(y2 - y1))
        objects.append(CocoAnnotation(key, key, 7 + number % 2, xywh, xywh[2] * xywh[3]))
    return CocoSet(tuple(images), tuple(objects), (CocoCategory(7, "mug"), CocoCategory(8, "lemon")))


def blob_target(root):
    """A Target of four test and two training pictures below `root`."""
    test, train = blob_set(root / "test"), blob_set(root / "train", first=11, boxes=BOXES[:2])
    return Target(test, root / "test", train, root / "train", CLASSES)


def blob_book(*folders, empty=()):
    """{digest: Proposals} of every picture of the folders; none for the file names in `empty`."""
    boxes = np.array([[0, 0, 16, 16], [4, 4, 28, 28]], np.float32)
    files = [file for folder in folders for file in sorted(folder.iterdir())]
    return {picture_digest(file): Proposals.of(boxes[: 0 if file.name in empty else 2]) for file in files}
