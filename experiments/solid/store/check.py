"""`check`: verify every sample of the store; name exactly the missing and the damaged ones.

    python -m experiments.solid check --config FILE --out DIR [--repair]
        --clean DIR --rooms DIR --store DIR --targets DIR --queries DIR

For every target: it is there, the PNG decodes to the right size, labels equal boxes, boxes are tight and
half-open, classes exist, ratio and visibility are in range, the scene file belongs to it. For every class:
its views are there, decode, fit and differ. For every shard: the files have the size and digest of the
shard's manifest. Of up to 256 scene files: the placement rules (a violation is a warning). Output:
`check.json`; exit 2 if anything is missing or damaged. With `--repair` the good samples of damaged shards
become checkpoints again, so that the next run of the stage renders exactly the missing ones.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from experiments.solid.store.invariants import (
    equal_shots,
    parse_scene,
    query_problems,
    scene_problems,
    target_problems,
)
from experiments.solid.store.reader import MissingSample, SolidStore
from experiments.solid.store.repair import repair_stage
from experiments.solid.store.scene_audit import SceneAudit
from experiments.solid.store.schema import GIVEN_UP, VALID, Group
from experiments.solid.store.statistics import TargetStatistics, distribution_warnings
from suite.errors import BadInput
from suite.family import process_pool
from suite.manifest import file_digest, read_manifest, write_json
from suite.stage import Context

RESULT = "check.json"
MAX_NAMED = 10  # indices in the error line; the file and stdout hold all
# Below this many samples per process its start (a second of imports) costs more than it saves.
SAMPLES_PER_PROCESS = 500

# (index, scene file) -> violated placement rules; None: not looked at
Audit = Callable[[int, str], list[str] | None]


@dataclass
class ShardReport:
    """What is wrong with one shard, and what its good samples look like."""

    group: Group
    shard: int
    finished: int = 0
    given_up: list[int] = field(default_factory=list)
    missing: list[int] = field(default_factory=list)
    bad: dict[int, list[str]] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)  # complaints about whole files
    notes: list[str] = field(default_factory=list)  # odd but allowed
    audited: int = 0
    violations: list[str] = field(default_factory=list)  # of the composer's rules; not the store's fault
    statistics: TargetStatistics | None = None

    @property
    def is_good(self) -> bool:
        return not (self.missing or self.bad or self.files)

    def good_rows(self, rows: Iterable[int]) -> list[int]:
        """Rows that passed every test."""
        return [row for row in rows if row not in self.bad and row not in self.missing]


def check_shard(
    task: tuple[Group, int], *, store: Path, stages: Mapping[str, Path], audit: Audit | None = None
) -> ShardReport:
    """Verify one shard; runs in a worker process."""
    group, shard = task
    opened = SolidStore.open(store)
    report = ShardReport(group, shard)
    damaged = False
    if group in stages:
        report.files, damaged = file_problems(stages[group], shard)
    if group == "targets":
        report.statistics = TargetStatistics()
    rows = opened.layout.shard_rows(group, shard)
    states = opened.states(group, shard)
    for row, state in zip(rows, states, strict=True):
        if state == GIVEN_UP:
            report.given_up.append(row)
        elif state != VALID:
            report.missing.append(row)
        else:
            _check_row(opened, group, row, report, audit)
    report.finished = len(rows) - len(report.given_up) - len(report.missing) - len(report.bad)
    if damaged and not report.missing and not report.bad:
        # The bytes are not those that were written, and no sample shows which one changed.
        report.bad = {row: ["its shard's files are not those that were written"] for row in rows}
        report.finished = 0
    return report


def _check_row(store: SolidStore, group: Group, row: int, report: ShardReport, audit: Audit | None) -> None:
    try:
        problems = _problems(store, group, row, report, audit)
    except MissingSample:
        report.missing.append(row)
        return
    except BadInput as error:
        problems = [error.what]
    if problems:
        report.bad[row] = problems


def _problems(
    store: SolidStore, group: Group, row: int, report: ShardReport, audit: Audit | None
) -> list[str]:
    if group == "queries":
        query = store.read_query_sample(row)
        report.notes += [f"class {row}: views {i} and {j} are equal" for i, j in equal_shots(query)]
        return query_problems(query, store.layout)
    target = store.read_target(row)
    scene = parse_scene(target.scene)
    problems = target_problems(target, store.layout) + scene_problems(scene, target, row)
    if not problems:
        report.statistics.add(target, scene)
        violations = audit(row, target.scene) if audit else None
        report.audited += violations is not None
        report.violations += [f"target {row}: {text}" for text in violations or ()]
    return problems


def file_problems(stage_dir: Path, shard: int) -> tuple[list[str], bool]:
    """Complaints about a shard's files, by its manifest; and whether bytes are at fault."""
    manifest = read_manifest(stage_dir / f"{shard:05d}")
    if manifest is None:
        return [f"shard {shard} has no manifest"], False
    problems = []
    for row in manifest["outputs"]:
        path = stage_dir / row["path"]
        if not path.is_file():
            problems.append(f"{row['path']} is gone")
        elif path.stat().st_size != row["bytes"] or file_digest(path) != row["sha256"]:
            problems.append(f"{row['path']} differs from its digest")
    return problems, bool(problems)


def check_store(
    store: Path,
    *,
    stages: Mapping[str, Path],
    audit: Audit | None = None,
    processes: int | None = None,
    on_shard: Callable[[ShardReport], None] = lambda report: None,
) -> list[ShardReport]:
    """Verify every shard of both groups. `stages`: finished folders by group, for the digests."""
    layout = SolidStore.open(store).layout
    tasks: list[tuple[Group, int]] = [
        (g, s) for g in ("targets", "queries") for s in range(layout.num_shards(g))
    ]
    if processes is None:
        samples = layout.num_images + layout.num_classes
        processes = min(len(os.sched_getaffinity(0)), 1 + samples // SAMPLES_PER_PROCESS, len(tasks))
    work = partial(check_shard, store=Path(store), stages=dict(stages), audit=audit)
    reports = []
    if processes == 1:
        for report in map(work, tasks):
            on_shard(report)
            reports.append(report)
        return reports
    with process_pool(processes) as pool:
        try:
            for report in pool.map(work, tasks):
                on_shard(report)
                reports.append(report)
        except BaseException:  # SIGTERM between shards: do not start the rest
            pool.shutdown(cancel_futures=True)
            raise
    return reports


def summarize(reports: Iterable[ShardReport]) -> dict[str, Any]:
    """The content of check.json: indices and reasons by group, and the statistics of all good targets."""
    audit: dict[str, Any] = {"scenes": 0, "violations": []}
    tree: dict[str, Any] = {"audit": audit}
    statistics = TargetStatistics()
    for report in reports:
        group = tree.setdefault(
            report.group, {"finished": 0, "missing": [], "given_up": [], "bad": {}, "files": [], "notes": []}
        )
        group["finished"] += report.finished
        audit["scenes"] += report.audited
        audit["violations"] += report.violations
        for name in ("missing", "given_up", "files", "notes"):
            group[name] += getattr(report, name)
        group["bad"].update({str(row): problems for row, problems in sorted(report.bad.items())})
        if report.statistics is not None:
            statistics.merge(report.statistics)
    tree["statistics"] = statistics.to_tree()
    return tree


def complaint(tree: Mapping[str, Any]) -> str | None:
    """One line that names the first missing and damaged samples; None if the store is good."""
    parts = []
    for group in ("targets", "queries"):
        found = tree.get(group, {"missing": [], "bad": {}, "files": []})
        if found["missing"]:
            parts.append(f"{group} missing: {_few(found['missing'])}")
        if found["bad"]:
            parts.append(f"{group} damaged: {_few(found['bad'])}")
        if found["files"] and not (found["missing"] or found["bad"]):
            parts.append(f"{group}: {found['files'][0]}")
    return "; ".join(parts) or None


def _few(rows: Iterable[int | str]) -> str:
    rows = list(map(str, rows))
    return ", ".join(rows[:MAX_NAMED]) + (f", ... ({len(rows)} in all)" if len(rows) > MAX_NAMED else "")


def run(ctx: Context) -> None:
    """The stage. Raises BadInput (exit 2) if anything is missing or damaged."""
    store = ctx.inputs["store"]
    stages = {group: ctx.inputs[group] for group in ("targets", "queries")}
    layout = SolidStore.open(store).layout
    total = layout.num_shards("targets") + layout.num_shards("queries")
    with ctx.progress(total, "check: shards") as bar:

        def on_shard(report: ShardReport) -> None:
            bar.advance()
            ctx.check_stop()

        audit = SceneAudit(ctx.inputs["clean"], ctx.inputs["rooms"], ctx.config, layout.num_images)
        reports = check_store(store, stages=stages, audit=audit, on_shard=on_shard)
    tree = summarize(reports)
    tree["warnings"] = _warnings(tree, ctx)
    write_json(ctx.out / RESULT, tree)
    ctx.count("scenes_audited", tree["audit"]["scenes"])
    for group in stages:
        ctx.count(f"{group}_good", tree[group]["finished"])
        ctx.count(f"{group}_given_up", len(tree[group]["given_up"]))
    told = complaint(tree)
    if told is None:
        return
    _print_all(tree)
    if ctx.options.get("repair"):
        for group, folder in stages.items():
            repair_stage(store, group, folder, [r for r in reports if r.group == group and not r.is_good])
        fix = "the good samples are checkpoints again; run the same make command to render the rest"
    else:
        fix = "add --repair to keep the good samples and render exactly these again"
    raise BadInput(f"{told}; all of them: {ctx.out / RESULT}", file=store, fix=fix)


def _warnings(tree: dict[str, Any], ctx: Context) -> list[str]:
    statistics = TargetStatistics.from_tree(tree["statistics"])
    for text in distribution_warnings(statistics, ctx.config.layout) + tree["queries"]["notes"]:
        ctx.warn(text)
    violations = tree["audit"]["violations"]
    if violations:
        ctx.warn(f"{len(violations)} placement rules are violated, first: {violations[0]}")
    without = sorted(set(statistics.class_boxes) & set(tree["queries"]["given_up"]))
    if without:
        ctx.warn(f"{len(without)} classes stand in targets but have no query: {_few(without)}")
    return list(ctx.warnings)


def _print_all(tree: Mapping[str, Any]) -> None:
    for group in ("targets", "queries"):
        found = tree[group]
        if found["missing"]:
            print(f"{group} missing: {' '.join(map(str, found['missing']))}")
        for row, problems in found["bad"].items():
            print(f"{group} {row}: {'; '.join(problems)}")
        for problem in found["files"]:
            print(f"{group}: {problem}")
