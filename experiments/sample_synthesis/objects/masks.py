"""Masks of pictures of one object, by several providers behind one interface (types.MaskProvider).

    alpha       the picture's own fourth channel
    analytic    a centred ellipse, for crops that the object fills, as stand-in faces; a QR code's is drawn
                with it (synth/qr.py)
    grabcut     classical segmentation: colour models and a graph cut, started from a centred ellipse
    none        no mask; for pasting whole pictures
    redo        the unsupervised network (redo/masks.py; needs PyTorch)

Published: the mask network of ReDO for faces, birds and cars (Sample synthesis, dissertation and published
code).
"""

from __future__ import annotations

import numpy as np

from experiments.sample_synthesis.objects.types import MaskProvider
from suite.errors import BadInput

ELLIPSE_AXES = (0.40, 0.49)  # half axes of the ellipse across and down, share of the side
GRABCUT_AXES = (0.36, 0.40)  # of the ellipse that GrabCut starts from: most of it should be the object
# Inside this share of those axes all is object; without it, a picture of few colours is all surroundings.
GRABCUT_CORE = 0.5
GRABCUT_FRAME = 1 / 32  # outermost pixels that GrabCut takes for surroundings, share of the side
GRABCUT_ROUNDS = 5
GRABCUT_SEED = 2020  # of the k-means inside OpenCV's GrabCut, which otherwise has a global generator


def ellipse(side: int, axes: tuple[float, float]) -> np.ndarray:
    """Centred filled ellipse, bool (side, side); axes: half axes across and down, share of the side."""
    rows, columns = np.mgrid[:side, :side] + 0.5
    across, down = (columns / side - 0.5) / axes[0], (rows / side - 0.5) / axes[1]
    return across**2 + down**2 <= 1.0


class AlphaMasks:
    """The fourth channel: takes pictures uint8 (n, S, S, 4)."""

    key = "alpha"
    has_polarity = False

    def masks(self, pictures: np.ndarray) -> np.ndarray:
        """float32 (n, S, S). Raises BadInput for pictures without a fourth channel."""
        if pictures.shape[-1] != 4:
            raise BadInput("the pictures have no alpha channel", fix="choose masks.provider: grabcut")
        return pictures[..., 3].astype(np.float32) / 255.0


class EllipseMasks:
    """The same centred ellipse for every picture."""

    has_polarity = False

    def __init__(self, axes: tuple[float, float] = ELLIPSE_AXES) -> None:
        self.axes = axes
        self.key = f"ellipse {axes[0]} {axes[1]}"

    def masks(self, pictures: np.ndarray) -> np.ndarray:
        """float32 (n, S, S), 0 or 1."""
        one = ellipse(pictures.shape[1], self.axes).astype(np.float32)
        return np.repeat(one[None], len(pictures), axis=0)


class GrabCutMasks:
    """GrabCut (Rother, Kolmogorov and Blake, 2004; OpenCV) from a centred ellipse.

    The core of the ellipse is certainly object, the rest of it probably; the frame of the picture is
    certainly surroundings, what lies between probably. Of the result the largest connected part is kept: a
    picture shows one object, and specks would widen its box.
    A picture of one colour, in which nothing can be told apart, gets an empty mask.
    """

    has_polarity = False  # it starts from the middle, so it is never inverted

    def __init__(self, *, rounds: int = GRABCUT_ROUNDS) -> None:
        import cv2

        self.rounds = rounds
        settings = f"{GRABCUT_AXES} {GRABCUT_CORE} {GRABCUT_FRAME} {rounds}"
        self.key = f"grabcut {settings} opencv {cv2.__version__}"

    def masks(self, pictures: np.ndarray) -> np.ndarray:
        """float32 (n, S, S), 0 or 1."""
        found = np.zeros(pictures.shape[:3], np.float32)
        for picture, mask in zip(pictures, found, strict=True):
            mask[:] = self._one(np.ascontiguousarray(picture[..., :3]))
        return found

    def _one(self, picture: np.ndarray) -> np.ndarray:
        import cv2

        if (picture == picture[0, 0]).all():
            return np.zeros(picture.shape[:2], bool)
        labels = self._start(picture.shape[0])
        models = np.zeros((1, 65)), np.zeros((1, 65))
        # Before every picture: the mask must not depend on which ones came before.
        cv2.setRNGSeed(GRABCUT_SEED)
        cv2.grabCut(picture, labels, None, *models, self.rounds, cv2.GC_INIT_WITH_MASK)
        return largest_part(np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD)))

    def _start(self, side: int) -> np.ndarray:
        import cv2

        core = (GRABCUT_AXES[0] * GRABCUT_CORE, GRABCUT_AXES[1] * GRABCUT_CORE)
        labels = np.full((side, side), cv2.GC_PR_BGD, np.uint8)
        labels[ellipse(side, GRABCUT_AXES)] = cv2.GC_PR_FGD
        labels[ellipse(side, core)] = cv2.GC_FGD
        frame = max(1, round(side * GRABCUT_FRAME))
        labels[:frame] = labels[-frame:] = cv2.GC_BGD
        labels[:, :frame] = labels[:, -frame:] = cv2.GC_BGD
        return labels


def largest_part(mask: np.ndarray) -> np.ndarray:
    """The largest 8-connected part of a bool (h, w); empty stays empty, of equals the first one."""
    import cv2

    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    areas = stats[1:, cv2.CC_STAT_AREA]
    return labels == 1 + areas.argmax() if len(areas) else mask


def quantised(masks: np.ndarray) -> np.ndarray:
    """Masks in [0, 1] as uint8 in 0..255; only 0 becomes 0 and only 1 becomes 255.

    So `mask > 0`, the published rule for the box of a face, says the same before and after.
    """
    if not np.isfinite(masks).all() or masks.size and (masks.min() < 0 or masks.max() > 1):
        raise BadInput("a mask leaves [0, 1] or is not finite", fix="check the weights of the mask provider")
    steps = np.clip(np.rint(masks * 255.0), 1, 254)
    steps = np.where(masks <= 0, 0, np.where(masks >= 1, 255, steps))
    return steps.astype(np.uint8)


PROVIDERS = {"alpha": AlphaMasks, "analytic": EllipseMasks, "grabcut": GrabCutMasks}


def open_provider(name: str) -> MaskProvider:
    """The provider of a name of PROVIDERS; ReDO is opened by its own stage, in its own toolchain."""
    if name not in PROVIDERS:
        raise BadInput(f"no mask provider {name}", fix=f"choose one of {', '.join(PROVIDERS)}")
    return PROVIDERS[name]()
