"""Which surface a room's object is, from its name: the NYU names of SceneNet and SOLID's rules for them.

Rules [published code]: lower-case the name, cut it at the first ".", apply the aliases; the id of an exact
match, else of a match without the last character ("wall1" -> "wall"), else "picture" for anything with
"painting" in it, else "otherstructure". Walls are those with the id of "wall"; floors and ceilings also those
whose name contains the word.
"""

from __future__ import annotations

# Position = id, 0..40.
NYU_NAMES = (
    "void wall floor cabinet bed chair sofa table door window bookshelf picture counter blinds desk shelves "
    "curtain dresser pillow mirror floor_mat clothes ceiling books refridgerator television paper towel "
    "shower_curtain box whiteboard person night_stand toilet sink lamp bathtub bag "
    "otherstructure otherfurniture otherprop"
).split()

ALIASES = {
    "floor-mat": "floor_mat",
    "refrigerator": "refridgerator",
    "shower-curtain": "shower_curtain",
    "nightstand": "night_stand",
    "other-structure": "otherstructure",
    "other-furniture": "otherfurniture",
    "other-prop": "otherprop",
    "floor_tiles_floor_tiles_0125": "floor",
    "ground": "floor",
    "floor_enclose": "floor",
    "floor_enclose2": "floor",
    "floor_base_object01_56": "floor",
    "walls1_line01_12": "wall",
    "room_skeleton": "wall",
    "ceilingwall": "ceiling",
}
_IDS = {name: number for number, name in enumerate(NYU_NAMES)}
WALL, FLOOR, CEILING = _IDS["wall"], _IDS["floor"], _IDS["ceiling"]


def nyu_id(object_name: str) -> int:
    """The NYU id, 0..40, of an object of that name."""
    name = _base(object_name)
    for candidate in (name, name[:-1]):
        if candidate in _IDS:
            return _IDS[candidate]
    return _IDS["picture" if "painting" in name else "otherstructure"]


def surface_kind(object_name: str) -> str:
    """ "floor", "ceiling", "wall" or "other". A name with both words in it is a floor."""
    number, name = nyu_id(object_name), object_name.lower()
    if number == FLOOR or "floor" in name:
        return "floor"
    if number == CEILING or "ceiling" in name:
        return "ceiling"
    return "wall" if number == WALL else "other"


def _base(object_name: str) -> str:
    name = object_name.lower().split(".")[0]
    return ALIASES.get(name, name)
