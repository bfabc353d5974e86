"""The end of a process that loaded Blender.

Blender's module can wait for ever in its own exit handler: in bpy 4.5 it destroys a condition variable
that one of its threads (delayed_close_thread_run) still waits for, which the C library then waits for as
well. It was seen after the last line of a test run. So a process with bpy in it ends by `os._exit`, with
its output flushed and its exit code kept.
"""

from __future__ import annotations

import os
import shutil
import sys
import traceback
from collections.abc import Callable
from pathlib import Path


def leave(main: Callable[[], int | None]) -> None:
    """Run `main` and end the process with its exit code; a bug keeps its traceback and ends in 1."""
    try:
        code = main() or 0
    except SystemExit:
        raise
    except BaseException:  # the interpreter's own report, then the quick way out
        if "bpy" not in sys.modules:
            raise
        traceback.print_exc()
        code = 1
    if "bpy" in sys.modules:
        quick_exit(code)
    sys.exit(code)


def quick_exit(code: int) -> None:
    """Flush and end without exit handlers; Blender's would have deleted its folder of temporary files."""
    session = Path(getattr(getattr(sys.modules.get("bpy"), "app", None), "tempdir", ""))
    if session.name.startswith("blender_"):  # its own, not the folder of all
        shutil.rmtree(session, ignore_errors=True)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
