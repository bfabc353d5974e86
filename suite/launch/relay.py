"""Stages of another toolchain, without a Docker socket: a second container waits on a Unix socket and runs
them.

    python -m suite.launch.relay serve /run/syndet/detectron2.sock      in the container of detectron2
    python -m suite.launch.relay run -- experiments.solid pretrain ...  in the paper's container
    python -m suite.launch.relay hold -- PROGRAM ...                    there too, around everything

A request is a line of JSON, together with the open files that the stage is to write to and the locks that it
is to hold (SCM_RIGHTS): no output is copied, and a lock lasts as long as the stage, wherever its starter is.
Client:  {"run": [package, verb, flag ...], "env": {...}, "files": n}, then {"signal": n}; or {"hold": true}
Server:  {"code": n}, as subprocess counts it; or {"refused": why}
A client that is gone counts as SIGTERM to its stage, as SIGKILL if SIGTERM was sent before. The server runs
nothing but stages of its own toolchain, without a shell, and ends with its last client.

Not covered: containers on different kernels (other hosts, virtual machines of their own).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from suite.config import load_config
from suite.errors import EXIT_OK, BadInput, Missing, guard
from suite.family import dying_with_us
from suite.launch.machine import THREAD_VARIABLES
from suite.launch.places import HERE_PYTHON, RELAY_VARIABLE, own_toolchain
from suite.launch.pool import POLL_SECONDS, StopRequest
from suite.launch.worker import exit_code, say
from suite.provenance import ROOT
from suite.runs import stages_of, systems

PASSED_ON = (*THREAD_VARIABLES, "CUDA_VISIBLE_DEVICES")  # what a launcher tells each worker
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
MAX_FILES = 16
MAX_BYTES = 2**20  # of a request
START_SECONDS = 30  # `hold`: a container that was just started has not opened its socket yet
CONNECT_SECONDS = 1
IDLE_SECONDS = 3600  # compose may build the image of the client after the server has started


def toolchain_of(package: str, verb: str, flags: Sequence[str] = ()) -> str | None:
    """Toolchain of a stage; None where the system has no such stage.

    flags: behind the verb; the settings that they name may decide which stages there are, and where.
    """
    home, _, system = package.partition(".")
    if home != "experiments" or system.replace("_", "-") not in systems():
        raise BadInput(f"{package!r} is no system of ours")
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--config")
    parser.add_argument("-o", "--override", action="append", default=[])
    named, _ = parser.parse_known_args([*flags])
    stages = import_module(f"{package}.stages").STAGES
    if named.config is not None:
        schema = import_module(f"{package}.config").CONFIG
        stages = stages_of(system, load_config(schema, named.config, named.override))
    stage = stages.get(verb)
    return stage and stage.toolchain


# --- server ---


@dataclass(eq=False)
class Link:
    """One client."""

    sock: socket.socket
    text: bytes = b""
    files: list[int] = field(default_factory=list)
    name: str = ""  # of the stage, for messages
    process: subprocess.Popen | None = None
    counts: bool = False  # it said something: the server stays as long as it does
    is_gone: bool = False
    was_told: bool = False  # a stop signal was passed on

    def answer(self, **message: Any) -> None:
        with contextlib.suppress(OSError):
            self.sock.sendall(line_of(message))

    def signal(self, number: int) -> None:
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, number)
            self.was_told = True

    def close_files(self) -> None:
        for descriptor in self.files:
            os.close(descriptor)
        self.files.clear()


class Server:
    """Waits at `path`; runs stages of `toolchain` with `python`; ends with its last client, after SIGTERM, or
    after `idle` seconds in which nobody came.
    """

    def __init__(self, path: Path, *, toolchain: str, python: str, idle: float, stop: StopRequest) -> None:
        self.path, self.toolchain, self.python, self.idle, self.stop = path, toolchain, python, idle, stop
        self.links: set[Link] = set()
        self.had_client = False
        self.selector = selectors.DefaultSelector()

    def serve(self) -> int:
        """Until the end; returns the exit code."""
        listener, start, passed_on = self._listen(), time.monotonic(), 0
        say(f"relay: {self.toolchain} waits at {self.path}")
        while not self._is_over(time.monotonic() - start):
            for key, _ in self.selector.select(POLL_SECONDS):
                if key.data is None:
                    self._accept(listener)
                else:
                    self._read(key.data)
            if self.stop.signals > passed_on:
                passed_on = self.stop.signals
                for link in self.links:
                    link.signal(signal.SIGTERM if passed_on == 1 else signal.SIGKILL)
            self._reap()
        self.path.unlink(missing_ok=True)
        say("relay: stopped" if self.stop.is_set else "relay: the last client has left; the end")
        return EXIT_OK

    def _listen(self) -> socket.socket:
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(str(self.path)) == 0:
                raise BadInput("another relay waits here", file=self.path)
        # Between bind and listen a socket refuses everybody: it gets its name once it listens, owner only.
        unnamed = self.path.with_name(f".{self.path.name}")
        unnamed.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(unnamed))
        unnamed.chmod(0o600)
        listener.listen()
        unnamed.replace(self.path)
        self.selector.register(listener, selectors.EVENT_READ)
        return listener

    def _is_over(self, seconds: float) -> bool:
        if self.stop.is_set:
            return not any(link.process for link in self.links)
        if any(link.counts for link in self.links):
            return False
        return self.had_client or seconds > self.idle

    def _accept(self, listener: socket.socket) -> None:
        link = Link(listener.accept()[0])
        self.links.add(link)
        self.selector.register(link.sock, selectors.EVENT_READ, link)

    def _read(self, link: Link) -> None:
        try:
            data, files, *_ = socket.recv_fds(link.sock, 2**16, MAX_FILES)
        except ConnectionError:
            data, files = b"", []
        link.files += files
        link.text += data
        if not data or len(link.text) > MAX_BYTES:
            self.selector.unregister(link.sock)
            link.is_gone = True
            link.signal(signal.SIGKILL if link.was_told else signal.SIGTERM)
            return
        *lines, link.text = link.text.split(b"\n")
        for line in lines:
            self.had_client = link.counts = True
            try:
                self._obey(link, json.loads(line))
            except (BadInput, ValueError) as error:
                say(f"relay: refused: {error}")
                link.answer(refused=str(error))

    def _obey(self, link: Link, message: Any) -> None:
        if not isinstance(message, dict):
            raise BadInput("not a request")
        if message.get("signal") in SIGNALS:
            link.signal(message["signal"])
        elif "run" in message and link.process is None and not self.stop.is_set:
            self._start(link, message)
        elif "hold" not in message:
            raise BadInput("not a request, or not now")

    def _start(self, link: Link, message: dict) -> None:
        words, env = message["run"], message.get("env", {})
        if not (isinstance(words, list) and isinstance(env, dict) and len(words) > 1):
            raise BadInput("a request is [package, verb, flag ...] and {variable: text}")
        if not all(isinstance(text, str) for text in (*words, *env.values())):
            raise BadInput("words and values are texts")
        if toolchain_of(*words[:2], words[2:]) != self.toolchain:
            raise BadInput(f"{words[1]!r} of {words[0]} is no stage of the toolchain {self.toolchain}")
        if not set(env) <= set(PASSED_ON) or not 2 <= len(link.files) == message.get("files"):
            raise BadInput("other variables than a launcher sets, or the open files did not arrive")
        link.name = f"{words[0].partition('.')[2]}.{words[1]}"
        out, err, *locks = link.files
        try:
            link.process = subprocess.Popen(
                [self.python, "-m", *words], env={**os.environ, **env}, cwd=ROOT, stdin=subprocess.DEVNULL,
                stdout=out, stderr=err, start_new_session=True, preexec_fn=dying_with_us(), pass_fds=locks,
            )  # fmt: skip
        except OSError as error:
            raise BadInput(f"{self.python} cannot be started: {error.strerror}") from None
        finally:
            link.close_files()
        say(f"relay: {link.name}: started")

    def _reap(self) -> None:
        """Tell the ends of stages; forget clients that are gone and have no stage running."""
        for link in [*self.links]:
            if link.process is not None and (code := link.process.poll()) is not None:
                say(f"relay: {link.name}: ended with exit code {exit_code(code)}")
                link.answer(code=code)
                link.process = None
            if link.is_gone and link.process is None:
                link.close_files()
                link.sock.close()
                self.links.discard(link)


def line_of(message: dict[str, Any]) -> bytes:
    """One line of JSON."""
    return json.dumps(message).encode() + b"\n"


# --- client ---


def relays() -> dict[str, Path]:
    """Toolchain -> socket, of the containers that stand beside this one (SYNDET_RELAY: paths, by colons)."""
    paths = [Path(text) for text in os.environ.get(RELAY_VARIABLE, "").split(":") if text]
    return {path.stem: path for path in paths}


def connect(toolchain: str, *, seconds: float = CONNECT_SECONDS) -> socket.socket:
    """A line to the container of a toolchain; Missing where none answers."""
    path = relays().get(toolchain)
    if path is None:
        raise Missing(
            f"this container is of the toolchain {own_toolchain()}, the stage is of {toolchain}",
            fix="docker compose run --rm <paper> brings both, PLACE=docker on the host as well",
        )
    end = time.monotonic() + seconds
    while True:
        sock = socket.socket(socket.AF_UNIX)
        if sock.connect_ex(str(path)) == 0:
            return sock
        sock.close()
        if time.monotonic() > end:
            raise Missing(
                f"the container of the toolchain {toolchain} does not answer at {path}",
                fix=f"`docker compose logs {toolchain}-relay` says more; the same command tries again",
            )
        time.sleep(POLL_SECONDS)


def require(toolchain: str) -> None:
    """Raise Missing unless the stages of a toolchain can be run from here."""
    if own_toolchain() not in (None, toolchain):
        connect(toolchain).close()


def call(toolchain: str, words: Sequence[str], *, keep: Sequence[int]) -> int:
    """Run `<package> <verb> <flags>` in the container of a toolchain, with our output and the descriptors
    `keep`; returns its exit code. Stop signals are passed on.
    """
    sock = connect(toolchain)
    env = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    files = [1, 2, *keep]
    request = line_of({"run": [*words], "env": env, "files": len(files)})
    sys.stdout.flush()
    answer: dict[str, Any] = {}
    with contextlib.suppress(ConnectionError):
        sent = socket.send_fds(sock, [request], files)
        sock.sendall(request[sent:])
        pass_on_signals(sock)
        with sock.makefile(encoding="utf-8") as lines:
            answer = json.loads(next(lines, "{}"))
    if "refused" in answer:
        raise BadInput(f"the container of the toolchain {toolchain} refused: {answer['refused']}")
    if "code" not in answer:
        raise Missing(
            f"the container of the toolchain {toolchain} ended in the middle of {words[1]}",
            fix=f"`docker compose logs {toolchain}-relay` says more; the same command goes on",
        )
    return exit_code(answer["code"])


def pass_on_signals(sock: socket.socket) -> None:
    """From now on SIGTERM, SIGINT and SIGHUP go to the other side; this process ends when the stage does."""

    def pass_on(number: int, _: object) -> None:
        with contextlib.suppress(OSError):
            sock.sendall(line_of({"signal": number}))

    for number in SIGNALS:
        signal.signal(number, pass_on)


def run(words: Sequence[str], *, keep: Sequence[int]) -> int:
    """A verb in the toolchain that it belongs to: here if it is this one's, or no stage at all."""
    toolchain = toolchain_of(*words[:2], words[2:])
    if toolchain is None or own_toolchain() in (None, toolchain):
        os.execv(HERE_PYTHON, [HERE_PYTHON, "-m", *words])
    return call(toolchain, words, keep=keep)


def hold(words: Sequence[str]) -> None:
    """Become a program. The containers beside this one stay until it ends, however that happens: the open
    line is inherited.
    """
    for toolchain in relays():
        try:
            sock = connect(toolchain, seconds=START_SECONDS)
        except Missing as error:  # said again by the first stage that needs it
            say(f"warning: {error}")
            continue
        sock.sendall(line_of({"hold": True}))
        os.set_inheritable(sock.detach(), True)
    os.execvp(words[0], [*words])


def main(argv: Sequence[str] | None = None) -> int:
    """Parse, run, return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m suite.launch.relay", allow_abbrev=False)
    what = parser.add_subparsers(dest="what", required=True, metavar="serve|run|hold")
    serve = what.add_parser("serve", help="run stages for the clients that come to PATH")
    serve.add_argument("path", type=Path, metavar="PATH")
    serve.add_argument("--python", default=HERE_PYTHON, help=f"default {HERE_PYTHON}")
    serve.add_argument("--idle", type=float, default=IDLE_SECONDS, help="seconds without a client")
    running = what.add_parser("run", help="run a verb of a system in its toolchain")
    running.add_argument("--keep", type=int, action="append", default=[], help="descriptor to hand over")
    running.add_argument("words", nargs="+", metavar="PACKAGE VERB ...", help="behind `--`")
    holding = what.add_parser("hold", help="run a program; the other containers stay as long as it does")
    holding.add_argument("words", nargs="+", metavar="PROGRAM ...", help="behind `--`")
    options = parser.parse_args(argv)
    if options.what == "hold":
        return guard(lambda: hold(options.words))
    if options.what == "run":
        return guard(lambda: run(options.words, keep=options.keep))
    stop = StopRequest()
    stop.install()
    server = Server(
        options.path, toolchain=own_toolchain() or "", python=options.python, idle=options.idle, stop=stop
    )
    return guard(server.serve)


if __name__ == "__main__":
    sys.exit(main())
