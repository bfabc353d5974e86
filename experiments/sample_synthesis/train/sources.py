"""The images of one object as sets that a training or an evaluation reads, each opened once per process."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from experiments.sample_synthesis.data.sets import read_sets
from experiments.sample_synthesis.data.types import RealSet
from experiments.sample_synthesis.metrics.compat import Truth, truth_of
from experiments.sample_synthesis.names import Variant
from experiments.sample_synthesis.synth.stage import SampleFile, open_stream, read_written
from experiments.sample_synthesis.train.arms import Available
from experiments.sample_synthesis.train.pipeline import FileSet, ItemSet, MemorySet, StreamSet
from experiments.sample_synthesis.train.predict import Pictures
from suite.errors import BadInput

if TYPE_CHECKING:
    from experiments.sample_synthesis.config import SampleSynthesisConfig


class Sources:
    """Real splits and synthetic sets of one object.

    The test pictures are opened when `pictures("test")` is asked for, at the end of a cell, and never kept.
    """

    def __init__(
        self,
        config: SampleSynthesisConfig,
        real: Mapping[str, RealSet],
        synthetic: Callable[[Variant], ItemSet],
    ) -> None:
        """synthetic: opens the set of a variant; asked once for each that is needed."""
        self.config, self.real, self._open = config, real, synthetic
        self._synthetic: dict[Variant, ItemSet] = {}
        self._kept: dict[str, ItemSet] = {}

    def items(self, split: str) -> ItemSet:
        """The pictures and boxes of a real split, in its order."""
        if split not in self._kept:
            files = real_files(self.real[split], self.config.detector.image_size)
            if split == "test":
                return files
            self._kept[split] = cached(files, self.config)
        return self._kept[split]

    def synthetic(self, variant: Variant) -> ItemSet:
        """The synthetic images of a variant, in the order of their numbers."""
        if variant not in self._synthetic:
            self._synthetic[variant] = self._open(variant)
        return self._synthetic[variant]

    def available(self, variant: Variant, *, with_synthetic: bool) -> Available:
        """How many there are; with_synthetic=False leaves the synthetic ones unopened."""
        number = len(self.synthetic(variant)) if with_synthetic else 0
        train = self.real["train"]
        return Available(len(train), len(self.real["valid"]), number, train.rows())

    def pictures(self, split: str) -> Pictures:
        """A split to look at."""
        records = self.real[split].coco.images
        ids = np.array([image.id for image in records], dtype=np.int64)
        sizes = np.array([(image.width, image.height) for image in records], dtype=np.float64)
        return Pictures(self.items(split), ids, sizes.reshape(-1, 2))

    def truth(self, split: str, positions: np.ndarray | None = None) -> Truth:
        """The boxes of a split, or of its images at these positions."""
        return truth_of(self.real[split].coco, positions)


def stage_sources(
    config: SampleSynthesisConfig, name: str, folders: Mapping[str, Path], *, seed: int
) -> Sources:
    """Sources of object `name` from the folders of finished stages: `data`, and `synth` or `objects`."""
    if config.train.source == "stream":

        def synthetic(variant: Variant) -> ItemSet:
            stream = open_stream(
                config, name, seed=seed, objects=folders["objects"], variant=variant,
                masks=folders.get("redo-masks"),
            )  # fmt: skip
            return stream_set(stream, config, name)

    else:

        def synthetic(variant: Variant) -> ItemSet:
            return cached(synthetic_files(read_written(folders["synth"], variant), config, name), config)

    return Sources(config, read_sets(folders["data"]), synthetic)


def stream_set(stream, config: SampleSynthesisConfig, name: str) -> StreamSet:
    """A SampleStream as a set of as many items as the stage `synth` would write."""
    synthesis = config.of(name).synthesis
    return StreamSet(
        stream, synthesis.num_samples, source_size=synthesis.image_size, max_boxes=synthesis.max_objects,
        image_size=config.detector.image_size,
    )  # fmt: skip


def synthetic_files(samples: Sequence[SampleFile], config: SampleSynthesisConfig, name: str) -> FileSet:
    """Written synthetic images as a set."""
    size = config.of(name).synthesis.image_size
    paths, boxes = [sample.path for sample in samples], [sample.boxes for sample in samples]
    return FileSet(paths, boxes, np.full((len(samples), 2), size), image_size=config.detector.image_size)


def real_files(real: RealSet, image_size: int) -> FileSet:
    """A real split as a set. Raises BadInput for an empty one."""
    if not len(real):
        raise BadInput(f"the split {real.split} is empty", file=real.images_dir, fix="check the data set")
    sizes = np.array([(image.width, image.height) for image in real.coco.images], dtype=np.float64)
    return FileSet(real.paths(), real.boxes(), sizes, image_size=image_size)


def cached(files: FileSet, config: SampleSynthesisConfig) -> ItemSet:
    """With `cache: memory` the set that keeps its resized pictures."""
    return MemorySet(files) if config.train.cache == "memory" else files
