"""Pictures for a report: masks and boxes drawn in, rows of pictures, inlined as data URIs."""

from __future__ import annotations

import base64
import colorsys
import io
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

MASK_OPACITY = 0.45
# Neighbouring numbers get far hues: steps of the golden angle.
GOLDEN = 0.61803398875
JPEG_QUALITY = 88
DARK = 110  # of 255: below it a caption is white on its colour


def palette(num_colors: int) -> np.ndarray:
    """(n, 3) uint8 colours, distinct for neighbouring numbers; the first ones never change with n."""
    colors = [colorsys.hsv_to_rgb(0.02 + k * GOLDEN % 1, 0.85, 1.0) for k in range(num_colors)]
    return np.round(255 * np.array(colors).reshape(-1, 3)).astype(np.uint8)


def enlarge(rgb: np.ndarray, min_width: int) -> tuple[np.ndarray, int]:
    """The picture enlarged by the smallest whole factor that makes it `min_width` wide; the factor."""
    height, width = rgb.shape[:2]
    factor = max(1, -(-min_width // width))
    if factor == 1:
        return rgb, 1
    big = Image.fromarray(rgb).resize((width * factor, height * factor), Image.Resampling.BICUBIC)
    return np.asarray(big), factor


def draw_annotations(
    rgb: np.ndarray,
    *,
    boxes: np.ndarray,
    label_map: np.ndarray | None = None,
    captions: Sequence[str] | None = None,
    min_width: int = 480,
) -> np.ndarray:
    """Draw masks (tinted), boxes (outlined) and captions into an enlarged copy.

    rgb: (H, W, 3) uint8. boxes: (n, 4) half-open pixels. label_map: (H, W), 0 none, k = box k - 1.
    captions: n short texts. Small pictures are enlarged first, so that lines stay thin and texts legible.
    """
    colors = palette(len(boxes))
    picture, factor = enlarge(rgb, min_width)
    if label_map is not None:
        labels = np.repeat(np.repeat(label_map, factor, axis=0), factor, axis=1)
        table = np.concatenate([np.zeros((1, 3), np.uint8), colors])
        tinted = (1 - MASK_OPACITY) * picture + MASK_OPACITY * table[labels]
        picture = np.where((labels > 0)[..., None], tinted, picture).astype(np.uint8)
    image = Image.fromarray(np.ascontiguousarray(picture))
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(size=12)
    for k, (x1, y1, x2, y2) in enumerate((np.asarray(boxes)[:, :4] * factor).tolist()):
        color = tuple(colors[k].tolist())
        draw.rectangle((x1, y1, x2 - 1, y2 - 1), outline=color, width=2)
        if captions is not None:
            _caption(draw, (x1, y1), captions[k], color, font)
    return np.asarray(image)


def _caption(
    draw: ImageDraw.ImageDraw, corner: tuple[int, int], text: str, color: tuple, font: object
) -> None:
    left, top, right, bottom = draw.textbbox(corner, text, font=font)
    draw.rectangle((left - 1, top - 1, right + 1, bottom + 1), fill=color)
    red, green, blue = color
    light = 0.3 * red + 0.59 * green + 0.11 * blue > DARK  # perceived brightness (ITU-R BT.601)
    draw.text(corner, text, fill=(0, 0, 0) if light else (255, 255, 255), font=font)


def contact_row(pictures: Sequence[np.ndarray | None], *, cell: int, gap: int = 4) -> np.ndarray:
    """Pictures side by side in square cells of `cell` pixels; None leaves a cross.

    All are scaled by one factor, so that the largest fills its cell and the sizes stay comparable.
    """
    longest = max((max(picture.shape[:2]) for picture in pictures if picture is not None), default=cell)
    scale = cell / longest
    width = len(pictures) * (cell + gap) - gap
    row = Image.new("RGB", (max(width, 1), cell), (255, 255, 255))
    draw = ImageDraw.Draw(row)
    for k, picture in enumerate(pictures):
        x = k * (cell + gap)
        draw.rectangle((x, 0, x + cell - 1, cell - 1), fill=(235, 235, 235))
        if picture is None:
            draw.line((x, 0, x + cell - 1, cell - 1), fill=(190, 190, 190))
            draw.line((x, cell - 1, x + cell - 1, 0), fill=(190, 190, 190))
            continue
        size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
        image = Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC)
        row.paste(image, (x + (cell - image.width) // 2, (cell - image.height) // 2))
    return np.asarray(row)


def jpeg_uri(rgb: np.ndarray) -> str:
    """(H, W, 3) uint8 -> `data:image/jpeg;base64,...`; about a tenth of the PNG."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(rgb)).save(buffer, format="JPEG", quality=JPEG_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
