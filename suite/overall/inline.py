"""Figures as parts of the page: SVG as elements, pictures as data URIs."""

from __future__ import annotations

import base64
import re
from pathlib import Path

from markupsafe import Markup

METADATA = re.compile(r"<metadata>.*?</metadata>|<!--.*?-->", re.DOTALL)
# Numbers that matplotlib gives its groups: the same in every plot, so they would stand there twice.
NUMBERED_ID = re.compile(r' id="[a-zA-Z]+2?[dD]?_\d+"')
COORDINATES = re.compile(r' (?:d|x|y|points)="[^"]*"')
LONG_DECIMAL = re.compile(r"(\.\d\d)\d+")  # hundredths of a point are enough


def svg_element(path: Path) -> Markup:
    """A plot that a report wrote, without what only an SVG editor reads."""
    text = METADATA.sub("", path.read_text(encoding="utf-8"))
    text = NUMBERED_ID.sub("", text)
    text = COORDINATES.sub(lambda found: LONG_DECIMAL.sub(r"\1", found[0]), text)
    return Markup(re.sub(r"\s*\n\s*", "\n", text))  # of our own plots, which escape their texts


def data_uri(path: Path) -> str:
    """A JPEG file as `data:image/jpeg;base64,...`."""
    return "data:image/jpeg;base64," + base64.b64encode(path.read_bytes()).decode()
