"""The error messages of the program, read from its source, for docs/troubleshooting.md.

    python -m suite.pages.messages                  all of them: kind, file, message; what to do
    python -m suite.pages.messages disk missing     those that have one of these words

A message is what is raised as BadInput (exit code 2), Missing (3) or Stopped (75); `...` stands for what is
filled in. docs/troubleshooting.md quotes them in this form, and a test finds each quote in the program.

Not covered: parts that a variable brings (shown as `...`), and messages of other programs.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from suite.errors import guard
from suite.provenance import ROOT

KINDS = ("BadInput", "Missing", "Stopped")
FOLDERS = ("suite", "experiments", "workflow")
OPEN = "..."


@dataclass(frozen=True, kw_only=True)
class Message:
    """One place where the program raises."""

    kind: str
    file: str  # below the repository
    line: int
    what: str
    fix: str

    def __str__(self) -> str:
        return f"{self.what}; {self.fix}" if self.fix else self.what


def sources() -> list[Path]:
    """The program's files: no tests, no makers of assets."""
    return sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))


def messages(paths: Iterable[Path] | None = None) -> list[Message]:
    """Every message that is raised with a text of its own."""
    found = []
    for path in sources() if paths is None else paths:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        found += [_message(path, call) for call in ast.walk(tree) if _kind(call)]
    return [message for message in found if message.what.strip(" .:;")]


def texts(paths: Iterable[Path] | None = None) -> set[str]:
    """Every text of two words or more that the program may print; `...` where it is filled in."""
    found: set[str] = set()
    for path in sources() if paths is None else paths:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        aside = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in _outermost(tree, aside):
            text = template(node)
            if " " in text.strip():
                found.add(" ".join(text.split()))
    return found | {str(message) for message in messages(paths)}


def template(node: ast.AST | None) -> str:
    """The text of an expression, `...` for each part that only running it would give."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    parts = []
    if isinstance(node, ast.JoinedStr):
        parts = node.values
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        parts = [node.left, node.right]
    # Two open places side by side are one to whoever reads them.
    return re.sub(r"(\.\.\.)+", OPEN, "".join(map(template, parts))) if parts else OPEN


def _outermost(tree: ast.AST, aside: set[int]) -> Iterator[ast.AST]:
    """Texts and sums of texts that are not parts of others, without those that stand alone (docstrings)."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if id(node) in aside and isinstance(node, ast.Constant):
            continue
        if isinstance(node, ast.JoinedStr | ast.BinOp) or _is_text(node):
            yield node
        inside = ast.iter_child_nodes(node)
        waiting += (part for part in inside if not (isinstance(node, ast.JoinedStr) and _is_text(part)))


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _kind(node: ast.AST) -> str | None:
    name = node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else None
    return name if name in KINDS else None


def _message(path: Path, call: ast.Call) -> Message:
    fix = next((keyword.value for keyword in call.keywords if keyword.arg == "fix"), None)
    return Message(
        kind=_kind(call) or "",
        file=str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path),
        line=call.lineno,
        what=" ".join(template(call.args[0]).split()) if call.args else "",
        fix=" ".join(template(fix).split()) if fix is not None else "",
    )


def main(words: Sequence[str]) -> int:
    """Print the messages, or those with one of the words."""
    for message in messages():
        if not words or any(word.lower() in str(message).lower() for word in words):
            print(f"{message.kind:<9}{message.file}:{message.line}  {message}")
    return 0


if __name__ == "__main__":
    sys.exit(guard(lambda: main(sys.argv[1:])))
