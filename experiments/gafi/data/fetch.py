"""Downloads a data set into DATA_DIR. The only module of GaFi that uses the network.

    python -m experiments.gafi.data.fetch fashion-mnist     Debian's package, by apt-get download; no root
    python -m experiments.gafi.data.fetch cifar10           from the official address; also cifar100, cinic10,
                                                            dermamnist

The licence is said first. What arrives is checked by size and digest before anything is unpacked, only the
listed folders of an archive are unpacked and only plain files inside them, and nothing is unpickled. The
folder appears under its name when it is complete. Where the authors publish no digest, the SHA-256 of the
first download is kept beside the data (`fetched.json`), so that a later one can be compared.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import urllib.error
import urllib.request
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from experiments.gafi.data.catalogue import FASHION_FILES, FASHION_PACKAGE, SOURCES, Download, Source
from experiments.gafi.data.locate import has_official_files
from suite.by_hand import Parser
from suite.errors import BadInput, Missing, guard
from suite.manifest import file_digest, read_json, write_json
from suite.paths import data_path

RECORD = "fetched.json"
CHUNK = 2**20
TIMEOUT_S = 60  # without a byte
MAX_UNPACKED = 4 * 2**30  # of one archive; the largest, CINIC-10, is 0.7 GB of PNG files, which hardly shrink


def fetch(name: str, folder: Path | None = None) -> Path:
    """Have the data set `name` (as in DATA.dataset) in `folder` (None: its place below DATA_DIR); returns it.

    A folder that is complete is left alone. Raises Missing without network, BadInput for a wrong digest.
    """
    source = SOURCES[name]
    folder = data_path(f"data/{source.folder}") if folder is None else Path(folder)
    if source.download is None:
        if not has_official_files(folder):
            fetch_fashion_mnist(folder)
    elif read_json(folder / RECORD) is None:
        fetch_official(source, source.download, folder)
    return folder


# --- Fashion-MNIST, from Debian's or Ubuntu's package ---


def fetch_fashion_mnist(folder: Path) -> None:
    """The four files, taken out of the package, checked, moved into `folder`. Nothing is installed."""
    with scratch_beside(folder) as scratch:
        package = download_package(scratch, folder)
        files = unpack_package(package, scratch / "content", folder)
        for name, (digest, _) in FASHION_FILES.items():
            path = files / f"{name}.gz"
            if not path.is_file() or file_digest(path) != digest:
                raise BadInput(
                    f"{FASHION_PACKAGE} holds another {name}.gz than the known one",
                    file=package.name, fix=by_hand(folder),
                )  # fmt: skip
        move_into(files, folder)


def download_package(scratch: Path, folder: Path) -> Path:
    """The package's file. First with the lists that the system has; if that fails, with lists of our own.

    folder: where the data is to go; for the message of Missing.
    """
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise Missing("Fashion-MNIST comes in a Debian package, and here is no apt-get", fix=by_hand(folder))
    own = own_lists(scratch)
    attempts = (
        [["apt-get", "-qq", "download", FASHION_PACKAGE]],
        [["apt-get", "-qq", *own, "update"], ["apt-get", "-qq", *own, "download", FASHION_PACKAGE]],
    )
    message = ""
    for commands in attempts:
        for command in commands:
            done = subprocess.run(command, cwd=scratch, capture_output=True, text=True, check=False)
            message = next((line for line in done.stderr.splitlines() if line.startswith("E:")), message)
        found = sorted(scratch.glob("*.deb"))
        if found:
            return found[0]
    raise Missing(
        f"apt-get did not download {FASHION_PACKAGE} ({message or 'no reason given'})", fix=by_hand(folder)
    )


def own_lists(scratch: Path) -> list[str]:
    """Options that let apt-get keep its lists in a folder of ours: without root, or where the lists were
    deleted.
    """
    state, cache = scratch / "apt-state", scratch / "apt-cache"
    for folder in (state / "lists" / "partial", cache / "archives" / "partial"):
        folder.mkdir(parents=True)
    options = (f"Dir::State={state}", f"Dir::Cache={cache}", "Dir::State::status=/var/lib/dpkg/status")
    options += ("APT::Sandbox::User=", "Debug::NoLocking=1")
    return [word for option in options for word in ("-o", option)]


def unpack_package(package: Path, content: Path, folder: Path) -> Path:
    """The package's files below `content`; returns the one of its folders that holds the data."""
    done = subprocess.run(
        ["dpkg-deb", "-x", str(package), str(content)], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise BadInput(f"does not unpack ({done.stderr.strip():.80})", file=package.name, fix=by_hand(folder))
    return content / "usr/share/datasets/fashion-mnist"


def by_hand(folder: Path) -> str:
    """How to get Fashion-MNIST without apt."""
    source = SOURCES["FashionMNIST"]
    names = ", ".join(FASHION_FILES)
    return f"put {names} (as they are, or with .gz) from {source.home} into {folder}"


# --- the others, from their official address ---


def fetch_official(source: Source, download: Download, folder: Path) -> None:
    """Download, check, unpack, move into `folder`, with the record of what was fetched."""
    with scratch_beside(folder) as scratch:
        path = scratch / download.file
        download_file(download.url, path, source)
        check_download(path, source, download)
        content = scratch / "content"
        content.mkdir()
        if download.keeps:
            unpack_tar(path, content, download.keeps)
        else:
            path.rename(content / download.file)
            path = content / download.file
        record = {"url": download.url, "bytes": path.stat().st_size, "sha256": file_digest(path)}
        write_json(content / RECORD, {**record, "md5_published": download.md5, "licence": source.licence})
        move_into(content, folder)


def download_file(url: str, path: Path, source: Source) -> None:
    """`url` to `path`. Raises Missing where it cannot be had."""
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer, path.open("wb") as stream:
            shutil.copyfileobj(answer, stream, CHUNK)
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", error)
        place = data_path(f"data/{source.folder}")
        fix = f"check the network, or get it by hand from {source.home} and unpack it into {place}"
        raise Missing(f"{url} did not download ({reason})", fix=fix) from None


def check_download(path: Path, source: Source, download: Download) -> None:
    """Raises BadInput unless size and MD5 are the published ones, as far as they are published."""
    fix = f"run `{source.target}` again; if it stays so, the published file has changed"
    size = path.stat().st_size
    if download.num_bytes is not None and size != download.num_bytes:
        raise BadInput(
            f"{size} bytes arrived, published are {download.num_bytes}", file=download.url, fix=fix
        )
    if download.md5 is None:
        return
    with path.open("rb") as stream:
        found = hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if found != download.md5:
        raise BadInput(f"MD5 is {found}, published is {download.md5}", file=download.url, fix=fix)


def unpack_tar(path: Path, folder: Path, keeps: tuple[str, ...]) -> None:
    """The plain files below the folders `keeps`. A path that leaves the folder, a link, a device and an
    archive of unlikely size end in BadInput.
    """
    total = 0
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                name = safe_name(member.name, path)
                if not f"{name}/".startswith(keeps) or member.isdir():
                    continue
                total += member.size
                if not member.isreg() or total > MAX_UNPACKED:
                    raise BadInput(f"{member.name!r} is no plain file of the data set", file=path.name)
                target = folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.extractfile(member) as stream, target.open("wb") as out:
                    shutil.copyfileobj(stream, out, CHUNK)
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise BadInput(f"does not unpack ({type(error).__name__})", file=path.name) from None
    if total == 0:
        raise BadInput(f"holds nothing below {', '.join(keeps)}", file=path.name)


def safe_name(name: str, archive: Path) -> str:
    """A member's name without a leading `./`. Raises BadInput where it leads out of the folder."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name:
        raise BadInput(f"unsafe path {name!r}", file=archive.name)
    return str(path)


# --- both ---


@contextmanager
def scratch_beside(folder: Path) -> Iterator[Path]:
    """A folder on the same file system, gone at the end, so that the last step is a rename."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    except OSError as error:
        raise Missing(
            f"cannot be written ({error.strerror})",
            file=folder.parent,
            fix="set DATA_DIR to a folder of yours",
        ) from None
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def move_into(content: Path, folder: Path) -> None:
    """`content` becomes `folder`; where that exists already, what it lacks or has otherwise is replaced."""
    try:
        content.rename(folder)
        return
    except OSError:  # the folder is there and not empty
        if not folder.is_dir():
            raise
    for path in sorted(content.rglob("*"), key=lambda path: (path.name == RECORD, path)):  # the record last
        target = folder / path.relative_to(content)
        if path.is_dir():
            target.mkdir(exist_ok=True)
        else:
            os.replace(path, target)


def main() -> None:
    """Command line: names of folders below DATA_DIR."""
    names = {source.folder: source for source in SOURCES.values()}
    text = "Download a data set of GaFi into DATA_DIR (default data/)."
    parser = Parser(prog="fetch", description=text, allow_abbrev=False)
    parser.add_argument("name", choices=sorted(names))
    parser.add_argument(
        "--folder", type=Path, help="where to put it (default: its own folder below DATA_DIR)"
    )
    options = parser.parse_args()
    source = names[options.name]
    print(f"{source.name}: licence {source.licence}; {source.home}", flush=True)
    print(fetch(source.name, options.folder))


if __name__ == "__main__":
    sys.exit(guard(main))
