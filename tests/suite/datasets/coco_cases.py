"""A small COCO file as plain dicts, for the tests to damage; and a Hypothesis strategy for whole sets."""

import json
from pathlib import Path

from hypothesis import strategies as st

from suite.datasets import CocoAnnotation, CocoCategory, CocoImage, CocoSet


def write(folder: Path, content: dict | str) -> Path:
    """The tree (or raw text) as a file in `folder`."""
    path = folder / "set.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@st.composite
def coco_sets(draw, *, whole_boxes: bool = False) -> CocoSet:
    """Sets of up to 4 pictures, 3 classes and 8 objects; with `whole_boxes` on whole pixels."""
    side = st.integers(2, 200)
    images = [
        CocoImage(image_id, f"p{image_id}.jpg", draw(side), draw(side))
        for image_id in sorted(draw(st.sets(st.integers(0, 50), min_size=1, max_size=4)))
    ]
    categories = [CocoCategory(k, f"class {k}") for k in range(1, draw(st.integers(1, 3)) + 1)]
    annotations = []
    for number in range(draw(st.integers(1, 8))):
        image = draw(st.sampled_from(images))
        if whole_boxes:
            x, y = draw(st.integers(0, image.width - 1)), draw(st.integers(0, image.height - 1))
            w, h = draw(st.integers(1, image.width - x)), draw(st.integers(1, image.height - y))
        else:
            x, y = draw(st.floats(0, image.width * 0.9)), draw(st.floats(0, image.height * 0.9))
            w, h = draw(st.floats(1e-3, image.width - x)), draw(st.floats(1e-3, image.height - y))
        flags = draw(st.tuples(st.booleans(), st.booleans()))
        category = draw(st.sampled_from(categories))
        box = (float(x), float(y), float(w), float(h))
        annotations.append(
            CocoAnnotation(
                number + 1,
                image.id,
                category.id,
                box,
                area=float(w * h),
                ignore=flags[0],
                truncated=flags[1],
            )
        )
    return CocoSet(tuple(images), tuple(annotations), tuple(categories))
