"""What lies below RUNS_DIR: the reports of runs, by system and scale, and the results of audits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from suite.manifest import read_json, read_manifest
from suite.overall.figure_files import read_figures
from suite.report.provenance import StageRecord, collect
from suite.runs import target_of

DIGEST = 12  # characters of a digest that are shown; results.json has them all
NO_IMAGE = "no image: virtual environment from the lock"
AUDIT_KEYS = {"audit", "command", "machine", "seconds", "counts", "passed", "skipped", "cases"}
CASE_KEYS = {"group", "name", "passed", "outcome", "detail"}
SCALES = ("tiny", "smoke", "small", "medium", "paper")  # upward


@dataclass(frozen=True, eq=False)
class RunReport:
    """A finished report: RUNS_DIR/<system>/<scale>/seed<k>/report."""

    system: str
    scale: str
    seed: int
    folder: Path

    @cached_property
    def manifest(self) -> Mapping[str, Any]:
        return read_manifest(self.folder) or {}

    @cached_property
    def summary(self) -> Mapping[str, Any]:
        return read_json(self.folder / "summary.json") or {}

    @cached_property
    def stages(self) -> list[StageRecord]:
        """The report and all that it was made from, each after its inputs."""
        return in_order(collect([self.folder], ()))

    @property
    def figures(self) -> list[dict[str, Any]]:
        return read_figures(self.folder)

    @property
    def outdated(self) -> list[str]:
        """What was made anew since: the figures are of the one before."""
        found = []
        for stage in self.stages:
            for row in stage.manifest["inputs"].values():
                there = read_manifest(stage.folder / row["path"])
                if there is not None and there["key"] != row["key"]:
                    made = f"{stage.name} was made from another {there.get('stage')} than the one there now"
                    found.append(f"{made}; `make {target_of(self.system)}` brings it up to date")
        return found

    @property
    def worker_seconds(self) -> float:
        return sum(stage.wall_seconds for stage in self.stages)

    @property
    def cpu_seconds(self) -> float:
        return sum(stage.cpu_seconds for stage in self.stages)

    @property
    def peak_rss_bytes(self) -> int:
        return max((stage.peak_rss_bytes for stage in self.stages), default=0)

    @property
    def commit(self) -> str:
        return commit_of(self.manifest)

    @property
    def is_dirty(self) -> bool:
        """Whether the repository had changes; False where no git program was at hand."""
        return bool((self.manifest.get("git") or {}).get("dirty"))


@dataclass(frozen=True, eq=False)
class Group:
    """The runs of one system at one scale: they differ in the seed."""

    system: str
    scale: str
    runs: tuple[RunReport, ...]

    @property
    def first(self) -> RunReport:
        """The run whose figures, stages and settings are shown."""
        return self.runs[0]

    @property
    def seeds(self) -> tuple[int, ...]:
        return tuple(run.seed for run in self.runs)

    @property
    def deviations(self) -> list[Mapping[str, Any]]:
        """Settings of the first run that differ from the published ones: key, here, published."""
        return list(self.first.summary.get("deviations", ()))

    @property
    def switches(self) -> list[Mapping[str, Any]]:
        """Switches of the first run that do not do as published: key, here, published, why."""
        return list(self.first.summary.get("switches", ()))

    @property
    def num_deviations(self) -> int:
        """Of the run that has most; -1 where one does not say."""
        counts = [len(run.summary["deviations"]) if "deviations" in run.summary else -1 for run in self.runs]
        return -1 if -1 in counts else max(counts)

    @property
    def warnings(self) -> list[tuple[str, str, int]]:
        """(stage, text, runs that say so)."""
        told = Counter(
            (stage.name, text)
            for run in self.runs
            for stage in run.stages
            for text in dict.fromkeys(stage.manifest.get("warnings", ()))
        )
        told.update(("report", text) for run in self.runs for text in run.outdated)
        return [(stage, text, count) for (stage, text), count in told.items()]

    @property
    def is_mixed(self) -> bool:
        """Whether the runs differ in more than the seed: then their mean says little."""
        return any(run.manifest.get("config") != self.first.manifest.get("config") for run in self.runs)


def in_order(records: Iterable[StageRecord]) -> list[StageRecord]:
    """Each stage after those that it was made from; otherwise as they come, the last found first."""
    by_folder = {record.folder.resolve(): record for record in records}
    ordered: dict[Path, StageRecord] = {}

    def visit(folder: Path) -> None:
        record = by_folder.get(folder)
        if record is None or folder in ordered:
            return
        for row in record.manifest["inputs"].values():
            visit((folder / row["path"]).resolve())
        ordered[folder] = record

    for folder in by_folder:
        visit(folder)
    return list(ordered.values())


def find_reports(runs: Path) -> list[RunReport]:
    """Every run that has a report, by system, scale and seed."""
    found = []
    for page in runs.glob("*/*/seed*/report/index.html"):
        system, scale, seed = page.parts[-5:-2]
        if seed.removeprefix("seed").isdecimal():
            found.append(RunReport(system, scale, int(seed.removeprefix("seed")), page.parent))
    return sorted(found, key=lambda run: (run.system, place_of(run.scale), run.scale, run.seed))


def place_of(scale: str) -> int:
    """Where a scale stands among SCALES; others come last."""
    return SCALES.index(scale) if scale in SCALES else len(SCALES)


def grouped(reports: Iterable[RunReport]) -> list[Group]:
    """The reports by system and scale, in their order."""
    groups: dict[tuple[str, str], list[RunReport]] = {}
    for run in reports:
        groups.setdefault((run.system, run.scale), []).append(run)
    return [Group(system, scale, tuple(runs)) for (system, scale), runs in groups.items()]


@dataclass(frozen=True)
class Environment:
    """One environment and the stages that ran in it."""

    name: str  # of the toolchain
    python: str
    image: str
    lock: str
    packages: str  # digest of the full freeze
    machine: str
    stages: tuple[str, ...]  # "solid: render, pretrain"


def environments(groups: Iterable[Group]) -> list[Environment]:
    """Every distinct environment of the runs."""
    found: dict[tuple[str, ...], dict[str, dict[str, None]]] = {}
    for group in groups:
        for run in group.runs:
            for stage in run.stages:
                key = environment_key(stage.manifest)
                found.setdefault(key, {}).setdefault(run.system, {})[stage.name] = None
    return [
        Environment(*key, stages=tuple(f"{system}: {', '.join(names)}" for system, names in by.items()))
        for key, by in sorted(found.items())
    ]


def environment_key(manifest: Mapping[str, Any]) -> tuple[str, ...]:
    """(toolchain, Python, image, lock, packages, machine) of a stage."""
    env = manifest.get("environment") or {}
    image = env.get("image")
    toolchain = image.get("toolchain") if isinstance(image, Mapping) else None
    return (
        str(toolchain or Path(env.get("prefix", "-")).name),
        str(env.get("python", "-")),
        image_text(image),
        str(env.get("lock_sha256") or "-")[:DIGEST],
        str(env.get("packages_sha256") or "-")[:DIGEST],
        machine_text(manifest.get("host") or {}),
    )


def image_text(image: Any) -> str:
    """The image that a stage ran in; without one, that it was a virtual environment made from the lock."""
    if not image:
        return NO_IMAGE
    if not isinstance(image, Mapping):
        return str(image)
    told = str(image.get("id") or "").removeprefix("sha256:")[:DIGEST]
    digest = f"id {told}" if told else "id not told by the engine"
    record = str(image.get("record_sha256") or "-")[:DIGEST]
    return f"syndet/{image.get('toolchain')}:{image.get('accel')}, {digest}, content {record}"


@dataclass(frozen=True)
class MadeBy:
    """What the page was made from, for its head."""

    runs: tuple[str, ...]  # "solid smoke, seeds 0 1 2"
    commits: tuple[str, ...]  # of the reports: "0123456789ab", with "and local changes" where there were
    machines: tuple[str, ...]  # "AMD EPYC, 2 cores, 25.3 GB, no GPU"


def made_by(groups: Iterable[Group]) -> MadeBy:
    """The runs, commits and machines behind all that the page shows; of each every distinct one."""
    names, commits, machines, before = [], {}, {}, set()
    for group in groups:
        seeds = " ".join(map(str, group.seeds))
        names.append(f"{group.system} {group.scale}, seed{'s' if len(group.seeds) > 1 else ''} {seeds}")
        for run in group.runs:
            commits[run.commit + (" and local changes" if run.is_dirty else "")] = None
            before |= {commit_of(stage.manifest) for stage in run.stages}
            machines |= {machine_text(stage.manifest.get("host") or {}): None for stage in run.stages}
    others = len(before - {commit.partition(" ")[0] for commit in commits})
    told = [f"some stages at {others} earlier ones, which their manifests name"] if others else []
    return MadeBy(tuple(names), (*sorted(commits), *told), tuple(sorted(machines)))


def commit_of(manifest: Mapping[str, Any]) -> str:
    """The commit that a stage ran at."""
    return ((manifest.get("git") or {}).get("commit") or "unknown")[:12]


def machine_text(host: Mapping[str, Any]) -> str:
    """Processor, cores, memory and GPUs in a line."""
    gpus = ", ".join(str(gpu.get("name", "GPU")) for gpu in host.get("gpus") or ()) or "no GPU"
    memory = f"{host['memory_bytes'] / 1e9:.0f} GB" if host.get("memory_bytes") else "memory unknown"
    return f"{host.get('cpu', '-')}, {host.get('cores', '-')} cores, {memory}, {gpus}"


def audits(runs: Path) -> tuple[list[Mapping[str, Any]], list[str]]:
    """The result.json of every audit that ran, each with `groups`: what was found, by kind of case; and a
    line for each that cannot be shown.
    """
    found, unread = [], []
    for path in sorted(runs.glob("audits/*/result.json")):
        tree = read_json(path)
        if is_audit(tree):
            found.append({**tree, "groups": audit_groups(tree["cases"]), "path": path})
        else:
            why = "is damaged, or not of this version"
            unread.append(f"left out: {path}: {why}; make audit-{path.parent.name}")
    return found, unread


def is_audit(tree: Any) -> bool:
    """Whether a result.json has what the page shows of an audit."""
    if not isinstance(tree, Mapping) or not AUDIT_KEYS <= tree.keys() or not isinstance(tree["cases"], list):
        return False
    return all(isinstance(case, Mapping) and CASE_KEYS <= case.keys() for case in tree["cases"])


def audit_groups(cases: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """One row a group: cases, failed, outcomes with their number."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for case in cases:
        groups.setdefault(case["group"], []).append(case)
    return [
        {
            "group": name,
            "cases": len(rows),
            "failed": sum(not row["passed"] for row in rows),
            "outcomes": ", ".join(
                f"{word} ({n})" for word, n in Counter(r["outcome"] for r in rows).most_common()
            ),
        }
        for name, rows in groups.items()
    ]
