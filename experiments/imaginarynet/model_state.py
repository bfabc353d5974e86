"""What of a model enters the key of a stage: that it is another one is noticed without loading it."""

from __future__ import annotations

import hashlib

from experiments.imaginarynet.models import EMBEDDED, PACKAGE_DIGEST, PACKAGED, Kind, model_folder
from suite.manifest import file_digest
from suite.paths import listing_digest

TOKENIZER_NAMES = ("tokenizer.json", "vocab.json", "merges.txt")


def model_state(kind: Kind, name: str) -> str | None:
    """A digest; None where there is no such folder, which the stage itself tells.

    Of the models in this repository every byte counts; of a folder of the user, gigabytes as a rule, the
    names and sizes of its files; of the package, the digest that it is published with.
    """
    if name == PACKAGED and kind == "lm":
        return PACKAGE_DIGEST
    folder = model_folder(kind, name)
    if name != EMBEDDED:
        return listing_digest(folder)
    if kind == "tokenizer":
        files = [folder / file for file in TOKENIZER_NAMES if (folder / file).is_file()]
    else:
        files = sorted(path for path in folder.rglob("*") if path.is_file())
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.relative_to(folder).as_posix()}\0{file_digest(path)}\n".encode())
    return digest.hexdigest() if files else None
