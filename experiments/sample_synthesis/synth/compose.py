"""One object into its slot: augment picture and mask, find the box, blend.

Two orders of resampling (setting `raster`):

    object   published: augment at the picture's resolution, find the box there, resize to the slot
    patch    the picture is reduced to the slot's longer side where it is much larger (mean over areas),
             augmented and warped straight into the slot by one composed map; the box is found in the slot's
             own pixels

Both draw an object's geometry first and the same from the same generator. With `patch`, noise and blur act on
about as many pixels as the slot has, so a reduced picture keeps more of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np

from experiments.sample_synthesis.config_sections import ObjectConfig
from experiments.sample_synthesis.objects.types import ObjectPicture
from experiments.sample_synthesis.synth.geometric import Geometry, draw_geometry, resize, warp
from experiments.sample_synthesis.synth.photometric import augment
from suite.errors import BadInput

VISIBLE = 0.1  # weight of an object's most opaque pixel below which there is nothing to see
REDUCE_FROM = 1.25  # picture's side / slot's longer side; what is less reduced hardly aliases


@dataclass(frozen=True)
class PasteRule:
    """How objects are drawn into their slots; from the settings."""

    raster: str  # "object", "patch"
    threshold: float  # foreground is mask > threshold
    blend: str  # "soft", "binary"
    box_edge: str  # "exclusive", "inclusive"
    naive: bool  # no mask: the whole picture replaces the slot, which is the box
    naive_fill: str  # "reflect", "black": beyond the border of a naive picture
    frames: bool = False  # a box is the extent of the warped picture (compat.face_box_frames)

    @classmethod
    def of(cls, config: ObjectConfig, *, naive: bool, frames: bool = False) -> PasteRule:
        """The published box of a face is where a sigmoid is above 0: the frame of its picture. With `frames`
        it is that frame whoever made the mask: one of 0 and 1 would give the face again.
        """
        synthesis, masks = config.synthesis, config.masks
        return cls(
            synthesis.raster,
            masks.threshold,
            masks.blend,
            synthesis.box_edge,
            naive,
            synthesis.naive_fill,
            frames,
        )


@dataclass(frozen=True)
class Patch:
    """An augmented object at the size of its slot."""

    picture: np.ndarray  # uint8 (h, w, 3)
    weight: np.ndarray | None  # float32 (h, w) in [0, 1]: the object's share in each pixel; None: all
    box: np.ndarray  # int32 (4,) xyxy, relative to the slot


def make_patch(
    rng: np.random.Generator, drawn: ObjectPicture, size_wh: tuple[int, int], rule: PasteRule
) -> Patch | None:
    """The object, augmented, for a slot of this size; None where nothing of it is left to see.

    Raises BadInput for a picture without a mask where one is needed.
    """
    if drawn.mask is None and not rule.naive:
        raise BadInput(
            f"the picture {drawn.key} has no mask", fix="choose a masks.provider, or the variant naive"
        )
    height, width = drawn.picture.shape[:2]
    geometry = draw_geometry(rng, width, height)
    if rule.raster == "patch":
        return _patch_at_slot(rng, drawn, geometry, size_wh, rule)
    move = partial(warp, matrix=geometry.matrix, size_wh=(width, height), visible=geometry.visible)
    picture = move(augment(rng, drawn.picture), border=_border(rule))
    if rule.naive:
        return Patch(_stretched(picture, size_wh), None, _whole(size_wh))
    mask = move(drawn.mask)
    scale = size_wh[0] / width, size_wh[1] / height
    box = extent(_foreground(mask, drawn.mask, move, rule), rule.box_edge, scale=scale)
    if box is None:
        return None
    weight = _stretched(_weight(mask, rule), size_wh)
    return Patch(_stretched(picture, size_wh), weight, box) if weight.max() >= VISIBLE else None


def _patch_at_slot(
    rng: np.random.Generator,
    drawn: ObjectPicture,
    geometry: Geometry,
    size_wh: tuple[int, int],
    rule: PasteRule,
) -> Patch | None:
    """Raster `patch`: see the module docstring."""
    height, width = drawn.picture.shape[:2]
    # The same factor for both sides: after a rotation, either may become the slot's longer one.
    factor = max(size_wh) / max(width, height)
    factor = 1.0 if factor > 1 / REDUCE_FROM else factor
    reduced_wh = max(1, round(width * factor)), max(1, round(height * factor))
    # slot <- augmented picture <- picture <- reduced picture
    full = resize((width, height), size_wh) @ geometry.matrix @ resize(reduced_wh, (width, height))
    move = partial(warp, matrix=full, size_wh=size_wh, visible=geometry.visible)
    picture = move(augment(rng, _reduced(drawn.picture, reduced_wh)), border=_border(rule))
    if rule.naive:
        return Patch(picture, None, _whole(size_wh))
    reduced = _reduced(drawn.mask, reduced_wh)
    mask = move(reduced)
    box = extent(_foreground(mask, reduced, move, rule), rule.box_edge)
    if box is None:
        return None
    weight = _weight(mask, rule)
    return Patch(picture, weight, box) if weight.max() >= VISIBLE else None


def extent(
    foreground: np.ndarray, box_edge: str = "exclusive", *, scale: tuple[float, float] = (1.0, 1.0)
) -> np.ndarray | None:
    """Tight box of bool (h, w), int32 (4,) xyxy, after scaling x and y; None where it is empty or has no
    area.

    `exclusive`: whole pixels that the scaled foreground touches. `inclusive`: first and last index, scaled
    and truncated, as published.
    """
    columns, rows = np.flatnonzero(foreground.any(axis=0)), np.flatnonzero(foreground.any(axis=1))
    if not len(columns):
        return None
    low = np.array([columns[0], rows[0]]) * scale
    high = np.array([columns[-1], rows[-1]])
    high = high * scale if box_edge == "inclusive" else np.ceil((high + 1) * scale - 1e-9)
    box = np.concatenate([low, high]).astype(np.int32)
    return box if (box[2:] > box[:2]).all() else None


def blend(image: np.ndarray, slot: np.ndarray, patch: Patch) -> None:
    """Draw a patch into its slot of an image uint8 (S, S, 3), in place: image * (1 - w) + object * w,
    truncated.
    """
    view = image[slot[1] : slot[3], slot[0] : slot[2]]
    if patch.weight is None:
        view[:] = patch.picture
        return
    under = view.astype(np.float32)
    # under + (object - under) * w would round differently: w = 1 has to give the object's very values.
    weight = patch.weight[..., None]
    view[:] = under * (1 - weight) + patch.picture * weight


def _foreground(mask: np.ndarray, unmoved: np.ndarray, move: Callable, rule: PasteRule) -> np.ndarray:
    return move(np.ones_like(unmoved)) > 0 if rule.frames else mask > rule.threshold


def _weight(mask: np.ndarray, rule: PasteRule) -> np.ndarray:
    return (mask > rule.threshold).astype(np.float32) if rule.blend == "binary" else mask


def _border(rule: PasteRule) -> int:
    mirror = rule.naive and rule.naive_fill == "reflect"
    return cv2.BORDER_REFLECT_101 if mirror else cv2.BORDER_CONSTANT


def _whole(size_wh: tuple[int, int]) -> np.ndarray:
    return np.array([0, 0, *size_wh], np.int32)


def _stretched(picture: np.ndarray, size_wh: tuple[int, int]) -> np.ndarray:
    return cv2.resize(picture, size_wh, interpolation=cv2.INTER_LINEAR)


def _reduced(picture: np.ndarray, size_wh: tuple[int, int]) -> np.ndarray:
    if picture.shape[1::-1] == size_wh:
        return picture
    return cv2.resize(picture, size_wh, interpolation=cv2.INTER_AREA)
