"""Runs in any image, with the standard library alone: reports as JSON what this process may do.

python -m suite.audits.hardening [NAME]     NAME: of a file to leave in runs/
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

FOLDERS = ("/", "/opt/venv", "/workspace", "/workspace/data", "/usr/local/bin", "/workspace/runs", "/tmp",
           "/dev/shm", "/run", "/run/syndet")  # fmt: skip
CAPABILITY_SETS = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
TOOLS = ("cc", "gcc", "g++", "clang", "make", "pip", "pip3", "uv")


def can_write(folder: str) -> bool:
    """True if a file can be made in the folder."""
    path = Path(folder) / f"write-{os.getpid()}"
    try:
        path.touch()
    except OSError:
        return False
    path.unlink()
    return True


def reaches_network() -> bool:
    """True if a packet for a documentation address (RFC 5737) finds a route; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError as error:
            if error.errno != errno.ENETUNREACH:
                raise
            return False
    return True


def root_is_read_only() -> bool:
    """What the kernel says of the mount at /."""
    mounts = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return any(fields[4] == "/" and "ro" in fields[5].split(",") for fields in mounts)


def report() -> dict[str, object]:
    """All that is asked, by name."""
    lines = Path("/proc/self/status").read_text().splitlines()
    status = dict(line.split(":\t") for line in lines if ":\t" in line)
    program = Path("/tmp/program.sh")
    program.write_text("#!/bin/sh\necho ran\n")
    program.chmod(0o700)
    shm = os.statvfs("/dev/shm")
    return {
        "uid": os.getuid(), "gid": os.getgid(), "groups": os.getgroups(), "home": os.environ["HOME"],
        "capabilities": {name: int(status[name], 16) for name in CAPABILITY_SETS},
        "no_new_privileges": status["NoNewPrivs"] == "1",
        "root_read_only": root_is_read_only(),
        "writable": [folder for folder in FOLDERS if can_write(folder)],
        "tmp_runs_programs": subprocess.run([program], capture_output=True, text=True).stdout == "ran\n",
        "shm_bytes": shm.f_frsize * shm.f_blocks,
        "interfaces": sorted(os.listdir("/sys/class/net")),
        "network": reaches_network(),
        "first_process": Path("/proc/1/comm").read_text().strip(),
        "compilers": [name for name in TOOLS if shutil.which(name)],
        "secrets": os.path.exists("/run/secrets/ca"),
    }  # fmt: skip


def main() -> None:
    """Leave the file, print the report."""
    if sys.argv[1:]:
        (Path("/workspace/runs") / sys.argv[1]).write_text("x")
    print(json.dumps(report()))


if __name__ == "__main__":
    main()
