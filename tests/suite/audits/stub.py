"""A command that refuses its input as it should, or with the fault that is named: `stub FILE MODE`."""

import os
import signal
import sys
import tempfile
from pathlib import Path


def main(file: Path, mode: str) -> int:
    line = f"error: {file}: holds no images; check which file this is"
    if mode == "leaves a file":
        Path("out.txt").write_text("half")
    if mode == "leaves a temporary file":
        os.close(tempfile.mkstemp()[0])
    if mode == "deletes the input":
        file.unlink()
    if mode == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if mode == "traceback":
        raise KeyError("images")
    if mode == "names nothing":
        line = "error: holds no images; check which file this is"
    print(*[line] * (2 if mode == "two lines" else 1), sep="\n", file=sys.stderr)
    return 1 if mode == "exits 1" else 2


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2]))
