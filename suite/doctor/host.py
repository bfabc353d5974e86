"""Checks of the machine itself: Python, system libraries, disk, memory, writing, Slurm."""

from __future__ import annotations

import contextlib
import errno
import importlib
import importlib.util
import os
import shutil
import sys
import tempfile
from pathlib import Path

from suite.doctor.context import Context
from suite.doctor.needs import MIN_MEMORY_GB, MIN_SHM_GB, TOOLCHAIN_GB, toolchains_of
from suite.doctor.result import MISSING, OK, WARN, Result

GB = 10**9
DISK_REMEDY = {
    errno.EROFS: "mount it writable, or name another folder by RUNS_DIR or DATA_DIR",
    errno.ENOSPC: "free some space, or name a folder on another disk by RUNS_DIR or DATA_DIR",
    errno.EDQUOT: "free some of your quota, or name a folder on another disk by RUNS_DIR or DATA_DIR",
}
APT = "apt-get install -y --no-install-recommends"


def check_python(context: Context) -> Result:
    """The Python that this runs on, and the exact one that the wheels are built for."""
    found = ".".join(map(str, sys.version_info[:3]))
    why = "the workflow and the environments without containers are Python 3.11"

    def line(state: str, value: str, remedy: str = "") -> Result:
        return Result("python", "machine", "Python >= 3.11", state, value, why, remedy)

    if sys.version_info < (3, 11):  # noqa: UP036 - the doctor also runs on older ones, to say so
        remedy = "install Python 3.11 (Debian 12: apt-get install python3 python3-venv), or use Docker"
        return line(MISSING, f"{found} is too old", remedy)
    exact = sys.version_info[:2] == (3, 11) or shutil.which("python3.11", path=context.env.get("PATH"))
    if not exact:
        remedy = "install python3.11 if the set-up cannot fetch one by itself, or use Docker"
        return line(WARN, f"{found}, but no python3.11, which the wheels are built for", remedy)
    return line(OK, f"{found}, {sys.executable}")


def check_venv_module(context: Context) -> Result:
    """Debian's python3 comes without ensurepip."""
    why = "environments are made with Python's own venv module"

    def line(state: str, value: str, remedy: str = "") -> Result:
        return Result("venv-module", "machine", "venv module", state, value, why, remedy)

    if importlib.util.find_spec("venv") and importlib.util.find_spec("ensurepip"):
        return line(OK, "venv and ensurepip are there")
    if _installs_by_itself(context):
        return line(WARN, "not installed", f"nothing to do: the set-up runs `{APT} python3-venv`")
    return line(MISSING, "not installed", f"sudo apt-get update && sudo {APT} python3-venv")


def check_system_libraries(context: Context) -> Result:
    """Shared libraries that bpy links against."""
    title, why = "libraries of Blender", "bpy loads X and GL libraries even without a display"
    listed = context.root / "docker" / "blender" / "apt.txt"
    bootstrap = context.bootstrap

    def line(state: str, value: str, remedy: str = "") -> Result:
        return Result("system-libraries", "machine", title, state, value, why, remedy)

    if bootstrap is None or not listed.is_file():
        return line(WARN, "not checked: workflow/bootstrap.py does not load here", "use Python 3.11")
    names = [text.partition("#")[0].strip() for text in listed.read_text(encoding="utf-8").splitlines()]
    known = [name for name in names if name in bootstrap.SONAMES]
    absent = [name for name in known if not bootstrap.can_load(bootstrap.SONAMES[name])]
    if not absent:
        return line(OK, f"all {len(known)} load")
    packages = " ".join(absent)
    if _installs_by_itself(context):
        return line(WARN, f"not installed: {packages}", f"nothing to do: the set-up runs `{APT} {packages}`")
    return line(MISSING, f"not installed: {packages}", f"sudo apt-get update && sudo {APT} {packages}")


def _installs_by_itself(context: Context) -> bool:
    """As root on Debian and Ubuntu the set-up installs system packages."""
    return os.geteuid() == 0 and shutil.which("apt-get", path=context.env.get("PATH")) is not None


def check_disk(context: Context) -> Result:
    """Free space where runs/ lies against the toolchains and the results of the scale."""
    why = f"the toolchains of {', '.join(context.systems)} and the results of scale {context.scale}"
    free = shutil.disk_usage(_existing(context.folder("RUNS_DIR", "runs"))).free / GB
    tools = sum(TOOLCHAIN_GB[name] for name in toolchains_of(context.systems))
    results, doubt = _results_gb(context)
    need = tools + results
    value = f"{free:.0f} GB free, about {need:.1f} GB needed ({tools:.1f} of them toolchains){doubt}"
    if free < need:
        remedy = "free some space, or put results elsewhere: RUNS_DIR=/big/disk make ..."
        return Result("disk", "machine", "disk", MISSING, value, why, remedy)
    return Result("disk", "machine", "disk", OK, value, why)


def _results_gb(context: Context) -> tuple[float, str]:
    """Size of the results in 10^9 bytes by the stages' own estimate, and a note where it cannot be had."""
    total = 0.0
    for package in (system.replace("-", "_") for system in context.systems):
        path = context.root / "experiments" / package / "configs" / f"{context.scale}.yaml"
        try:
            from suite.config import load_config
            from suite.runs import stages_of

            schema = importlib.import_module(f"experiments.{package}.config").CONFIG
            config = load_config(schema, path)
            stages = stages_of(package, config)
        except ImportError as error:  # bare system Python: no PyYAML
            return total, f"; without the results: no module {error.name}"
        estimates = [stage.disk_bytes for stage in stages.values() if stage.disk_bytes is not None]
        total += sum(estimate(config) for estimate in estimates) / GB
    return total, ""


def _existing(path: Path) -> Path:
    """The path, or its nearest parent that exists."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def check_memory(_: Context) -> Result:
    """Memory that is free to use now."""
    total, available = _memory_gb()
    value = f"{available:.1f} of {total:.1f} GB available"
    why = "each worker holds its scene or its batch in memory"
    if available < MIN_MEMORY_GB:
        remedy = "close other programs, or use a machine with more memory"
        return Result("memory", "machine", "memory", MISSING, value, why, remedy)
    return Result("memory", "machine", "memory", OK, value, why)


def _memory_gb() -> tuple[float, float]:
    """Total and available memory in 10^9 bytes, by psutil or /proc."""
    try:
        import psutil
    except ImportError:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        sizes = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines}
        return sizes["MemTotal"] / GB, sizes["MemAvailable"] / GB
    memory = psutil.virtual_memory()
    return memory.total / GB, memory.available / GB


def check_shm(_: Context) -> Result:
    """Shared memory for data loaders."""
    why = "data loaders and Blender's temporary files pass through /dev/shm"
    path = Path("/dev/shm")
    if not path.is_dir() or not os.access(str(path), os.W_OK):
        remedy = "mount a tmpfs there: sudo mount -t tmpfs -o mode=1777 tmpfs /dev/shm"
        return Result("shm", "machine", "/dev/shm", WARN, "not there, or not writable", why, remedy)
    free = shutil.disk_usage(str(path)).free / GB
    if free < MIN_SHM_GB:
        remedy = "sudo mount -o remount,size=2g /dev/shm (in a container of your own: --shm-size 2g)"
        return Result("shm", "machine", "/dev/shm", WARN, f"{free:.2f} GB free", why, remedy)
    return Result("shm", "machine", "/dev/shm", OK, f"{free:.1f} GB free", why)


def check_runs_writable(context: Context) -> Result:
    """A real write into runs/."""
    why = "every result goes there; containers write as the owner of this folder"
    return _written(
        context.folder("RUNS_DIR", "runs"), "runs-writable", "runs/ by a real write", why, MISSING
    )


def check_data_writable(context: Context) -> Result:
    """A real write into data/."""
    why = "`make fetch-...` puts data sets there; runs only read it"
    return _written(context.folder("DATA_DIR", "data"), "data-writable", "data/ by a real write", why, WARN)


def _written(folder: Path, name: str, title: str, why: str, worst: str) -> Result:
    user = f"uid {os.geteuid()}"
    place = _existing(folder)
    try:
        handle, path = tempfile.mkstemp(prefix=".doctor-", dir=str(place))
        try:
            os.write(handle, b"doctor")
            os.fsync(handle)
            owner = os.fstat(handle).st_uid
        finally:
            os.close(handle)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
    except OSError as error:
        what = f"{place}: {error.strerror or error} (as {user})"
        remedy = DISK_REMEDY.get(error.errno or 0, f"sudo chown -R $(id -u):$(id -g) {folder}")
        return Result(name, "machine", title, worst, what, why, remedy)
    if owner != os.geteuid():
        remedy = f"use a folder on a file system that keeps owners (not {folder})"
        return Result(
            name, "machine", title, WARN, f"files there belong to uid {owner}, not {user}", why, remedy
        )
    above = place.stat().st_uid
    if above != os.geteuid() and folder == place:
        remedy = f"sudo chown -R $(id -u):$(id -g) {folder}"
        what = f"writable, but the folder belongs to uid {above}, you are {user}"
        return Result(name, "machine", title, WARN, what, why, remedy)
    made = "" if folder == place else ", will be created"
    return Result(name, "machine", title, OK, f"{folder} as {user}{made}", why)


def check_slurm(context: Context) -> Result:
    """Slurm's commands and a controller that answers."""
    why = "PLACE=slurm spreads wide stages over a cluster; nothing else needs it"
    if not (context.ask("sbatch", "--version").ok and context.ask("sinfo", "--version").ok):
        remedy = "none needed on a single machine; on a cluster run this on a login node"
        return Result("slurm", "machine", "Slurm", WARN, "no sbatch and sinfo", why, remedy)
    nodes = context.ask("sinfo", "--noheader", "--format", "%P %a %D %G")
    if not nodes.ok:
        remedy = "ask the cluster's administrators, or start slurmctld"
        return Result("slurm", "machine", "Slurm", WARN, f"sinfo: {nodes.complaint}", why, remedy)
    partitions = [line.split()[0].rstrip("*") for line in nodes.out.splitlines() if line.strip()]
    return Result("slurm", "machine", "Slurm", OK, f"partitions: {', '.join(partitions) or 'none'}", why)
