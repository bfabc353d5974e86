"""Where the published data sets come from, under which terms, and where their files go. No numpy.

Nothing here downloads: one needs a signed agreement, and the others are taken from their own pages under
their own terms.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from suite.errors import Missing
from suite.manifest import file_digest, key_of
from suite.paths import data_path, listing_digest
from suite.provenance import ROOT

if TYPE_CHECKING:
    from experiments.sample_synthesis.config_sections import RealConfig

SPLIT_FILE = "our_train_test_split.txt"  # of CUB; published name
LISTS = (".csv", ".txt", ".json", ".mat", ".pickle")  # annotations and splits
STANDINS = ROOT / "assets" / "sample_synthesis"


@dataclass(frozen=True)
class Home:
    """One data set."""

    title: str
    page: str
    terms: str
    folder: str  # below DATA_DIR, in the published layout
    files: str  # what is expected there


HOMES = {
    "qr_csv": Home(
        "the QR code set of ImageU (ICIP 2019)", "https://github.com/ImageU/QR_codes_dataset",
        "given out by its authors against a signed agreement", "data/qr_codes",
        "images/<id>.jpg and qr_codes_{train,valid,test}.csv",
    ),
    "fddb": Home(
        "FDDB", "http://vis-www.cs.umass.edu/fddb/",
        "its README states no licence and asks to cite UM-CS-2010-009", "data/FDDB",
        "the pictures (2002/..., 2003/...) and FDDB-folds/",
    ),
    "cub": Home(
        "CUB-200-2011", "http://www.vision.caltech.edu/datasets/cub_200_2011/",
        "see its page; the photographs belong to their makers", "data/CUB_200_2011/CUB_200_2011",
        "images.txt, bounding_boxes.txt, images/ and the split file",
    ),
    "cars": Home(
        "Stanford Cars", "https://ai.stanford.edu/~jkrause/cars/car_dataset.html",
        "see its page; the photographs belong to their makers", "data/stanford_cars",
        "cars_train/, cars_test/ and devkit/cars_{train,test}_annos.csv or .mat",
    ),
    "coco": Home(
        "your own set", "docs/bring-your-own-data.md", "yours", "data/<name>",
        "train.json, valid.json, test.json and images/",
    ),
}  # fmt: skip


def absent(kind: str, path: Path) -> Missing:
    """The error for a data set that is not there: page, terms, folder."""
    home = HOMES[kind]
    fix = f"get it from {home.page} (terms: {home.terms}) and put {home.files} into {home.folder}"
    return Missing(f"{home.title} is not here", file=path, fix=fix)


def data_state(name: str, real: RealConfig) -> Any:
    """What decides the content of an object's real images besides the settings, for the key of the stage:
    names and sizes of all files, and digests of the lists; None while the set is absent. Composed stand-ins
    have none.
    """
    if real.kind == "standin":
        folder = standin_folder(name)
        files = sorted(folder.glob("*.json"))
    else:
        folder = data_path(real.folder)
        places = (folder, folder / "devkit", folder / "FDDB-folds")
        files = [path for place in places for path in sorted(place.glob("*")) if path.suffix in LISTS]
        files += [path for path in (folder.parent / SPLIT_FILE,) if path.is_file()]
    if not folder.is_dir():
        return None
    return key_of({"files": listing_digest(folder), "lists": [file_digest(path) for path in files]})


def standin_folder(name: str) -> Path:
    """Where the rendered stand-ins of an object lie; those of faces are composed when they are needed."""
    return STANDINS / {"qr": "qr_photos", "bird": "bird_scenes", "car": "car_scenes"}.get(name, name)
