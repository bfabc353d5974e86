"""What commands by hand have in common: flags whose errors are one line, and results in folders of the user.

A result is made by the job of a stage (suite/stage.py) in a folder that the user names: the same command
again is up to date, a killed one goes on, and a folder that holds something else is refused until `force`
moves it aside.
"""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

from suite.errors import BadInput
from suite.manifest import KEY_FILE, read_json, read_manifest
from suite.stage import Job


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, with near matches, instead of the usage on many."""

    def error(self, message: str) -> NoReturn:
        raise BadInput(f"{self.prog}: {message}", fix=f"{self.prog} -h lists the flags")

    def parse(self, words: Sequence[str]) -> argparse.Namespace:
        """The parsed words. Raises BadInput."""
        args, rest = self.parse_known_args(words)
        if rest:
            word = next((word for word in rest if word.startswith("-")), rest[0])
            known = [flag for action in self._actions for flag in action.option_strings]
            near = difflib.get_close_matches(word.partition("=")[0], known, n=3, cutoff=0.6)
            fix = f"did you mean {' or '.join(near)}?" if near else f"{self.prog} -h lists the flags"
            raise BadInput(f"unknown flag {word}", fix=fix)
        return args


def bring_up(job: Job, *, force: bool, fix: str, goes_on: bool = False) -> Iterator[str]:
    """Run a job in the user's folder, unless that holds something else; yields the lines to be printed.

    fix: what to do where it does. goes_on: a finished result of other settings is one to go on from.
    """
    for folder, key in ((job.out, key_at(job.out)), (job.part, part_key(job.part))):
        if key in (None, job.key) or (goes_on and folder == job.out):
            continue
        if not force:
            what = "holds something else" if key == "unknown" else "holds a result of other settings"
            raise BadInput(what, file=folder, fix=fix)
        yield f"{folder} is now {move_aside(folder)}"
    yield f"{job.stage.name}: {'done' if job.run() else 'up to date'}"


def key_at(folder: Path) -> str | None:
    """The key of a finished folder; `unknown` for one that is none of ours; None where there is nothing."""
    manifest = read_manifest(folder)
    if manifest is not None:
        return manifest["key"]
    is_empty = folder.is_dir() and not any(folder.iterdir())
    return "unknown" if folder.exists() and not is_empty else None


def part_key(part: Path) -> str | None:
    """The same of a work folder."""
    found = read_json(part / KEY_FILE)
    return (found or {}).get("key", "unknown") if part.exists() else None


def move_aside(folder: Path) -> Path:
    """Rename to the first free `<name>_old<N>`; nothing is deleted."""
    number = 1
    while (target := folder.with_name(f"{folder.name}_old{number}")).exists():
        number += 1
    return folder.rename(target)
