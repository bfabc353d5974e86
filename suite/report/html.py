"""One self-contained page: Jinja2 with autoescape, pictures inlined, no script, nothing fetched.

A system's template extends `base.html` and lies in the system's own `templates/`. The same inputs give the
same bytes: no clock, no random ids.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import jinja2

TEMPLATES = Path(__file__).resolve().parent / "templates"


def write_page(path: Path, template: str, *, folder: Path, **context: Any) -> Path:
    """Render `template` of `folder` (which may extend base.html) and write it whole or not at all."""
    loader = jinja2.FileSystemLoader([folder, TEMPLATES])
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(bytes=human_bytes, seconds=human_seconds, number=human_number, short=short)
    text = environment.get_template(template).render(**context)
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)
    return path


def human_bytes(count: float | None) -> str:
    """1536 -> '1.5 kB' (powers of 1000); None -> '-'."""
    if count is None:
        return "-"
    for unit in ("B", "kB", "MB", "GB"):
        if abs(count) < 1000:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def human_seconds(seconds: float | None) -> str:
    """75 -> '1 min 15 s'; 0.254 -> '0.25 s'; None -> '-'."""
    if seconds is None:
        return "-"
    if seconds < 60:
        return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"


def human_number(value: float | int | None) -> str:
    """Thousands separated; floats to four significant digits; None -> '-'."""
    if value is None:
        return "-"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.4g}"


def short(text: object, length: int = 12) -> str:
    """The first characters of a digest or key."""
    return str(text)[:length] if text else "-"
