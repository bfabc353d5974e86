"""Put the Python sources of detectron2 v0.6 into an environment; nothing is compiled, no file is edited.

    python docker/detectron2/install_detectron2.py [--site-packages DIR]

Two ways in, chosen by the environment variable DETECTRON2_SOURCE:
  sdist (default)  the re-upload `pb1-detectron2==0.6`, found by name in the package index that this host is
                   configured for, accepted only with the digest below. Its .py files and model-zoo configs
                   equal the official tag v0.6; C++ sources, docs and tests are missing. pip refuses it (it
                   declares a direct URL dependency), hence this script.
  official         the official repository at the commit below, for hosts that reach it (needs git).

What was installed stands in detectron2-0.6.dist-info/direct_url.json (PEP 610). Takes seconds.
Not covered: the C++ operators. suite/compat/detectron2.py supplies what the experiments need of them.
Exit codes: 0 done or already there; 2 the archive is not what it should be; 3 index, network or git missing.
"""

from __future__ import annotations

import argparse
import configparser
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
from pathlib import Path, PurePosixPath

SDIST_NAME, VERSION = "pb1-detectron2", "0.6"
SDIST_SHA256 = "5d2e9e51e523ec72f6a31cca04b0a515492e9514b773a3d134cedc0677170b29"
REPOSITORY = "https://github.com/facebookresearch/detectron2"
COMMIT = "02b5c4e295e990042a714712c21dc79b731e8833"
CA_VARIABLES = ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
INDEX_VARIABLES = ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL")
PIP_CONFIGS = ("/etc/pip.conf", "~/.pip/pip.conf", "~/.config/pip/pip.conf")


class InstallError(Exception):
    """One line for the user, with the exit code it ends in."""

    def __init__(self, message: str, exit_code: int):
        super().__init__(message)
        self.exit_code = exit_code


def configured_index() -> str | None:
    """The index URL of this host: uv's or pip's variables, then pip's files; None for the default."""
    for name in INDEX_VARIABLES:
        if os.environ.get(name):
            return os.environ[name]
    files = [os.environ["PIP_CONFIG_FILE"]] if os.environ.get("PIP_CONFIG_FILE") else PIP_CONFIGS
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(Path(name).expanduser() for name in files)
    return parser.get("global", "index-url", fallback=None)


def fetch_sdist() -> tuple[bytes, dict]:
    """Download the sdist through the configured index; returns its bytes and its direct_url record."""
    import requests
    from pypi_simple import NoSuchProjectError, PyPISimple

    session = requests.Session()
    bundle = next((os.environ[name] for name in CA_VARIABLES if os.environ.get(name)), None)
    if bundle:
        session.verify = bundle
    index = configured_index()
    arguments = {"endpoint": index} if index else {}
    try:
        with PyPISimple(session=session, **arguments) as client, tempfile.TemporaryDirectory() as folder:
            page = client.get_project_page(SDIST_NAME, timeout=60)
            found = [p for p in page.packages if p.package_type == "sdist" and p.version == VERSION]
            if not found:
                raise InstallError(f"{SDIST_NAME}: the index has no sdist {VERSION}; set PIP_INDEX_URL to one"
                                   " that has, or DETECTRON2_SOURCE=official", 3)
            target = Path(folder) / "sdist.tar.gz"
            client.download_package(found[0], target, timeout=60)
            record = {"url": found[0].url, "archive_info": {"hashes": {"sha256": SDIST_SHA256}}}
            return target.read_bytes(), record
    except (requests.RequestException, NoSuchProjectError) as error:
        raise InstallError(f"{SDIST_NAME}: could not be fetched ({error}); check the network, PIP_INDEX_URL"
                           " and SSL_CERT_FILE, or set DETECTRON2_SOURCE=official", 3) from error


def check_digest(data: bytes, expected: str = SDIST_SHA256) -> None:
    """Refuse an archive whose SHA-256 is not the pinned one."""
    digest = hashlib.sha256(data).hexdigest()
    if digest != expected:
        raise InstallError(f"{SDIST_NAME}: sha256 is {digest}, expected {expected}; nothing was installed", 2)


def unpack_package(data: bytes, target: Path, *, package: str = "detectron2", strip: int = 1) -> int:
    """Unpack one package folder of a tar archive into `target`; returns the number of files.

    `strip` leading path parts are cut (an sdist has its name first). Links, devices, absolute paths and `..`
    are refused: the archive comes from outside.
    """
    count = 0
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for member in archive:
            path = PurePosixPath(member.name)
            inner = PurePosixPath(*path.parts[strip:])
            if not inner.parts or inner.parts[0] != package or member.isdir():
                continue
            if path.is_absolute() or ".." in path.parts or not member.isfile():
                raise InstallError(f"{member.name}: not a plain file inside the archive;"
                                   " nothing was installed", 2)
            destination = target / inner
            destination.parent.mkdir(parents=True, exist_ok=True)
            destination.write_bytes(archive.extractfile(member).read())
            count += 1
    if not count:
        raise InstallError(f"the archive holds no package {package}; nothing was installed", 2)
    return count


def fetch_official(target: Path, repository: str = REPOSITORY, commit: str = COMMIT) -> dict:
    """Unpack detectron2/ and the model-zoo configs of the official commit; returns its record."""
    def git(*arguments: str, folder: str) -> bytes:
        done = subprocess.run(["git", "-C", folder, *arguments], capture_output=True)
        if done.returncode:
            raise InstallError(f"{repository}: git {arguments[0]} failed: {done.stderr.decode().strip()}", 3)
        return done.stdout

    if shutil.which("git") is None:
        raise InstallError("DETECTRON2_SOURCE=official needs git; install it (apt-get install git)", 3)
    with tempfile.TemporaryDirectory() as folder:
        git("init", "-q", folder=folder)
        git("fetch", "-q", "--depth", "1", repository, commit, folder=folder)
        unpack_package(git("archive", "--format=tar", commit, "detectron2", folder=folder), target, strip=0)
        # The official set-up places these two folders together; the sdist has them so already.
        configs = git("archive", "--format=tar", commit, "configs", folder=folder)
        unpack_package(configs, target / "detectron2/model_zoo", package="configs", strip=0)
    return {"url": repository, "vcs_info": {"vcs": "git", "commit_id": commit}}


def install(site_packages: Path, source: str) -> str:
    """Install from `source` (sdist or official) unless it is there; returns one line that says what is."""
    info = site_packages / f"detectron2-{VERSION}.dist-info"
    record_file = info / "direct_url.json"
    wanted = SDIST_SHA256 if source == "sdist" else COMMIT
    if record_file.is_file() and wanted in record_file.read_text():
        return f"detectron2 {VERSION} ({source}) is already in {site_packages}"
    with tempfile.TemporaryDirectory(dir=site_packages) as folder:
        if source == "sdist":
            data, record = fetch_sdist()
            check_digest(data)
            unpack_package(data, Path(folder))
        else:
            record = fetch_official(Path(folder))
        shutil.rmtree(info, ignore_errors=True)
        shutil.rmtree(site_packages / "detectron2", ignore_errors=True)
        os.replace(Path(folder) / "detectron2", site_packages / "detectron2")
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: detectron2\nVersion: {VERSION}\n")
    (info / "INSTALLER").write_text("install_detectron2.py\n")
    record_file.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")
    return f"detectron2 {VERSION} ({source}) installed in {site_packages}"


def main() -> int:
    """Command line: see the module docstring."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--site-packages", type=Path, default=Path(sysconfig.get_path("purelib")),
                        help="folder that gets the package (default: that of the running Python)")
    parser.add_argument("--source", choices=("sdist", "official"),
                        default=os.environ.get("DETECTRON2_SOURCE") or "sdist",
                        help="where from (default: $DETECTRON2_SOURCE or sdist)")
    arguments = parser.parse_args()
    try:
        if not arguments.site_packages.is_dir():
            raise InstallError(f"{arguments.site_packages}: no such folder; give the environment's"
                               " site-packages", 2)
        print(install(arguments.site_packages, arguments.source))
    except InstallError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
