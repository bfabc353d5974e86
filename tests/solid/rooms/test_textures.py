"""The texture rule of rooms."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.solid.rooms.textures import candidates, folder_name
from suite.errors import BadInput, Missing


@pytest.mark.parametrize(
    ("material", "folder"),
    [
        ("wall", "wall"),
        ("wall_01.003", "wall"),
        ("_wood_2_fine.x.y", "woodfine"),
        ("007", ""),
        (".wall", ""),
        ("Wall1", "Wall"),
    ],
)
def test_names_lose_what_follows_the_point_underscores_and_digits(material, folder):
    assert folder_name(material) == folder


@given(st.text(max_size=30))
def test_the_rule_is_idempotent_and_leaves_no_digit_or_underscore(material):
    name = folder_name(material)
    assert folder_name(name) == name
    assert "." not in name and "_" not in name and not any(letter.isdigit() for letter in name)


@given(name=st.text("abcXYZ", min_size=1, max_size=8), number=st.integers(0, 999), copy=st.integers(0, 999))
def test_copies_and_numbers_share_a_folder(name, number, copy):
    assert folder_name(f"{name}_{number}.{copy:03d}") == name


@pytest.fixture
def textures(tmp_path):
    for name in ("wall/b.jpg", "wall/a.jpg", "wall/.hidden", "unknown/x.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "empty").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("material", "files"),
    [
        ("wall_3", ["a.jpg", "b.jpg"]),
        ("marble", ["x.jpg"]),
        ("001", ["x.jpg"]),
        ("..", ["x.jpg"]),
        ("a/b", ["x.jpg"]),
    ],
)
def test_candidates_are_sorted_and_fall_back_to_unknown(textures, material, files):
    assert [path.name for path in candidates(material, textures)] == files


def test_an_empty_folder_is_an_error(textures):
    with pytest.raises(BadInput, match="empty"):
        candidates("empty_2", textures)


def test_a_missing_folder_without_unknown_is_an_error(tmp_path):
    with pytest.raises(Missing, match="marble"):
        candidates("marble", tmp_path)
