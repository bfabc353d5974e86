"""Detection samples as a pure function of (seed, index): the stream that is written to files or trained on.

    stream = SampleStream("qr", config.qr, objects=None, backgrounds=backgrounds, seed=0)
    sample = stream.item(41)               # the same whoever asks, in whatever order
    sample.image, sample.boxes             # uint8 (S, S, 3), int32 (n, 4) xyxy

Layout, background, objects and augmentation of an item come from one generator of its own. The stream has no
end.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from experiments.sample_synthesis.config_sections import CompatConfig, ObjectConfig
from experiments.sample_synthesis.names import ALL, Variant
from experiments.sample_synthesis.objects.types import BackgroundSource, ObjectPicture, ObjectSource
from experiments.sample_synthesis.synth import qr
from experiments.sample_synthesis.synth.compose import PasteRule, Patch, blend, make_patch
from experiments.sample_synthesis.synth.layout import draw_layout
from suite.errors import BadInput
from suite.seeds import item_rng

MAX_REDRAWS = 100  # for one slot; each takes another object


@dataclass(frozen=True)
class Sample:
    """One synthetic image and its labels."""

    image: np.ndarray  # uint8 (S, S, 3), RGB
    boxes: np.ndarray  # int32 (n, 4) xyxy, pixels; the right and bottom edge as synthesis.box_edge says
    slots: np.ndarray  # int32 (n, 4) xyxy, exclusive ends: where the objects were pasted
    redrawn: int  # objects of which the augmentation left nothing, replaced by others
    cover: np.ndarray | None = None  # uint8 (S, S), 255 is object: for figures, where asked for


class SampleStream:
    """Samples of one object in one variant. Holds no state: `item` may be called anywhere, in any order."""

    def __init__(
        self,
        name: str,
        config: ObjectConfig,
        *,
        objects: ObjectSource | None,
        backgrounds: BackgroundSource,
        seed: int,
        variant: Variant = "masked",
        compat: CompatConfig | None = None,
    ):
        """`objects`: None for QR codes, which are drawn at the size of their slots (synthesis.module_px).

        Raises BadInput for a variant that the object does not have, and for a source without pictures.
        """
        known = ALL[name].variants
        if variant not in known:
            raise BadInput(f"{name} has no variant {variant}", fix=f"choose from {', '.join(known)}")
        self.draws_qr = config.source.kind == "library"
        if objects is None and not self.draws_qr:
            raise BadInput(f"{name} needs a source of object pictures", fix="run its stage `objects`")
        compat = compat or CompatConfig()
        self.name, self.config, self.variant, self.seed = name, config, variant, seed
        self.objects, self.backgrounds = objects, backgrounds
        frames = compat.face_box_frames and name == "face"
        self.rule = PasteRule.of(config, naive=variant == "naive", frames=frames)

    def item(self, index: int, *, with_cover: bool = False) -> Sample:
        """Sample number `index` >= 0. Raises BadInput where no layout or no visible object can be had."""
        synthesis = self.config.synthesis
        rng = item_rng(self.seed, f"synth.{self.name}.{self.variant}", index)
        slots = draw_layout(rng, synthesis)
        # A copy, as the source may keep its own.
        image = np.array(self.backgrounds.draw(rng, synthesis.image_size))
        cover = np.zeros(image.shape[:2], np.uint8) if with_cover else None
        boxes = np.empty_like(slots)
        redrawn = 0
        for number, slot in enumerate(slots):
            patch, again = self._patch(rng, (int(slot[2] - slot[0]), int(slot[3] - slot[1])))
            blend(image, slot, patch)
            boxes[number] = patch.box + np.tile(slot[:2], 2)
            redrawn += again
            if cover is not None:
                weight = 1.0 if patch.weight is None else patch.weight
                cover[slot[1] : slot[3], slot[0] : slot[2]] = np.rint(np.multiply(weight, 255))
        return Sample(image, boxes, slots, redrawn, cover)

    def batch(self, indices: Iterable[int]) -> list[Sample]:
        """Several items; each as if asked for alone."""
        return [self.item(index) for index in indices]

    def _patch(self, rng: np.random.Generator, size_wh: tuple[int, int]) -> tuple[Patch, int]:
        """An object of which something is to be seen, and how many were given up before it."""
        for redrawn in range(MAX_REDRAWS):
            drawn = self._object(rng, size_wh)
            patch = make_patch(rng, drawn, size_wh, self.rule)
            if patch is not None:
                return patch, redrawn
        what = (
            f"{MAX_REDRAWS} objects in turn had no visible pixel after augmentation (the last: {drawn.key})"
        )
        raise BadInput(what, fix="look at the masks, or lower masks.threshold")

    def _object(self, rng: np.random.Generator, size_wh: tuple[int, int]) -> ObjectPicture:
        if not self.draws_qr:
            return self.objects.draw(rng)
        symbol = qr.draw_symbol(rng)
        wanted = self.config.synthesis.module_px
        return qr.raster(symbol, qr.fitting_px(symbol, max(size_wh)) if wanted == "auto" else wanted)
