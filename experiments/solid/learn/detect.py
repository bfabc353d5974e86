"""`detect`: find the objects of some query pictures in a picture, with a pre-trained model.

    python -m experiments.solid detect --pretrain runs/solid/smoke/seed0/pretrain --queries DIR --image FILE
    python -m experiments.solid detect --weights FILE --config FILE --queries DIR --image FILE --out DIR

Each sub-folder of --queries is one object seen from several sides; a picture that lies in --queries itself
is an object with one view. Queries are best cropped to the object. Writes `<image>.png` (queries above,
boxes, masks and which query below) and `<image>.json` in COCO's form: images, categories (the queries) and
annotations with bbox (x, y, width, height), segmentation (RLE), area, score and cosine.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import suite.compat.detectron2  # noqa: F401

# isort: split
import numpy as np
import torch
from PIL import Image, ImageOps
from torch.nn import functional as F

from experiments.solid.config import SolidConfig
from experiments.solid.learn.data.transforms import resize_and_flip, resize_query, to_bgr
from experiments.solid.learn.engine import ranks
from experiments.solid.learn.engine.setup import set_up
from experiments.solid.learn.evaluate_drawn import label_map
from experiments.solid.learn.pretrain.instances import QueryDetector
from experiments.solid.learn.pretrain.load import MODEL, PAPER, load_pretrained, read_config
from experiments.solid.learn.pretrain.model import InstanceDetector
from suite.by_hand import Parser
from suite.config import load_config
from suite.datasets.masks import encode
from suite.errors import BadInput
from suite.manifest import write_json
from suite.report.draw import contact_row, draw_annotations

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")
MIN_SCORE = 0.3  # of what is written
CELL = 96  # pixels of a query on the drawing
PER_ROW = 8


@dataclass(frozen=True)
class Query:
    """One object to look for."""

    name: str
    views: tuple[np.ndarray, ...]  # (h, w, 3) uint8 RGB


def parser() -> Parser:
    """The command's flags."""
    made = Parser(prog="python -m experiments.solid detect", allow_abbrev=False)
    model = made.add_mutually_exclusive_group(required=True)
    model.add_argument("--pretrain", type=Path, metavar="DIR", help="finished folder of stage pretrain")
    model.add_argument("--weights", type=Path, metavar="FILE", help="pre-trained .pth or .safetensors")
    made.add_argument("--config", type=Path, metavar="FILE", help="of --weights (default: paper.yaml)")
    made.add_argument(
        "-o", dest="overrides", action="append", default=[], metavar="KEY=VALUE", help="for --config"
    )
    made.add_argument(
        "--queries", required=True, type=Path, metavar="DIR", help="pictures, or folders of them"
    )
    made.add_argument("--image", required=True, type=Path, metavar="FILE", help="where to look for them")
    made.add_argument("--out", type=Path, default=Path("detected"), metavar="DIR", help="(default: detected)")
    made.add_argument("--min-score", type=float, default=MIN_SCORE, help=f"(default {MIN_SCORE})")
    made.add_argument("--most", type=int, help="most detections (default: the config's, 100 as published)")
    made.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="(default cpu)")
    made.add_argument("--threads", type=int, default=2, help="CPU threads (default 2)")
    return made


def run(args: argparse.Namespace) -> Iterator[str]:
    """One line per detection, then where the files are. BadInput as the parts below raise it."""
    if args.pretrain and (args.config or args.overrides):
        raise BadInput("--config and -o go with --weights", fix="--pretrain DIR has its own config.yaml")
    if args.threads < 1 or (args.most is not None and args.most < 1):
        raise BadInput("--threads and --most must be at least 1")
    picture, queries = read_picture(args.image), read_queries(args.queries)  # before the slow part
    set_up(args.threads)
    if args.pretrain:
        config, weights = read_config(args.pretrain), args.pretrain / MODEL
    else:
        config, weights = load_config(SolidConfig, args.config or PAPER, args.overrides), args.weights
    model = load_pretrained(weights, config, ranks.torch_device(args.device))
    every = detect(model, config, picture, queries, min_score=0.0, most=args.most)
    sure = every["scores"] >= args.min_score
    found = {name: values[sure] for name, values in every.items()}
    args.out.mkdir(parents=True, exist_ok=True)
    tree = as_coco(found, args.image.name, picture.shape[:2], [query.name for query in queries])
    drawing = args.out / f"{args.image.stem}.png"
    write_json(drawing.with_suffix(".json"), tree)
    Image.fromarray(draw(picture, queries, found)).save(drawing)
    for row in tree["annotations"]:
        box = " ".join(f"{value:.0f}" for value in row["bbox"])
        yield f"{queries[row['category_id'] - 1].name}  score {row['score']:.2f}  x y w h {box}"
    if not tree["annotations"]:
        best = f"the best has {every['scores'].max():.2f}" if len(sure) else "no region looked like an object"
        yield f"none of {len(queries)} queries was found with a score of {args.min_score:g} or more: {best}"
    yield f"drawn in {drawing}, listed in {drawing.with_suffix('.json')}"


def read_picture(path: Path) -> np.ndarray:
    """(H, W, 3) uint8 RGB, upright by its EXIF tag. BadInput: missing, or it does not decode."""
    if not path.is_file():
        raise BadInput("no such picture", file=path, fix="give the path of a picture")
    try:
        with Image.open(path) as picture:
            return np.asarray(ImageOps.exif_transpose(picture).convert("RGB"))
    # What Pillow raises for damaged files; SyntaxError comes from its PNG reader.
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        reason = str(error) or type(error).__name__
        raise BadInput(f"picture does not decode ({reason:.80})", file=path, fix="copy it again") from None


def read_queries(folder: Path) -> list[Query]:
    """The queries of a folder by name; see the module docstring. BadInput: none, a name twice, damaged."""
    if not folder.is_dir():
        raise BadInput("no such folder", file=folder, fix="give a folder with query pictures")
    queries = []
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            views = [inner for inner in sorted(path.iterdir()) if _is_picture(inner)]
        else:
            views = [path] if _is_picture(path) else []
        if views:
            name = path.name if path.is_dir() else path.stem
            queries.append(Query(name, tuple(map(read_picture, views))))
    if not queries:
        what = f"holds no picture ({', '.join(SUFFIXES)})"
        raise BadInput(what, file=folder, fix="put query pictures there, or one folder of views per object")
    names = [query.name for query in queries]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise BadInput(f"two queries have the name {twice!r}", file=folder, fix="rename one")
    return queries


def _is_picture(path: Path) -> bool:
    return path.is_file() and path.suffix.lower() in SUFFIXES


@torch.no_grad()
def embed(model: InstanceDetector, queries: Sequence[Query], size: int) -> torch.Tensor:
    """(Q, D) unit rows: of each query the mean direction of its views, by the key network."""
    rows = []
    for query in queries:
        views = [torch.from_numpy(resize_query(view, size)) for view in query.views]
        rows.append(model.embed_queries(views).sum(dim=0))
    return F.normalize(torch.stack(rows), dim=1)


def detect(
    model: InstanceDetector,
    config: SolidConfig,
    picture: np.ndarray,
    queries: Sequence[Query],
    *,
    min_score: float = MIN_SCORE,
    most: int | None = None,
) -> dict[str, np.ndarray]:
    """What was found, surest first: `boxes` (n, 4) x1 y1 x2 y2 in pixels of the picture, `scores` and
    `cosine` (n,), `which` (n,) position of the query, `masks` bool (n, H, W).

    picture: (H, W, 3) uint8 RGB; it is resized as a picture of pre-training, to the middle of `short_edges`.
    """
    settings = config.pretrain
    detector = QueryDetector(
        model, embed(model, queries, settings.query_size), min_score=min_score, most=most
    )
    height, width = picture.shape[:2]
    edge = sorted(settings.short_edges)[len(settings.short_edges) // 2]
    resized = resize_and_flip(height, width, edge, settings.max_edge, False).apply_image(picture)
    item = {"image": torch.from_numpy(to_bgr(resized)), "height": height, "width": width}
    found = detector([item])[0]["instances"].to("cpu")
    return {
        "boxes": found.pred_boxes.tensor.numpy(),
        "scores": found.scores.numpy(),
        "cosine": found.cosine.numpy(),
        "which": found.pred_classes.numpy(),
        "masks": found.pred_masks.numpy(),
    }


def as_coco(
    found: Mapping[str, np.ndarray], file_name: str, size: tuple[int, int], names: Sequence[str]
) -> dict[str, Any]:
    """The COCO tree; ids count from 1, category k is query k - 1. size: (height, width)."""
    rows = []
    for k, (x1, y1, x2, y2) in enumerate(found["boxes"].tolist()):
        mask = found["masks"][k]
        rows.append(
            {
                "id": k + 1,
                "image_id": 1,
                "category_id": int(found["which"][k]) + 1,
                "bbox": [x1, y1, x2 - x1, y2 - y1],
                "area": int(mask.sum()),
                "segmentation": encode(mask),
                "score": float(found["scores"][k]),
                "cosine": float(found["cosine"][k]),
                "iscrowd": 0,
            }
        )
    return {
        "images": [{"id": 1, "file_name": file_name, "height": size[0], "width": size[1]}],
        "categories": [{"id": k, "name": name} for k, name in enumerate(names, start=1)],
        "annotations": rows,
    }


def draw(picture: np.ndarray, queries: Sequence[Query], found: Mapping[str, np.ndarray]) -> np.ndarray:
    """(H', W', 3) uint8: the queries' first views in rows, below them what was found."""
    order = np.argsort(found["scores"], kind="stable")  # the surest on top
    captions = [f"{queries[found['which'][k]].name} {found['scores'][k]:.2f}" for k in order]
    masks = [found["masks"][k] for k in order]
    below = draw_annotations(
        picture,
        boxes=found["boxes"][order],
        label_map=label_map(masks, *picture.shape[:2]),
        captions=captions,
    )
    tiles = [_tile(query) for query in queries]
    rows = [contact_row(tiles[k : k + PER_ROW], cell=CELL) for k in range(0, len(tiles), PER_ROW)]
    parts = [*rows, below]
    width = max(part.shape[1] for part in parts)
    padded = [
        np.pad(part, ((0, 4), (0, width - part.shape[1]), (0, 0)), constant_values=255) for part in parts
    ]
    return np.concatenate(padded, axis=0)


def _tile(query: Query) -> np.ndarray:
    """(CELL, CELL, 3): the first view on grey, with the name."""
    view = ImageOps.contain(Image.fromarray(query.views[0]), (CELL, CELL))
    tile = Image.new("RGB", (CELL, CELL), (235, 235, 235))
    tile.paste(view, ((CELL - view.width) // 2, (CELL - view.height) // 2))
    box = np.array([[0, 0, CELL, CELL]])
    return draw_annotations(np.asarray(tile), boxes=box, captions=[query.name], min_width=1)
