"""Pictures of the report: targets as rendered and with their annotations, queries as rows of views."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from experiments.solid.store.reader import SolidStore
from experiments.solid.store.samples import decode_png
from experiments.solid.store.schema import Group
from experiments.solid.store.statistics import TargetStatistics
from suite.report.draw import contact_row, draw_annotations, enlarge, jpeg_uri

NUM_TARGETS = 12
NUM_QUERIES = 24
MIN_WIDTH = 480  # pixels: small pictures are enlarged, so that captions are legible
CELL = 96  # pixels of one view


@dataclass(frozen=True)
class TargetFigure:
    """One target: plain and annotated, as data URIs."""

    index: int
    plain: str
    annotated: str
    caption: str


@dataclass(frozen=True)
class QueryFigure:
    """The views of one class side by side, as a data URI."""

    class_id: int
    views: str
    name: str
    licence: str
    boxes: int


def spread(store: SolidStore, group: Group, most: int) -> list[int]:
    """Up to `most` finished rows of a group, evenly over the store."""
    rows = np.flatnonzero(store.valid(group))
    if len(rows) > most:
        rows = rows[np.linspace(0, len(rows) - 1, most).astype(int)]
    return rows.tolist()


def target_figures(store: SolidStore, names: list[str]) -> list[TargetFigure]:
    """A dozen targets; captions in the picture: class id and visible share in percent."""
    figures = []
    for index in spread(store, "targets", NUM_TARGETS):
        sample = store.read_target(index)
        rgb = sample.rgb()
        pairs = zip(sample.bboxes[:, 4].tolist(), sample.visibility.tolist(), strict=True)
        texts = [f"{class_id} {visible:.0%}" for class_id, visible in pairs]
        drawn = draw_annotations(
            rgb, boxes=sample.bboxes[:, :4], label_map=sample.label_map, captions=texts, min_width=MIN_WIDTH
        )
        shown = sorted(set(sample.bboxes[:, 4].tolist()))
        models = ", ".join(f"{class_id} {names[class_id]}" for class_id in shown)
        caption = f"{len(texts)} boxes of {models}"
        figures.append(TargetFigure(index, jpeg_uri(enlarge(rgb, MIN_WIDTH)[0]), jpeg_uri(drawn), caption))
    return figures


def query_figures(store: SolidStore, statistics: TargetStatistics) -> list[QueryFigure]:
    """Two dozen classes, one row of views each."""
    figures = []
    for class_id in spread(store, "queries", NUM_QUERIES):
        shots = store.read_query_sample(class_id).shots
        row = contact_row([decode_png(shot) if shot else None for shot in shots], cell=CELL)
        entry = store.classes[class_id]
        figures.append(
            QueryFigure(
                class_id=class_id,
                views=jpeg_uri(row),
                name=str(entry.get("id", class_id)),
                licence=str(entry.get("license") or "not stated"),
                boxes=statistics.class_boxes[class_id],
            )
        )
    return figures
