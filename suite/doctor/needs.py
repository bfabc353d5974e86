"""What each system needs, and whether it is there: the rules behind the exit code."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from suite.doctor.result import MISSING, Result

# A system is ready if one of these ways is (no check named there is missing), and neither a check named in
# ALWAYS nor data that the scale reads is missing.
WAYS = {
    "venv": ("python", "venv-module", "system-libraries"),
    "docker": ("docker-engine", "docker-compose"),
}
ALWAYS = ("runs-writable", "disk", "memory")

# Which toolchains a system's stages use.
TOOLCHAINS = {
    "compare": ("blender", "detectron2"),
    "dense-detector": ("detectron2",),
    "gafi": ("tensorflow",),
    "imaginarynet": ("detectron2", "jax"),
    "sample-synthesis": ("tensorflow", "detectron2"),
    "solid": ("blender", "detectron2"),
}

# Size of each toolchain in 10^9 bytes, by `docker images` of those built from the cpu locks; environments
# are smaller, the cuda flavours of tensorflow and jax are larger.
TOOLCHAIN_GB = {"blender": 2.0, "detectron2": 6.4, "tensorflow": 2.3, "jax": 1.4}

MIN_MEMORY_GB = 2  # below it not even one worker of a smoke run is sure to fit
MIN_SHM_GB = 1  # data loaders pass batches through /dev/shm; the containers get 2


@dataclass(frozen=True)
class Verdict:
    """Ready or not, by which ways, and what stands in the way."""

    ready: bool
    ways: tuple[str, ...]
    blockers: tuple[str, ...]  # names of checks that are missing and needed


def toolchains_of(systems: Iterable[str]) -> tuple[str, ...]:
    """Toolchains that any of the systems uses, in a fixed order."""
    used = {name for system in systems for name in TOOLCHAINS[system]}
    return tuple(name for name in TOOLCHAIN_GB if name in used)


def judge(results: Iterable[Result], *, inside_image: bool) -> Verdict:
    """Apply the rules above. Inside an image of ours no way is needed: its environment is already there."""
    lacking = [result for result in results if result.state == MISSING]
    missing = {result.name for result in lacking}
    ways = tuple(way for way, names in WAYS.items() if not missing.intersection(names))
    blockers = [result.name for result in lacking if result.name in ALWAYS or result.group == "data"]
    if inside_image:
        ways = ("here",)
    elif not ways:
        blockers += [name for names in WAYS.values() for name in names if name in missing]
    return Verdict(ready=not blockers, ways=ways, blockers=tuple(blockers))
