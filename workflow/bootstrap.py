"""Builds the environments that commands run in, from hashed locks, with nothing but Python's standard
library.

    python3 workflow/bootstrap.py workflow                 the environment of `python -m suite`
    python3 workflow/bootstrap.py blender [--accel cuda]   a toolchain's environment, .tox/blender

Each environment lies in `.tox/<name>` and carries the digest of what it was made from in `.lock-sha256`,
written last: a build that was killed, or a lock that changed, is built again; a second build of the same
environment waits for the first. Exit codes: 0 ready; 3 something outside is missing (the message has the
command that mends it).

Not covered: Python itself (workflow/run looks for one) and GPU drivers (`make doctor`).
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENVS = ROOT / ".tox"
STAMP = ".lock-sha256"
PYTHON = "3.11"  # of every environment: the bpy and torch wheels exist for this one
EXIT_MISSING = 3
SHARED_ENVS = {"workflow": "workflow", "suite": "suite"}  # not toolchains: name -> folder of the lock
# The file that each of bpy's system packages (Debian's and Ubuntu's names) provides, to see if it is there.
SONAMES = {
    "libx11-6": "libX11.so.6",
    "libxrender1": "libXrender.so.1",
    "libxfixes3": "libXfixes.so.3",
    "libxi6": "libXi.so.6",
    "libxkbcommon0": "libxkbcommon.so.0",
    "libsm6": "libSM.so.6",
    "libice6": "libICE.so.6",
    "libgl1": "libGL.so.1",
    "libegl1": "libEGL.so.1",
    "libgomp1": "libgomp.so.1",
    "libglib2.0-0": "libglib-2.0.so.0",
}


class Missing(Exception):
    """Something outside is missing; the text is one line with the remedy."""


@dataclass(frozen=True)
class Recipe:
    """What an environment is made from."""

    name: str
    lock: Path  # every package with its hashes
    nodeps: Path | None = None  # packages whose own pins are wrong, installed without dependencies
    script: Path | None = None  # a last step, run as `script.py <environment's python>`

    @property
    def digest(self) -> str:
        """SHA-256 over the texts that decide the environment's content."""
        sha = hashlib.sha256(f"python {PYTHON}\n".encode())
        for path in (self.lock, self.nodeps, self.script):
            if path is not None:
                sha.update(f"{path.relative_to(ROOT)}\n".encode() + path.read_bytes())
        return sha.hexdigest()


def recipe(name: str, accel: str) -> Recipe:
    """The recipe of `.tox/<name>`; `accel` (cpu or cuda) picks the lock of a toolchain."""
    if name in SHARED_ENVS:
        return Recipe(name, ROOT / SHARED_ENVS[name] / "requirements.lock")
    folder = ROOT / "docker" / name
    lock = folder / f"requirements.{accel}.lock"
    if not lock.is_file():
        known = sorted([*SHARED_ENVS, *(p.parent.name for p in ROOT.glob("docker/*/requirements.cpu.lock"))])
        raise Missing(f"{lock.relative_to(ROOT)} does not exist; environments are: {', '.join(known)}")
    nodeps, script = folder / "requirements.nodeps.lock", folder / f"install_{name}.py"
    return Recipe(name, lock, nodeps if nodeps.is_file() else None, script if script.is_file() else None)


def detect_accel() -> str:
    """`cuda` where nvidia-smi lists a GPU, else `cpu`."""
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return "cpu"
    return "cuda" if listed.returncode == 0 and "GPU" in listed.stdout else "cpu"


def is_ready(made: Recipe) -> bool:
    """True if the environment is there and was made from exactly this recipe."""
    stamp = ENVS / made.name / STAMP
    python = ENVS / made.name / "bin/python"
    return python.exists() and stamp.is_file() and stamp.read_text().strip() == made.digest


def ensure(name: str, accel: str) -> Path:
    """Build `.tox/<name>` unless it is ready; returns its Python."""
    made = recipe(name, accel)
    if (ROOT / f"docker/{name}/apt.txt").is_file():  # first: a missing library must not cost a long build
        ensure_libraries(ROOT / f"docker/{name}/apt.txt")
    if not is_ready(made):
        uv = ensure_uv()
        with build_lock(name):
            if not is_ready(made):  # another process may have built it while this one waited
                build(made, uv)
    return ENVS / name / "bin/python"


def build(made: Recipe, uv: Path) -> None:
    """Make the environment anew; the stamp is written last."""
    folder, start = ENVS / made.name, time.monotonic()
    say(f"building .tox/{made.name} from {made.lock.relative_to(ROOT)}")
    shutil.rmtree(folder, ignore_errors=True)
    env = uv_environment()
    try:
        run([uv, "venv", "--quiet", "--python", PYTHON, folder], env)
    except Missing:
        raise Missing(f"no Python {PYTHON} for .tox/{made.name}; {python_remedy()}") from None
    install = [uv, "pip", "install", "--quiet", "--python", folder / "bin/python", "--require-hashes"]
    run([*install, "-r", made.lock], env)
    if made.nodeps is not None:
        run([*install, "--no-deps", "-r", made.nodeps], env)
    if made.script is not None:
        env["PATH"] = f"{uv.parent}{os.pathsep}{env['PATH']}"  # the script calls uv
        run([folder / "bin/python", made.script], env)
    compile_bytecode(folder)
    (folder / STAMP).write_text(made.digest + "\n")
    say(f"built .tox/{made.name} in {time.monotonic() - start:.0f} s")


def compile_bytecode(folder: Path) -> None:
    """Once for all processes to come, which may not write any (PYTHONDONTWRITEBYTECODE): else each compiles
    what it imports anew, for TensorFlow 5 of 8 seconds.
    """
    command = [folder / "bin/python", "-m", "compileall", "-qq", "-j", "0", folder / "lib"]
    run(command, must_succeed=False)  # some packages carry templates that are no Python


def ensure_uv() -> Path:
    """uv, from its own hashed lock, in `.tox/boot`."""
    lock, folder = ROOT / "workflow/boot.lock", ENVS / "boot"
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()
    stamp, uv = folder / STAMP, folder / "bin/uv"
    if uv.exists() and stamp.is_file() and stamp.read_text().strip() == digest:
        return uv
    ensure_venv_module()
    with build_lock("boot"):
        shutil.rmtree(folder, ignore_errors=True)
        run([sys.executable, "-m", "venv", folder])
        pip = [folder / "bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        run([*pip, "--require-hashes", "-r", lock])
        stamp.write_text(digest + "\n")
    return uv


def ensure_venv_module() -> None:
    """Debian's and Ubuntu's python3 comes without `ensurepip`: install it as root, else say how."""
    if importlib.util.find_spec("ensurepip") and importlib.util.find_spec("venv"):
        return
    apt_install(["python3-venv"], why="Python's venv module is missing")


def ensure_libraries(listed: Path) -> None:
    """The shared libraries named by a toolchain's apt.txt: install the missing ones as root, else say how."""
    lines = (line.partition("#")[0].strip() for line in listed.read_text().splitlines())
    missing = [name for name in lines if name in SONAMES and not can_load(SONAMES[name])]
    if missing:
        apt_install(missing, why=f"system libraries of the {listed.parent.name} toolchain are missing")


def can_load(soname: str) -> bool:
    """True if the dynamic linker finds the library."""
    try:
        ctypes.CDLL(soname)
    except OSError:
        return False
    return True


def apt_install(packages: list[str], *, why: str) -> None:
    """Install Debian packages when run as root where apt-get exists; else raise with the exact command."""
    command = f"apt-get install -y --no-install-recommends {' '.join(packages)}"
    if shutil.which("apt-get") is None:
        raise Missing(
            f"{why}; install what Debian calls {' '.join(packages)} with this system's package manager"
        )
    if os.geteuid() != 0:
        raise Missing(f"{why}; run: sudo apt-get update && sudo {command}")
    say(f"{why}: {command}")
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    run(["apt-get", "update", "-qq"], env)
    run([*command.split(), "-qq"], env)


def uv_environment() -> dict[str, str]:
    """The caller's environment; where pip was told of a mirror or a CA and uv was not, uv gets the same."""
    env = dict(os.environ)
    pip = ENVS / "boot/bin/python"
    told = subprocess.run(
        [pip, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
    ).stdout
    settings: Mapping[str, str] = dict(line.split("=", 1) for line in told.splitlines() if "=" in line)
    for uv_name, pip_names in {
        "UV_DEFAULT_INDEX": ("env.index-url", ":env:.index-url", "global.index-url", "user.index-url"),
        "SSL_CERT_FILE": (":env:.cert", "global.cert", "user.cert"),
    }.items():
        value = next((settings[name].strip("'\"") for name in pip_names if name in settings), None)
        if value:
            env.setdefault(uv_name, value)
    env.pop("VIRTUAL_ENV", None)  # uv would warn that it is not the one being built
    return env


def python_remedy() -> str:
    """What to type for a Python of the version that the wheels need."""
    packages = f"python{PYTHON} python{PYTHON}-venv"
    return f"install Python {PYTHON} (Debian, Ubuntu: apt-get install {packages}), or use PLACE=docker"


@contextlib.contextmanager
def build_lock(name: str) -> Iterator[None]:
    """One builder per environment; the lock goes with the process, however it ends."""
    ENVS.mkdir(exist_ok=True)
    with (ENVS / f"{name}.lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for another process that builds .tox/{name}")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def run(
    command: list[str | Path], env: Mapping[str, str] | None = None, *, must_succeed: bool = True
) -> None:
    """Run a command; its failure is `Missing`, since what a build needs comes from outside."""
    words = [str(word) for word in command]
    if subprocess.run(words, env=env, check=False, cwd=ROOT).returncode != 0 and must_succeed:
        raise Missing(f"`{' '.join(words)}` failed (see above); mend that and run the same command again")


def say(text: str) -> None:
    """One line for the user, on stderr: stdout belongs to the command that follows."""
    print(f"bootstrap: {text}", file=sys.stderr, flush=True)


def main() -> int:
    """Command line: names of environments."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="+", metavar="ENV", help="workflow, suite or a folder of docker/")
    parser.add_argument(
        "--accel", choices=("auto", "cpu", "cuda"), default="auto", help="which lock (default auto)"
    )
    args = parser.parse_args()
    accel = detect_accel() if args.accel == "auto" else args.accel
    try:
        for name in args.names:
            ensure(name, accel)
    except Missing as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_MISSING
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
