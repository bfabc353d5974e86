"""A Slurm of its own for tests: one machine as two nodes with two fake GPUs each, no accounting.

    python3 tests/slurm/engine.py     installs what is missing, starts it once, stops it

Debian's packages are installed if they are absent (root only). Everything lies in a temporary folder, on free
ports, under a munge key of its own: a Slurm that this machine belongs to is not touched. The daemons are
children of whoever starts them, and end with it.

Exit codes: 0 it answers; 4 it cannot be had: one line says why, and the caller counts the tests as skipped.
Not covered: cgroups (nothing keeps a task to its cores and GPUs), other distributions. Standard library only.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PACKAGES = ("slurmctld", "slurmd", "slurm-client", "munge")
PROGRAMS = ("slurmctld", "slurmd", "munged", "sbatch", "srun", "squeue", "scontrol", "scancel")
NODES, GPUS_PER_NODE, CPUS = 2, 2, 4
EXIT_SKIPPED = 4
START_SECONDS, STOP_SECONDS = 30, 20
PR_SET_PDEATHSIG = 1

CONFIG = """\
ClusterName=syndet
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
# cred_expire: a requeued job begins again after so many seconds (at least 5, else 120)
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
GresTypes=gpu
SlurmdParameters=config_overrides
SchedulerParameters=batch_sched_delay=0,sched_interval=1
MaxArraySize=101
MinJobAge=5
KillWait=5
NodeName=n[1-{nodes}] NodeHostname={host} NodeAddr=127.0.0.1 Port=[{ports[1]}-{last}] CPUs={cpus} \
RealMemory=2000 Gres=gpu:{gpus} State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=60 State=UP
"""


class NoSlurm(Exception):
    """No Slurm can be had; the text is the reason, in one line."""


def install() -> None:
    """Have Slurm's programs, or NoSlurm with the reason."""
    os.environ["PATH"] += f"{os.pathsep}/usr/sbin"
    if os.geteuid() != 0:
        raise NoSlurm("only root can start its daemons")
    if all(shutil.which(name) for name in PROGRAMS):
        return
    if shutil.which("apt-get") is None:
        raise NoSlurm("not installed, and this is not Debian")
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    print("slurm: not installed; installing it", flush=True)
    for words in (("update", "-qq"), ("install", "-y", "-qq", "--no-install-recommends", *PACKAGES)):
        done = subprocess.run(["apt-get", *words], capture_output=True, text=True, env=env)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no output"])[-1]
            raise NoSlurm(f"apt-get {words[0]} failed: {last}")


def free_ports(count: int) -> list[int]:
    """Consecutive ports on which nothing listens; engines that start at the same moment look elsewhere."""
    for first in range(23000 + 97 * os.getpid() % 5000, 33000, count):
        with contextlib.ExitStack() as stack:
            try:
                for port in range(first, first + count):
                    stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            except OSError:
                continue
            return [*range(first, first + count)]
    raise NoSlurm("no free ports")


class Engine:
    """`with Engine() as engine:` a running Slurm; `engine.env` is what a client needs to see it."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="syndet-slurm-"))
        self.folder.chmod(0o755)  # munge wants a socket that others could reach
        self.env = {"SLURM_CONF": str(self.folder / "slurm.conf")}
        self.daemons: list[subprocess.Popen] = []

    def __enter__(self) -> Engine:
        try:
            self._write()
            self._daemon("munged", "-F", *self._munge_flags())
            self._wait_for(lambda: (self.folder / "munge.socket").exists(), "munged")
            self._daemon("slurmctld", "-D")
            for number in range(1, NODES + 1):
                self._daemon("slurmd", "-D", "-N", f"n{number}")
            self._wait_for(
                lambda: self.call("sinfo", "-h", "-t", "idle", "-o", "%D").strip() == str(NODES), "slurmd"
            )
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End all jobs, then the daemons; what does not end in time is killed. The folder goes as well."""
        if len(self.daemons) > 1:
            self.call("scancel", "--quiet", "--user=root")
            with contextlib.suppress(NoSlurm):
                self._wait_for(lambda: not self.call("squeue", "-h").strip(), "scancel", STOP_SECONDS)
        for daemon in reversed(self.daemons):
            daemon.terminate()
        for daemon in self.daemons:
            try:
                daemon.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def call(self, *command: str) -> str:
        """Output of one of Slurm's programs, or "" if it fails."""
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **self.env})
        return done.stdout if done.returncode == 0 else ""

    def _write(self) -> None:
        (self.folder / "state").mkdir()
        key = self.folder / "munge.key"
        key.touch(mode=0o600)
        key.write_bytes(os.urandom(1024))
        ports = free_ports(1 + NODES)
        text = CONFIG.format(
            folder=self.folder,
            host=platform.node(),
            ports=ports,
            last=ports[-1],
            nodes=NODES,
            cpus=CPUS,
            gpus=GPUS_PER_NODE,
        )
        (self.folder / "slurm.conf").write_text(text)
        lines = []
        for number in range(1, NODES + 1):
            for gpu in range(GPUS_PER_NODE):
                path = self.folder / f"n{number}-gpu{gpu}"
                try:
                    os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, 3))  # a second /dev/null
                except OSError as error:
                    raise NoSlurm(f"no device file can be made: {error.strerror}") from None
                lines.append(f"NodeName=n{number} Name=gpu File={path}\n")
        (self.folder / "gres.conf").write_text("".join(lines))

    def _munge_flags(self) -> list[str]:
        names = {"key-file": "munge.key", "socket": "munge.socket", "pid-file": "munged.pid"}
        names |= {"log-file": "munged.log", "seed-file": "munged.seed"}
        return ["--force", *(f"--{flag}={self.folder / name}" for flag, name in names.items())]

    def _daemon(self, *command: str) -> None:
        with (self.folder / f"{command[0]}-{len(self.daemons)}.log").open("w") as log:
            daemon = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self.env},
                preexec_fn=lambda: ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM),
            )
        self.daemons.append(daemon)

    def _wait_for(self, condition, what: str, seconds: float = START_SECONDS) -> None:
        end = time.monotonic() + seconds
        while not condition():
            dead = next((daemon for daemon in self.daemons if daemon.poll() is not None), None)
            if dead is not None or time.monotonic() > end:
                name = dead.args[0] if dead else what
                logs = sorted(self.folder.glob(f"{name}*.log"))
                last = (logs[0].read_text().strip().splitlines() if logs else []) or ["no output"]
                raise NoSlurm(f"{name} did not come up: {last[-1]}")
            time.sleep(0.1)


def main() -> int:
    """Command line: see the module docstring."""
    try:
        install()
        with Engine() as engine:
            version = engine.call("sinfo", "--version").strip()
            print(f"slurm: {version} answers with {NODES} nodes")
    except NoSlurm as reason:
        print(f"slurm: skipped (no Slurm: {reason})")
        return EXIT_SKIPPED
    return 0


if __name__ == "__main__":
    sys.exit(main())
