"""A machine that has git, make and python3 and nothing else: a debootstrap root, entered by chroot. Root,
minutes.

The root file system is made once and kept as `.cache/fresh-root.tar` in the checkout. What is tested is
the commit that is checked out, cloned into the root. Not covered: other distributions, a machine without
network.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.containers.engine import apt_install, debian_mirror

ROOT = Path(__file__).resolve().parents[2]
TARBALL = ROOT / ".cache/fresh-root.tar"
RELEASE, PACKAGES = "bookworm", "git,make,python3"
HOME = "/home/someone"
HOST_CA = Path("/etc/ssl/certs/ca-certificates.crt")
GUEST_CA = "/etc/host-ca.crt"  # not the host's name: installing a package there may write that file anew
CA_VARIABLES = ("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE")
# A private view of the mounts: /proc and /dev are there for the command and gone with it.
ENTER = 'mount -t proc proc "$0/proc" && mount --rbind /dev "$0/dev" && exec chroot "$@"'

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        os.geteuid() != 0 or not Path("/etc/debian_version").is_file(), reason="needs root on Debian"
    ),
]


class Machine:
    """A root file system with the repository cloned to /home/someone/syndet."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def run(self, command: str, *, uid: int = 0) -> tuple[int, str]:
        """Run a line of shell in the clone; exit code and output."""
        enter = ["unshare", "--mount", "sh", "-c", ENTER, self.root, f"--userspec={uid}:{uid}", self.root]
        env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": HOME, "LANG": "C.UTF-8"}
        if HOST_CA.is_file():
            env |= dict.fromkeys(CA_VARIABLES, GUEST_CA)
        done = subprocess.run(
            [*enter, "sh", "-c", f"cd {HOME}/syndet && {command}"], env=env, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            check=False, timeout=1200,
        )  # fmt: skip
        return done.returncode, done.stdout


@pytest.fixture(scope="session")
def tarball() -> Path:
    """The root file system, made on first use; by one worker of pytest if there are several."""
    TARBALL.parent.mkdir(exist_ok=True)
    with TARBALL.with_suffix(".lock").open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        if not TARBALL.is_file():
            make_tarball()
    return TARBALL


def make_tarball() -> None:
    """Into TARBALL, by debootstrap, which is installed if need be."""
    if shutil.which("debootstrap") is None:
        subprocess.run(["apt-get", "update", "-qq"], check=True)
        apt_install("debootstrap")
    folder = TARBALL.with_suffix(".part")
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run(
        ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", RELEASE, folder, debian_mirror()],
        check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    unfinished = TARBALL.with_suffix(".tmp")
    subprocess.run(["tar", "-C", folder, "-cf", unfinished, "."], check=True)
    unfinished.rename(TARBALL)
    shutil.rmtree(folder)


@pytest.fixture
def machine(tarball: Path, tmp_path: Path) -> Machine:
    """A fresh machine on this host's network, with the repository cloned by its user, uid 1000."""
    root = tmp_path / "machine"
    root.mkdir()
    subprocess.run(["tar", "-C", root, "-xf", tarball], check=True)
    for name, inside in (
        ("/etc/resolv.conf", "/etc/resolv.conf"),
        ("/etc/hosts", "/etc/hosts"),
        (HOST_CA, GUEST_CA),
    ):
        if Path(name).is_file():
            target = root / inside.lstrip("/")
            target.unlink(missing_ok=True)
            shutil.copyfile(name, target)
    clone = root / HOME.lstrip("/") / "syndet"
    clone.parent.mkdir(parents=True)
    subprocess.run(["git", "clone", "-q", "--no-hardlinks", ROOT, clone], check=True)
    subprocess.run(["chown", "-R", "1000:1000", clone.parent], check=True)
    return Machine(root)


def test_root_needs_to_install_nothing_by_hand(machine):
    subprocess.run(["chown", "-R", "0:0", machine.root / HOME.lstrip("/")], check=True)
    code, output = machine.run("make help")
    assert code == 0, output
    code, output = machine.run("make doctor")
    assert "Python's venv module is missing: apt-get install" in output, output
    assert "Docker engine" in output
    code, output = machine.run("make reproduce-solid SCALE=tiny PLACE=venv")
    assert code == 0, output
    assert "system libraries of the blender toolchain are missing: apt-get install" in output
    assert "solid, scale tiny, seed 0: done in" in output
    code, output = machine.run("make reproduce-solid SCALE=tiny PLACE=venv")
    assert (code, "nothing to do" in output) == (0, True), output


def test_without_root_the_exact_commands_are_printed(machine):
    code, output = machine.run("make reproduce-solid SCALE=tiny PLACE=venv", uid=1000)
    command = "sudo apt-get update && sudo apt-get install -y --no-install-recommends"
    assert f"error: Python's venv module is missing; run: {command} python3-venv\n" in output
    assert "Error 3" in output
    install = (
        "apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends"
    )
    assert machine.run(f"{install} python3-venv")[0] == 0
    code, output = machine.run("make reproduce-solid SCALE=tiny PLACE=venv", uid=1000)
    assert f"libraries of the blender toolchain are missing; run: {command} lib" in output, output
    assert "Error 3" in output
    assert not (machine.root / HOME.lstrip("/") / "syndet/.tox/blender").exists(), "told before a long build"
