"""Runs in any image: reports as JSON what this process may do. Argument: name of a file to leave in runs/."""

import errno
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

FOLDERS = ("/", "/opt/venv", "/workspace", "/workspace/data", "/usr/local/bin", "/workspace/runs", "/tmp",
           "/dev/shm", "/run", "/run/syndet")
CAPABILITY_SETS = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")


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


def main() -> None:
    """Print the report."""
    lines = Path("/proc/self/status").read_text().splitlines()
    status = dict(line.split(":\t") for line in lines if ":\t" in line)
    program = Path("/tmp/program.sh")
    program.write_text("#!/bin/sh\necho ran\n")
    program.chmod(0o700)
    (Path("/workspace/runs") / sys.argv[1]).write_text("x")
    shm = os.statvfs("/dev/shm")
    print(json.dumps({
        "uid": os.getuid(), "gid": os.getgid(), "groups": os.getgroups(), "home": os.environ["HOME"],
        "capabilities": {name: int(status[name], 16) for name in CAPABILITY_SETS},
        "no_new_privileges": status["NoNewPrivs"] == "1",
        "writable": [folder for folder in FOLDERS if can_write(folder)],
        "tmp_runs_programs": subprocess.run([program], capture_output=True, text=True).stdout == "ran\n",
        "shm_bytes": shm.f_frsize * shm.f_blocks,
        "interfaces": sorted(os.listdir("/sys/class/net")),
        "network": reaches_network(),
        "first_process": Path("/proc/1/comm").read_text().strip(),
        "compilers": [name for name in ("cc", "gcc", "g++", "clang", "make", "pip", "pip3", "uv")
                      if shutil.which(name)],
        "secrets": os.path.exists("/run/secrets/ca"),
    }))


main()
