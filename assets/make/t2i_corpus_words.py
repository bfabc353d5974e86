"""Words of the text-to-image corpus: named colours, and captions that say what a scene file holds."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from assets.make.sample_synthesis_shapes import Color

COLORS: dict[str, tuple[int, int, int]] = {  # sRGB, 0..255; the middle of what the word covers
    "red": (205, 32, 30), "orange": (245, 125, 20), "yellow": (245, 210, 35), "green": (50, 155, 55),
    "blue": (40, 90, 205), "purple": (125, 55, 165), "white": (236, 236, 232), "black": (26, 26, 28),
    "brown": (115, 68, 36), "grey": (128, 130, 132),
}  # fmt: skip
_EVEN = dict.fromkeys(COLORS, 1.0)
# How often a class has a colour; a class that is not here has all alike, one with {} has none to name.
WEIGHTS: dict[str, Mapping[str, float]] = {
    "barrel": {**_EVEN, "blue": 3.0, "brown": 2.0}, "bottle": {**_EVEN, "green": 3.0},
    "bread": {}, "carton": {**_EVEN, "blue": 2.0, "brown": 2.0, "white": 2.0},
    "cone": {"orange": 6.0, "red": 2.0, "yellow": 1.5, "green": 0.7, "blue": 0.7, "white": 0.3},
    "lemon": {"yellow": 8.0, "green": 1.0}, "potion": {**_EVEN, "red": 3.0, "black": 0.3, "white": 0.4},
    "tree": {"green": 8.0, "orange": 0.8, "yellow": 0.8, "red": 0.5, "white": 0.4},
    "football": {}, "medkit": {},
}  # fmt: skip
# Where "a <class>" does not do.
PHRASES = {"bread": "a loaf of bread", "orange": "an orange"}
TAILS = (
    "at home", "in a room", "in the studio", "on a quiet day", "in the morning", "taken with a camera",
    "from the shop", "in good light", "for sale", "with a shadow", "seen from the front",
    "that is on display", "of the highest quality", "with a simple background", "by the window",
    "in the background", "in the middle", "close up", "from above", "that I like",
)  # fmt: skip


def draw_color(rng: np.random.Generator, word: str) -> tuple[str, Color]:
    """A colour that the class may have and a shade of it, linear; ("", grey) for one without a tint."""
    weights = WEIGHTS.get(word, _EVEN)
    if not weights:
        return "", (0.5, 0.5, 0.5)
    names = list(weights)
    share = np.array(list(weights.values()))
    name = names[int(rng.choice(len(names), p=share / share.sum()))]
    return name, shade_of(rng, name)


def shade_of(rng: np.random.Generator, name: str) -> Color:
    """A linear colour near a named one."""
    middle = np.array(COLORS[name]) / 255
    near = middle * rng.uniform(0.88, 1.1) + rng.normal(0, 0.02, 3)
    return linear(np.clip(near, 0.01, 0.95))


def linear(color: np.ndarray) -> Color:
    """sRGB 0..1 (3,) -> linear."""
    low, high = color / 12.92, ((color + 0.055) / 1.055) ** 2.4
    return tuple(float(value) for value in np.where(color <= 0.04045, low, high))


def phrase(word: str, color: str = "") -> str:
    """`a red mug`, `an orange cone`, `a loaf of bread`."""
    if not color:
        return PHRASES.get(word, f"{article(word)} {word}")
    return f"{article(color)} {color} {word}"


def article(word: str) -> str:
    """`an` before a vowel's letter."""
    return "an" if word[0] in "aeiou" else "a"


def caption(
    rng: np.random.Generator, *, word: str, color: str, floor: str, wall: str, companion: str = ""
) -> str:
    """One of many ways to say it; the class's word is always there, a companion's always too.

    `floor` and `wall` are adjectives ("wooden", "white"); "" says nothing about it.
    """
    named, plain = phrase(word, color), phrase(word)
    place = f" on {article(floor)} {floor} floor" if floor else " on the floor"
    behind = f" in front of {article(wall)} {wall} wall" if wall else ""
    if companion:
        thing = named if rng.random() < 0.7 else plain
        return f"a photo of {thing} and {companion}{place if rng.random() < 0.6 else ''}"
    choice = rng.random()
    for limit, text in (
        (0.28, f"a photo of {named}{place}"), (0.46, f"a photo of {named}"), (0.56, f"a photo of {plain}"),
        (0.68, f"a photo of {word}"), (0.78, f"a photo of {named}{place}{behind}"),
        (0.84, f"{named}{place}"), (0.90, f"a photo of {plain}{place}"),
    ):  # fmt: skip
        if choice < limit:
            return text
    thing = (named, plain, word)[int(rng.integers(3))]
    return f"a photo of {thing} {TAILS[int(rng.integers(len(TAILS)))]}"
