import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.solid.rooms.nyu import ALIASES, NYU_NAMES, nyu_id, surface_kind


def test_there_are_forty_names_and_void():
    assert len(NYU_NAMES) == len(set(NYU_NAMES)) == 41
    assert NYU_NAMES[:3] == ["void", "wall", "floor"] and NYU_NAMES[22] == "ceiling"


@pytest.mark.parametrize(
    "name, kind",
    [
        ("wall", "wall"),
        ("Wall3.001", "wall"),  # lower case, cut at the dot, without the last character
        ("room_skeleton", "wall"),  # alias
        ("wall12", "other"),  # two digits: only one character is forgiven
        ("floor_tiles_floor_tiles_0125", "floor"),
        ("Ground", "floor"),
        ("old_floor_boards", "floor"),  # contains the word
        ("ceilingwall", "ceiling"),
        ("my_ceiling.002", "ceiling"),
        ("chair2", "other"),
        ("", "other"),
    ],
)
def test_surface_kinds_follow_the_names(name, kind):
    assert surface_kind(name) == kind


@pytest.mark.parametrize(
    "name, nyu",
    [
        ("floor-mat", "floor_mat"),
        ("Refrigerator.004", "refridgerator"),
        ("nightstand", "night_stand"),
        ("other-prop", "otherprop"),
        ("painting_big", "picture"),
        ("lamps", "lamp"),
        ("thing", "otherstructure"),
    ],
)
def test_ids_follow_aliases_then_shortened_names_then_paintings(name, nyu):
    assert NYU_NAMES[nyu_id(name)] == nyu


def test_every_alias_leads_to_a_known_name():
    assert set(ALIASES.values()) <= set(NYU_NAMES)


@given(st.text(max_size=20))
def test_any_name_has_an_id_and_a_kind(name):
    assert 0 <= nyu_id(name) <= 40
    assert surface_kind(name) in ("wall", "floor", "ceiling", "other")
