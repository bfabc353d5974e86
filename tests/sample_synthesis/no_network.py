"""Refuse every connection and every look-up of a name that Python code makes; sockets of the machine itself
(multiprocessing's) stay.
"""

from __future__ import annotations

import sys
from typing import Any

_STATE = {"installed": False, "blocks": False}
LOOKUPS = ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr", "socket.getnameinfo")


class NetworkUsedError(RuntimeError):
    """Something asked for the network. No OSError, which a library would take for a bad connection."""


def block(is_on: bool = True) -> None:
    """Refuse from now on, or no longer; for the whole process, as an audit hook cannot be taken away."""
    if not _STATE["installed"]:
        sys.addaudithook(_hook)
        _STATE["installed"] = True
    _STATE["blocks"] = is_on


def _hook(event: str, args: tuple[Any, ...]) -> None:
    if not _STATE["blocks"] or not event.startswith("socket."):
        return
    if event in LOOKUPS:
        raise NetworkUsedError(f"{event}{args}")
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg") and isinstance(args[1], tuple):
        raise NetworkUsedError(f"{event} {args[1]}")
