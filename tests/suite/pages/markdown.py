"""What the pages of the repository show: their links, headings and the commands in them."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PAGES = sorted(
    str(path.relative_to(ROOT))
    for pattern in ("*.md", "docs/*.md", "experiments/*/README.md", "docker/*.md", "assets/*/README.md")
    for path in ROOT.glob(pattern)
)
FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", flags=re.M | re.S)
STARTS = ("make ", "docker compose ", "python", ".tox/", ".ci/run", "tox ", "torchrun ", "SYNDET_")
ELLIPSIS = ("...", "\u2026")


@dataclass(frozen=True)
class Command:
    """One command as a page shows it; `setting` are the variables in front of it or among its words."""

    page: str
    words: tuple[str, ...]
    settings: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        return f"{self.page}: {' '.join((*(f'{k}={v}' for k, v in self.settings), *self.words))}"


@cache
def text(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def prose(page: str) -> str:
    """The page without its fenced blocks."""
    return FENCE.sub("", text(page))


def links(page: str) -> list[str]:
    """Targets of links and pictures that lie in the repository."""
    found = re.findall(r"\]\(([^)\s]+)\)", prose(page))
    return [link for link in found if not re.match(r"[a-z]+:", link)]


def anchors(page: str) -> set[str]:
    """What a link may name behind `#`: the headings, as GitHub spells them."""
    found: list[str] = []
    for heading in re.findall(r"^#+ (.+)$", prose(page), flags=re.M):
        plain = re.sub(r"[^\w\- ]", "", heading.replace("`", "").lower()).replace(" ", "-")
        found.append(f"{plain}-{found.count(plain)}" if plain in found else plain)
    return set(found)


def rows(page: str) -> list[list[str]]:
    """Cells of all tables of a page, heads and rules left out; a pipe inside of code is none of a table."""
    found = []
    for table in re.findall(r"(?:^\|.*\n?)+", prose(page), flags=re.M):
        for line in table.splitlines()[2:]:
            hidden = re.sub(r"`[^`]*`", lambda code: code[0].replace("|", "\0"), line.strip().strip("|"))
            found.append([cell.strip().replace("\0", "|") for cell in hidden.split("|")])
    return found


def code_spans(line: str) -> list[str]:
    """Texts between backticks, of one or two."""
    found = re.findall(r"(?<!`)(`{1,2})(?!`)(.+?)(?<!`)\1(?!`)", line)
    return [" ".join(span.split()) for _, span in found]


def commands(page: str) -> list[Command]:
    """What a page tells to type, in blocks and inline, without what begins with other words."""
    lines = [
        line
        for language, block in FENCE.findall(text(page))
        if language in ("", "bash")
        for line in logical(block)
    ]
    lines += [" ".join(code.split()) for code in re.findall(r"(?<!`)`([^`]+)`(?!`)", prose(page))]
    found = []
    for line in lines:
        stripped = re.sub(r"^(?:\w+=(?:'[^']*'|\S*) +)+", "", line)  # variables in front
        if stripped.startswith(STARTS) or line.startswith(STARTS):
            found += [one for part in re.split(r" (?:&&|\|) ", line) if (one := command(page, part))]
    return found


def logical(block: str) -> list[str]:
    """The commands of a block: lines put together where a quote is open or a backslash ends them."""
    found, held = [], ""
    for line in block.replace("\\\n", " ").splitlines():
        held = f"{held} {line.strip()}".strip()
        try:
            shlex.split(held, comments=True)
        except ValueError:
            continue
        found.append(held)
        held = ""
    return found


def command(page: str, line: str) -> Command | None:
    """A line's words; None for one that is no command."""
    try:
        words = shlex.split(line, comments=True)
    except ValueError:
        return None
    settings = tuple(tuple(word.split("=", 1)) for word in words if re.match(r"[A-Z][A-Z_]*=", word))
    rest = tuple(word for word in words if not re.match(r"[A-Z][A-Z_]*=", word))
    return Command(page, rest, settings) if rest else None


def is_open(word: str) -> bool:
    """Whether a word stands for others: `...`, `<name>`, `DIR`."""
    return any(sign in word for sign in (*ELLIPSIS, "<", ">")) or word.endswith("-")
