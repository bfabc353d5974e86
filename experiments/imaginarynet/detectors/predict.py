"""The command `predict`: a trained detector on pictures of the user.

    python -m experiments.imaginarynet predict --detector runs/.../train-isod-oicr --images photos --out found

Writes predictions.json (COCO: images, categories, annotations with `score`), detections.json (COCO results:
the annotations alone, as pycocotools' `loadRes` takes them) and annotated/*.jpg. A detector that judges
proposals gets those of `--proposals`, else Selective Search with the settings that it was trained with. A
picture that cannot be read, or has no proposals, is left out, counted and named. A killed command goes on.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.imaginarynet.detectors.api import HEADER, MODEL, Detector, load_detector, read_header
from experiments.imaginarynet.detectors.data.records import picture_digest, read_picture
from experiments.imaginarynet.detectors.detect_all import judge
from suite import manifest as record
from suite.by_hand import key_at
from suite.errors import BadInput, Stopped
from suite.progress import Progress
from suite.stage import STOP

if TYPE_CHECKING:
    from experiments.imaginarynet.config_detectors import ProposalsConfig
    from experiments.imaginarynet.detectors.proposals.records import Proposals

NAME = "predict"
VERSION = 1
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
PREDICTIONS, RESULTS, ANNOTATED, CONFIG_FILE = (
    "predictions.json",
    "detections.json",
    "annotated",
    "config.yaml",
)
JPEG_QUALITY = 90
MIN_SIDE = 1.0  # pixels of given proposals that are used


@dataclass(frozen=True)
class Given:
    """A picture to look at; `name` is what the predictions call it."""

    id: int  # from 1 on
    name: str
    file: Path


def add_flags(parser: argparse.ArgumentParser) -> None:
    """The flags of the command."""
    add = parser.add_argument
    add(
        "--detector",
        type=Path,
        required=True,
        metavar="DIR",
        help="a folder of train-<arm>, or of import-checkpoint",
    )
    add(
        "--images",
        type=Path,
        required=True,
        nargs="+",
        metavar="PATH",
        help="a folder of pictures, or pictures",
    )
    add("--out", type=Path, required=True, metavar="DIR", help="gets predictions and annotated pictures")
    add("--score", type=float, default=0.3, help="the lowest score that is written; default %(default)s")
    add(
        "--proposals",
        type=Path,
        metavar="PATH",
        help="for oicr and wsddn: a folder of the stage, .npz or .mat",
    )
    add("--device", choices=("cpu", "cuda"), default="cpu")
    add("--threads", type=int, default=2, help="of the CPU; default %(default)s")


def run(args: argparse.Namespace) -> Iterator[str]:
    """Do it; yields the lines to be printed. Raises BadInput, Missing, Stopped."""
    if args.threads < 1:
        raise BadInput(f"--threads {args.threads}: must be 1 or more")
    header = read_header(args.detector)
    images = images_of(args.images)
    parts = key_parts(args, images)
    key, part = record.key_of(parts), record.part_of(args.out)
    if record.is_done(args.out, key):
        yield f"{NAME}: up to date"
        return
    if key_at(args.out) is not None:
        raise BadInput("holds something else", file=args.out, fix="choose another --out")
    proposals = proposals_of(args.proposals) if args.proposals else None
    detector = _loaded(args)
    if detector.needs_proposals and proposals is None:
        proposals = searched(search_settings(args.detector))
    record.open_part(part, key)
    rows = predict_all(detector, images, proposals, part=part, score=args.score)
    yield from _finish(args, parts, rows, header=header, part=part)


def images_of(paths: Sequence[Path]) -> list[Given]:
    """The pictures of folders, at any depth and by name, and single files as given. Raises BadInput."""
    found: list[tuple[str, Path]] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
            found += [(file.relative_to(path).as_posix(), file) for file in inside]
        elif path.is_file():
            found.append((path.name, path))
        else:
            raise BadInput("no such picture or folder", file=path, fix="check --images")
    if not found:
        raise BadInput(f"holds no picture ({', '.join(SUFFIXES)})", file=paths[0], fix="check --images")
    return [Given(number, name, file) for number, (name, file) in enumerate(found, start=1)]


def key_parts(args: argparse.Namespace, images: Sequence[Given]) -> dict[str, Any]:
    """What decides the result: the detector by its bytes, the pictures by name and size."""
    given = args.proposals
    return {
        "version": VERSION,
        "detector": {
            name: record.file_digest(args.detector / name)
            for name in (HEADER, MODEL)
            if (args.detector / name).is_file()
        },
        "images": [[image.name, image.file.stat().st_size] for image in images],
        "proposals": None if given is None else _state(given),
        "score": args.score,
        "device": args.device,
    }


def _state(path: Path) -> Any:
    """A file by its digest, a folder by its listing."""
    from suite.paths import listing_digest

    return record.file_digest(path) if path.is_file() else listing_digest(path)


def _loaded(args: argparse.Namespace) -> Detector:
    import torch

    torch.set_num_threads(args.threads)
    return load_detector(args.detector, args.device)


# --- proposals ---


def search_settings(folder: Path) -> ProposalsConfig:
    """The `proposals` section of the run that trained the detector; the defaults where no run did."""
    from experiments.imaginarynet.config import CONFIG
    from experiments.imaginarynet.config_detectors import ProposalsConfig
    from suite.config import load_config

    path = folder / CONFIG_FILE
    return load_config(CONFIG, path).proposals if path.is_file() else ProposalsConfig()


ProposalsOf = Callable[[Path, np.ndarray], np.ndarray]  # file, uint8 (H, W, 3) -> float32 (R, 5)


def searched(settings: ProposalsConfig) -> ProposalsOf:
    """Selective Search on each picture."""
    from experiments.imaginarynet.detectors.proposals.search import selective_search

    return lambda file, picture: selective_search(picture, settings).scored()


def proposals_of(given: Path) -> ProposalsOf:
    """Proposals made before: a folder of the stage, or a file of detectors/proposals/external.py.

    Boxes are clipped to their picture; a picture that is not among them has none. Raises BadInput.
    """
    from experiments.imaginarynet.config_detectors import ProposalsConfig
    from experiments.imaginarynet.detectors.proposals.book import ProposalBook
    from experiments.imaginarynet.detectors.proposals.external import read_external
    from experiments.imaginarynet.detectors.proposals.records import Proposals
    from experiments.imaginarynet.detectors.proposals.search import keep_inside

    if given.is_dir():
        book = ProposalBook.open(given)

        def find(digest: str, name: str) -> Proposals | None:
            return book[digest] if digest in book else None
    else:
        find = read_external(given).find

    def of(file: Path, picture: np.ndarray) -> np.ndarray:
        found = find(picture_digest(file), file.name)
        found = Proposals.of(np.zeros((0, 4))) if found is None else found
        height, width = picture.shape[:2]
        settings = ProposalsConfig(min_side=MIN_SIDE, max_proposals=max(1, len(found)))  # all of them
        return keep_inside(found, settings, height=height, width=width)[0].scored()

    return of


# --- the pictures ---


def predict_all(
    detector: Detector, images: Sequence[Given], proposals: ProposalsOf | None, *, part: Path, score: float
) -> list[dict[str, Any]]:
    """One row per picture: id, file_name, width, height, found (rows of boxes), or `failed` with the reason.

    Rows are kept in the work folder, so that a stopped command goes on. Raises Stopped after SIGTERM.
    """
    work = part / record.WORK
    work.mkdir(exist_ok=True)
    (part / ANNOTATED).mkdir(exist_ok=True)
    rows = []
    with Progress(len(images), NAME) as bar:
        for image in images:
            path = work / f"{image.id:06d}.json"
            row = record.read_json(path)
            if row is None:
                row = predict_one(detector, image, proposals, folder=part / ANNOTATED, score=score)
                record.write_json(path, row)
            rows.append(row)
            bar.advance()
            if STOP.is_set and len(rows) < len(images):
                raise Stopped(f"{NAME} stopped by SIGTERM", fix="the same command goes on from here")
    return rows


def predict_one(
    detector: Detector, image: Given, proposals: ProposalsOf | None, *, folder: Path, score: float
) -> dict[str, Any]:
    """Detect in one picture and draw what has the score; see `predict_all`."""
    row: dict[str, Any] = {"id": image.id, "file_name": image.name, "best": None, "found": []}
    try:
        picture = read_picture(image.file)
    except BadInput as error:
        return {**row, "failed": error.what}
    height, width = picture.shape[:2]
    row |= {"width": width, "height": height}
    boxes = None
    if detector.needs_proposals:
        boxes = proposals(image.file, picture) if proposals else np.zeros((0, 4), np.float32)
        if not len(boxes):
            return {**row, "failed": "no proposals"}
    found = judge(detector, picture, boxes)
    order = np.argsort(-found.scores, kind="stable")
    row["best"] = float(found.scores[order[0]]) if len(order) else None
    order = order[found.scores[order] >= score]
    row["found"] = [
        {"label": int(found.labels[k]), "score": float(found.scores[k]), "box": found.boxes[k].tolist()}
        for k in order
    ]
    write_annotated(folder / annotated_name(image), picture, row["found"], class_names=detector.class_names)
    return row


def annotated_name(image: Given) -> str:
    """Of the annotated picture; the number keeps pictures of one name apart."""
    return f"{image.id:06d}_{Path(image.name).stem}.jpg"


def write_annotated(
    path: Path, picture: np.ndarray, found: Sequence[dict[str, Any]], *, class_names: Sequence[str]
) -> None:
    """The picture, uint8 (H, W, 3), with boxes, classes and scores, the surest on top; enlarged if small."""
    from PIL import Image

    from suite.report.draw import draw_annotations

    rows = list(reversed(found))
    boxes = np.array([row["box"] for row in rows], np.float32).reshape(-1, 4)
    captions = [f"{class_names[row['label']]} {row['score']:.2f}" for row in rows]
    drawn = draw_annotations(picture, boxes=boxes, captions=captions)
    Image.fromarray(drawn).save(path, quality=JPEG_QUALITY)


# --- what is written ---


def coco_tree(rows: Sequence[dict[str, Any]], class_names: Sequence[str]) -> dict[str, Any]:
    """images, categories (ids from 1 on) and annotations with bbox (x, y, width, height), area, score."""
    images = [
        {key: row[key] for key in ("id", "file_name", "width", "height")}
        for row in rows
        if "failed" not in row
    ]
    objects: list[dict[str, Any]] = []
    for row in rows:
        for one in row["found"]:
            x1, y1, x2, y2 = one["box"]
            objects.append(
                {
                    "id": len(objects) + 1,
                    "image_id": row["id"],
                    "category_id": one["label"] + 1,
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "area": (x2 - x1) * (y2 - y1),
                    "iscrowd": 0,
                    "score": one["score"],
                }
            )
    categories = [{"id": number, "name": name} for number, name in enumerate(class_names, start=1)]
    return {"images": images, "annotations": objects, "categories": categories}


def _finish(
    args: argparse.Namespace, parts: dict[str, Any], rows: list[dict[str, Any]], *, header: dict, part: Path
) -> Iterator[str]:
    failed = [row for row in rows if "failed" in row]
    if len(failed) == len(rows):
        what = f"no picture could be used: {failed[0]['file_name']}: {failed[0]['failed']}"
        raise BadInput(what, fix="check --images and --proposals")
    tree = coco_tree(rows, header["class_names"])
    keys = ("image_id", "category_id", "bbox", "score")
    info = {"detector": header["kind"], "min_score": args.score}
    record.write_json(part / PREDICTIONS, {**tree, "info": info})
    record.write_json(part / RESULTS, [{key: one[key] for key in keys} for one in tree["annotations"]])
    counts = {
        "pictures": len(tree["images"]),
        "detections": len(tree["annotations"]),
        "left_out": len(failed),
    }
    outputs = record.describe_outputs(part, (), base=args.out, final=args.out)
    manifest = {"schema": record.SCHEMA, "system": "imaginarynet", "stage": NAME, "key": record.key_of(parts)}
    manifest |= {"key_parts": parts, "counts": counts, "outputs": outputs}
    manifest["left_out"] = {row["file_name"]: row["failed"] for row in failed}
    record.write_json(part / record.MANIFEST, manifest)
    record.commit(part, args.out)
    yield f"{NAME}: {counts['detections']} detections in {counts['pictures']} pictures, in {args.out}"
    best = max((row["best"] for row in rows if row["best"] is not None), default=None)
    if not tree["annotations"] and best is not None:
        yield f"none has a score of {args.score:g} or more; the best has {best:.3f}: lower --score"
    yield from (f"left out: {row['file_name']}: {row['failed']}" for row in failed)
