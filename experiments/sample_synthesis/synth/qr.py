"""QR symbols by the library segno, with their analytic masks.

    picture = draw_qr(rng, module_px=10)          # published size: 10 pixels a module
    symbol = draw_symbol(rng); raster(symbol, fitting_px(symbol, 73))

Content as published (Sample synthesis, QR codes): version uniform in 1..9, raised where the payload needs it,
error correction M, 1..100 random lower-case letters in byte mode, quiet zone of 4 modules. The mask is the
rectangle that the dark modules span: the quiet zone is not pasted.

The library works module by module in Python, most of all on choosing among the eight data masks. Here it
draws one symbol of each version and data mask; what differs between two payloads is put in by
qr_codewords.py, and the standard's penalties (ISO/IEC 18004:2015, 7.8.3) are computed for all eight masks at
once. The modules are those that the library itself would give.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import ceil
from typing import Any

import numpy as np

from experiments.sample_synthesis.objects.types import ObjectPicture
from experiments.sample_synthesis.synth.qr_codewords import CAPACITY, data_path, payload_bits, place
from suite.errors import Missing

VERSIONS = (1, 9)
PAYLOAD = (1, 100)  # letters
QUIET = 4  # modules
PUBLISHED_PX = 10
FITS = 0.8  # of the wanted side: enlarging by no more than a quarter shows no blur
NUM_MASKS = 8
# segno.consts.TYPE_*: finder, separator, alignment, timing, version; light and dark
FUNCTION_TYPES = (6, 1536, 8, 10, 2560, 12, 3072, 16, 4096)
FINDER = (1, 0, 1, 1, 1, 0, 1)  # the pattern of penalty N3
N1_RUN, N1, N2, N3, N4 = 5, 3, 3, 40, 10


@dataclass(frozen=True)
class Symbol:
    """A QR symbol."""

    modules: np.ndarray  # uint8 (n, n), 1 is dark, without quiet zone
    text: str
    version: int

    @property
    def side(self) -> int:
        """Modules a side, quiet zone included."""
        return len(self.modules) + 2 * QUIET


class QrSource:
    """An ObjectSource that makes a new symbol each time."""

    def __init__(self, module_px: int = PUBLISHED_PX):
        self.module_px = module_px

    def __len__(self) -> int:
        return 0

    def draw(self, rng: np.random.Generator) -> ObjectPicture:
        """A symbol at `module_px` pixels a module."""
        return draw_qr(rng, self.module_px)


def draw_qr(rng: np.random.Generator, module_px: int = PUBLISHED_PX) -> ObjectPicture:
    """A random symbol: picture uint8 (s, s, 3) of 0 and 255, mask float32 (s, s) of 0 and 1."""
    return raster(draw_symbol(rng), module_px)


def draw_symbol(rng: np.random.Generator) -> Symbol:
    """Version and payload as published."""
    version = int(rng.integers(VERSIONS[0], VERSIONS[1] + 1))
    letters = rng.integers(ord("a"), ord("z") + 1, int(rng.integers(PAYLOAD[0], PAYLOAD[1] + 1)), np.uint8)
    text = letters.tobytes().decode("ascii")
    version = max(version, next(number for number, capacity in CAPACITY.items() if len(text) <= capacity))
    return Symbol(encode(text, version), text, version)


def encode(text: str, version: int) -> np.ndarray:
    """The symbol of a text of one byte per character, uint8 (n, n), 1 is dark."""
    template = _template(version)
    forms = template.forms ^ place(payload_bits(text, version), template.path, template.forms.shape[-1])
    return forms[np.argmin(penalties(forms & template.judged | template.dark))]  # the first of equals


def fitting_px(symbol: Symbol, pixels: int) -> int:
    """The fewest pixels a module with which the symbol, quiet zone included, has nearly this side (FITS)."""
    return max(1, ceil(FITS * pixels / symbol.side))


def raster(symbol: Symbol, module_px: int) -> ObjectPicture:
    """The symbol in black on white, quiet zone around."""
    border = QUIET * module_px
    side = symbol.side * module_px
    inner = slice(border, side - border)
    picture = np.full((side, side, 3), 255, np.uint8)
    light = (1 - symbol.modules) * np.uint8(255)
    picture[inner, inner] = light.repeat(module_px, 0).repeat(module_px, 1)[..., None]
    mask = np.zeros((side, side), np.float32)
    mask[inner, inner] = 1
    return ObjectPicture(picture, mask, f"qr:{symbol.version}:{symbol.text}")


# --- data masks ---


def penalties(symbols: np.ndarray) -> np.ndarray:
    """Sum of the four penalties of symbols uint8 (k, n, n), int64 (k,)."""
    num, side = symbols.shape[:2]
    lines = np.stack([symbols, symbols.transpose(0, 2, 1)], axis=1)  # rows, then columns: (k, 2, n, n)
    equal = lines[..., 1:] == lines[..., :-1]
    run = equal[..., :-3] & equal[..., 1:-2] & equal[..., 2:-1] & equal[..., 3:]  # five alike from here on
    begins = run.copy()
    begins[..., 1:] &= ~run[..., :-1]
    # A run of m >= 5 costs m - 2: it has m - 4 windows of five, and one beginning.
    total = _sum(run) + (N1 - 1) * _sum(begins)
    across = equal[:, 0]
    total += N2 * _sum(across[:, 1:] & across[:, :-1] & equal[:, 1].transpose(0, 2, 1)[:, :, 1:])
    total += N3 * _sum(_finders(lines))
    share = symbols.reshape(num, -1).sum(axis=1, dtype=np.int64) / side**2
    return total + N4 * (np.abs(share * 100 - 50) / 5).astype(np.int64)


def _finders(lines: np.ndarray) -> np.ndarray:
    """Where 1011101 begins with four light modules, or the border, before or behind; bool (..., n - 6).

    Of two that share modules the library counts the first.
    """
    side = lines.shape[-1]
    light = np.ones((*lines.shape[:-1], side + 8), bool)  # beyond the border is light
    np.equal(lines, 0, out=light[..., 4:-4])
    number = side - len(FINDER) + 1
    found = np.ones((*lines.shape[:-1], number), bool)
    for offset, dark in enumerate(FINDER):
        part = light[..., 4 + offset : 4 + offset + number]
        found &= ~part if dark else part
    four = light[..., :-3] & light[..., 1:-2] & light[..., 2:-1] & light[..., 3:]
    found &= four[..., :number] | four[..., 11 : 11 + number]
    counted = found.copy()
    for offset in (4, 6):  # the distances at which the pattern fits onto itself
        counted[..., offset:] &= ~found[..., :-offset]
    return counted


def _sum(flags: np.ndarray) -> np.ndarray:
    return np.count_nonzero(flags.reshape(len(flags), -1), axis=1)


@dataclass(frozen=True)
class _Template:
    """What all symbols of a version have in common."""

    forms: np.ndarray  # uint8 (8, n, n): a symbol of each data mask whose codewords are all 0
    path: np.ndarray  # int64: flat indices of the data modules, in the order of placement
    # uint8 (n, n), 0 where format and version information go: masks are judged before that.
    judged: np.ndarray
    dark: np.ndarray  # uint8 (n, n), 1 at those of them that count as dark, of the timing patterns


@lru_cache(maxsize=VERSIONS[1])
def _template(version: int) -> _Template:
    codes = [library_symbol("a", version, mask=mask) for mask in range(NUM_MASKS)]
    drawn = np.stack([modules_of(code) for code in codes])
    side = drawn.shape[-1]
    judged = np.ones((side, side), np.uint8)
    judged[8, :9] = judged[8, -8:] = judged[:9, 8] = judged[-8:, 8] = 0
    if version >= 7:
        judged[:6, -11:-8] = judged[-11:-8, :6] = 0
    dark = np.zeros_like(judged)
    dark[8, 6] = dark[6, 8] = 1
    # The library's own label "data" leaves one module out, at (8, n - 9), so the others are taken away.
    types = np.array(list(codes[0].matrix_iter(border=0, verbose=True)), np.int64)
    path = data_path((judged == 1) & ~np.isin(types, FUNCTION_TYPES))
    return _Template(drawn ^ place(payload_bits("a", version), path, side), path, judged, dark)


# --- the library ---


def library_symbol(text: str, version: int, *, mask: int | None = None) -> Any:
    """The library's symbol, a segno.QRCode; mask None: the library chooses. Raises Missing without the
    library.
    """
    try:
        import segno
    except ModuleNotFoundError:
        fix = "work in the tensorflow environment, which has it"
        raise Missing("QR symbols need the package segno", fix=fix) from None
    return segno.make(
        text, error="m", mode="byte", version=version, mask=mask, boost_error=False, micro=False,
        encoding="latin1",
    )  # fmt: skip


def modules_of(code: Any) -> np.ndarray:
    """Its modules, uint8 (n, n)."""
    return np.frombuffer(b"".join(code.matrix), np.uint8).reshape(len(code.matrix), -1)
