"""Where a data set lies on this machine, and what state it is in.

No numpy: the workflow's own Python calls it.
"""

from __future__ import annotations

from pathlib import Path

from experiments.gafi.data.catalogue import FASHION_FILES, FASHION_SYSTEM_FOLDER, SOURCES, Source
from suite.errors import Missing
from suite.manifest import file_digest, key_of
from suite.paths import data_path, listing_digest
from suite.runs import choose

OFFICIAL = "official"  # the state of Fashion-MNIST wherever its files have the known digests


def source_of(name: str) -> Source:
    """The catalogue's entry. Raises BadInput with near matches for another name."""
    return SOURCES[choose(name, list(SOURCES), "data set")]


def candidates(source: Source, folder: Path | None = None) -> list[Path]:
    """Where the data set is looked for, the first that exists wins.

    folder: the only folder (or `.npz`) to look at. Else `<name>.npz` in DATA_DIR, which is the user's own,
    then the data set's folder there, then where Debian's package puts it.
    """
    if folder is not None:
        return [Path(folder)]
    places = [data_path(f"data/{source.name}.npz"), data_path(f"data/{source.folder}")]
    if source.name == "FashionMNIST":
        places.append(Path(FASHION_SYSTEM_FOLDER))
    return places


def find(name: str, folder: Path | None = None) -> Path | None:
    """The `.npz` or the folder that holds the data set; None if there is none."""
    for place in candidates(source_of(name), folder):
        if place.is_file() or (place.is_dir() and any(place.iterdir())):
            return place
    return None


def absent(source: Source, folder: Path | None = None) -> Missing:
    """The error that says where the data set was looked for and how to get it."""
    looked = ", ".join(str(place) for place in candidates(source, folder))
    return Missing(f"{source.name} was not found (looked at {looked})", fix=f"run `{source.target}`")


def has_official_files(folder: Path) -> bool:
    """Whether all four files of Fashion-MNIST are there with their digests, packed or unpacked."""
    for name, (packed, plain) in FASHION_FILES.items():
        files = ((folder / f"{name}.gz", packed), (folder / name, plain))
        present = [(path, digest) for path, digest in files if path.is_file()]
        if not present or any(file_digest(path) != digest for path, digest in present):
            return False
    return True


def data_state(name: str, folder: Path | None = None) -> str | None:
    """What decides the content of the data set, for the key of the stage that imports it.

    Fashion-MNIST is `official` with the known digests, and also while it is absent, because what is fetched
    then has them; so the key is the same before and after, on the host and in the image. Others: a digest,
    None if absent.
    """
    found = find(name, folder)
    if source_of(name).name == "FashionMNIST" and (found is None or has_official_files(found)):
        return OFFICIAL
    if found is None:
        return None
    if found.is_file():
        return file_digest(found)
    files = [path for path in sorted(found.iterdir()) if path.is_file()]
    return key_of({"files": [file_digest(path) for path in files], "tree": listing_digest(found)})
