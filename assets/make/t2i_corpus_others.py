"""Further things of the text-to-image corpus: made here, or meshes that assets/meshes keeps for pre-training.

The words are not classes of tabletop; they are there so that a model learns that a word matters.
"""

from __future__ import annotations

import numpy as np

from assets.make.sample_synthesis_shapes import Look, Shape, turn
from assets.make.t2i_corpus_parts import CREAM, DARK, STEEL, WHITE, WOOD, Paint, Part, blob, lathe, rod, slab
from experiments.solid.meshes.obj import parse_mtl, parse_obj
from suite.manifest import read_json
from suite.provenance import ROOT

Rng = np.random.Generator
MODELS = ROOT / "assets" / "meshes" / "models"
SPLIT = ROOT / "assets" / "meshes" / "split.json"
Y_UP = frozenset({"medkit"})  # all others have z up
MESHES = {"football": "soccerball", "medkit": "medkit"}  # word -> mesh
_FULL_CIRCLE = np.linspace(0, 2 * np.pi, 25)


def can(rng: Rng) -> list[Part]:
    """A tin with bright ends."""
    height = rng.uniform(1.5, 2.2)
    body = [(0.5, 0.08), (0.5, height - 0.08)]
    metal = Paint(STEEL, roughness=0.3)
    ends = (
        [(0.42, 0), (0.5, 0.08)],
        [(0.5, height - 0.08), (0.43, height), (0.4, height), (0.39, height - 0.04), (0.01, height - 0.04)],
    )
    parts = [lathe(body, Paint(roughness=0.35)), *(lathe(end, metal) for end in ends)]
    if rng.random() < 0.5:
        at = rng.uniform(0.3, 0.5) * height
        parts.append(lathe([(0.505, at), (0.505, at + 0.3 * height)], Paint(WHITE)))
    return parts


def vase(rng: Rng) -> list[Part]:
    """An open vessel with a belly and a wide mouth."""
    level = np.linspace(0, 1, 16)
    belly, mouth = rng.uniform(0.2, 0.3), rng.uniform(0.2, 0.34)
    radius = (
        0.2 + belly * np.sin(np.pi * np.clip(level * rng.uniform(1.0, 1.25), 0, 1)) + (mouth - 0.2) * level**3
    )
    outside = list(zip(radius, 1.3 * level, strict=True))
    inside = [(mouth - 0.04, 1.3), (max(0.1, radius[-4] - 0.06), 1.05), (0.02, 1.0)]
    return [lathe([*outside, *inside], Paint(roughness=float(rng.uniform(0.15, 0.5))))]


def bowl(rng: Rng) -> list[Part]:
    """A round open dish."""
    angles = np.linspace(0.35, np.pi / 2, 9)
    deep = rng.uniform(0.42, 0.6)
    outside = [(0.5 * np.sin(a), deep * (1 - np.cos(a))) for a in angles]
    inside = [(0.46 * np.sin(a), deep * (1 - np.cos(a)) * 0.95 + 0.04) for a in angles[::-1]]
    paint = Paint(roughness=0.3)
    lining = paint if rng.random() < 0.5 else Paint(WHITE)
    return [lathe(outside, paint, caps=False), lathe([*inside, (0.01, inside[-1][1])], lining, caps=False)]


def table(rng: Rng) -> list[Part]:
    """A top on four legs or on one column."""
    wide, deep, high = rng.uniform(0.9, 1.3), rng.uniform(0.6, 0.9), rng.uniform(0.55, 0.75)
    paint = Paint(roughness=0.6)
    if rng.random() < 0.35:
        foot = Paint(DARK) if rng.random() < 0.5 else paint
        return [
            lathe([(wide / 2, high), (wide / 2, high + 0.06)], paint),
            rod([(0, 0, 0), (0, 0, high)], 0.05, foot),
            lathe([(0.3, 0), (0.3, 0.03), (0.06, 0.07)], foot),
        ]
    legs = paint if rng.random() < 0.7 else Paint(WOOD)
    parts = [slab((wide, deep, 0.07), paint, (0, 0, high))]
    for x in (-1, 1):
        for y in (-1, 1):
            parts.append(
                slab((0.07, 0.07, high), legs, (x * (wide / 2 - 0.06), y * (deep / 2 - 0.06), high / 2))
            )
    return parts


def stool(rng: Rng) -> list[Part]:
    """A round seat on three or four splayed legs, with a ring."""
    high, paint = rng.uniform(0.7, 1.0), Paint(roughness=0.6)
    legs = Paint(WOOD) if rng.random() < 0.5 else Paint(STEEL, roughness=0.3)
    parts = [lathe([(0.27, high), (0.3, high + 0.03), (0.28, high + 0.08)], paint)]
    count = int(rng.integers(3, 5))
    for angle in np.arange(count) * 2 * np.pi / count + 0.3:
        foot = np.array([np.cos(angle), np.sin(angle)])
        parts.append(rod([(*0.33 * foot, 0), (*0.2 * foot, high)], 0.03, legs))
    ring = np.stack(
        [0.28 * np.cos(_FULL_CIRCLE), 0.28 * np.sin(_FULL_CIRCLE), 0 * _FULL_CIRCLE + high * 0.35], axis=1
    )
    return [*parts, rod(ring, 0.018, legs)]


def lamp(rng: Rng) -> list[Part]:
    """A table lamp: foot, stem and a shade."""
    high, low_radius, top_radius = rng.uniform(0.5, 0.75), rng.uniform(0.34, 0.42), rng.uniform(0.16, 0.3)
    stem = Paint(STEEL if rng.random() < 0.5 else DARK, roughness=0.4)
    parts = [
        lathe([(0.24, 0), (0.24, 0.03), (0.05, 0.08)], stem),
        rod([(0, 0, 0), (0, 0, high + 0.1)], 0.03, stem),
    ]
    if rng.random() < 0.4:
        parts.append(
            blob((0, 0, high * 0.5), (0.13, 0.13, high * 0.35), Paint(CREAM if rng.random() < 0.5 else DARK))
        )
    shade = [
        (low_radius, high),
        (top_radius, high + 0.42),
        (top_radius - 0.02, high + 0.42),
        (low_radius - 0.02, high),
    ]
    return [*parts, lathe(shade, Paint(roughness=0.8))]


def mesh(name: str) -> list[Part]:
    """A mesh of side `pretrain` of assets/meshes as parts, one a material."""
    if name not in read_json(SPLIT)["pretrain"]:
        raise ValueError(f"{name} is not on the side pretrain of {SPLIT}")
    folder = MODELS / name
    found = parse_obj((folder / "model.obj").read_bytes())
    looks = parse_mtl((folder / "model.mtl").read_text(encoding="utf-8"))
    vertices = found.vertices @ turn("x", np.pi / 2).T if name in Y_UP else found.vertices
    parts = []
    for slot, material in enumerate(found.materials):
        rows = found.face_materials == slot
        faces, uvs = found.faces[rows], found.face_uvs[rows]
        textured = bool(looks[material].texture) and bool((uvs >= 0).all()) and len(found.uvs) > 0
        shape = Shape(
            vertices[faces].reshape(-1, 3), np.arange(3 * len(faces)).reshape(-1, 3), Look(),
            uvs=found.uvs[uvs].reshape(-1, 2) if textured else None,
        )  # fmt: skip
        color = looks[material].color
        picture = str(folder / looks[material].texture) if textured else None
        parts.append(Part(shape, Paint(tuple(color)), picture))
    return parts
