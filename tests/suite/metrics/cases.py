"""Ground truth and detections in a line each, for the tests of the metrics."""

import numpy as np

from suite.datasets import CocoAnnotation, CocoCategory, CocoImage, CocoSet, Detections

BOX = (10, 10, 30, 30)


def truth(*objects, num_images=1, num_classes=1, size=200) -> CocoSet:
    """Objects as (image, class, (x1, y1, x2, y2)) with optional flags dict."""
    annotations = []
    for number, (image_id, category_id, (x1, y1, x2, y2), *flags) in enumerate(objects):
        box = (float(x1), float(y1), float(x2 - x1), float(y2 - y1))
        values = {"area": box[2] * box[3], **(flags[0] if flags else {})}
        annotations.append(CocoAnnotation(number, image_id, category_id, box, **values))
    images = tuple(CocoImage(k, f"{k}.jpg", size, size) for k in range(num_images))
    return CocoSet(images, tuple(annotations), tuple(CocoCategory(k, f"c{k}") for k in range(num_classes)))


def found(*rows) -> Detections:
    """Rows as (image, class, score, (x1, y1, x2, y2))."""
    if not rows:
        return Detections.empty()
    return Detections(*[np.array(column) for column in zip(*rows, strict=True)])
