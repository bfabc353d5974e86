"""Where the embedded target set lies: `assets/tabletop`, the stand-in for real target data at smoke scale.

COCO JSON and JPEG pictures of 192 x 144 pixels, rendered by `assets/make/tabletop.py`;
`assets/tabletop/README.md` says what is in it. Each image row has a "caption" besides the usual keys
(`CocoImage.extra` after `read_coco`).

    json_path, images_dir = tabletop_path("train")
    coco = read_coco(json_path, images_dir=images_dir)
"""

from __future__ import annotations

from pathlib import Path

from suite.errors import BadInput, Missing
from suite.provenance import ROOT

TABLETOP = ROOT / "assets" / "tabletop"
TABLETOP_SPLITS = {"train": 400, "val": 100, "test": 200}  # pictures of each split
LISTING = "tabletop.json"  # digest of every file, counts, meshes, command


def tabletop_path(split: str, *, root: Path = TABLETOP) -> tuple[Path, Path]:
    """The annotation file and the folder of pictures of a split (train, val or test).

    Raises BadInput for another split, Missing where the files are gone.
    """
    if split not in TABLETOP_SPLITS:
        raise BadInput(f"tabletop has no split {split!r}", fix=f"choose one of {', '.join(TABLETOP_SPLITS)}")
    json_path, images_dir = root / f"{split}.json", root / "images" / split
    restore = "restore it: git checkout assets/tabletop"
    if not json_path.is_file():
        raise Missing("the embedded target set lacks this file", file=json_path, fix=restore)
    if not images_dir.is_dir():
        raise Missing("the embedded target set lacks this folder", file=images_dir, fix=restore)
    return json_path, images_dir
