"""Multi-material shapes made from scratch, for variety that the packages lack. Always listed as procedural.

Each maker is a fixed function of nothing: the same arrays every time. Units are arbitrary, z is up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from experiments.solid.meshes.obj import NO_UV, ObjMesh

Piece = tuple[str, np.ndarray, np.ndarray]  # material, vertices (V, 3), faces (F, 3)
SEGMENTS = 32  # around a full turn


def _mesh(pieces: Sequence[Piece]) -> ObjMesh:
    """One mesh of many pieces."""
    names = tuple(dict.fromkeys(name for name, _, _ in pieces))
    shifts = np.cumsum([0] + [len(vertices) for _, vertices, _ in pieces])
    faces = np.concatenate([faces + shift for (_, _, faces), shift in zip(pieces, shifts, strict=False)])
    slots = np.concatenate([np.full(len(faces), names.index(name)) for name, _, faces in pieces])
    vertices = np.concatenate([vertices for _, vertices, _ in pieces])
    return ObjMesh(vertices, np.zeros((0, 2)), faces, np.full_like(faces, NO_UV), slots, names)


def grid_faces(rows: int, columns: int, *, close_columns: bool) -> np.ndarray:
    """Triangles (F, 3) over rows x columns vertices in row order, columns closed into a ring or not."""
    row, column = np.meshgrid(
        np.arange(rows - 1), np.arange(columns if close_columns else columns - 1), indexing="ij"
    )
    right = (column + 1) % columns
    a, b = row * columns + column, row * columns + right
    c, d = a + columns, b + columns
    return np.stack([np.stack([a, b, d], axis=-1), np.stack([a, d, c], axis=-1)], axis=-2).reshape(-1, 3)


def box(material: str, center: Sequence[float], size: Sequence[float]) -> Piece:
    """An axis-parallel box."""
    corners = np.array([[x, y, z] for z in (-0.5, 0.5) for y in (-0.5, 0.5) for x in (-0.5, 0.5)])
    quads = [(0, 2, 3, 1), (4, 5, 7, 6), (0, 1, 5, 4), (2, 6, 7, 3), (0, 4, 6, 2), (1, 3, 7, 5)]
    faces = np.array([(q[0], q[k], q[k + 1]) for q in quads for k in (1, 2)])
    return material, corners * np.asarray(size) + np.asarray(center), faces


def lathe(material: str, profile: Sequence[tuple[float, float]]) -> Piece:
    """The profile [(radius, height), ...] turned about the z axis."""
    turn = np.linspace(0, 2 * np.pi, SEGMENTS, endpoint=False)
    radius, height = np.array(profile, dtype=np.float64).T
    ring = np.stack([np.cos(turn), np.sin(turn)], axis=-1)
    points = np.concatenate(
        [radius[:, None, None] * ring, np.broadcast_to(height[:, None, None], (len(radius), SEGMENTS, 1))],
        axis=-1,
    )
    return material, points.reshape(-1, 3), grid_faces(len(radius), SEGMENTS, close_columns=True)


def tube(material: str, path: np.ndarray, radius: float, sides: int = 10) -> Piece:
    """A round tube along a path (N, 3) that never runs along z."""
    path = np.asarray(path, dtype=np.float64)
    along = np.gradient(path, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    side = np.cross(along, (0.0, 0.0, 1.0))
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    other = np.cross(side, along)
    turn = np.linspace(0, 2 * np.pi, sides, endpoint=False)[:, None]
    points = path[:, None] + radius * (np.cos(turn) * side[:, None] + np.sin(turn) * other[:, None])
    return material, points.reshape(-1, 3), grid_faces(len(path), sides, close_columns=True)


def stool() -> ObjMesh:
    """A round seat on three legs with a ring between them."""
    pieces = [lathe("seat", [(0, 1.0), (0.5, 1.0), (0.52, 1.04), (0.5, 1.1), (0, 1.1)])]
    for turn in np.arange(3) * 2 * np.pi / 3 + 0.3:
        foot, top = (
            np.array([np.cos(turn), np.sin(turn)]) * 0.5,
            np.array([np.cos(turn), np.sin(turn)]) * 0.25,
        )
        pieces.append(tube("leg", np.array([[*foot, 0.0], [*top, 1.0]]), 0.05))
    ring = np.linspace(0, 2 * np.pi, SEGMENTS + 1)
    pieces.append(
        tube(
            "ring",
            np.stack([0.41 * np.cos(ring), 0.41 * np.sin(ring), np.full_like(ring, 0.35)], axis=1),
            0.03,
        )
    )
    return _mesh(pieces)


def lamp() -> ObjMesh:
    """A table lamp: foot, stem, shade."""
    return _mesh(
        [
            lathe("foot", [(0, 0), (0.35, 0), (0.35, 0.05), (0.1, 0.12), (0, 0.12)]),
            lathe("stem", [(0.04, 0.1), (0.09, 0.35), (0.04, 0.6), (0.03, 1.0)]),
            lathe("shade", [(0.5, 0.85), (0.28, 1.4), (0.26, 1.4), (0.48, 0.85), (0.5, 0.85)]),
        ]
    )


def vase() -> ObjMesh:
    """A bellied vase with a band in another material."""
    body = [(0, 0), (0.25, 0), (0.28, 0.05), (0.45, 0.35), (0.47, 0.5)]
    band = [(0.47, 0.5), (0.46, 0.62), (0.42, 0.75)]
    neck = [
        (0.42, 0.75),
        (0.22, 1.0),
        (0.18, 1.15),
        (0.26, 1.3),
        (0.23, 1.3),
        (0.15, 1.15),
        (0.2, 0.95),
        (0, 0.9),
    ]
    return _mesh([lathe("body", body), lathe("band", band), lathe("body", neck)])


def stairs() -> ObjMesh:
    """Seven steps with treads of another material and a cheek on one side."""
    pieces = []
    for k in range(7):
        pieces.append(box("riser", (0.2 * k, 0, 0.08 * (k + 1)), (0.2, 0.8, 0.16 * (k + 1))))
        pieces.append(box("tread", (0.2 * k - 0.02, 0, 0.16 * (k + 1) + 0.015), (0.24, 0.84, 0.03)))
    return _mesh([*pieces, box("cheek", (0.6, 0.44, 0.75), (1.4, 0.06, 1.5))])


def spring() -> ObjMesh:
    """A coil between two plates."""
    turn = np.linspace(0, 10 * np.pi, 160)
    coil = np.stack([0.35 * np.cos(turn), 0.35 * np.sin(turn), 0.06 + 0.035 * turn], axis=1)
    plate = [(0, 0), (0.5, 0), (0.5, 0.06), (0, 0.06)]
    top = [(radius, height + 1.18) for radius, height in plate]
    return _mesh([tube("coil", coil, 0.05), lathe("plate", plate), lathe("plate", top)])


MAKERS: dict[str, Callable[[], ObjMesh]] = {
    "stool": stool, "lamp": lamp, "vase": vase, "stairs": stairs, "spring": spring,
}  # fmt: skip
