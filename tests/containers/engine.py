"""Make sure that a Docker engine answers, with compose, buildx and the base image; start one if none does.

    python3 tests/containers/engine.py

An engine that answers is used as it is. Else, as root on Debian, one is installed from the configured package
mirror, started in the background and left running (about a minute). Debian 12 has no compose v2 and no
buildx: both come from Debian 13's packages, on the same mirror, fetched by apt (which checks signature and
digest). Where debian:bookworm-slim cannot be pulled, debootstrap makes an image of that name.

Exit codes: 0 ready; 4 no engine can be had: one line says why, and the caller counts the tests as skipped.
Not covered: other distributions, rootless engines, GPUs. Standard library only.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BASE_IMAGE, BASE_RELEASE, PLUGIN_RELEASE = "debian:bookworm-slim", "bookworm", "trixie"
ENGINE_PACKAGES = ["docker.io", "debootstrap", "iptables"]
PLUGIN_PACKAGES = ["docker-compose", "docker-buildx"]
LOG = Path("/var/log/syndet-dockerd.log")
EXIT_SKIPPED = 4
# What debian:bookworm-slim leaves out of a minimal system.
SLIM = ["usr/share/doc", "usr/share/man", "usr/share/info", "usr/share/locale", "var/cache/apt/archives",
        "var/lib/apt/lists"]


class NoEngine(Exception):
    """No engine can be had; the text is the reason, in one line."""


def succeeds(*command: str) -> bool:
    """True if the command exists and exits 0."""
    if shutil.which(command[0]) is None:
        return False
    return subprocess.run(command, capture_output=True).returncode == 0


def run(*command: str, **options) -> str:
    """Run a command that has to work; returns its output, raises NoEngine with its last line."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)
    if done.returncode:
        last = (done.stdout.strip().splitlines() or ["no output"])[-1]
        raise NoEngine(f"{' '.join(command[:3])} failed: {last}")
    return done.stdout


def engine_answers() -> bool:
    """True if the engine, compose v2 and buildx all answer."""
    questions = (["info"], ["compose", "version"], ["buildx", "version"])
    return all(succeeds("docker", *question) for question in questions)


def require_debian_root() -> None:
    """Raise unless packages can be installed here."""
    if os.geteuid() != 0:
        raise NoEngine("none answers, and only root can start one")
    if shutil.which("apt-get") is None or not Path("/etc/debian_version").is_file():
        raise NoEngine("none answers, and this is not Debian; start one by hand")


def apt_install(*packages: str) -> None:
    """Install packages, without the ones that are only recommended."""
    run("apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages,
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})


def debian_mirror() -> str:
    """The mirror that apt takes Debian's main archive from."""
    columns = "$(REPO_URI) $(LABEL) $(COMPONENT)"
    targets = run("apt-get", "indextargets", "--format", columns, "Created-By: Packages")
    for line in targets.splitlines():
        words = line.split()
        if words[1:] == ["Debian", "main"]:
            return words[0]
    raise NoEngine("apt is configured with no mirror of Debian's main archive")


def install_plugins() -> None:
    """Install compose v2 and buildx: from this release where it has them, else from the next one."""
    if "docker-buildx" in run("apt-cache", "search", "--names-only", "^docker-buildx$"):
        apt_install(*PLUGIN_PACKAGES)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)  # apt downloads as its own user
        (folder / "lists/partial").mkdir(parents=True)
        (folder / "sources.list").write_text(f"deb {debian_mirror()} {PLUGIN_RELEASE} main\n")
        options = ["-o", f"Dir::Etc::sourcelist={folder}/sources.list",
                   "-o", "Dir::Etc::sourceparts=/dev/null", "-o", f"Dir::State::lists={folder}/lists"]
        run("apt-get", *options, "update", "-qq")
        run("apt-get", *options, "download", "-qq", *PLUGIN_PACKAGES, cwd=folder)
        apt_install(*(str(package) for package in folder.glob("*.deb")))


def start_engine() -> None:
    """Start dockerd in a session of its own and wait until it answers."""
    with LOG.open("w") as log:
        daemon = subprocess.Popen(["dockerd"], stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                                  start_new_session=True)
    deadline = time.monotonic() + 60
    while not succeeds("docker", "info"):
        if daemon.poll() is not None or time.monotonic() > deadline:
            last = (LOG.read_text().strip().splitlines() or ["no output"])[-1]
            raise NoEngine(f"dockerd did not come up ({LOG}: {last})")
        time.sleep(0.5)


def ensure_base_image() -> None:
    """Have debian:bookworm-slim: there already, pulled, or made by debootstrap."""
    if succeeds("docker", "image", "inspect", BASE_IMAGE) or succeeds("docker", "pull", "-q", BASE_IMAGE):
        return
    require_debian_root()
    if shutil.which("debootstrap") is None:
        apt_install("debootstrap")
    print(f"containers: {BASE_IMAGE} cannot be pulled; making it by debootstrap", flush=True)
    with tempfile.TemporaryDirectory() as name:
        root = Path(name) / "root"
        run("debootstrap", "--variant=minbase", BASE_RELEASE, str(root), debian_mirror())
        for folder in SLIM:
            for entry in (root / folder).glob("*"):
                shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
        with subprocess.Popen(["tar", "-C", str(root), "-c", "."], stdout=subprocess.PIPE) as tar:
            run("docker", "import", "-", BASE_IMAGE, stdin=tar.stdout)


def ensure_engine() -> None:
    """Everything the container tests need, or NoEngine with the reason."""
    if not engine_answers():
        require_debian_root()
        print("containers: no Docker engine answers; installing and starting one", flush=True)
        run("apt-get", "update", "-qq")
        if shutil.which("dockerd") is None:
            apt_install(*ENGINE_PACKAGES)
        if not succeeds("docker", "info"):
            start_engine()
        if not engine_answers():
            install_plugins()
        if not engine_answers():
            raise NoEngine("it runs, but docker compose or docker buildx does not answer")
    ensure_base_image()


def main() -> int:
    """Command line: see the module docstring."""
    try:
        ensure_engine()
    except NoEngine as reason:
        print(f"containers: skipped (no Docker engine: {reason})")
        return EXIT_SKIPPED
    version = run("docker", "version", "--format", "{{.Server.Version}}").strip()
    print(f"containers: Docker engine {version} answers, {BASE_IMAGE} is there")
    return 0


if __name__ == "__main__":
    sys.exit(main())
