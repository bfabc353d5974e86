"""The ten classes of assets/tabletop as new things: one function a class, each call another variant.

None of them is a mesh of assets/meshes: what tabletop shows must not be seen by the models that learn here.
Every function takes a generator and returns parts (t2i_corpus_parts); its class is its name.
"""

from __future__ import annotations

import numpy as np

from assets.make.sample_synthesis_shapes import turn
from assets.make.t2i_corpus_parts import (
    CREAM,
    DARK,
    STEEL,
    WHITE,
    WOOD,
    Paint,
    Part,
    blob,
    extrude,
    lathe,
    rod,
    slab,
)

Rng = np.random.Generator


def barrel(rng: Rng) -> list[Part]:
    """An oil drum with ribs and a bung, or a wooden barrel with hoops."""
    height = rng.uniform(1.25, 1.6)
    if rng.random() < 0.65:
        ribs = np.linspace(0, height, int(rng.integers(3, 5)) + 1)[1:-1]
        profile = [(0.47, 0), (0.52, 0.0), (0.52, 0.05), (0.5, 0.06)]
        for at in ribs:
            profile += [(0.5, at - 0.05), (0.535, at - 0.02), (0.535, at + 0.02), (0.5, at + 0.05)]
        profile += [(0.5, height - 0.06), (0.53, height - 0.05), (0.53, height), (0.48, height)]
        profile += [(0.47, height - 0.05), (0.02, height - 0.05)]
        paint = Paint(roughness=0.4, mottle=float(rng.choice([0.0, 0.25])), grain=3)
        bung = blob((0.28, 0.0, height - 0.045), (0.08, 0.08, 0.02), Paint(DARK))
        return [lathe(profile, paint), bung]
    bulge = rng.uniform(0.08, 0.14)
    levels = np.linspace(0, height, 13)
    radius = 0.44 + bulge * np.sin(np.pi * levels / height)
    lid = [(0.4, height), (0.39, height - 0.06), (0.02, height - 0.06)]
    parts = [lathe([*zip(radius, levels, strict=True), *lid], Paint(roughness=0.7, mottle=0.3, grain=5))]
    hoop = Paint(DARK if rng.random() < 0.6 else STEEL, roughness=0.4)
    for share in (0.07, 0.28, 0.72, 0.93):
        at, wide = share * height, 0.035
        outer = 0.455 + bulge * np.sin(np.pi * share)
        parts.append(lathe([(outer, at - wide), (outer, at + wide)], hoop))
    return parts


def bottle(rng: Rng) -> list[Part]:
    """Body, shoulder and neck; sometimes a cap or a label."""
    height, neck = rng.uniform(2.5, 3.3), rng.uniform(0.16, 0.24)
    body, shoulder = rng.uniform(0.45, 0.58), rng.uniform(0.16, 0.26)
    waist = rng.uniform(0.46, 0.52)
    top = height * (body + shoulder)
    ease = np.linspace(0, 1, 7)[1:]
    curve = waist + (neck - waist) * (3 * ease**2 - 2 * ease**3 if rng.random() < 0.7 else ease)
    profile = [(waist * rng.uniform(0.85, 1.0), 0), (waist, 0.12), (waist, height * body)]
    profile += list(zip(curve, height * (body + shoulder * ease), strict=True))
    profile += [(neck, height * 0.94), (neck * 1.25, height * 0.95), (neck * 1.25, height)]
    profile += [(neck * 0.8, height), (neck * 0.75, top)]
    segments, faceted = (int(rng.choice([6, 8])), True) if rng.random() < 0.25 else (26, False)
    parts = [
        lathe(profile, Paint(roughness=float(rng.uniform(0.12, 0.5))), segments=segments, smooth=not faceted)
    ]
    if rng.random() < 0.3:
        cap = Paint(WHITE if rng.random() < 0.5 else DARK)
        parts.append(lathe([(neck * 1.35, height * 0.92), (neck * 1.35, height * 1.02)], cap))
    if rng.random() < 0.35 and not faceted:
        low, high = height * body * 0.3, height * body * 0.8
        parts.append(
            lathe([(waist * 1.01, low), (waist * 1.01, high)], Paint(WHITE if rng.random() < 0.7 else CREAM))
        )
    return parts


def bread(rng: Rng) -> list[Part]:
    """A tin loaf, one dome or two lobes; sometimes with a cut end."""
    width, low, depth = 1.0, rng.uniform(0.55, 0.75), rng.uniform(0.5, 1.5)
    inset = rng.uniform(0.0, 0.08)
    angles = np.linspace(-0.35, np.pi + (0.0 if rng.random() < 0.6 else 0.35), 12)
    if angles[-1] > np.pi + 0.1:
        top = np.stack([0.54 * np.cos(angles), low + 0.36 * np.sin(angles)], axis=1)
    else:
        right = np.stack([0.26 + 0.29 * np.cos(angles), low + 0.28 * np.sin(angles)], axis=1)[:-2]
        left = right[::-1] * (-1, 1)
        top = np.concatenate([right, left])
    outline = np.concatenate([[(-width / 2 + inset, 0), (width / 2 - inset, 0)], top])
    brown = (0.52, 0.25, 0.07) if rng.random() < 0.6 else (0.62, 0.34, 0.12)
    mottle, grain = float(rng.uniform(0.2, 0.4)), float(rng.uniform(8, 16))
    crust = Paint(brown, roughness=0.85, mottle=mottle, grain=grain)
    parts = [extrude(outline, depth, crust)]
    if rng.random() < 0.6:
        crumb = Paint((0.8, 0.58, 0.3), roughness=0.9, mottle=0.2, grain=14)
        middle = outline.mean(axis=0)
        face = extrude((outline - middle) * 0.9 + middle, 0.02, crumb)
        parts.append(face.moved(np.eye(3), (0, -depth / 2 - 0.005, 0)))
        if rng.random() < 0.5:
            parts.append(face.moved(np.eye(3), (0, depth / 2 + 0.005, 0)))
    return parts


def carton(rng: Rng) -> list[Part]:
    """A cereal box, or a milk carton with a gable; sometimes with a label."""
    paint = Paint(roughness=0.6)
    if rng.random() < 0.55:
        width, depth = rng.uniform(0.6, 0.85), rng.uniform(0.2, 0.35)
        parts = [slab((width, depth, 1.0), paint, (0, 0, 0.5))]
        if rng.random() < 0.6:
            high = rng.uniform(0.2, 0.45)
            label = Paint(WHITE if rng.random() < 0.6 else None, shade=1.0, roughness=0.6)
            label = label if label.color else Paint(CREAM)
            parts.append(slab((width * 0.8, depth + 0.01, high), label, (0, 0, rng.uniform(0.4, 0.65))))
        return parts
    side, high, gable = rng.uniform(0.4, 0.52), 0.75, rng.uniform(0.15, 0.24)
    half = side / 2
    roof = np.array([(-half, high), (half, high), (0.02, high + gable), (-0.02, high + gable)])
    parts = [
        slab((side, side, high), paint, (0, 0, high / 2)),
        extrude(roof, side, paint),
        slab((0.035, side, 0.1), paint, (0, 0, high + gable + 0.04)),
    ]
    if rng.random() < 0.6:
        low = rng.uniform(0.0, 0.35)
        parts.append(slab((side + 0.01, side + 0.01, 0.3), Paint(WHITE), (0, 0, low + 0.16)))
    return parts


def chair(rng: Rng) -> list[Part]:
    """An office chair on a star of feet, or a chair with four legs."""
    paint = Paint(roughness=0.75)
    return _office_chair(rng, paint) if rng.random() < 0.55 else _four_legged(rng, paint)


def _office_chair(rng: Rng, paint: Paint) -> list[Part]:
    dark = Paint(DARK, roughness=0.5)
    seat, back = rng.uniform(0.46, 0.54), rng.uniform(0.5, 0.68)
    parts = [rod([(0, 0, 0.08), (0, 0, seat)], 0.035, dark)]
    for angle in np.arange(5) * 2 * np.pi / 5 + rng.uniform(0, 1):
        reach = 0.33 * np.array([np.cos(angle), np.sin(angle)])
        parts.append(rod([(0, 0, 0.13), (*reach, 0.07)], 0.03, dark))
        parts.append(blob((*reach, 0.04), (0.04, 0.04, 0.04), dark, segments=10))
    parts.append(slab((0.52, 0.5, 0.1), paint, (0, 0, seat), round_=0.16))
    tilt = turn("x", rng.uniform(-0.25, -0.05))
    rest = slab((0.46, back, 0.09), paint, round_=float(rng.uniform(0.1, 0.2)))
    parts.append(rest.moved(tilt @ turn("x", np.pi / 2), (0, 0.27, seat + 0.14 + back / 2)))
    parts.append(rod([(0, 0.1, seat - 0.03), (0, 0.28, seat), (0, 0.3, seat + 0.25)], 0.03, dark))
    if rng.random() < 0.35:
        for side in (-1, 1):
            parts.append(rod([(side * 0.27, 0.05, seat), (side * 0.29, 0.05, seat + 0.2)], 0.02, dark))
            parts.append(slab((0.06, 0.26, 0.03), dark, (side * 0.29, 0.02, seat + 0.21), round_=0.02))
    return parts


def _four_legged(rng: Rng, paint: Paint) -> list[Part]:
    seat, back, thick = rng.uniform(0.42, 0.5), rng.uniform(0.42, 0.58), rng.uniform(0.03, 0.05)
    parts = [slab((0.46, 0.46, 0.07), paint, (0, 0, seat), round_=0.04)]
    legs = paint if rng.random() < 0.6 else Paint(WOOD if rng.random() < 0.5 else STEEL)
    for x in (-0.19, 0.19):
        parts.append(rod([(x * 1.1, -0.2, 0), (x, -0.18, seat)], thick * 0.7, legs))
        parts.append(rod([(x * 1.1, 0.22, 0), (x, 0.19, seat), (x, 0.24, seat + back)], thick * 0.7, legs))
    if rng.random() < 0.6:
        panel = slab((0.44, 0.05, back * 0.6), paint, round_=0.02)
        parts.append(panel.moved(turn("x", -0.1), (0, 0.225, seat + back * 0.68)))
    else:
        for share in (0.4, 0.68, 0.95):
            parts.append(slab((0.42, 0.04, 0.09), paint, (0, 0.19 + 0.05 * share, seat + back * share)))
    return parts


def cone(rng: Rng) -> list[Part]:
    """A traffic cone with one or two bands on a square or round foot."""
    low, high, height = rng.uniform(0.3, 0.36), rng.uniform(0.035, 0.07), rng.uniform(0.95, 1.2)
    foot = Paint(DARK, roughness=0.8) if rng.random() < 0.55 else Paint(shade=0.8, roughness=0.7)
    side = rng.uniform(0.74, 0.88)
    if rng.random() < 0.75:
        parts = [slab((side, side, 0.07), foot, (0, 0, 0.035), round_=float(rng.uniform(0.02, 0.15)))]
    else:
        parts = [lathe([(side / 2, 0), (side / 2, 0.05), (side / 2.3, 0.07)], foot, segments=8, smooth=False)]

    def radius(share: float, more: float = 0.0) -> float:
        return low + (high - low) * share + more

    segments = 10 if rng.random() < 0.3 else 28
    parts.append(
        lathe(
            [(low, 0.07), (high, height), (high * 0.6, height + 0.01)],
            Paint(roughness=0.5),
            segments=segments,
        )
    )
    bands = [(0.35, 0.65)] if rng.random() < 0.6 else [(0.25, 0.42), (0.58, 0.76)]
    for start, end in bands:
        at = [0.07 + (height - 0.07) * share for share in (start, end)]
        stripe = [(radius(start, 0.006), at[0]), (radius(end, 0.006), at[1])]
        parts.append(lathe(stripe, Paint(WHITE, roughness=0.4), segments=segments))
    return parts


def lemon(rng: Rng) -> list[Part]:
    """A fat spindle with two tips, mottled, lying or propped up."""
    long, tip = rng.uniform(0.56, 0.68), rng.uniform(0.05, 0.11)
    at = np.linspace(-1, 1, 25)
    radius = 0.5 * np.sqrt(np.maximum(0, 1 - np.abs(at) ** rng.uniform(2.0, 2.5)))
    along = long * at + tip * np.sign(at) * np.maximum(0, np.abs(at) - 0.8) / 0.2
    radius = np.maximum(radius, 0.07 * (np.abs(at) < 0.99))
    paint = Paint(roughness=0.45, mottle=float(rng.uniform(0.1, 0.3)), grain=float(rng.uniform(9, 16)))
    body = lathe(list(zip(radius + 0.005, along, strict=True)), paint, segments=26)
    return [body.moved(turn("x", np.pi / 2 + rng.uniform(-0.5, 0.5)))]


def mug(rng: Rng) -> list[Part]:
    """A cup with a wall and a handle."""
    height, flare, wall = rng.uniform(0.9, 1.25), rng.uniform(0.88, 1.1), 0.055
    foot = 0.5 / max(flare, 1)
    rim = foot * flare
    paint = Paint(roughness=float(rng.uniform(0.2, 0.7)), mottle=float(rng.choice([0.0, 0.15])))
    inner = paint if rng.random() < 0.55 else Paint(WHITE, roughness=0.4)
    bottom = 0.1
    parts = [
        lathe([(foot * 0.94, 0), (foot, 0.04), (rim, height), (rim - wall, height)], paint, caps=False),
        lathe([(rim - wall, height - 0.002), (foot - wall, bottom), (0.01, bottom)], inner, caps=False),
    ]
    angles = np.linspace(-np.pi / 2, np.pi / 2, 9)
    out, tall = rng.uniform(0.26, 0.38), rng.uniform(0.24, 0.34)
    power = rng.choice([1.0, 0.6])  # the smaller, the squarer
    bend = np.sign(np.cos(angles)) * np.abs(np.cos(angles)) ** power
    rise = np.sign(np.sin(angles)) * np.abs(np.sin(angles)) ** power
    start = (foot + rim) / 2 - wall
    path = np.stack([start + out * bend, 0 * bend, height * 0.5 + tall * rise], axis=1)
    parts.append(rod(path, rng.uniform(0.055, 0.08), paint))
    return parts


def potion(rng: Rng) -> list[Part]:
    """A bellied flask with a light collar and a cork."""
    kind = int(rng.integers(4))
    neck, wide = rng.uniform(0.15, 0.21), 0.5
    tall = rng.uniform(0.85, 1.1)
    if kind == 0:  # round
        angles = np.linspace(-1.2, np.pi / 2 - 0.4, 12)
        profile = [(wide * np.cos(a), wide * (np.sin(a) + np.sin(1.2))) for a in angles]
    elif kind == 1:  # a cone with a round foot
        profile = [(wide * 0.92, 0), (wide, 0.08), (wide * 0.96, 0.2), (neck, tall)]
    elif kind == 2:  # two cones
        profile = [(wide * 0.6, 0), (wide, tall * 0.6), (neck * 1.3, tall), (neck, tall + 0.03)]
    else:  # a pear
        level = np.linspace(0, 1, 10)
        profile = [
            (neck + (wide - neck) * np.sin(np.pi * min(1, 0.28 + 0.75 * z)) ** 1.2, tall * z) for z in level
        ]
    top = profile[-1][1]
    faceted = rng.random() < 0.35
    segments = int(rng.choice([6, 8])) if faceted else 26
    parts = [lathe([*profile, (neck, top + 0.12)], Paint(roughness=float(rng.uniform(0.1, 0.5))),
                   segments=segments, smooth=not faceted)]  # fmt: skip
    collar = Paint(WHITE, roughness=0.4)
    parts.append(lathe([(neck * 1.05, top + 0.05), (neck * 1.45, top + 0.12), (neck * 1.45, top + 0.24),
                        (neck, top + 0.26)], collar, segments=segments, smooth=not faceted))  # fmt: skip
    cork = Paint(CREAM if rng.random() < 0.6 else (0.35, 0.2, 0.09), roughness=0.9, mottle=0.2, grain=12)
    parts.append(lathe([(neck * 0.9, top + 0.24), (neck * 1.05, top + rng.uniform(0.4, 0.5))], cork))
    return parts


def tree(rng: Rng) -> list[Part]:
    """A fir of stacked skirts, or a trunk with clumps of leaves."""
    leaves = Paint(roughness=0.8, mottle=float(rng.uniform(0.0, 0.3)), grain=5)
    bark = Paint(WOOD, roughness=0.9)
    if rng.random() < 0.5:
        count, sides = int(rng.integers(3, 7)), int(rng.integers(7, 13))
        parts, wide = [rod([(0, 0, 0), (0, 0, 0.3)], 0.07, bark)], rng.uniform(0.34, 0.46)
        levels = np.linspace(0.18, 0.85, count)
        for number, level in enumerate(levels):
            share = 1 - 0.72 * number / (count - 1)
            top = level + 1.1 / count + 0.1
            profile = [(0.3 * wide * share, level - 0.01), (wide * share, level), (0.02, top)]
            skirt = lathe(profile, leaves, segments=sides, smooth=False)
            parts.append(skirt.moved(turn("z", rng.uniform(0, 1))))
        return parts
    lean = rng.normal(0, 0.05, 2)
    fork = np.array([*lean, rng.uniform(0.35, 0.5)])
    parts = [rod([(0, 0, 0), tuple(fork)], np.array([0.07, 0.05]), bark)]
    count = int(rng.integers(3, 7))
    for number in range(count):
        angle = 2 * np.pi * number / count + rng.uniform(-0.3, 0.3)
        reach = rng.uniform(0.18, 0.34) * (0.4 if number == 0 else 1)
        end = fork + np.array([reach * np.cos(angle), reach * np.sin(angle), rng.uniform(0.15, 0.45)])
        parts.append(rod([tuple(fork - (0, 0, 0.05)), tuple(end)], 0.03, bark, sides=6))
        size = rng.uniform(0.17, 0.27)
        parts.append(
            blob(end, (size, size, size * 0.9), leaves, segments=int(rng.integers(7, 11)), smooth=False)
        )
    return parts
