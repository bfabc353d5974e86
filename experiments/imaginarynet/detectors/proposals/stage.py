"""`proposals`: boxes that may hold an object, for every picture that WSDDN, OICR and W2N read.

python -m experiments.imaginarynet proposals --config FILE --out DIR [--export DIR]

00000/proposals.npz ...   one file per shard (book.py)
Shard i of n takes the pictures at places i, i + n, ... of the list; no box depends on n. Boxes come from the
pixels alone. A picture that does not decode has no proposals, as one in which nothing was found; both are
counted, and training leaves them out.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from experiments.imaginarynet.arms import trained_arms
from experiments.imaginarynet.config_detectors import ProposalsConfig, SettingConfig
from experiments.imaginarynet.detectors.data.load import load_sources, load_target
from experiments.imaginarynet.detectors.data.records import picture_digest, read_picture
from experiments.imaginarynet.detectors.proposals.book import write_book
from experiments.imaginarynet.detectors.proposals.cache import Cache
from experiments.imaginarynet.detectors.proposals.external import External, check_names, read_external
from experiments.imaginarynet.detectors.proposals.records import Proposals
from experiments.imaginarynet.detectors.proposals.search import keep_inside, selective_search
from suite.errors import BadInput
from suite.manifest import WORK, write_json
from suite.stage import Context

if TYPE_CHECKING:
    from experiments.imaginarynet.config import ImaginaryNetConfig

LIST = "pictures.json"  # absolute paths; in the work folder, gone when the stage is done


def prepare(ctx: Context) -> None:
    """List the pictures once for all shards. Raises BadInput for a faulty set or file of proposals."""
    files = list_pictures(ctx.config, ctx.inputs.get("export"), seed=ctx.seed)
    for external in _externals(ctx.config.proposals):
        check_names(external, files)
    write_json(ctx.work / LIST, [str(file) for file in files])


def list_pictures(config: ImaginaryNetConfig, export: Path | None, *, seed: int) -> list[Path]:
    """The target's training and test pictures and the imaginary ones that an arm learns from, each once."""
    target = load_target(config)
    files = [target.train_dir / image.file_name for image in target.train.images]
    files += [target.test_dir / image.file_name for image in target.test.images]
    if any("imaginary" in config.settings[arm.setting].image_labels for arm in trained_arms(config)):
        setting = SettingConfig(image_labels=("imaginary",))
        data = load_sources(config, export, setting, seed=seed)
        files += [picture.file for picture in data.image_labels.pictures]
    return list(dict.fromkeys(file.absolute() for file in files))


def run(ctx: Context) -> None:
    """One shard."""
    settings: ProposalsConfig = ctx.config.proposals
    listed = [Path(file) for file in json.loads((ctx.out.parent / WORK / LIST).read_text(encoding="utf-8"))]
    files = listed[ctx.shard :: ctx.num_shards]
    finder = Finder(settings, Cache.of(ctx.final, settings), _externals(settings))
    found: dict[str, Proposals] = {}
    with ctx.progress(len(files)) as bar:
        for file in files:
            ctx.check_stop()
            digest = picture_digest(file)
            if digest not in found:
                found[digest] = finder.find(digest, file)
            bar.advance()
    write_book(ctx.out, found)
    _tell(ctx, finder, found, num_files=len(files))


@dataclass
class Finder:
    """Proposals of one picture after the other: from a user's file, from the cache, or searched."""

    settings: ProposalsConfig
    cache: Cache
    externals: Sequence[External] = ()
    num_unreadable: int = 0
    num_outside: int = 0  # boxes of a user's file that lie outside of their picture
    num_external: int = 0  # pictures of a user's file

    def find(self, digest: str, file: Path) -> Proposals:
        """Those of `file`, whose digest is `digest`; none where it does not decode."""
        found = (one.find(digest, file.name) for one in self.externals)
        given = next((one for one in found if one is not None), None)  # an empty one is given, too
        try:
            if given is None:
                return self.cache.get(digest, lambda: selective_search(read_picture(file), self.settings))
            height, width = read_picture(file).shape[:2]
        except BadInput:
            self.num_unreadable += 1
            return Proposals.of(np.zeros((0, 4)))
        kept, num_outside = keep_inside(given, self.settings, height=height, width=width)
        self.num_external += 1
        self.num_outside += num_outside
        return kept


def _externals(settings: ProposalsConfig) -> list[External]:
    return [read_external(path) for path in settings.paths]


def _tell(ctx: Context, finder: Finder, found: dict[str, Proposals], *, num_files: int) -> None:
    empty = sum(not len(proposals) for proposals in found.values())
    ctx.count("pictures", num_files)
    ctx.count("proposals", sum(len(proposals) for proposals in found.values()))
    ctx.count("pictures without proposals", empty)
    ctx.count("unreadable pictures", finder.num_unreadable)
    ctx.count("proposals outside of the picture", finder.num_outside)
    ctx.count("pictures with given proposals", finder.num_external)
    if finder.num_unreadable:
        ctx.warn("some pictures do not decode and have no proposals; how many is among the counts")
    if empty > finder.num_unreadable:
        ctx.warn("nothing was found in some pictures, which training leaves out; how many is in the counts")
    if finder.num_outside:
        ctx.warn("some given proposals lie outside of their pictures and are dropped; see the counts")
