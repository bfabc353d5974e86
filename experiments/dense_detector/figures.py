"""The picture of the README: one tabletop picture on its way through the detector, a panel per file.

    python -m experiments.dense_detector.figures --checkpoint RUN/train/00000/best.pt

Writes docs/parts.png (or --out). Any checkpoint of a run on tabletop will do; the panels in reading order:

    data.py      the picture as the network sees it, with its boxes
    anchors.py   the cells of the feature map, and the anchors of one of them
    assign.py    cells with a positive anchor, with a neutral one, and background
    losses.py    where the class loss comes from
    model.py     the best score of each cell
    decode.py    candidates of at least `display_score`, and what suppression leaves of them
    flatten      the pixels that the logit of one anchor depends on: aligned, and in the published order
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from experiments.dense_detector.anchors import grid_anchors
from experiments.dense_detector.assign import NEUTRAL
from experiments.dense_detector.data import Batch, DetectionDataset
from experiments.dense_detector.db import create, import_coco, open_read_only
from experiments.dense_detector.decode import decode
from experiments.dense_detector.detector import Detector, load_detector
from experiments.dense_detector.losses import class_targets, focal_loss
from experiments.dense_detector.model import RawOutput, flatten_head, flatten_head_published
from experiments.dense_detector.selection import select
from experiments.dense_detector.viz import (
    GREEN,
    RED,
    WHITE,
    assignment_cells,
    blend,
    class_heat,
    colour,
    enlarge,
    outline,
    sheet,
)
from suite.datasets.tabletop import tabletop_path
from suite.errors import guard

OUT = Path(__file__).parent / "docs" / "parts.png"
COLUMNS, CAPTION_HEIGHT = 4, 14  # panels in a row; pixels
NUM_COLORS = 224  # of the palette: a third of the bytes of full colour
YELLOW, GRID = (250, 200, 40), (40, 90, 200)


def main(argv: Sequence[str] | None = None) -> None:
    """Command line: see the module docstring."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", type=Path, required=True, help="best.pt of a run on tabletop")
    parser.add_argument("--picture", type=int, default=20, help="index of the validation picture, default 20")
    parser.add_argument("--out", type=Path, default=OUT, help=f"PNG to write, default {OUT.name}")
    args = parser.parse_args(argv)
    detector = load_detector(args.checkpoint, "cpu")
    dataset = validation_pictures(detector)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    parts = panels(detector, dataset.batch([args.picture]), dataset.picture(args.picture))
    drawn = Image.fromarray(sheet([captioned(text, panel) for text, panel in parts], COLUMNS))
    drawn.quantize(NUM_COLORS, dither=Image.Dither.NONE).save(args.out, optimize=True)
    print(f"{args.out}: {args.out.stat().st_size / 1000:.0f} kB")


def validation_pictures(detector: Detector) -> DetectionDataset:
    """Tabletop's validation pictures, with the classes of the detector and at its size."""
    annotations, images = tabletop_path("val")
    data = detector.config.data
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "val.db"
        create(database).close()
        import_coco(database, annotations, split="val")
        with contextlib.closing(open_read_only(database)) as conn:
            selection = select(conn, split="val", classes=[name for _, name in detector.classes])
    return DetectionDataset(selection, images, size_wh=data.size_wh, grey=data.grey)


@torch.no_grad()
def panels(detector: Detector, batch: Batch, picture: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """Caption and panel uint8 (h, w, 3) of each part, for a batch of one picture uint8 (C, H, W)."""
    detector.model.eval()
    output, targets = detector.forward(batch.images), detector.targets(batch)
    rgb = enlarge(np.broadcast_to(picture.transpose(1, 2, 0), (*picture.shape[1:], 3)))
    truth = batch.boxes[0][batch.valid[0]].numpy()
    feature_hw = detector.feature_hw
    score = detector.config.evaluate.display_score
    candidates, found = (
        decode(output, detector.anchors, detector.image_hw, score=score, nms_iou=nms_iou)[0].boxes.numpy()
        for nms_iou in (1.0, detector.config.evaluate.nms_iou)
    )
    logits = output.logits[0].numpy()
    surest = int(logits.max(axis=1).argmax())
    heat = blend(rgb, colour(class_heat(logits, feature_hw)))
    assigned = blend(rgb, assignment_cells(targets.labels[0].numpy(), feature_hw))
    lost = blend(rgb, colour(loss_cells(output, targets.labels, feature_hw)))
    return [
        ("data.py: picture, boxes", outline(rgb, truth, GREEN)),
        ("anchors.py: cells, anchors of one", draw_anchors(detector, rgb, surest)),
        ("assign.py: positive, neutral, rest", outline(assigned, truth, WHITE)),
        ("losses.py: class loss of each cell", outline(lost, truth, GREEN)),
        ("model.py: best score of each cell", outline(heat, truth, GREEN)),
        ("decode.py: candidates, detections", outline(outline(rgb, candidates, YELLOW), found, RED, 2)),
        ("one logit's pixels, aligned", draw_gradient(detector, batch.images, rgb, surest, flatten_head)),
        (
            "one logit's pixels, published",
            draw_gradient(detector, batch.images, rgb, surest, flatten_head_published),
        ),
    ]


def draw_anchors(detector: Detector, rgb: np.ndarray, index: int) -> np.ndarray:
    """The borders of all cells, and all anchors of the cell that anchor `index` belongs to."""
    (height, width), (rows, columns) = detector.image_hw, detector.feature_hw
    cell = torch.tensor([[width / columns, height / rows]])
    cells = grid_anchors((rows, columns), (height, width), cell)
    num_shapes = len(detector.shapes)
    first = index // num_shapes * num_shapes
    drawn = (outline(rgb, cells.numpy(), GRID) // 2 + rgb // 2).astype(np.uint8)  # half seen through
    return outline(drawn, detector.anchors[first : first + num_shapes].numpy(), YELLOW)


def loss_cells(output: RawOutput, labels: Tensor, feature_hw: tuple[int, int]) -> np.ndarray:
    """Focal loss (rows, columns) of each cell's anchors together, over the largest of them."""
    targets = class_targets(labels, output.logits.shape[2])
    loss = focal_loss(output.logits, targets, gamma=2.0, alpha=0.25) * (labels != NEUTRAL)[..., None]
    cells = loss[0].reshape(*feature_hw, -1).sum(dim=2)
    return (cells / cells.max()).numpy()


@torch.enable_grad()
def draw_gradient(
    detector: Detector,
    images: Tensor,
    rgb: np.ndarray,
    index: int,
    flatten: Callable[[Tensor, int], Tensor],
) -> np.ndarray:
    """How much the best logit of anchor `index` changes with each pixel, its anchor in yellow, and in white
    the receptive field of the anchor's cell.
    """
    model, image = detector.model, images.clone().requires_grad_()
    logits = flatten(model.class_head(model.backbone(image)), model.num_classes)[0, index]
    (gradient,) = torch.autograd.grad(logits.max(), image)
    change = gradient[0].abs().amax(dim=0)
    row, column = divmod(index // len(detector.shapes), detector.feature_hw[1])
    stride, reach = model.network.stride, model.network.receptive_field // 2
    y, x = row * stride, column * stride
    field = np.array([[x - reach, y - reach, x + reach + 1, y + reach + 1]])
    drawn = outline(blend(rgb, colour((change / change.max()).numpy())), field, WHITE)
    return outline(drawn, detector.anchors[index : index + 1].numpy(), YELLOW)


def captioned(text: str, panel: np.ndarray) -> np.ndarray:
    """The panel below a line of text."""
    height, width = panel.shape[:2]
    image = Image.new("RGB", (width, height + CAPTION_HEIGHT), (255, 255, 255))
    ImageDraw.Draw(image).text((2, 1), text, fill=(0, 0, 0))
    image.paste(Image.fromarray(panel), (0, CAPTION_HEIGHT))
    return np.asarray(image)


if __name__ == "__main__":
    raise SystemExit(guard(main))
