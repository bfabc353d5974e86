"""Birds made from scratch: a skin over a curved spine, wings, tail, beak, legs. Facing +x, feet at z = 0."""

from __future__ import annotations

import numpy as np
from scipy.interpolate import PchipInterpolator

from assets.make.sample_synthesis_designs import Design, draw_design, linear
from assets.make.sample_synthesis_shapes import Look, Shape, ellipsoid, loft, tube

STATIONS, AROUND = 44, 32
_BODY = {  # shares of the length of the trunk, angles in radians; length in metres
    "pitch": (0.0, 0.8), "plump": (0.2, 0.3), "head": (0.12, 0.19), "beak": (0.1, 0.24),
    "beak_width": (0.03, 0.055), "tail": (0.3, 0.75), "tail_width": (0.05, 0.2), "tail_tilt": (-0.35, 0.3),
    "wing": (0.75, 1.05), "wing_width": (0.13, 0.2), "neck": (0.15, 0.25), "leg": (0.12, 0.28),
    "length": (0.12, 0.3), "nod": (-0.4, 0.3), "cap": (0.2, 0.7),
}  # fmt: skip
_WADER = {
    "neck": (0.5, 0.95), "leg": (0.6, 1.1), "beak": (0.3, 0.65), "pitch": (0.0, 0.4), "tail": (0.15, 0.3),
    "head": (0.09, 0.13), "length": (0.3, 0.6), "beak_width": (0.02, 0.035),
}  # fmt: skip
_FOWL = {
    "neck": (0.25, 0.6), "leg": (0.06, 0.2), "beak": (0.14, 0.26), "beak_width": (0.05, 0.08),
    "pitch": (-0.1, 0.3), "plump": (0.26, 0.36), "tail": (0.12, 0.4), "length": (0.3, 0.6),
}  # fmt: skip
_FLYING = {
    "span": (0.8, 1.6), "dihedral": (-0.2, 0.9), "sweep": (-0.5, 0.2), "chord": (0.28, 0.5),
    "pitch": (-0.25, 0.35), "length": (0.2, 0.5), "tail_width": (0.12, 0.3),
}  # fmt: skip
KINDS = {"songbird": _BODY, "wader": _BODY | _WADER, "fowl": _BODY | _FOWL, "flying": _BODY | _FLYING}
# back, belly, cap, wing, wing tip, tail, beak, legs; sRGB. Even rows are pasted, odd ones stand in scenes.
PALETTES = tuple(
    tuple(linear(color) for color in row.split())
    for row in (
        "6b4a2f d9c3a0 4a3220 7d5a3a 2e2018 5a3d28 c9a050 b08050",
        "3f6fa8 e8a060 2f5590 35609a 1a2f50 2b4f86 202428 303030",
        "202226 f2f2ee 101114 17181c 080809 1a1b1f e0902a d07020",
        "5f8a3a e6d84a 3d6a2a 4f7a34 26361a 44662c d8d0b0 8a7a60",
        "b8322a d8604a 8a1f1c 7a2420 30100e 902820 e0b050 705040",
        "8c8f94 f0f0f0 6a6e74 9ea2a8 3a3d42 d8d8da e8c030 e0a0a0",
        "e8c02a f4e58a 20201c 4a4a30 1c1c18 50502c e08040 a06a50",
        "5a4468 c8a8c0 3c2c4a 4c3a5c 241a2e 443454 d0a060 905050",
        "f0eee8 ffffff e2ded4 e6e4dc 8c8a86 f0f0ee f0a030 f08040",
        "2a7f7a f0e0c0 1a4f58 246a68 103034 206060 d04028 c05030",
        "a86a38 f0d8b8 d88840 6c4828 2c1e14 7c5030 585048 7a6a5a",
        "1c2f4c d86a3a 16243c 22385a 0c141f 1a2a44 505458 40302c",
        "c77a92 f5dbe2 a85872 d493a8 5a303e b8667f 2f2a2c d87a70",
        "6c7a3c b8a860 8f9a4a 56622e 2a3018 4e5a2a e6d070 a08a4a",
        "7fb8d8 f6f8f8 5a98c0 5c8fb4 24404f 6aa0c4 2a2a2c 606468",
        "e07a28 f8f0e0 c05a18 38302a 14110f 443a32 e8b848 c8883c",
    )
)  # fmt: skip


def draw_bird(rng: np.random.Generator, split: str) -> Design:
    """A bird for cut-outs (`objects`) or for the scenes of a split."""
    return draw_design(rng, split, KINDS, PALETTES)


def build_bird(design: Design) -> tuple[Shape, ...]:
    """Its shapes, in metres."""
    v, colors = design.values, PALETTES[design.palette]
    spine, radii = _spine(design)
    shapes = [
        _body(spine, radii, design, colors),
        *_head(spine, design, colors),
        _tail(spine, design, colors),
    ]
    shapes += (
        _spread_wings(design, colors) if design.kind == "flying" else _folded_wings(radii, design, colors)
    )
    pitch = np.array(
        [[np.cos(v["pitch"]), 0, -np.sin(v["pitch"])], [0, 1, 0], [np.sin(v["pitch"]), 0, np.cos(v["pitch"])]]
    )
    shapes = [shape.moved(pitch) for shape in shapes]
    if design.kind != "flying":
        shapes += _legs(radii, design, colors)
    low = min(shape.vertices[:, 2].min() for shape in shapes)
    return tuple(shape.moved(np.eye(3), (0, 0, -low * v["length"]), v["length"]) for shape in shapes)


def _spine(design: Design) -> tuple[np.ndarray, np.ndarray]:
    """Points (STATIONS, 3) from the root of the tail to that of the beak, and radii (STATIONS,)."""
    v = design.values
    neck, head, plump = v["neck"], v["head"], v["plump"]
    rise = 0.35 if design.kind == "flying" else 0.9  # how steeply the neck goes up, unpitched
    steep = rise if design.kind == "flying" else max(0.3, rise + 0.5 * neck - v["pitch"])
    along, up = np.cos(steep), np.sin(steep)
    chest = np.array([0.34, 0.0, 0.06])
    crown = chest + (neck + 0.5 * plump) * np.array([along, 0, up])
    nod = v["nod"] - v["pitch"]
    face = crown + head * np.array([np.cos(nod), 0, np.sin(nod)])
    knots = np.array(
        [[-0.62, 0, 0.08], [-0.3, 0, 0.03], [0.02, 0, 0.0], chest, 0.5 * (chest + crown), crown, face]
    )
    slim = min(0.75 * head, 0.5 * (plump + head)) if neck > 0.3 else 0.5 * (plump * 0.8 + head)
    widths = np.array([0.05, 0.62 * plump, plump, 0.88 * plump, slim, head, 0.42 * head])
    at = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(knots, axis=0), axis=1))])
    t = np.linspace(0, at[-1], STATIONS)
    return PchipInterpolator(at, knots)(t), PchipInterpolator(at, widths)(t)


def _rings(path: np.ndarray, across: np.ndarray, upright: np.ndarray) -> np.ndarray:
    """Ellipses (R, AROUND, 3) about a path in the x-z plane; half-axes sideways (y) and in that plane."""
    along = np.gradient(path, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    up = np.stack([-along[:, 2], np.zeros(len(path)), along[:, 0]], axis=1)
    turn = np.linspace(0, 2 * np.pi, AROUND, endpoint=False)
    side = np.array([0.0, 1.0, 0.0])
    return (
        path[:, None]
        + across[:, None, None] * np.cos(turn)[None, :, None] * side
        + upright[:, None, None] * np.sin(turn)[None, :, None] * up[:, None]
    )


def _painted(shape: Shape, colors: np.ndarray) -> Shape:
    """With a colour a vertex; the two middles of the caps take those of the ends."""
    padded = np.concatenate([colors.reshape(-1, 3), colors[:1].mean(axis=1), colors[-1:].mean(axis=1)])
    return Shape(shape.vertices, shape.faces, shape.look, colors=np.clip(padded, 0, 1), smooth=True)


def _blend(one: np.ndarray, other: np.ndarray, weight: np.ndarray) -> np.ndarray:
    weight = np.clip(weight, 0, 1)[..., None]
    return one * (1 - weight) + other * weight


def _body(spine: np.ndarray, radii: np.ndarray, design: Design, colors: tuple) -> Shape:
    """Back above, belly below, cap on the head, bars or spots on the breast of some."""
    rings = _rings(spine, 0.92 * radii, radii)
    t = np.linspace(0, 1, STATIONS)[:, None]
    height = np.sin(np.linspace(0, 2 * np.pi, AROUND, endpoint=False))[None]
    back, belly, cap = (np.array(color) for color in colors[:3])
    painted = _blend(belly, np.broadcast_to(back, (STATIONS, AROUND, 3)), 4 * (height + 0.15))
    cap_height = design.values["cap"]
    painted = _blend(painted, cap, 8 * (t - 0.72) * (height > cap_height - 0.6))
    if design.palette % 3 == 0:  # barred breast
        bars = (np.sin(60 * t) > 0.3) & (height < 0) & (t > 0.25) & (t < 0.75)
        painted = _blend(painted, 0.6 * back, 0.7 * bars)
    return _painted(loft(rings[:, ::-1], Look(roughness=0.75)), painted[:, ::-1])


def _head(spine: np.ndarray, design: Design, colors: tuple) -> list[Shape]:
    v = design.values
    forward = spine[-1] - spine[-4]
    forward /= np.linalg.norm(forward)
    t = np.linspace(0, 1, 12)[:, None]
    droop = 0.35 if design.palette % 4 == 1 else 0.08
    path = spine[-1] - 0.02 * forward + v["beak"] * (t * forward - droop * t**2 * np.array([0, 0, 0.5]))
    width = v["beak_width"] * (1 - t[:, 0]) ** 0.7 + 0.004
    flat = 0.55 if design.kind == "fowl" else 1.0
    beak = loft(_rings(path, width / flat**0.5, width * flat)[:, ::-1], Look(colors[6], 0.35))
    crown = spine[-1] - 0.75 * v["head"] * forward
    eyes = []
    for side in (-1, 1):
        eye = crown + np.array([0, side * 0.82 * v["head"], 0.25 * v["head"]])
        eyes.append(ellipsoid(eye, (0.2 * v["head"],) * 3, Look((0.01, 0.01, 0.01), 0.1)))
        if design.palette % 5 < 2:  # with a ring
            radii = (0.27 * v["head"], 0.15 * v["head"], 0.27 * v["head"])
            eyes.append(ellipsoid(eye - (0, side * 0.02 * v["head"], 0), radii, Look((0.8, 0.75, 0.6), 0.5)))
    return [beak, *eyes]


def _tail(spine: np.ndarray, design: Design, colors: tuple) -> Shape:
    v = design.values
    t = np.linspace(0, 1, 16)
    path = spine[2] + v["tail"] * np.stack([-t, 0 * t, t * np.tan(v["tail_tilt"])], axis=1)
    across = 0.06 + (v["tail_width"] - 0.03) * t**0.8
    across[-1] *= 0.8
    rings = _rings(path, across, np.interp(t, (0, 0.2, 1), (0.05, 0.02, 0.008)))
    tail, tip = np.array(colors[5]), np.array(colors[4])
    stripes = 0.35 * (np.cos(np.linspace(0, 2 * np.pi, AROUND, endpoint=False) * 6) > 0.6)
    painted = _blend(tail * np.ones((16, AROUND, 1)), tip, np.maximum(6 * (t - 0.8)[:, None], stripes[None]))
    return _painted(loft(rings, Look(roughness=0.7)), painted)


def _folded_wings(radii: np.ndarray, design: Design, colors: tuple) -> list[Shape]:
    """Along the flanks, from the shoulder to beyond the root of the tail."""
    v = design.values
    t = np.linspace(0, 1, 24)
    x = 0.34 - v["wing"] * t
    width = v["wing_width"] * np.sqrt(np.clip(1 - (2 * t**0.75 - 1) ** 2, 0.01, 1)) * (1 - 0.45 * t)
    flank = np.interp(x, (-0.62, -0.3, 0.02, 0.34), (0.05, 0.62 * v["plump"], v["plump"], 0.88 * v["plump"]))
    wings = []
    wing, tip, bar = np.array(colors[3]), np.array(colors[4]), np.array(colors[1])
    turn = np.linspace(0, 2 * np.pi, AROUND, endpoint=False)
    rows = np.sin(turn)[None]  # lower edge -1, upper 1
    painted = _blend(wing * np.ones((24, AROUND, 1)), tip, 3 * (t[:, None] - 0.45 - 0.3 * rows))
    band = np.abs(t[:, None] - 0.33 - 0.1 * rows) < 0.04
    painted = _blend(painted, bar, band * (1.0 if design.palette % 2 == 0 else 0.4))
    feathers = (np.sin(14 * np.pi * (rows * 0.5 + 0.2 * t[:, None])) > 0.5) & (t[:, None] > 0.25)
    painted = _blend(painted, 0.5 * tip, 0.5 * feathers)
    for side in (-1, 1):
        path = np.stack([x, 0 * x, 0.05 + 0.02 * t], axis=1)
        rings = _rings(path, np.full(24, 0.035), width)
        rings = rings + np.stack([0 * x, side * (0.9 * flank + 0.012), 0 * x], axis=1)[:, None]
        wings.append(_painted(loft(rings, Look(roughness=0.7)), painted))
    return wings


def _spread_wings(design: Design, colors: tuple) -> list[Shape]:
    """Stretched out, with fingers at the trailing edge."""
    v = design.values
    t = np.linspace(0, 1, 40)
    chord = v["chord"] * (1 - 0.75 * t**1.6) * (1 - 0.07 * np.abs(np.sin(11 * np.pi * t)))
    front = 0.28 + v["sweep"] * t * 0.6 + 0.1 * np.sin(np.pi * t)
    span = v["span"] * t
    rise = np.sin(v["dihedral"]) * span * (1 - 0.35 * t)
    turn = np.linspace(0, 2 * np.pi, AROUND, endpoint=False)
    wing, tip, under = np.array(colors[3]), np.array(colors[4]), np.array(colors[1])
    back = (1 - np.cos(turn))[None] / 2  # 0 at the leading edge, 1 at the trailing one
    painted = _blend(wing * np.ones((40, AROUND, 1)), tip, 5 * (back - 0.62 + 0.5 * (t[:, None] - 0.5)))
    painted = _blend(painted, under, 0.7 * (np.sin(turn)[None] < -0.1) * (back < 0.7))
    wings = []
    for side in (-1, 1):
        x = front[:, None] - chord[:, None] * back
        y = side * (0.08 + np.cos(v["dihedral"]) * span[:, None]) + 0 * back
        z = 0.06 + rise[:, None] + 0.022 * (1 - 0.7 * t[:, None]) * np.sin(turn)[None]
        rings = np.stack([x, y, z], axis=-1)
        shape = _painted(loft(rings if side > 0 else rings[:, ::-1], Look(roughness=0.7)),
                         painted if side > 0 else painted[:, ::-1])  # fmt: skip
        wings.append(shape)
    return wings


def _legs(radii: np.ndarray, design: Design, colors: tuple) -> list[Shape]:
    v = design.values
    look, legs = Look(colors[7], 0.5), []
    for side in (-1, 1):
        hip = np.array([0.0, side * 0.45 * v["plump"], -0.55 * v["plump"]])
        foot = np.array([0.03, side * 0.5 * v["plump"], -0.95 * v["plump"] - v["leg"]])
        knee = 0.5 * (hip + foot) + (-0.05, 0, 0)
        legs.append(tube(np.array([hip, knee, foot]), np.array([0.05, 0.02, 0.018]), look))
        for angle in (-0.5, 0.0, 0.5, np.pi):
            toe = foot + 0.14 * np.array([np.cos(angle), np.sin(angle), 0])
            legs.append(tube(np.array([foot, toe]), np.array([0.016, 0.008]), look, sides=6))
    return legs
