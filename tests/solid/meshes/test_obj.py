"""OBJ and MTL text: what is read, what is refused, and that writing and reading are inverse."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from experiments.solid.meshes.obj import NO_UV, ObjMesh, format_obj, parse_mtl, parse_obj
from tests.solid.meshes.models import obj_text, tetrahedron


def test_polygons_become_fans_and_relative_indices_count_back():
    mesh = parse_obj(b"v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nf -4 -3 -2 -1\n")
    assert mesh.faces.tolist() == [[0, 1, 2], [0, 2, 3]]
    assert (mesh.face_uvs == NO_UV).all()


def test_materials_keep_their_faces():
    mesh = parse_obj(b"v 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nusemtl a\nf 1 2 3\nusemtl b c\nf 1/1 2/1/9 3/1\n")
    assert mesh.materials == ("a", "b c")
    assert mesh.face_materials.tolist() == [0, 1]
    assert mesh.face_uvs.tolist() == [[NO_UV] * 3, [0, 0, 0]]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"v 0 0 0\nv 1 0 0\nv 0 1", "has 2 of 3 numbers"),  # cut off in a vertex
        (b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2", "2 corners"),  # cut off in a face
        (b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 9", "vertex 9 of 3"),
        (b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1/4 2/4 3/4", "uv 4 of 0"),
        (b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 0 1 2", "does not exist"),
        (b"v 0 0 zero\n", "no number"),
        (b"v 0 0 0\nf 1 x 1\n", "no number"),
    ],
)
def test_damaged_text_is_refused_with_the_reason(text, reason):
    with pytest.raises(ValueError, match=reason):
        parse_obj(text)


def test_a_file_cut_off_anywhere_is_never_read_as_something_else():
    whole = obj_text(tetrahedron()).encode()
    full = parse_obj(whole)
    for length in range(len(whole) - 1):
        try:
            mesh = parse_obj(whole[:length])
        except ValueError:
            continue
        # What parses is a shorter list of the same faces, up to a last number that lost digits.
        assert len(mesh.faces) <= len(full.faces)


def test_map_options_and_backslashes_are_no_part_of_the_file_name():
    found = parse_mtl(
        "newmtl m\n Kd 1 0 0\nmap_Kd -s 2 2 2 -clamp on ..\\images\\my picture.jpg\nmap_Bump b.png\n"
    )
    assert found["m"].texture == "../images/my picture.jpg"
    assert found["m"].color == (1, 0, 0)
    assert found["m"].other_maps == ("b.png",)


@given(
    vertices=arrays(np.float64, st.tuples(st.integers(3, 20), st.just(3)), elements=st.integers(-999, 999)),
    data=st.data(),
)
def test_what_is_written_is_read_back(vertices, data):
    corner = st.integers(0, len(vertices) - 1)
    faces = np.array(data.draw(st.lists(st.tuples(corner, corner, corner), min_size=1, max_size=20)))
    slots = np.sort(
        np.array(data.draw(st.lists(st.integers(0, 1), min_size=len(faces), max_size=len(faces))))
    )
    uvs = np.array([[0.0, 0.25], [1.0, 0.5]])
    mesh = ObjMesh(vertices, uvs, faces, np.ones_like(faces), slots, ("m0", "m1"))
    back = parse_obj(format_obj(mesh, "model.mtl").encode())
    np.testing.assert_array_equal(back.vertices, mesh.vertices)
    np.testing.assert_array_equal(back.faces, mesh.faces)
    np.testing.assert_array_equal(back.face_uvs, mesh.face_uvs)
    assert [back.materials[k] for k in back.face_materials] == [
        mesh.materials[k] for k in mesh.face_materials
    ]
    assert back.libraries == ("model.mtl",)
