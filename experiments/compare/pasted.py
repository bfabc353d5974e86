"""`pasted`: cut-outs of the target's classes on backgrounds, by sample synthesis' own code.

`coco/annotations.json` has boxes and masks, `coco/pictures/` the pictures. Layout, augmentation, pasting and
the rule for boxes are sample synthesis' (experiments/sample_synthesis/synth); new here are several classes in
one picture, masks, and pictures that are no squares: slots are drawn in a square, which is then squeezed to
the picture, so that they still do not touch. A picture depends on the seed and its number alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from experiments.compare.backgrounds import open_backgrounds
from experiments.compare.coco_files import ANNOTATIONS, COCO, PICTURES, save_jpeg
from experiments.compare.config_data import PastedConfig
from experiments.compare.cost import note_cost, stage_part
from experiments.compare.target import categories_of, load_categories
from experiments.sample_synthesis.config_sections import SynthesisConfig
from experiments.sample_synthesis.objects.sources import decode, has_alpha_channel, list_pictures
from experiments.sample_synthesis.objects.types import BackgroundSource, ObjectPicture
from experiments.sample_synthesis.synth.compose import PasteRule, Patch, blend, make_patch
from experiments.sample_synthesis.synth.layout import draw_layout
from suite.datasets import CocoAnnotation, CocoImage, CocoSet, write_coco
from suite.datasets.faults import Fault
from suite.datasets.records import CocoCategory
from suite.datasets.rle import encode_rle
from suite.errors import BadInput
from suite.manifest import read_json, write_json
from suite.paths import data_path
from suite.seeds import item_rng
from suite.stage import Context

STREAM = "compare.pasted"
CHUNK = 50  # pictures whose boxes are noted at once: a kill costs no more
MAX_REDRAWS = 100  # for one slot; each takes another cut-out
THRESHOLD = 0.5  # of the mask: foreground (Sample synthesis, published code)
KEPT_DECODED = 4096  # cut-outs in memory


@dataclass(frozen=True)
class Pasted:
    """One picture and what it shows."""

    picture: np.ndarray  # uint8 (h, w, 3) RGB
    labels: tuple[str, ...]  # class of each object
    boxes: np.ndarray  # int32 (n, 4) xyxy, half-open: the extent of `masks`
    masks: np.ndarray  # bool (n, h, w)
    redrawn: int  # cut-outs of which the augmentation left nothing


class Cutouts:
    """Pictures of single things with alpha, by class."""

    def __init__(self, files: Mapping[str, Sequence[Path]], *, side: int) -> None:
        self.files = {name: tuple(paths) for name, paths in files.items()}
        self.names = tuple(self.files)
        self.side = side
        self._read = lru_cache(maxsize=KEPT_DECODED)(self._decode)

    def draw(self, rng: np.random.Generator) -> tuple[str, ObjectPicture]:
        """A class, every one as likely, and one of its cut-outs. Raises BadInput for a damaged file."""
        name = self.names[int(rng.integers(len(self.names)))]
        files = self.files[name]
        return name, self._read(files[int(rng.integers(len(files)))])

    def _decode(self, path: Path) -> ObjectPicture:
        try:
            picture = decode(path)
        except Fault as fault:
            raise fault.error(path) from None
        if not has_alpha_channel(picture):
            raise BadInput("has no alpha channel", file=path, fix="cut the thing out, or leave the file away")
        rgba = fitted(np.asarray(picture.convert("RGBA")), self.side)
        if not (rgba[..., 3] > 127).any():
            raise BadInput("is transparent all over", file=path, fix="leave the file away")
        mask = rgba[..., 3].astype(np.float32) / np.float32(255)
        return ObjectPicture(bled(rgba), mask, path.name)


def fitted(rgba: np.ndarray, side: int) -> np.ndarray:
    """uint8 (side, side, 4): as large as fits with its aspect ratio kept, in the middle, nothing around."""
    height, width = rgba.shape[:2]
    if (height, width) == (side, side):
        return rgba
    scale = side / max(height, width)
    size_wh = max(1, round(width * scale)), max(1, round(height * scale))
    alpha = rgba[..., 3:].astype(np.float32) / 255
    whole = np.concatenate([rgba[..., :3] * alpha, 255 * alpha], axis=2)  # so that nothing dark bleeds in
    small = cv2.resize(whole, size_wh, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    small[..., :3] /= np.maximum(small[..., 3:], 1e-3) / 255
    out = np.zeros((side, side, 4), np.uint8)
    top, left = (side - size_wh[1]) // 2, (side - size_wh[0]) // 2
    out[top : top + size_wh[1], left : left + size_wh[0]] = np.clip(np.rint(small), 0, 255)
    return out


def bled(rgba: np.ndarray) -> np.ndarray:
    """uint8 (h, w, 3): the colours, going on where nothing is to be seen, so that no edge turns dark."""
    weight = (rgba[..., 3] > 127).astype(np.float32)
    kernel = rgba.shape[1] // 4 * 2 + 1, rgba.shape[0] // 4 * 2 + 1
    near = cv2.blur(rgba[..., :3].astype(np.float32) * weight[..., None], kernel)
    share = cv2.blur(weight, kernel)[..., None]
    mean = (rgba[..., :3] * weight[..., None]).sum(axis=(0, 1)) / weight.sum()
    filled = np.where(share > 1e-3, near / np.maximum(share, 1e-3), mean)
    colors = np.where(rgba[..., 3:] > 0, rgba[..., :3], filled)
    return np.clip(np.rint(colors), 0, 255).astype(np.uint8)


class Paster:
    """Pictures by number; holds no state."""

    def __init__(
        self, config: PastedConfig, cutouts: Cutouts, backgrounds: BackgroundSource, *, seed: int
    ) -> None:
        self.config, self.cutouts, self.backgrounds, self.seed = config, cutouts, backgrounds, seed
        self.layout = layout_config(config)
        self.rule = PasteRule(
            config.raster, THRESHOLD, "soft", "exclusive", naive=False, naive_fill="reflect"
        )

    def item(self, index: int) -> Pasted:
        """Picture number `index` >= 0. Raises BadInput where no visible object can be had."""
        width, height = self.config.size_wh
        rng = item_rng(self.seed, STREAM, index)
        slots = squeezed(draw_layout(rng, self.layout), self.config.size_wh)
        picture = np.array(middle(self.backgrounds.draw(rng, max(width, height)), (width, height)))
        labels, boxes, redrawn = [], np.empty_like(slots), 0
        masks = np.zeros((len(slots), height, width), bool)
        for number, slot in enumerate(slots):
            label, patch, again = self._patch(rng, (int(slot[2] - slot[0]), int(slot[3] - slot[1])))
            blend(picture, slot, patch)
            masks[number, slot[1] : slot[3], slot[0] : slot[2]] = patch.weight > THRESHOLD
            boxes[number] = extent_of(masks[number])
            labels.append(label)
            redrawn += again
        return Pasted(picture, tuple(labels), boxes, masks, redrawn)

    def _patch(self, rng: np.random.Generator, size_wh: tuple[int, int]) -> tuple[str, Patch, int]:
        """A class, an object of which something is to be seen, and how many were given up before it."""
        for redrawn in range(MAX_REDRAWS):
            label, drawn = self.cutouts.draw(rng)
            patch = make_patch(rng, drawn, size_wh, self.rule)
            if patch is not None and (patch.weight > THRESHOLD).any():
                return label, patch, redrawn
        what = f"{MAX_REDRAWS} cut-outs in a row show nothing in a slot of {size_wh[0]}x{size_wh[1]} pixels"
        raise BadInput(what, fix="raise pasted.min_scale")


def layout_config(config: PastedConfig) -> SynthesisConfig:
    """The settings of the square in which slots are drawn."""
    width, height = config.size_wh
    return SynthesisConfig(
        num_samples=config.num_samples, image_size=max(width, height), min_scale=config.min_scale,
        max_scale=config.max_scale, min_aspect_ratio=config.min_aspect_ratio * height / width,
        max_aspect_ratio=config.max_aspect_ratio * height / width, min_objects=config.min_objects,
        max_objects=config.max_objects, layout=config.layout, raster=config.raster,
    )  # fmt: skip


def squeezed(slots: np.ndarray, size_wh: tuple[int, int]) -> np.ndarray:
    """Slots of a square in the picture that it becomes, int32 (n, 4); none is without area.

    Apart stays apart: of two slots that do not touch one ends before the other begins, in whole pixels.
    """
    scale = np.tile(np.array(size_wh) / max(size_wh), 2)
    out = np.floor(slots * scale).astype(np.int32)
    out[:, 2:] = np.maximum(out[:, 2:], out[:, :2] + 1)
    return out


def middle(picture: np.ndarray, size_wh: tuple[int, int]) -> np.ndarray:
    """The part of that size in the middle."""
    top, left = (picture.shape[0] - size_wh[1]) // 2, (picture.shape[1] - size_wh[0]) // 2
    return picture[top : top + size_wh[1], left : left + size_wh[0]]


def extent_of(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Tight box xyxy of a mask bool (h, w) that is not empty."""
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


# --- the stage ---


def run(ctx: Context) -> None:
    """The stage; a stopped one goes on behind the last chunk."""
    cv2.setNumThreads(1)
    settings = ctx.config.pasted
    categories = load_categories(ctx.config.target)
    cutouts, folder = open_cutouts(ctx)
    chosen = categories_of(cutouts.names, categories, file=folder)
    lacking = sorted({one.name for one in categories} - {one.name for one in chosen.values()})
    if lacking:
        ctx.warn(f"there are no cut-outs of {', '.join(lacking)}")
    paster = Paster(settings, cutouts, open_backgrounds(settings), seed=ctx.seed)
    pictures = ctx.out / COCO / PICTURES
    pictures.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    with ctx.progress(settings.num_samples) as bar:
        for start in range(0, settings.num_samples, CHUNK):
            journal = ctx.work / f"{start // CHUNK:06d}.json"
            found = read_json(journal) or []
            for index in range(start, min(start + CHUNK, settings.num_samples)):
                if len(found) <= index - start:
                    ctx.check_stop()
                    found.append(write_picture(pictures, index, paster.item(index), settings))
                bar.advance()
            write_json(journal, found)
            rows += found
    coco = as_coco(rows, chosen, categories, settings)
    write_coco(ctx.out / COCO / ANNOTATIONS, coco)
    ctx.count("pictures", len(coco.images))
    ctx.count("objects", len(coco.annotations))
    ctx.count("redrawn", sum(row["redrawn"] for row in rows))
    note_cost(ctx, [stage_part(ctx.inputs["cutouts"])] if "cutouts" in ctx.inputs else [])


def open_cutouts(ctx: Context) -> tuple[Cutouts, Path]:
    """The rendered cut-outs, or those of the user's folder, and where they lie. Raises BadInput, Missing."""
    settings = ctx.config.cutouts
    folder = ctx.inputs["cutouts"] if settings.folder is None else data_path(settings.folder)
    files: dict[str, list[Path]] = {}
    for name in list_pictures(folder):
        parts = Path(name).parts
        # Rendered ones lie in the folder of a shard; neither the shard nor its number decides the order.
        place = parts[1:] if settings.folder is None else parts
        if len(place) != 2:
            what = f"{name} is in no folder of a class"
            raise BadInput(what, file=folder, fix="put pictures into <class>/*.png")
        files.setdefault(place[0], []).append(folder / name)
    ordered = {name: sorted(paths, key=lambda path: path.name) for name, paths in sorted(files.items())}
    return Cutouts(ordered, side=settings.side), folder


def write_picture(folder: Path, index: int, item: Pasted, settings: PastedConfig) -> dict[str, Any]:
    """Write the file; what the annotations need of it, as JSON."""
    name = f"{index:06d}.jpg"
    save_jpeg(folder / name, item.picture, quality=settings.jpeg_quality)
    objects = [
        {"label": label, "box": box.tolist(), "area": int(mask.sum()), "mask": encode_rle(mask)}
        for label, box, mask in zip(item.labels, item.boxes, item.masks, strict=True)
    ]
    return json.loads(json.dumps({"file_name": name, "objects": objects, "redrawn": item.redrawn}))


def as_coco(
    rows: Sequence[Mapping[str, Any]],
    chosen: Mapping[str, CocoCategory],
    categories: Sequence[CocoCategory],
    settings: PastedConfig,
) -> CocoSet:
    """All pictures as one set with the target's categories."""
    width, height = settings.size_wh
    images = tuple(CocoImage(i, row["file_name"], width, height) for i, row in enumerate(rows, start=1))
    annotations = []
    for image, row in zip(images, rows, strict=True):
        for found in row["objects"]:
            x1, y1, x2, y2 = map(float, found["box"])
            annotations.append(
                CocoAnnotation(
                    len(annotations) + 1, image.id, chosen[found["label"]].id, (x1, y1, x2 - x1, y2 - y1),
                    float(found["area"]), segmentation=found["mask"],
                )
            )  # fmt: skip
    return CocoSet(images, tuple(annotations), tuple(categories), {"info": {"description": "pasted samples"}})
