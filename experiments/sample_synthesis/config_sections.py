"""The sections of the settings as frozen dataclasses: those that every object has (where its pictures, masks,
backgrounds and real photographs come from, how they are composed, how long is trained), then the shared ones.

Published values have their source in configs/paper.yaml, line by line. Folders: what begins with `data/` lies
below DATA_DIR; else absolute.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

SourceKind = Literal["library", "stylegan", "dmgan", "ffhq", "cub_crops", "lsun", "folder", "standin"]
Provider = Literal["analytic", "alpha", "grabcut", "redo", "none"]


@dataclass(frozen=True)
class SourceConfig:
    """Pictures of single objects.

    `library`: QR symbols, drawn as they are needed. `standin`: what the installed packages hold (README.md).
    """

    kind: SourceKind = "standin"
    folder: str | None = None  # `data/...` (below DATA_DIR) or absolute; sub-folders are flattened
    size: int = 128  # pixels a side of a picture and its mask
    zoom: int = 1  # 2: resized to 2*size, then the central size x size (published for cars)
    limit: int | None = None  # no more pictures than this; None: all
    boxes: bool = True  # cub_crops: cut out by the ground-truth boxes, as published; false: whole pictures

    def __post_init__(self) -> None:
        at_least("source", 8, size=self.size)
        at_least("source", 1, limit=1 if self.limit is None else self.limit)
        if self.zoom not in (1, 2):
            raise ValueError(f"`source.zoom` is {self.zoom}; choose 1 or 2")


@dataclass(frozen=True)
class MaskConfig:
    """Which pixels of a picture are the object."""

    provider: Provider = "analytic"
    weights: str | None = None  # of `redo`: a file to use instead of training (`data/...` or absolute)
    threshold: float = 0.5  # the box is the extent of mask > threshold after the warp
    blend: Literal["soft", "binary"] = "soft"  # binary: mask > threshold is pasted
    batch: int = 64  # pictures per call of the provider; changes no value of a mask
    precision: Literal["float32", "bfloat16"] = "float32"  # of `redo`; bfloat16 is faster, to two digits

    def __post_init__(self) -> None:
        at_least("masks", 1, batch=self.batch)
        if not 0 <= self.threshold < 1:
            raise ValueError(f"`masks.threshold` is {self.threshold:g}, must be in [0, 1)")


@dataclass(frozen=True)
class SynthesisConfig:
    """How objects are placed and pasted (Sample synthesis, published flags of the same names)."""

    num_samples: int = 10_000
    image_size: int = 320  # pixels a side of a synthetic image, S
    min_scale: float = 0.05  # a slot's sqrt(area) is drawn from floor(min*S) .. floor(max*S) - 1 pixels
    max_scale: float = 0.8
    min_aspect_ratio: float = 0.5  # width / height of a slot, uniform
    max_aspect_ratio: float = 2.0
    min_objects: int = 1
    max_objects: int = 10
    max_tries: int = 10  # layouts per drawn number of objects
    layout: Literal["rejection", "sequential"] = "rejection"  # sequential: slot by slot, shrinking
    raster: Literal["object", "patch"] = "object"  # object: warp at the picture's resolution, then resize
    module_px: int | Literal["auto"] = "auto"  # side of a QR module; published 10; auto: near its slot's
    box_edge: Literal["exclusive", "inclusive"] = "exclusive"  # inclusive (published): last pixel
    naive_fill: Literal["reflect", "black"] = "reflect"  # corners of a naive patch; published black
    jpeg_quality: int = 75  # of the files; Pillow's default, as published

    def __post_init__(self) -> None:
        at_least("synthesis", 1, num_samples=self.num_samples, image_size=self.image_size)
        at_least("synthesis", 1, min_objects=self.min_objects, max_tries=self.max_tries)
        if self.module_px != "auto":
            at_least("synthesis", 1, module_px=self.module_px)
        if not 1 <= self.jpeg_quality <= 100:
            raise ValueError(f"`synthesis.jpeg_quality` is {self.jpeg_quality}, must be in 1..100")
        in_order("synthesis", self, "scale", "aspect_ratio", "objects")
        if int(self.max_scale * self.image_size) <= max(1, int(self.min_scale * self.image_size)):
            what = f"`synthesis.min_scale` {self.min_scale:g} and `max_scale` {self.max_scale:g}"
            raise ValueError(f"{what} leave no size in pixels at `image_size` {self.image_size}")


@dataclass(frozen=True)
class BackgroundConfig:
    """What the objects are pasted onto."""

    kind: Literal["voc", "photos", "folder"] = "photos"  # photos: of the installed scikit-image
    folder: str | None = None  # `data/...` or absolute: VOCdevkit, or a folder of images
    ignored_classes: tuple[str, ...] = ()  # voc: an image with one of these is never used


@dataclass(frozen=True)
class RealConfig:
    """The real, annotated photographs, and how many of them."""

    kind: Literal["qr_csv", "fddb", "cub", "cars", "coco", "standin"] = "standin"
    folder: str | None = None  # `data/...` or absolute: root of the data set, in the published layout
    num_valid: int | None = None  # split off the training list; None: the validation list of the data set
    split_file: str | None = None  # cub: `image_id split` per line, 0 train, 1 valid, 2 test, in `folder`
    max_train: int | None = None  # keep no more than the first so many of a split; None: all
    max_valid: int | None = None
    max_test: int | None = None

    def __post_init__(self) -> None:
        for name in ("num_valid", "max_train", "max_valid", "max_test"):
            value = getattr(self, name)
            at_least("real", 1, **{name: 1 if value is None else value})


@dataclass(frozen=True)
class GridConfig:
    """The cells of an object: numbers of real images, and epochs."""

    sizes: tuple[int, ...] = (10,)
    epochs_real: int = 20  # of from_scratch and finetuned
    epochs_pretrain: int = 40  # of every pretraining but that of the pretraining ablation

    def __post_init__(self) -> None:
        at_least("grid", 1, epochs_real=self.epochs_real, epochs_pretrain=self.epochs_pretrain)
        if not self.sizes:
            raise ValueError("`grid.sizes` is empty; name at least one number of real images")
        if any(size < 1 for size in self.sizes) or list(self.sizes) != sorted(set(self.sizes)):
            raise ValueError(f"`grid.sizes` is {list(self.sizes)}; need numbers from 1 on, each once, upward")


@dataclass(frozen=True)
class ObjectConfig:
    """All settings of one of the four objects."""

    source: SourceConfig = field(default_factory=SourceConfig)
    nogan: SourceConfig = field(default_factory=SourceConfig)  # of the variant nogan: real photographs
    masks: MaskConfig = field(default_factory=MaskConfig)
    synthesis: SynthesisConfig = field(default_factory=SynthesisConfig)
    backgrounds: BackgroundConfig = field(default_factory=BackgroundConfig)
    real: RealConfig = field(default_factory=RealConfig)
    grid: GridConfig = field(default_factory=GridConfig)

    def __post_init__(self) -> None:
        for name in ("source", "nogan", "backgrounds", "real"):
            section = getattr(self, name)
            if section.folder is None and section.kind not in ("library", "standin", "photos"):
                raise ValueError(f"`{name}.kind` is {section.kind}, which needs `{name}.folder`")


# --- what all objects share ---


@dataclass(frozen=True)
class DetectorConfig:
    """The detectors (Sample synthesis, single-shot detectors on ImageNet backbones)."""

    archs: tuple[Literal["mobilenet", "resnet50", "mobilenetv2", "tiny"], ...] = ("mobilenet", "resnet50")
    image_size: int = 300  # pixels a side; every image is stretched to it
    init: Literal["imagenet", "random"] = "imagenet"
    weights: str | None = None  # folder with the ImageNet files (`data/...` or absolute)
    loss: Literal["focal", "ohem"] = "focal"  # ohem: cross-entropy, three hard negatives per positive
    min_confidence: float = 0.5  # of the published metric: what is less confident is not a detection
    nms_iou: float = 0.5  # suppress at this IoU or above
    score_floor: float = 0.01  # of the VOC and COCO metrics, which need the whole curve

    def __post_init__(self) -> None:
        at_least("detector", 32, image_size=self.image_size)
        if not self.archs or len(set(self.archs)) != len(self.archs):
            raise ValueError(f"`detector.archs` is {list(self.archs)}; name one or more, each once")
        for name in ("min_confidence", "nms_iou", "score_floor"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(f"`detector.{name}` is {getattr(self, name):g}, must be in (0, 1)")


@dataclass(frozen=True)
class TrainConfig:
    """One training session, whatever its arm."""

    lr: float = 1e-4  # Adam, constant
    batch: int = 16
    steps_per_epoch: int = 25
    l2: float = 5e-4  # of the kernels of the heads: added to the loss as l2 * sum of squares
    selection: Literal["best", "last"] = "best"  # the epoch whose weights count
    validation: Literal["full", "matched"] = "full"  # matched: no more validation images than N
    subset_seed: int = 2020  # which N images: nested, the same in all runs
    runs: int = 3
    checkpoint_every: int = 100  # steps; a stopped session goes on from there, with the same result
    cache: Literal["memory", "none"] = "memory"  # decoded and resized pictures
    source: Literal["shards", "stream"] = "shards"  # stream: synthetic images are made while training
    order: Literal["buffer", "permutation"] = "buffer"  # buffer: published, near the order of the files

    def __post_init__(self) -> None:
        at_least("train", 1, batch=self.batch, steps_per_epoch=self.steps_per_epoch, runs=self.runs)
        at_least("train", 1, checkpoint_every=self.checkpoint_every)
        at_least("train", 0, l2=self.l2, subset_seed=self.subset_seed)
        if self.lr <= 0:
            raise ValueError(f"`train.lr` is {self.lr:g}, must be above 0")


@dataclass(frozen=True)
class AblationConfig:
    """Sizes of the three ablations."""

    factors: tuple[int, ...] = (1, 2, 4, 8)  # synthetic images per real one, of `pretraining`
    qr_images: int = 50  # real images, QR
    images: int = 100  # real images, the other objects; also of `naive` and `nogan`

    def __post_init__(self) -> None:
        at_least("ablation", 1, qr_images=self.qr_images, images=self.images)
        if not self.factors or any(factor < 1 for factor in self.factors):
            raise ValueError(f"`ablation.factors` is {list(self.factors)}; need whole numbers from 1 on")


@dataclass(frozen=True)
class CompatConfig:
    """Faults of the published code that change published columns; off, unless its numbers are wanted."""

    mixed_real_only: bool = False  # the arm `mixed` never reaches its synthetic images
    face_box_frames: bool = False  # a face's box is the warped picture's frame: mask > 0 is true everywhere
    bird_backgrounds_with_birds: bool = False  # backgrounds show birds that have no box
    first_rows_subset: bool = False  # pretraining ablation: the first rows, not a random subset


@dataclass(frozen=True)
class RedoConfig:
    """The unsupervised mask network and its training (Chen, Artieres, Denoyer: ReDO, NeurIPS 2019)."""

    nf: int = 64  # width of mask network, generators, discriminator, regressor
    latent: int = 32  # values per region
    size: int = 128  # pixels a side
    batch: int = 20
    steps: int = 20_000  # published: stopped between 20,000 and 40,000
    lr: float = 1e-4  # generators, discriminator, regressor; Adam with betas 0 and 0.9
    lr_mask: float = 1e-5
    weight_decay_mask: float = 1e-4
    latent_weight: float = 5.0  # of the regressed latent, in the generators' loss
    attention: bool = False  # self-attention in generators and discriminator
    restart_below: float = 0.1  # begin anew where the smaller region's mean share falls below this ...
    restart_before: int = 7_000  # ... before this step
    max_restarts: int = 3
    checkpoint_every: int = 500  # steps

    def __post_init__(self) -> None:
        at_least("redo", 1, latent=self.latent, batch=self.batch, steps=self.steps)
        at_least("redo", 1, checkpoint_every=self.checkpoint_every)
        at_least("redo", 0, max_restarts=self.max_restarts, restart_before=self.restart_before)
        if self.nf < 4 or self.nf % 4:
            raise ValueError(f"`redo.nf` is {self.nf}, must be a multiple of 4")
        if self.size < 32 or self.size % 32:
            raise ValueError(f"`redo.size` is {self.size}, must be a multiple of 32")


@dataclass(frozen=True)
class ComputeConfig:
    """How the work is cut; no published counterpart."""

    threads: int = 1  # per process; a result depends on it in the last digits
    cells_per_shard: int = 1  # trainings per process, which pays for importing TensorFlow once
    synth_shard_size: int = 1_000  # synthetic images per shard
    workers: int = 1  # processes of `synth` by hand; no image depends on it
    precision: Literal["float32", "mixed_float16", "mixed_bfloat16"] = "float32"

    def __post_init__(self) -> None:
        at_least("compute", 1, threads=self.threads, cells_per_shard=self.cells_per_shard)
        at_least("compute", 1, synth_shard_size=self.synth_shard_size, workers=self.workers)


def at_least(section: str, least: int, **values: float) -> None:
    """Raises ValueError naming the first setting that is below `least`."""
    for name, value in values.items():
        if value < least:
            raise ValueError(f"`{section}.{name}` is {value:g}, must be at least {least}")


def in_order(section: str, config: object, *ranges: str) -> None:
    """Raises ValueError naming the first range (`min_<name>`, `max_<name>`) that is not 0 < min <= max."""
    for name in ranges:
        low, high = f"min_{name}", f"max_{name}"
        below, above = getattr(config, low), getattr(config, high)
        if not 0 < below <= above:
            what = f"`{section}.{low}` is {below:g} and `{high}` {above:g}"
            raise ValueError(f"{what}; need 0 < {low} <= {high}")
