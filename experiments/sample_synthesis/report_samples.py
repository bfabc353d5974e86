"""What goes into training, to look at: objects with their masks, synthetic images with boxes and masks.

The images are those of the stage `synth`, made again from their numbers, because a mask is not written
beside an image; before JPEG, therefore.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from experiments.sample_synthesis.cells import variants
from experiments.sample_synthesis.config import SampleSynthesisConfig
from experiments.sample_synthesis.figures import label_map, object_sheet, sample_sheet
from experiments.sample_synthesis.names import Variant
from experiments.sample_synthesis.objects.object_set import StoredObjects, open_objects
from experiments.sample_synthesis.objects.shards import source_of
from experiments.sample_synthesis.objects.types import ObjectPicture, ObjectSource
from experiments.sample_synthesis.synth.stage import open_stream
from suite.seeds import item_rng

NUM_SAMPLES, NUM_OBJECTS = 5, 10
STANDIN = "stand-in"
MEANING = {
    "masked": "the object alone, cut out by its mask",
    "naive": "the whole picture, no mask; the box is the slot",
    "nogan": "photographed objects instead of generated ones, cut out by their masks",
}


@dataclass(frozen=True, eq=False)
class Sheet:
    """A picture of the page."""

    name: str  # of its file, without ending
    title: str
    picture: np.ndarray  # uint8 (h, w, 3)


def sample_sheets(
    config: SampleSynthesisConfig, name: str, inputs: Mapping[str, Path], *, seed: int
) -> list[Sheet]:
    """A sheet per variant: the first images, and the same with boxes and masks. inputs: the object's."""
    cv2.setNumThreads(1)
    return [_samples(config, name, variant, inputs, seed) for variant in variants(config, name)]


def object_sheets(
    config: SampleSynthesisConfig, name: str, inputs: Mapping[str, Path], *, seed: int
) -> list[Sheet]:
    """A sheet per source of pictures: pictures, masks, cut-outs."""
    return [
        _objects(config, name, variant, inputs, seed)
        for variant in variants(config, name)
        if variant != "naive"
    ]


def origin(config: SampleSynthesisConfig, name: str, variant: Variant) -> str:
    """Where the pictures of a variant come from; says so of stand-ins."""
    kind = source_of(config, name, variant).kind
    said = "QR library" if kind == "library" else STANDIN if kind == "standin" else kind
    backgrounds = config.of(name).backgrounds.kind
    on = "photographs of the packages" if backgrounds == "photos" else backgrounds
    return f"objects: {said}; backgrounds: {on}"


def _samples(
    config: SampleSynthesisConfig, name: str, variant: Variant, inputs: Mapping[str, Path], seed: int
) -> Sheet:
    stream = open_stream(
        config, name, seed=seed, objects=inputs["objects"], variant=variant, masks=inputs.get("redo-masks")
    )
    total = min(NUM_SAMPLES, config.of(name).synthesis.num_samples)
    samples = [stream.item(number, with_cover=True) for number in range(total)]
    picture = sample_sheet(
        [sample.image for sample in samples],
        [sample.boxes for sample in samples],
        [label_map(sample.cover, sample.slots) for sample in samples],
    )
    title = f"{variant}: {MEANING[variant]} ({origin(config, name, variant)})"
    return Sheet(file_name(config, name, variant, "samples"), title, picture)


def _objects(
    config: SampleSynthesisConfig, name: str, variant: Variant, inputs: Mapping[str, Path], seed: int
) -> Sheet:
    source = open_objects(inputs["objects"], name, config, variant=variant, masks=inputs.get("redo-masks"))
    chosen = [_reduced(one, config.of(name).source.size) for one in _chosen(source, name, seed)]
    picture = object_sheet([one.picture for one in chosen], [one.mask for one in chosen])
    settings = config.of(name).masks
    title = f"{variant}: picture, mask ({settings.provider}), cut-out ({origin(config, name, variant)})"
    return Sheet(file_name(config, name, variant, "objects"), title, picture)


def _chosen(source: ObjectSource, name: str, seed: int) -> list[ObjectPicture]:
    """Different pictures, evenly spaced; of a source that draws afresh some drawings."""
    if isinstance(source, StoredObjects):
        places = np.linspace(0, len(source) - 1, min(NUM_OBJECTS, len(source)))
        return [source.item(int(place)) for place in np.unique(np.rint(places))]
    return [source.draw(item_rng(seed, f"report.{name}", number)) for number in range(NUM_OBJECTS)]


def _reduced(one: ObjectPicture, size: int) -> ObjectPicture:
    """QR symbols differ in size and are large; whatever else is `size` pixels a side stays as it is."""
    if max(one.picture.shape[:2]) <= size:
        return one
    picture = np.asarray(Image.fromarray(one.picture).resize((size, size), Image.Resampling.BOX))
    mask = one.mask
    if mask is not None:
        mask = np.asarray(Image.fromarray(mask).resize((size, size), Image.Resampling.BOX))
    return ObjectPicture(picture, mask, one.key)


def file_name(config: SampleSynthesisConfig, name: str, variant: Variant, what: str) -> str:
    """`face_naive_samples_standin`."""
    standin = source_of(config, name, variant).kind == "standin"
    return "_".join([name, variant, what, *(["standin"] if standin else [])])
