"""The modules of a QR symbol that carry its payload: codewords, error correction, placement, in NumPy.

    bits = payload_bits("abc", version=2)         # uint8, in the order of placement
    placed = place(bits, is_data)                 # uint8 (n, n)

Byte mode, error correction M, versions 1..9 (ISO/IEC 18004:2015, 7.4 to 7.7). Only what depends on the
payload is made here; everything else of a symbol comes from the library (qr.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

BYTE_MODE, PADDING = 0x40, (0xEC, 0x11)
BLOCKS = {  # version: (data codewords of each block, error correction codewords per block)
    1: ((16,), 10),
    2: ((28,), 16),
    3: ((44,), 26),
    4: ((32, 32), 18),
    5: ((43, 43), 24),
    6: ((27,) * 4, 16),
    7: ((31,) * 4, 18),
    8: ((38, 38, 39, 39), 22),
    9: ((36, 36, 36, 37, 37), 22),
}
CAPACITY = {version: sum(blocks) - 2 for version, (blocks, _) in BLOCKS.items()}  # payload bytes
FIELD = 0x11D  # x^8 + x^4 + x^3 + x^2 + 1, the polynomial of GF(256)


@dataclass(frozen=True)
class _Plan:
    """What a version's codewords need besides the payload."""

    blocks: (
        np.ndarray
    )  # int64 (b, k): codeword numbers of the blocks, shorter ones filled with `num` in front
    parity: np.ndarray  # uint8 (k, e): error correction of a block whose only codeword is a 1 at this place
    order: np.ndarray  # int64: interleaved, of all data and then all error correction codewords
    num: int  # data codewords


def payload_bits(text: str, version: int) -> np.ndarray:
    """Bits of a text of one byte per character, uint8 (8 * codewords,). It must not be above CAPACITY."""
    plan = _plan(version)
    data = np.zeros(plan.num + 1, np.uint8)  # the last one stays 0: it fills up short blocks
    sent = np.frombuffer(bytes([len(text)]) + text.encode("latin1"), np.uint8)
    data[0] = BYTE_MODE
    data[: len(sent)] |= sent >> 4  # 4 bits of mode come first, so all bytes are moved by half a byte
    data[1 : len(sent) + 1] |= sent << 4
    rest = data[len(sent) + 2 : -1]  # the library sends a byte of zeros first, which no reader minds
    rest[::2], rest[1::2] = PADDING
    products = _multiplication()[data[plan.blocks][:, :, None], plan.parity]
    corrections = np.bitwise_xor.reduce(products, axis=1)
    return np.unpackbits(np.concatenate([data[:-1], corrections.ravel()])[plan.order])


def place(bits: np.ndarray, path: np.ndarray, side: int) -> np.ndarray:
    """A symbol, uint8 (side, side), with these bits along the path and 0 elsewhere."""
    placed = np.zeros(side * side, np.uint8)
    placed[path[: len(bits)]] = bits  # up to 7 modules at the end carry nothing
    return placed.reshape(side, side)


def data_path(is_data: np.ndarray) -> np.ndarray:
    """Flat indices of the data modules, bool (n, n), in the order of placement: two columns wide, from the
    right, up and down in turn, around the timing pattern in column 6.
    """
    side = len(is_data)
    rows = np.arange(side)
    path = []
    for turn, right in enumerate(column if column > 6 else column - 1 for column in range(side - 1, 0, -2)):
        down = rows[:: 1 if turn % 2 else -1]
        path.append((down[:, None] * side + (right, right - 1)).ravel())
    path = np.concatenate(path)
    return path[is_data.ravel()[path]]


@lru_cache(maxsize=len(BLOCKS))
def _plan(version: int) -> _Plan:
    sizes, num_parity = BLOCKS[version]
    num, longest = sum(sizes), max(sizes)
    # Zeros in front of a block change nothing of its error correction: all get the length of the longest.
    blocks = np.full((len(sizes), longest), num)
    start = 0
    for row, size in zip(blocks, sizes, strict=True):
        row[longest - size :] = np.arange(start, start + size)
        start += size
    aligned_left = [np.arange(sum(sizes[:i]), sum(sizes[: i + 1])) for i in range(len(sizes))]
    data = [block[place] for place in range(longest) for block in aligned_left if place < len(block)]
    parity = num + np.arange(len(sizes) * num_parity).reshape(len(sizes), num_parity).T.ravel()
    return _Plan(blocks, _parity(longest, num_parity), np.concatenate([data, parity]), num)


def _parity(length: int, num_parity: int) -> np.ndarray:
    """Rest of x^(e + length - 1 - i) by the generator polynomial, for i in 0 .. length - 1, uint8 (length,
    e).
    """
    times = _multiplication()
    generator = np.array([1], np.uint8)  # highest power first; product of (x - 2^i) for i in 0 .. e - 1
    root = 1
    for _ in range(num_parity):
        generator = np.append(generator, 0) ^ np.append(0, times[generator, root])
        root = int(times[root, 2])
    rests = [generator[1:]]
    while len(rests) < length:
        last = rests[-1]
        rests.append(np.append(last[1:], 0) ^ times[last[0], generator[1:]])
    return np.stack(rests[::-1]).astype(np.uint8)


@lru_cache(maxsize=1)
def _multiplication() -> np.ndarray:
    """Products in GF(256), uint8 (256, 256)."""
    a = np.arange(256, dtype=np.int64)[:, None] * np.ones(256, np.int64)
    b = a.T
    product = np.zeros_like(a)
    for bit in range(8):
        product ^= np.where(b >> bit & 1, a, 0)
        a = a << 1 ^ np.where(a & 0x80, FIELD, 0)
    return product.astype(np.uint8)
