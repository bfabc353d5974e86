"""Twins: the signature ignores what does not change a shape, and sees what does."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from experiments.solid.meshes.geometry import TWIN_TOLERANCE, find_twins, similarity_signature
from tests.solid.meshes.models import TETRAHEDRON_FACES, tetrahedron

SHAPE = arrays(np.float64, (6, 3), elements=st.floats(-1, 1, width=16)).filter(
    lambda v: np.linalg.svd(v - v.mean(0), compute_uv=False)[-1] > 0.1
)
FACES = np.array([[0, 1, 2], [0, 2, 3], [0, 3, 4], [1, 2, 5], [3, 4, 5]])


@settings(deadline=None)
@given(vertices=SHAPE, scale=st.floats(0.01, 100), seed=st.integers(0, 2**32 - 1), mirror=st.booleans())
def test_similar_meshes_have_one_signature(vertices, scale, seed, mirror):
    rng = np.random.default_rng(seed)
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0] * (-1 if mirror else 1)
    order = rng.permutation(len(vertices))
    moved = (scale * vertices @ turn.T + rng.uniform(-50, 50, 3))[order]
    faces = rng.permutation(np.argsort(order)[FACES])
    difference = similarity_signature(moved, faces) - similarity_signature(vertices, FACES)
    assert np.linalg.norm(difference) < TWIN_TOLERANCE / 10


def test_seams_and_triangulation_do_not_matter():
    box = trimesh.creation.box((1, 2, 3))
    seamed = box.vertices[box.faces].reshape(-1, 3)  # every corner its own vertex
    finer = box.subdivide()
    reference = similarity_signature(box.vertices, box.faces)
    for vertices, faces in ((seamed, np.arange(len(seamed)).reshape(-1, 3)), (finer.vertices, finer.faces)):
        np.testing.assert_allclose(similarity_signature(vertices, faces), reference, atol=1e-9)


def test_closed_form_of_the_cube():
    box = trimesh.creation.box((2, 2, 2))
    signature = similarity_signature(box.vertices, box.faces)
    # Surface of the cube [-1, 1]^3: mean of r^2 is 1 + 2/3, of r^4 1 + 4/3 + 28/45; area 24, volume 8.
    moment2 = 5 / 3
    np.testing.assert_allclose(signature[:2], 1 / 3, atol=1e-12)
    np.testing.assert_allclose(signature[2], (1 + 4 / 3 + 28 / 45) / moment2**2, atol=1e-9)
    np.testing.assert_allclose(signature[5], np.log(24 / moment2), atol=1e-12)
    np.testing.assert_allclose(signature[6], 8 / moment2**1.5, atol=1e-9)
    assert signature[4] == pytest.approx(0, abs=1e-9)


def test_a_stretched_mesh_is_no_twin():
    shapes = [tetrahedron(stretch=stretch) for stretch in (1.0, 1.01, 2.0)]
    assert find_twins([similarity_signature(v, TETRAHEDRON_FACES) for v in shapes]) == {}


def test_every_twin_points_at_the_first_of_its_kind():
    shapes = [tetrahedron(scale, stretch) for scale, stretch in ((1, 1), (1, 2), (3, 1), (5, 2), (9, 1))]
    assert find_twins([similarity_signature(v, TETRAHEDRON_FACES) for v in shapes]) == {2: 0, 3: 1, 4: 0}
