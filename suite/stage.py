"""The stage contract: a plain function with a plain command, that can be killed anywhere.

A stage reads the finished folders it is given, works in `<out>.part`, writes `manifest.json` as its last
act and renames the folder. A wide stage does so once per shard, below its own `<out>.part`; when all
shards are there it is gathered by the same manifest-and-rename. A run killed anywhere leaves a finished
shard, a resumable `.part`, or nothing.
"""

from __future__ import annotations

import fcntl
import importlib
import json
import os
import shlex
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from suite import manifest as record
from suite import ranks
from suite.config import dump, to_tree
from suite.errors import BadInput, Stopped
from suite.progress import Progress
from suite.provenance import ROOT, Meter, all_packages, environment, git_state, host, package_versions


@dataclass(frozen=True, kw_only=True)
class Stage:
    """What is to know about a stage without running it. `run` and `prepare` are named, not imported."""

    system: str
    name: str  # the verb
    summary: str  # one line for --help
    toolchain: str
    version: int  # bumped when the meaning of the output changes, never for formatting
    run: str  # "package.module:function", called with a Context
    inputs: tuple[str, ...] = ()  # names of earlier stages' folders; flags --<name> DIR
    config: tuple[str, ...] = ()  # dotted sections of the config that matter to the output
    decides: tuple[str, ...] = ()  # packages whose version decides the output
    files: tuple[str, ...] = ()  # files of the repository that it reads; their digests enter the key
    outside: Callable[[Any], Any] | None = None  # config -> JSON value: the state of a user folder
    flags: tuple[str, ...] = ()  # boolean options that do not change the output
    num_shards: Callable[..., int] | None = None  # wide stages: (config, finished inputs or None) -> number
    prepare: str | None = None  # wide stages: once, before any shard
    disk_bytes: Callable[[Any], int] | None = None  # estimate for the whole stage
    ranks: bool = False  # may run as several processes of one torchrun; rank 0 alone locks, writes, commits
    always: bool = False  # verbs that look at the disk as it is: never up to date
    uses_gpu: bool = True  # False: works on the CPU whatever the device of the run, and waits for no GPU
    optional: bool = False  # not part of the default run: started by `--until <name>` alone

    @property
    def is_wide(self) -> bool:
        return self.num_shards is not None

    def config_tree(self, config: Any) -> dict[str, Any]:
        """The part of the resolved config that enters the key: {dotted name: value}."""
        tree = to_tree(config)
        return {name: _dig(tree, name) for name in self.config}

    def key_parts(
        self, config: Any, *, seed: int, inputs: Mapping[str, str], packages: Mapping[str, str]
    ) -> dict[str, Any]:
        """What decides the output; `manifest.key_of` hashes it."""
        return {
            "system": self.system,
            "stage": self.name,
            "version": self.version,
            "config": self.config_tree(config),
            "seed": seed,
            "inputs": dict(inputs),
            "packages": dict(packages),
            "files": {name: record.file_digest(ROOT / name) for name in self.files},
            "outside": self.outside(config) if self.outside else None,
        }


def _dig(tree: Any, dotted: str) -> Any:
    for part in dotted.split("."):
        tree = tree[part]
    return tree


def resolve(name: str) -> Callable[..., Any]:
    """Import "package.module:function"."""
    module, _, function = name.partition(":")
    return getattr(importlib.import_module(module), function)


class StopFlag:
    """Set by SIGTERM. A stage asks between two items, so that the item at hand is finished and kept."""

    def __init__(self) -> None:
        self.is_set = False

    def install(self) -> None:
        signal.signal(signal.SIGTERM, self._set)

    def _set(self, *_: object) -> None:
        self.is_set = True


STOP = StopFlag()


@dataclass(kw_only=True)
class Context:
    """What a stage's function gets."""

    stage: Stage
    config: Any
    seed: int
    device: str
    inputs: dict[str, Path]
    out: Path  # the work folder: write here
    final: Path  # the stage's --out, where the result will stand
    key: str
    options: dict[str, bool] = field(default_factory=dict)
    shard: int | None = None
    num_shards: int = 1
    rank: int = 0  # under torchrun; what a rank above 0 writes, counts or says goes nowhere
    counts: Counter[str] = field(default_factory=Counter)
    warnings: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(
        default_factory=dict
    )  # extra figures for the manifest, e.g. seconds per phase
    outside: list[Path] = field(default_factory=list)

    def count(self, name: str, items: int = 1) -> None:
        """Add to a row count of the manifest."""
        self.counts[name] += items

    def warn(self, text: str) -> None:
        """Say it once now and keep it for the manifest and the report."""
        if text not in self.warnings:
            self.warnings.append(text)
            if self.rank == 0:
                print(f"warning: {self.label}: {text}", file=sys.stderr)

    def event(self, name: str, **facts: Any) -> None:
        """One line in the log; kept in `.events.jsonl` of the work folder, which survives a kill."""
        if self.rank:
            return
        with (self.out / ".events.jsonl").open("a", encoding="utf-8") as stream:
            stream.write(json.dumps({"event": name, **facts}) + "\n")
        if not sys.stderr.isatty():
            print(
                f"{self.label}: {name} " + " ".join(f"{k}={v}" for k, v in facts.items()),
                file=sys.stderr,
                flush=True,
            )

    def progress(self, total: int, name: str | None = None, *, done: int = 0) -> Progress:
        return Progress(total, name or self.label, done=done, silent=self.rank > 0)

    def check_stop(self, *, told: bool = False) -> None:
        """Raise Stopped after SIGTERM. Call it between items, when what is finished is on the disk.

        told: another rank of the same torchrun got the signal.
        """
        if STOP.is_set or told:
            raise Stopped(f"{self.label} stopped by SIGTERM", fix="the same command goes on from here")

    def output(self, path: Path) -> None:
        """Register a file outside the work folder that this shard alone owns (a shard file of a shared
        array).
        """
        self.outside.append(Path(path))

    @property
    def work(self) -> Path:
        """Folder for checkpoints; removed once the manifest stands."""
        folder = self.out / record.WORK
        folder.mkdir(exist_ok=True)
        return folder

    @property
    def label(self) -> str:
        shard = "" if self.shard is None else f"[{self.shard}]"
        return f"{self.stage.system}.{self.stage.name}{shard}"


@dataclass(kw_only=True)
class Job:
    """One invocation of a stage: the stage, its resolved settings and where the result goes."""

    stage: Stage
    config: Any
    seed: int
    device: str
    inputs: dict[str, Path]
    out: Path
    options: dict[str, bool] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if ranks.world_size() > 1 and not self.stage.ranks:
            raise BadInput(f"`{self.stage.name}` runs as one process", fix="start it without torchrun")
        keys = {name: record.input_key(name, folder) for name, folder in self.inputs.items()}
        packages = package_versions(self.stage.decides)
        self.out = Path(os.path.abspath(self.out))
        self.inputs = {name: Path(os.path.abspath(folder)) for name, folder in self.inputs.items()}
        self.key_parts = self.stage.key_parts(self.config, seed=self.seed, inputs=keys, packages=packages)
        self.key = record.key_of(self.key_parts)
        self.part = record.part_of(self.out)
        self.num_shards = self.stage.num_shards(self.config, self.inputs) if self.stage.num_shards else 1

    def context(self, folder: Path, *, shard: int | None = None) -> Context:
        return Context(
            stage=self.stage, config=self.config, seed=self.seed, device=self.device, inputs=self.inputs,
            out=folder, final=self.out, key=self.key, options=self.options,
            shard=shard, num_shards=self.num_shards, rank=ranks.rank(),
        )  # fmt: skip

    # -- narrow stages --------------------------------------------------------------------------------

    def run(self) -> bool:
        """Do the whole stage in this process. Returns False when it was up to date."""
        if self.stage.is_wide:
            if ranks.world_size() > 1:
                raise BadInput("under torchrun one shard is done at a time", fix="name it with --shard I")
            missing = self.list_missing()
            if missing is None:
                return False
            for shard in missing:
                self.run_shard(shard)
            self.gather()
            return True
        if not self.stage.always and record.is_done(self.out, self.key):
            return False
        if ranks.rank():
            return self._follow()
        with self._locked():
            record.refuse_foreign(self.out, self.part)
            record.open_part(self.part, self.key)
            self._work(self.part, self.out)
        return True

    def _follow(self, shard: int | None = None) -> bool:
        """A rank above 0 computes along with rank 0; the folder that it gets is thrown away."""
        with tempfile.TemporaryDirectory(prefix="syndet-rank-") as folder:
            resolve(self.stage.run)(self.context(Path(folder), shard=shard))
        return True

    def _work(self, part: Path, out: Path, shard: int | None = None) -> None:
        meter = Meter()
        context = self.context(part, shard=shard)
        resolve(self.stage.run)(context)
        self._finish(context, meter, part, out)

    def _finish(self, context: Context, meter: Meter, part: Path, out: Path, **extra: Any) -> None:
        (part / ".events.jsonl").unlink(missing_ok=True)
        if context.shard is None:
            (part / "config.yaml").write_text(dump(self.config), encoding="utf-8")
        # Recorded relative to --out: a shard is committed inside the work folder, which gets that name later.
        final = self.out if context.shard is None else self.out / out.name
        outputs = (
            []
            if "shards" in extra
            else record.describe_outputs(part, context.outside, base=self.out, final=final)
        )
        tree = {
            "schema": record.SCHEMA,
            "system": self.stage.system,
            "stage": self.stage.name,
            "shard": context.shard,
            "key": self._shard_key(context.shard),
            "key_parts": self.key_parts,
            "command": shlex.join(sys.orig_argv),
            "config": to_tree(self.config),
            "inputs": {
                n: {"path": os.path.relpath(f, self.out), "key": self.key_parts["inputs"][n]}
                for n, f in self.inputs.items()
            },
            "outputs": outputs,
            "packages": all_packages(),
            "environment": environment(),
            "git": git_state(),
            "host": host(),
            "device": self.device,
            "counts": dict(context.counts),
            "facts": context.facts,
            "warnings": context.warnings,
            **meter.read(),
            **extra,
        }
        record.write_json(part / record.MANIFEST, tree)
        record.commit(part, out)

    # -- wide stages --------------------------------------------------------------------------------

    def _shard_key(self, shard: int | None) -> str:
        return self.key if shard is None else record.shard_key(self.key, shard)

    def shard_done(self, shard: int) -> bool:
        """Whether the shard is finished, in the work folder or in the finished stage."""
        return record.shard_done(self.out, self.key, shard)

    def list_missing(self) -> list[int] | None:
        """Prepare the work folder, return the unfinished shards; None when the whole stage is up to date."""
        manifest = record.read_manifest(self.out)
        if manifest is not None and manifest["key"] == self.key:
            missing = [s for s in range(self.num_shards) if not self.shard_done(s)]
            if not missing:
                return None
            record.reopen(self.out)
        with self._locked():
            record.refuse_foreign(self.out, self.part)
            fresh = record.read_json(self.part / record.KEY_FILE) != {"key": self.key}
            record.open_part(self.part, self.key)
            if self.stage.prepare and (fresh or not (self.part / ".prepared").exists()):
                resolve(self.stage.prepare)(self.context(self.part))
                (self.part / ".prepared").touch()
        return [s for s in range(self.num_shards) if not self.shard_done(s)]

    def run_shard(self, shard: int) -> bool:
        """Do one shard. Returns False when it was up to date."""
        if not 0 <= shard < self.num_shards:
            fix = f"choose one of 0 to {self.num_shards - 1}"
            raise BadInput(f"--shard {shard}: there is no such shard", fix=fix)
        if self.shard_done(shard):
            return False
        if ranks.rank():
            return self._follow(shard)
        if record.read_json(self.part / record.KEY_FILE) != {"key": self.key}:
            self.list_missing()
        self._check_disk()
        part = record.part_of(self.part / f"{shard:05d}")
        with self._locked(part):
            record.open_part(part, self._shard_key(shard))
            self._work(part, self.part / f"{shard:05d}", shard)
        return True

    def gather(self) -> bool:
        """All shards are there: write the stage's manifest, rename. Returns False when it was up to date."""
        missing = self.list_missing()
        if missing is None:
            return False
        if missing:
            what = f"{len(missing)} of {self.num_shards} shards are missing: {_few(missing)}"
            raise BadInput(what, file=self.out, fix="do them with --shard I")
        meter = Meter()
        context = self.context(self.part)
        shards = []
        for shard in range(self.num_shards):
            row = record.read_manifest(self.part / f"{shard:05d}")
            context.counts.update(row["counts"])
            context.warnings += [w for w in row["warnings"] if w not in context.warnings]
            usage = {
                k: row[k]
                for k in ("wall_seconds", "cpu_seconds", "peak_rss_bytes", "peak_gpu_bytes", "facts")
            }
            digest = record.key_of({"outputs": row["outputs"]})
            shards.append({"shard": shard, "key": row["key"], "outputs_sha256": digest, **usage})
        (self.part / ".prepared").unlink(missing_ok=True)
        self._finish(context, meter, self.part, self.out, shards=shards)
        return True

    def _check_disk(self) -> None:
        if self.stage.disk_bytes is None:
            return
        need = self.stage.disk_bytes(self.config) // self.num_shards
        free = shutil.disk_usage(self.part).free
        if free < need:
            fix = "free some space and run the same command again"
            raise BadInput(
                f"a shard needs about {need / 1e6:.0f} MB, {free / 1e6:.0f} MB are free",
                file=self.part,
                fix=fix,
            )

    @contextmanager
    def _locked(self, folder: Path | None = None) -> Iterator[None]:
        """One process per work folder; the lock dies with its holder."""
        folder = folder or self.part
        lock = folder.with_name(f".{folder.name}.lock")
        try:
            lock.parent.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise BadInput(
                "a file stands where a folder is needed", file=lock.parent, fix="choose another --out"
            ) from None
        with lock.open("a") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise BadInput(
                    "another process works on this", file=folder, fix="wait for it, or stop it"
                ) from None
            yield


def _few(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers[:10])) + (", ..." if len(numbers) > 10 else "")
