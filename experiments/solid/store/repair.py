"""Turn a damaged shard back into unfinished work, so that its stage renders exactly what is missing.

A finished stage becomes a work folder (`<stage>.part`); a damaged shard in it loses its manifest and becomes
a work folder of its own, whose checkpoints are the samples that passed the check. Everything else stays as it
is.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.solid.store.reader import SolidStore
from experiments.solid.store.samples import GivenUp, Sample, save_sample
from experiments.solid.store.schema import Group
from suite.manifest import KEY_FILE, WORK, part_of, read_json, read_manifest, reopen, shard_key, write_json

if TYPE_CHECKING:
    from experiments.solid.store.check import ShardReport


def repair_stage(store: Path, group: Group, stage_dir: Path, reports: Iterable[ShardReport]) -> int:
    """Reopen `stage_dir` for the shards of `reports`; returns how many samples were kept as checkpoints.

    Safe to repeat: a second call finds the work folder of the first.
    """
    reports = list(reports)
    if not reports:
        return 0
    opened = SolidStore.open(store)
    kept = 0
    folder = reopen(stage_dir)
    for report in reports:
        rows = opened.layout.shard_rows(group, report.shard)
        shard_dir = folder / f"{report.shard:05d}"
        work = part_of(shard_dir)
        shutil.rmtree(work, ignore_errors=True)
        (work / WORK).mkdir(parents=True)
        for row in report.good_rows(rows):
            save_sample(work / WORK, row, _sample(opened, group, row, row in report.given_up))
            kept += 1
        write_json(work / KEY_FILE, {"key": _shard_key(folder, report.shard)})
        shutil.rmtree(shard_dir, ignore_errors=True)
    return kept


def _sample(store: SolidStore, group: Group, row: int, given_up: bool) -> Sample:
    if given_up:
        return GivenUp("given up in an earlier run")
    return store.read_target(row) if group == "targets" else store.read_query_sample(row)


def _shard_key(stage_part: Path, shard: int) -> str:
    """The key of a shard: from its manifest; where that is lost, from the key of its stage."""
    manifest = read_manifest(stage_part / f"{shard:05d}")
    if manifest is not None:
        return manifest["key"]
    stage = read_json(stage_part / KEY_FILE) or {"key": ""}
    return shard_key(stage["key"], shard)
