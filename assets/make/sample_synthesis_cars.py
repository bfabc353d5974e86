"""Cars made from scratch: a skin over cross-sections, glass, wheels, lamps. Facing +x, on z = 0."""

from __future__ import annotations

import numpy as np

from assets.make.sample_synthesis_designs import Design, draw_design, linear
from assets.make.sample_synthesis_shapes import Look, Shape, box, ellipsoid, loft, turn

STATIONS, AROUND = 140, 88
# Lengths in metres; bonnet, boot: shares of the length from the ends to the feet of the glass; rake: metres
# that the glass leans; belt: share of the height at which the glass starts; roof: its width as a share of the
# car's; axle: from the ends, as a share of the length.
_BODY = {
    "length": (4.1, 5.0), "width": (1.68, 1.92), "height": (1.36, 1.52), "bonnet": (0.26, 0.33),
    "boot": (0.12, 0.18), "rake": (0.55, 0.85), "rear_rake": (0.5, 0.9), "belt": (0.56, 0.64),
    "roof": (0.68, 0.78), "nose": (0.48, 0.56), "tail": (0.56, 0.64), "wheel": (0.29, 0.35),
    "axle": (0.15, 0.2), "sill": (0.18, 0.26),
}  # fmt: skip
_HATCHBACK = {"length": (3.5, 4.2), "height": (1.42, 1.58), "boot": (0.01, 0.03), "rear_rake": (0.25, 0.55)}
_VAN = {
    "length": (4.3, 5.4), "height": (1.8, 2.3), "bonnet": (0.1, 0.18), "boot": (0.005, 0.02),
    "rear_rake": (0.05, 0.15), "rake": (0.5, 0.9), "belt": (0.5, 0.58), "roof": (0.82, 0.92),
}  # fmt: skip
_OFFROAD = {
    "length": (4.0, 4.9), "height": (1.68, 1.9), "boot": (0.01, 0.03), "rear_rake": (0.1, 0.35),
    "wheel": (0.36, 0.42), "sill": (0.3, 0.42), "roof": (0.76, 0.86), "rake": (0.35, 0.6),
}  # fmt: skip
_COUPE = {
    "height": (1.22, 1.34), "wheel": (0.27, 0.31), "bonnet": (0.33, 0.42), "boot": (0.05, 0.1),
    "rear_rake": (0.9, 1.4),
}  # fmt: skip
_PICKUP = {
    "length": (4.8, 5.5), "height": (1.65, 1.85), "boot": (0.34, 0.42), "rear_rake": (0.05, 0.15),
    "wheel": (0.36, 0.42), "sill": (0.32, 0.42),
}  # fmt: skip
KINDS = {
    "sedan": _BODY,
    "hatchback": _BODY | _HATCHBACK,
    "van": _BODY | _VAN,
    "offroad": _BODY | _OFFROAD,
    "coupe": _BODY | _COUPE,
    "pickup": _BODY | _PICKUP,
}
# paint, second paint (lower part or roof), trim; sRGB. Even rows are pasted, odd ones stand in scenes.
PALETTES = tuple(
    tuple(linear(color) for color in row.split())
    for row in (
        "b01818 b01818 202020", "1f4fa0 1f4fa0 181818", "e8e8e4 e8e8e4 303030", "18181a 18181a 303030",
        "d8a818 202020 181818", "c8ccd0 c8ccd0 202428", "2f6b3a 2f6b3a 1c1c1c", "6a1f2c 6a1f2c 202020",
        "6b7076 6b7076 202020", "e0701c e0701c 202020", "7fb4d8 f0f0ec 282828", "a8946c a8946c 2c2820",
        "4a2f78 4a2f78 1a1a1a", "148078 e4e4dc 202020", "c86a8c c86a8c 242424", "f0d84a f0d84a 222222",
    )
)  # fmt: skip
GLASS, PANE, SHARP = (
    Look((0.012, 0.016, 0.02), 0.15),
    Look((0.9, 0.9, 0.85), 0.1),
    Look((0.55, 0.02, 0.015), 0.2),
)
RUBBER, RIM, DARK = (
    Look((0.012, 0.012, 0.012), 0.9),
    Look((0.5, 0.51, 0.53), 0.3, 0.8),
    Look((0.01, 0.01, 0.01), 0.6),
)


def draw_car(rng: np.random.Generator, split: str) -> Design:
    """A car for cut-outs (`objects`) or for the scenes of a split."""
    return draw_design(rng, split, KINDS, PALETTES)


def build_car(design: Design) -> tuple[Shape, ...]:
    """Its shapes, in metres."""
    paint = PALETTES[design.palette]
    shapes = [*_skin(design, paint), *_wheels(design), *_fittings(design, paint)]
    return tuple(shapes)


def _profile(design: Design) -> tuple[np.ndarray, np.ndarray]:
    """Knots x, z of the upper outline from the tail to the nose."""
    v = design.values
    end, height = v["length"] / 2, v["height"]
    foot, back = end - v["bonnet"] * v["length"], -end + v["boot"] * v["length"]  # feet of the glass
    nose, tail, belt = v["nose"] * height, v["tail"] * height, v["belt"] * height
    x = [
        -end,
        -end + 0.05,
        back,
        back + v["rear_rake"],
        foot - v["rake"] - 0.3,
        foot - v["rake"],
        foot,
        end - 0.12,
        end,
    ]
    z = [
        tail - 0.12,
        tail,
        belt + 0.02,
        height - 0.04,
        height,
        height - 0.03,
        belt + 0.02,
        nose + 0.06,
        nose - 0.1,
    ]
    if design.kind == "pickup":
        x.insert(2, back - 0.01)
        z.insert(2, tail)
    return np.maximum.accumulate(np.array(x) + 1e-4 * np.arange(len(x))), np.array(z)


def _skin(design: Design, paint: tuple) -> list[Shape]:
    """Painted body and dark panes: the faces of one skin, sorted by where they are."""
    v = design.values
    x_knots, z_knots = _profile(design)
    x = np.sort(np.concatenate([np.linspace(-v["length"] / 2, v["length"] / 2, STATIONS), x_knots]))
    top = np.interp(x, x_knots, z_knots)
    belt, height = v["belt"] * v["height"], v["height"]
    s = (np.arange(AROUND // 2)[None] + 0.5) / (
        AROUND // 2
    )  # from below the middle, up the side, to the top's middle
    rise = np.clip((s - 0.2) / 0.5, 0, 1)
    z = v["sill"] + (top[:, None] - v["sill"]) * np.where(s < 0.2, 0, np.where(s > 0.7, 1, rise))
    z = z + 0.05 * np.sin(np.pi / 2 * np.clip((s - 0.7) / 0.3, 0, 1))  # the top is a little domed
    plan = v["width"] / 2 * (1 - 0.13 * np.abs(2 * x / v["length"])[:, None] ** 6)
    lean = np.clip((z - belt) / (height - belt), 0, 1)
    low = np.clip((z - v["sill"]) / 0.25, 0, 1)
    half = plan * (1 - (1 - v["roof"]) * lean) * (0.93 + 0.07 * np.sqrt(low))
    y = half * np.where(s < 0.2, s / 0.2, np.where(s > 0.7, (1 - s) / 0.3, 1))
    right = np.stack([np.broadcast_to(x[:, None], y.shape), y, z], axis=-1)
    ring = np.concatenate([right, right[:, ::-1] * (1, -1, 1)], axis=1)
    skin = loft(ring[:, ::-1], Look())
    center = skin.vertices[skin.faces].mean(axis=1)
    glass = _is_glass(center, design, x_knots)
    ends = np.abs(center[:, 0]) > v["length"] / 2 - 0.03
    lower = center[:, 2] < v["sill"] + np.where(ends, 0.28, 0.16)
    if paint[1] != paint[0]:  # two colours: the roof in the second
        lower_color, roof = paint[1], center[:, 2] > height - 0.1
    else:
        lower_color, roof = paint[2], np.zeros(len(center), dtype=bool)
    second = (roof | lower) & ~glass if paint[1] != paint[0] else lower & ~glass
    groups = [
        (glass, GLASS), (second, Look(lower_color, 0.4)),
        (~glass & ~second, Look(paint[0], 0.22, 0.15)),
    ]  # fmt: skip
    return [
        Shape(skin.vertices, skin.faces[chosen], look, smooth=True) for chosen, look in groups if chosen.any()
    ]


def _is_glass(center: np.ndarray, design: Design, x_knots: np.ndarray) -> np.ndarray:
    """Which face middles (F, 3) belong to a pane: side windows between pillars, windscreen, rear window."""
    v = design.values
    belt, height = v["belt"] * v["height"], v["height"]
    front, back = v["length"] / 2 - v["bonnet"] * v["length"], -v["length"] / 2 + v["boot"] * v["length"]
    x, y, z = np.abs(center[:, 1]) * 0 + center[:, 0], np.abs(center[:, 1]), center[:, 2]
    band = (z > belt + 0.05) & (z < height - 0.09)
    slope_front = (z - belt) / (height - belt) * v["rake"]  # how far the glass has leant back at this height
    slope_back = (z - belt) / (height - belt) * v["rear_rake"]
    side = band & (x < front - slope_front - 0.1) & (x > back + slope_back + 0.14)
    for pillar in _pillars(design, front - v["rake"], back + v["rear_rake"]):
        side &= np.abs(x - pillar) > 0.045
    roof_half = v["width"] / 2 * v["roof"]
    broad = y < roof_half + (v["width"] / 2 - roof_half) * (height - z) / (height - belt) - 0.1
    screen = band & broad & (x > front - v["rake"] - 0.02) & (x < front)
    rear = band & broad & (x < back + v["rear_rake"] + 0.02) & (x > back - 0.05)
    if design.kind == "van" and design.palette % 4 < 2:  # a panel van
        side &= x > front - v["rake"] - 0.9
    return side | screen | rear


def _pillars(design: Design, front: float, back: float) -> list[float]:
    """Where the side windows are parted."""
    count = {"coupe": 1, "pickup": 1, "van": 3}.get(design.kind, 2)
    return np.linspace(front, back, count + 2)[1:-1].tolist()


def _disc(radius: float, width: float, look: Look, center: tuple[float, float, float]) -> Shape:
    """A wheel-shaped disc with rounded edges, its axis along y."""
    angle = np.linspace(0, 2 * np.pi, 28, endpoint=False)
    profile = np.array([(0.0, -0.5), (0.9, -0.5), (1.0, -0.35), (1.0, 0.35), (0.9, 0.5), (0.0, 0.5)])
    rings = np.stack(
        [
            radius * profile[:, :1] * np.cos(angle),
            np.repeat(width * profile[:, 1:], len(angle), axis=1),
            radius * profile[:, :1] * np.sin(angle),
        ],
        axis=-1,
    )
    return loft(rings[:, ::-1] + np.asarray(center), look, smooth=False, caps=False)


def _wheels(design: Design) -> list[Shape]:
    v = design.values
    radius, shapes = v["wheel"], []
    for end in (-1, 1):
        x = end * v["length"] * (0.5 - v["axle"])
        for side in (-1, 1):
            y = side * v["width"] / 2
            shapes.append(_disc(1.1 * radius, 0.02, DARK, (x, y - side * 0.006, radius * 1.1)))
            shapes.append(_disc(radius, 0.2, RUBBER, (x, y - side * 0.07, radius)))
            shapes.append(_disc(0.62 * radius, 0.2, RIM, (x, y - side * 0.062, radius)))
            for spoke in range(5):
                hole = turn("y", spoke * 2 * np.pi / 5) @ np.array([0.4 * radius, 0, 0])
                shapes.append(
                    _disc(0.13 * radius, 0.2, DARK, (x + hole[0], y - side * 0.058, radius + hole[2]))
                )
    return shapes


def _fittings(design: Design, paint: tuple) -> list[Shape]:
    """Lamps, grille, plates, bumpers, mirrors, door lines and handles."""
    v = design.values
    end, half, height = v["length"] / 2, v["width"] / 2, v["height"]
    nose, tail, belt = v["nose"] * height, v["tail"] * height, v["belt"] * height
    front = end - v["bonnet"] * v["length"]
    trim = Look(paint[2], 0.5)
    shapes = [
        box((0.06, 1.1 * half, 0.1), DARK, (end - 0.02, 0, nose - 0.2)),
        box((0.03, 0.5, 0.11), PANE, (end + 0.012, 0, v["sill"] + 0.12)),
        box((0.03, 0.5, 0.11), PANE, (-end - 0.006, 0, tail - 0.25)),
        box((0.1, 1.72 * half, 0.09), trim, (end - 0.04, 0, v["sill"] + 0.06)),
        box((0.1, 1.72 * half, 0.09), trim, (-end + 0.04, 0, v["sill"] + 0.1)),
    ]
    for side in (-1, 1):
        shapes.append(ellipsoid((end - 0.1, side * 0.68 * half, nose - 0.07), (0.12, 0.2, 0.075), PANE))
        shapes.append(box((0.06, 0.26, 0.13), SHARP, (-end + 0.02, side * 0.68 * half, tail - 0.12)))
        shapes.append(
            box((0.12, 0.16, 0.11), trim, (front - 0.35 * v["rake"], side * (half + 0.05), belt + 0.09))
        )
        for line in _pillars(
            design, front - v["rake"] + 0.15, -end + v["boot"] * v["length"] + v["rear_rake"]
        ):
            shapes.append(
                box(
                    (0.012, 0.008, belt - v["sill"] - 0.2),
                    DARK,
                    (line, side * (half - 0.002), (belt + v["sill"] + 0.1) / 2),
                )
            )
            shapes.append(box((0.16, 0.03, 0.025), trim, (line + 0.2, side * half, belt - 0.1)))
    return shapes
