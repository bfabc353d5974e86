"""From linear light to an 8-bit picture: shake, white balance, exposure, tone curve, grain."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image
from scipy.ndimage import convolve

from assets.make.sample_synthesis_scene import Film

MIDDLE = 0.22  # linear value to which the median of the picture is brought
STEP = 4.0  # grey values
SHOULDER = 0.6  # where the tone curve leaves the straight line


def encode_srgb(linear: np.ndarray) -> np.ndarray:
    """Linear 0..1 to sRGB 0..1 (IEC 61966-2-1)."""
    return np.where(
        linear <= 0.0031308, 12.92 * linear, 1.055 * np.maximum(linear, 1e-9) ** (1 / 2.4) - 0.055
    )


def tone(linear: np.ndarray) -> np.ndarray:
    """A straight line that bends towards 1 from SHOULDER on."""
    room = 1 - SHOULDER
    return np.where(linear < SHOULDER, linear, SHOULDER + room * np.tanh((linear - SHOULDER) / room))


def shake_kernel(length: float, angle: float) -> np.ndarray:
    """Weights (k, k) of a straight movement of `length` pixels, drawn with bilinear weights, sum 1."""
    half = int(np.ceil(length / 2)) + 1
    kernel = np.zeros((2 * half + 1, 2 * half + 1))
    for step in np.linspace(-length / 2, length / 2, 33):
        x, y = half + step * np.cos(angle), half + step * np.sin(angle)
        x0, y0 = int(np.floor(x)), int(np.floor(y))
        for i, j in ((0, 0), (0, 1), (1, 0), (1, 1)):
            kernel[y0 + i, x0 + j] += abs(1 - i - (y - y0)) * abs(1 - j - (x - x0))
    return kernel / kernel.sum()


def develop(rgba: np.ndarray, film: Film, rng: np.random.Generator) -> np.ndarray:
    """(H, W, 4) linear -> (H, W, 3) uint8 sRGB."""
    light = rgba[..., :3].astype(np.float64) * film.balance
    if film.motion[0] > 0:
        light = convolve(light, shake_kernel(*film.motion)[..., None], mode="nearest")
    luminance = light @ (0.2126, 0.7152, 0.0722)
    level = np.exp(np.mean(np.log(luminance + 1e-3 * luminance.mean() + 1e-9)))
    light = light * (MIDDLE / level * 2.0**film.exposure)
    signal = tone(light)
    deviation = film.noise * np.sqrt(0.15 + np.clip(signal, 0, 1))
    signal = signal + deviation * rng.standard_normal(signal.shape)
    return to_bytes(encode_srgb(np.clip(signal, 0, 1)))


def cut_out(rgba: np.ndarray, film: Film) -> np.ndarray:
    """(H, W, 4) linear, premultiplied -> (H, W, 4) uint8, straight alpha; black where alpha is 0.

    Colours are rounded to STEP: the noise below it is most of a PNG's bytes.
    """
    alpha = np.clip(rgba[..., 3:].astype(np.float64), 0, 1)
    light = rgba[..., :3] / np.maximum(alpha, 1e-3) * film.balance
    inside = alpha[..., 0] > 0.5
    level = np.exp(np.mean(np.log(light[inside] @ (0.2126, 0.7152, 0.0722) + 1e-3)))
    signal = encode_srgb(tone(np.clip(light * (MIDDLE / level * 2.0**film.exposure), 0, None)))
    pixels = to_bytes(np.concatenate([signal, alpha], axis=2))
    pixels[..., :3] = np.clip(np.round(pixels[..., :3] / STEP) * STEP, 0, 255)
    pixels[pixels[..., 3] == 0] = 0
    return pixels


def to_bytes(values: np.ndarray) -> np.ndarray:
    """0..1 to uint8."""
    return np.round(255 * np.clip(values, 0, 1)).astype(np.uint8)


def encode(pixels: np.ndarray, quality: int) -> bytes:
    """JPEG bytes of (H, W, 3), PNG bytes of (H, W, 4)."""
    buffer = io.BytesIO()
    if pixels.shape[2] == 3:
        Image.fromarray(pixels, "RGB").save(buffer, format="JPEG", quality=quality, optimize=True)
    else:
        Image.fromarray(pixels, "RGBA").save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()
