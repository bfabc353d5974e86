"""Small pictures, masks and data sets for these tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from experiments.sample_synthesis.config import CONFIG, CONFIGS, SampleSynthesisConfig
from experiments.sample_synthesis.objects import stage
from suite.config import load_config
from suite.datasets.voc_xml import VocImage, VocObject, write_voc_xml
from suite.stage import Context, Stage

MARK = (255, 0, 255)  # colour of a picture that must not be seen


def tiny_config(*overrides: str) -> SampleSynthesisConfig:
    """The tests' configuration with overrides `key=value`."""
    return load_config(CONFIG, CONFIGS / "tiny.yaml", list(overrides))


def save_picture(path: Path, colour: tuple[int, ...] = (10, 20, 30), *, size=(40, 30), mode="RGB") -> Path:
    """A picture of one colour; size is width, height."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path)
    return path


def disc_pictures(num: int, size: int = 32, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Bright discs near the middle of dark noise, of a radius of 0.22..0.32 sides: pictures uint8
    (n, S, S, 3), masks bool (n, S, S).
    """
    rng = np.random.default_rng(seed)
    pictures = rng.integers(0, 60, (num, size, size, 3), np.uint8)
    rows, columns = np.mgrid[:size, :size]
    radii, shifts = size * rng.uniform(0.22, 0.32, num), rng.uniform(-2, 2, (num, 2)) + size / 2
    masks = (
        np.hypot(rows[None] - shifts[:, :1, None], columns[None] - shifts[:, 1:, None]) < radii[:, None, None]
    )
    pictures[masks] = rng.integers(180, 255, (int(masks.sum()), 3), np.uint8)
    return pictures, masks


def make_voc(
    root: Path, lists: dict[tuple[str, str], list[tuple[str, tuple[str, ...], tuple[int, int, int]]]]
):
    """A VOCdevkit: {(year, split): [(stem, classes shown, colour)]}."""
    for (year, split), rows in lists.items():
        for stem, classes, colour in rows:
            save_picture(root / year / "JPEGImages" / f"{stem}.jpg", colour)
            objects = tuple(VocObject(name, (1.0, 1.0, 20.0, 20.0)) for name in classes)
            write_voc_xml(
                root / year / "Annotations" / f"{stem}.xml", VocImage(f"{stem}.jpg", 40, 30, objects)
            )
        path = root / year / "ImageSets" / "Main" / f"{split}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{stem}\n" for stem, _, _ in rows))


def context(folder: Path, config: SampleSynthesisConfig, shard: int) -> Context:
    """A context of the stage `objects` that works in `folder`/<shard>."""
    named = Stage(system="sample-synthesis", name="objects", summary="", toolchain="", version=1, run="")
    out = folder / "objects" / f"{shard:05d}"
    out.mkdir(parents=True, exist_ok=True)
    return Context(
        stage=named, config=config, seed=0, device="cpu", inputs={}, out=out, final=folder / "objects",
        key="k", shard=shard,
    )  # fmt: skip


def run_objects(folder: Path, config: SampleSynthesisConfig, num_shards: int = 1) -> list[Context]:
    """The shards of the stage, one after the other."""
    contexts = [context(folder, config, shard) for shard in range(num_shards)]
    for one in contexts:
        stage.run(one)
    return contexts


class DiscMasks:
    """A fake mask network: region 0 is what is bright, or with `swapped` what is dark. Counts its calls."""

    has_polarity = True

    def __init__(self, *, swapped: bool = False) -> None:
        self.swapped, self.seen, self.calls = swapped, 0, 0
        self.key = f"disc {swapped}"

    def masks(self, pictures: np.ndarray) -> np.ndarray:
        self.seen += len(pictures)
        self.calls += 1
        bright = pictures[..., 0].astype(np.float32) / np.float32(255)
        return 1 - bright if self.swapped else bright
