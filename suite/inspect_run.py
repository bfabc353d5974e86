"""State of every stage of a run, without starting anything: the same keys the stages compute, from what is on
disk.

Package versions, which a stage takes from its environment, come from the toolchain's lock here. A stage
whose inputs are not up to date is judged by the keys that they will have.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from suite import manifest as record
from suite.provenance import ROOT
from suite.runs import Run
from suite.stage import Stage

DONE, NEVER, UNFINISHED, CHANGED, DAMAGED = "done", "never run", "unfinished", "out of date", "damaged"


@dataclass(frozen=True, kw_only=True)
class StageState:
    """One stage of one run."""

    name: str
    toolchain: str
    state: str
    reason: str  # why it is not done; for a done one, a note or nothing
    key: str  # that it will have, or has
    shards: int | None = None  # of a wide stage
    shards_done: int | None = None
    other_environment: bool = False  # done, but with another lock than today's
    manifest: Mapping[str, Any] | None = field(default=None, repr=False)

    @property
    def is_done(self) -> bool:
        return self.state == DONE


@cache
def bootstrap() -> ModuleType:
    """workflow/bootstrap.py as a module: it knows what an environment is made from."""
    spec = importlib.util.spec_from_file_location("syndet_bootstrap", ROOT / "workflow/bootstrap.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@cache
def lock_pins(toolchain: str) -> dict[str, str]:
    """Package -> version of a toolchain's cpu lock (what decides an output is the same in both)."""
    recipe = bootstrap().recipe(toolchain, "cpu")
    text = "\n".join(
        lock.read_text(encoding="utf-8") for lock in (recipe.lock, recipe.nodeps) if lock is not None
    )
    return {
        normal(name): version for name, version in re.findall(r"^([\w.\-]+)==([^\s;\\]+)", text, flags=re.M)
    }


def normal(name: str) -> str:
    """A distribution's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


@cache
def lock_digests(toolchain: str) -> frozenset[str]:
    """What the stamp of an environment made today may say: the digest of the cpu or of the cuda recipe."""
    return frozenset(bootstrap().recipe(toolchain, accel).digest for accel in ("cpu", "cuda"))


def inspect(run: Run) -> list[StageState]:
    """The stages of a run in order, each with its state and reason."""
    states: dict[str, StageState] = {}
    for stage in run.stages.values():
        producers = {name: run.producer(name) for name in stage.inputs}
        inputs_done = all(states[producer].is_done for producer in producers.values())
        folders = (
            {name: run.folder / producer for name, producer in producers.items()} if inputs_done else None
        )
        pins = lock_pins(stage.toolchain)
        parts = stage.key_parts(
            run.config,
            seed=run.seed,
            inputs={name: states[producer].key for name, producer in producers.items()},
            packages={name: pins.get(normal(name), "not in the lock") for name in stage.decides},
        )
        states[stage.name] = judge(stage, run.folder / stage.name, parts, run.config, folders)
    return list(states.values())


def judge(
    stage: Stage, out: Path, parts: Mapping[str, Any], config: Any, folders: Mapping[str, Path] | None
) -> StageState:
    """Compare what is on disk with what is wanted. `folders`: the inputs if all are finished."""
    key = record.key_of(parts)
    facts: dict[str, Any] = {"name": stage.name, "toolchain": stage.toolchain, "key": key}
    if stage.num_shards is not None:
        facts["shards"] = stage.num_shards(config, folders)
        facts["shards_done"] = count_shards(out, key, facts["shards"])
    found = record.read_manifest(out)
    if found is None:
        return StageState(**facts, **judge_unfinished(out, key, facts))
    if found["key"] != key:
        return StageState(**facts, state=CHANGED, reason="; ".join(differences(found["key_parts"], parts)))
    gone = record.missing_outputs(out, found)
    if stage.num_shards is not None and facts["shards_done"] < facts["shards"]:
        lost = facts["shards"] - facts["shards_done"]
        return StageState(
            **facts, state=DAMAGED, reason=f"{lost} of {facts['shards']} shards are gone or cut short"
        )
    if gone:
        return StageState(**facts, state=DAMAGED, reason=f"{gone[0]} is gone or cut short")
    other = (found.get("environment") or {}).get("lock_sha256") not in {None, *lock_digests(stage.toolchain)}
    note = "made with another environment" if other else ""
    return StageState(**facts, state=DONE, reason=note, other_environment=other, manifest=found)


def judge_unfinished(out: Path, key: str, facts: Mapping[str, Any]) -> dict[str, str]:
    """State and reason of a stage without a manifest."""
    part = record.read_json(record.part_of(out) / record.KEY_FILE)
    if part is None:
        return {"state": NEVER, "reason": "no result yet"}
    if part.get("key") != key:
        return {"state": NEVER, "reason": "an unfinished result of other settings will be discarded"}
    shards = f": {facts['shards_done']} of {facts['shards']} shards are there" if "shards" in facts else ""
    return {"state": UNFINISHED, "reason": f"goes on where it stopped{shards}"}


def count_shards(out: Path, key: str, num_shards: int) -> int:
    """Finished shards of this key with all their files, in the result or in the work folder."""
    return sum(record.shard_done(out, key, shard) for shard in range(num_shards))


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What differs between two sets of key parts, in words."""
    out = []
    if old.get("version") != new["version"]:
        out.append(f"the stage changed (version {old.get('version')} -> {new['version']})")
    if old.get("seed") != new["seed"]:
        out.append(f"seed {old.get('seed')} -> {new['seed']}")
    before, after = flatten(old.get("config", {})), flatten(new["config"])
    keys = sorted(k for k in before.keys() | after.keys() if before.get(k) != after.get(k))
    if keys:
        out.append("config changed: " + ", ".join(f"{k} {before.get(k)} -> {after.get(k)}" for k in keys[:4]))
        out[-1] += f" and {len(keys) - 4} more" if len(keys) > 4 else ""
    changed = sorted(name for name, key in new["inputs"].items() if old.get("inputs", {}).get(name) != key)
    if changed:
        out.append(f"input changed: {', '.join(changed)}")
    files = sorted(n for n, digest in new.get("files", {}).items() if old.get("files", {}).get(n) != digest)
    if files:
        out.append(f"file changed: {', '.join(files)}")
    if old.get("outside") != new.get("outside"):
        out.append("the folder that the config names holds other files")
    was = old.get("packages", {})
    out += [f"{name} {was.get(name)} -> {v}" for name, v in new["packages"].items() if was.get(name) != v]
    return out or ["the key's form changed"]


def flatten(tree: Any, prefix: str = "") -> dict[str, Any]:
    """{"a": {"b": 1}} -> {"a.b": 1}; lists count as values, tuples as lists (as in JSON)."""
    if isinstance(tree, Mapping):
        return {k: v for name, value in tree.items() for k, v in flatten(value, f"{prefix}{name}.").items()}
    return {prefix.rstrip("."): [*tree] if isinstance(tree, tuple) else tree}
