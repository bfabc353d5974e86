"""The third-party notices of LICENSES/third-party, made from the locks.

    python -m suite.pages.notices [--asked REPORT.json]   write packages.csv and the pages
    python -m suite.pages.notices --check     exit code 1 if a file is not what it would write

`packages.csv` keeps, of every package that a lock pins, what its own metadata say: licence and homepage. They
are read in the environments of .tox; of packages that only a cuda lock has, out of the report of
`pip install --dry-run --no-deps --ignore-installed --report REPORT.json NAME==VERSION ...` (pip >= 23.3,
with --use-feature=fast-deps it downloads none of them). The pages, one an image, are made from the locks and
from these rows alone, so that a lock that changed is noticed without any environment. Not covered: licences
of what a package carries inside; its own texts lie beside it (LICENSES/README.md).
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import yaml

from suite.audits.sbom import Pin, read_lock, scripted_pins, toolchain_pins
from suite.errors import BadInput, guard
from suite.inspect_run import normal
from suite.pages.assets import MADE_BY, assets_page
from suite.provenance import ROOT

FOLDER = ROOT / "LICENSES/third-party"
TABLE = "packages.csv"
TOOLCHAINS = ("blender", "detectron2", "jax", "tensorflow")
SHARED = ("workflow", "suite")  # environments that are no image: name -> folder of the lock
ACCELS = ("cpu", "cuda")
LONGEST = 60  # characters of a licence's name; what is longer is its text
METADATA, BY_HAND = "metadata", "by hand"
# Not an index's own page of the package, whose address is no homepage.
INDEX = re.compile(r"//(www\.)?pypi\.|//test\.pypi\.")
RESTRICTED = re.compile(r"GPL|MPL|Mozilla|NVIDIA|Proprietary|AFL", re.IGNORECASE)

SAID = yaml.safe_load((Path(__file__).with_name("notices.yaml")).read_text(encoding="utf-8"))


@dataclass(frozen=True, order=True, kw_only=True)
class Package:
    """What a package says of itself. said_by: where the licence stands."""

    name: str
    version: str
    licence: str
    homepage: str
    said_by: str


def licence_of(name: str, metadata: Mapping[str, list[str]]) -> tuple[str, str]:
    """Name of the licence and where it stands. metadata: the fields of PEP 566, lower case, as lists.

    Raises BadInput where nothing names one and nobody has looked.
    """
    expression = (metadata.get("license-expression") or [""])[0].strip()
    written = (metadata.get("license") or [""])[0].strip()
    short = written if len(written) <= LONGEST and "\n" not in written and written != "UNKNOWN" else ""
    classified = [
        row.removeprefix("License :: ").removeprefix("OSI Approved :: ")
        for row in metadata.get("classifier", [])
        if row.startswith("License :: ") and row != "License :: DFSG approved"
    ]
    found = expression or short or "; ".join(classified)
    if found:
        return found, METADATA
    if normal(name) in SAID["by_hand"]:
        row = SAID["by_hand"][normal(name)]
        return row["licence"], f"{BY_HAND}: {row['where']}"
    raise BadInput(
        f"{name} names no licence in its metadata", file="suite/pages/notices.yaml",
        fix="look into the package and add it under by_hand",
    )  # fmt: skip


def homepage_of(metadata: Mapping[str, list[str]]) -> str:
    """The first address that the metadata give, a homepage or sources before others; may be empty."""
    pairs = [row.partition(",")[::2] for row in metadata.get("project-url", [])]
    urls = {label.strip().lower(): url.strip() for label, url in pairs}
    wanted = ("homepage", "home", "source", "source code", "repository", "github", "code")
    written = (metadata.get("home-page") or [""])[0].strip()
    for url in (written, *(urls.get(label, "") for label in wanted), *urls.values()):
        if url.startswith("http") and not INDEX.search(url):
            return url
    return ""


def package_of(metadata: Mapping[str, list[str]]) -> Package:
    """The row of a package. metadata: as for licence_of."""
    name = normal(metadata["name"][0])
    licence, said_by = licence_of(name, metadata)
    return Package(
        name=name, version=metadata["version"][0], licence=licence, homepage=homepage_of(metadata),
        said_by=said_by,
    )  # fmt: skip


def installed(environment: str) -> Iterator[Package]:
    """The packages of .tox/<environment>, read from its files; none where it is not there."""
    folders = [str(path) for path in (ROOT / ".tox" / environment).glob("lib/python3*/site-packages")]
    for one in distributions(path=folders):
        if (one.metadata["Name"], environment) == ("pip", "suite"):
            continue  # not of a lock
        yield package_of(
            {key.lower(): [str(row) for row in one.metadata.get_all(key) or []] for key in one.metadata}
        )


def asked(report: Path) -> Iterator[Package]:
    """The packages of a report of pip's."""
    for one in json.loads(report.read_text(encoding="utf-8"))["install"]:
        given: dict[str, Any] = one["metadata"]
        fields_of = {key.replace("_", "-"): value for key, value in given.items()}
        yield package_of(
            {key: value if isinstance(value, list) else [value] for key, value in fields_of.items()}
        )


def pins(environment: str, accel: str) -> list[Pin]:
    """What the locks of an environment pin."""
    if environment in SHARED:
        return read_lock(ROOT / environment / "requirements.lock")
    return toolchain_pins(environment, accel) + scripted_pins(environment)


def wanted() -> set[tuple[str, str]]:
    """(name, version) of all that any lock pins."""
    return {
        (pin.name, pin.version) for name in (*TOOLCHAINS, *SHARED) for a in ACCELS for pin in pins(name, a)
    }


def read_table(path: Path) -> dict[tuple[str, str], Package]:
    """packages.csv by name and version; empty where there is none."""
    if not path.is_file():
        return {}
    with path.open(encoding="utf-8", newline="") as file:
        rows = [Package(**row) for row in csv.DictReader(file)]
    return {(row.name, row.version): row for row in rows}


def write_table(rows: Iterable[Package]) -> str:
    """The text of packages.csv."""
    out = io.StringIO()
    writer = csv.DictWriter(out, [field.name for field in fields(Package)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for row in sorted(rows))
    return out.getvalue()


def cell(text: str) -> str:
    """A cell of a table in Markdown."""
    return text.replace("|", "/").replace("\n", " ")


def image_page(environment: str, known: Mapping[tuple[str, str], Package]) -> str:
    """The page of one environment: what is in it under which licence. Raises BadInput for an unknown pin."""
    by_accel = {accel: {(pin.name, pin.version) for pin in pins(environment, accel)} for accel in ACCELS}
    keys = sorted(by_accel["cpu"] | by_accel["cuda"])
    for key in keys:
        if key not in known:
            raise BadInput(
                f"no row for {key[0]} {key[1]}",
                file=FOLDER / TABLE,
                fix="run `python -m suite.pages.notices`",
            )
    image = environment in TOOLCHAINS
    title = (
        f"Third-party notices: image `syndet/{environment}`"
        if image
        else f"Third-party notices: {environment}"
    )
    lines = [f"# {title}", "", MADE_BY, ""]
    lines += [SAID["pages"][environment], ""]
    careful = sorted({known[key].name for key in keys if RESTRICTED.search(known[key].licence)})
    lines += ["Not under a permissive licence alone: " + (", ".join(careful) or "none") + ".", ""]
    lines += [
        "## Python packages",
        "",
        "| package | version | licence | in | homepage |",
        "|---|---|---|---|---|",
    ]
    for key in keys:
        row = known[key]
        flavours = [accel for accel in ACCELS if key in by_accel[accel]]
        where = "both" if len(flavours) == len(ACCELS) else flavours[0]
        note = "" if row.said_by == METADATA else f" ({row.said_by})"
        cells = (row.name, row.version, cell(row.licence + note), where, row.homepage or "-")
        lines.append(f"| {' | '.join(cells)} |")
    if image:
        lines += ["", "## Debian packages", "", *debian_lines(environment)]
    return "\n".join(lines) + "\n"


def debian_lines(toolchain: str) -> list[str]:
    """The packages that the image asks Debian for."""
    text = (ROOT / f"docker/{toolchain}/apt.txt").read_text(encoding="utf-8")
    names = [line.partition("#")[0].strip() for line in text.splitlines()]
    return [
        "Debian 12 (`debian:bookworm-slim`), and on top of it, each with what it depends on: "
        + ", ".join(f"`{name}`" for name in names if name) + ".",
        "Versions are those of the day of the build. The licence of each lies in the image, in",
        "`/usr/share/doc/<package>/copyright`; `make audit-containers` lists all of them in its SBOM.",
    ]  # fmt: skip


def collect(report: Path | None) -> dict[tuple[str, str], Package]:
    """The rows of all pins: from the environments, the report, and packages.csv of before, in this order."""
    needed, found = wanted(), read_table(FOLDER / TABLE)
    sources = [asked(report)] if report is not None else []
    for rows in [*sources, *(installed(name) for name in (*TOOLCHAINS, *SHARED))]:
        found |= {(row.name, row.version): row for row in rows if (row.name, row.version) in needed}
    missing = sorted(needed - found.keys())
    if missing:
        names = " ".join(f"{name}=={version}" for name, version in missing)
        raise BadInput(
            f"in no environment: {names}", file=".tox",
            fix="build them (tox), or give pip's report of these with --asked (see --help)",
        )  # fmt: skip
    return {key: found[key] for key in needed}


def pages(known: Mapping[tuple[str, str], Package]) -> dict[str, str]:
    """File name -> text of all that is made."""
    made = {f"{name}.md": image_page(name, known) for name in (*TOOLCHAINS, *SHARED)}
    return {TABLE: write_table(known.values()), "assets.md": assets_page(), **made}


def main(words: list[str] | None = None) -> int:
    """Command line: see the module docstring."""
    parser = argparse.ArgumentParser(
        prog="python -m suite.pages.notices",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--asked", type=Path, help="a report of pip's about packages that are not installed")
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit code 1 if something differs"
    )
    given = parser.parse_args(words)
    made = pages(collect(given.asked))
    differing = [
        name
        for name, text in made.items()
        if not (FOLDER / name).is_file() or (FOLDER / name).read_text(encoding="utf-8") != text
    ]
    for name in differing:
        if not given.check:
            FOLDER.mkdir(exist_ok=True)
            (FOLDER / name).write_text(made[name], encoding="utf-8")
        print(f"{'differs' if given.check else 'written'}: LICENSES/third-party/{name}")
    return 1 if given.check and differing else 0


if __name__ == "__main__":
    sys.exit(guard(main))
