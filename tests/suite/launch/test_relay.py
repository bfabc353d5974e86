"""Stages of another toolchain over a socket, with real processes: the toy's stages run behind a server."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from suite.errors import EXIT_BAD_INPUT, EXIT_MISSING, EXIT_OK, EXIT_STOPPED
from suite.launch.places import HERE_PYTHON, Place
from suite.launch.pool import StopRequest
from suite.launch.relay import Server
from tests.waiting import wait_until

REFUSALS = [
    b"no json\n",
    b"[1]\n",
    b'{"run": "experiments.toy numbers"}\n',
    b'{"run": ["experiments.toy", 3]}\n',
    b'{"run": ["subprocess", "numbers"]}\n',
    b'{"run": ["experiments.toy.work", "numbers"]}\n',
    b'{"run": ["experiments.no_such", "numbers"]}\n',
    b'{"run": ["experiments.toy", "no-such-stage"]}\n',
    b'{"run": ["experiments.toy", "numbers"], "env": {"LD_PRELOAD": "x.so"}, "files": 0}\n',
    b'{"run": ["experiments.toy", "numbers"], "files": 2}\n',
    b'{"stop": true}\n',
]


class Relay:
    """A server in a checkout, and the environment of a container beside it."""

    def __init__(self, checkout, folder: Path, *options: str, **env: str) -> None:
        self.path = folder / "suite.sock"
        self.errors = (checkout.root / "relay-log").open("w+")
        command = [sys.executable, "-m", "suite.launch.relay", "serve", "--python", sys.executable]
        self.process = subprocess.Popen(
            [*command, *options, str(self.path)], cwd=checkout.root, stderr=self.errors,
            env=checkout.environment(SYNDET_TOOLCHAIN="suite", **env),
        )  # fmt: skip
        self.beside = {"SYNDET_TOOLCHAIN": "blender", "SYNDET_RELAY": str(self.path)}

    def connect(self) -> socket.socket:
        wait_until(self.path.exists)
        line = socket.socket(socket.AF_UNIX)
        line.settimeout(30)
        line.connect(str(self.path))
        return line

    def said(self) -> str:
        self.errors.seek(0)
        return self.errors.read()


@pytest.fixture
def relay(checkout) -> Iterator[Callable[..., Relay]]:
    """Starts servers, each held until the test ends unless hold=False."""
    folder = Path(tempfile.mkdtemp(prefix="relay-"))  # the path of a socket has at most 107 characters
    opened: list = []

    def start(*options: str, hold: bool = True, **env: str) -> Relay:
        made = Relay(checkout, folder, *options, **env)
        opened.append(made)
        if hold:
            opened.append(made.connect())
            opened[-1].sendall(b'{"hold": true}\n')
        return made

    yield start
    for item in reversed(opened):
        if isinstance(item, Relay):
            item.process.kill()
            item.process.wait()
            item.errors.close()
        else:
            item.close()
    shutil.rmtree(folder)


def here(checkout, stage: str, *words: str) -> list[str]:
    """The launcher's words with place here."""
    return ["here" if word == "venv" else word for word in checkout.launch_words(stage, *words)]


def squared(checkout) -> list[str]:
    return [row[1] for row in checkout.notes() if row[0] == "squared"]


def test_a_wide_stage_goes_over_it_with_its_shards_side_by_side(checkout, relay):
    beside = relay().beside
    assert checkout.run(*here(checkout, "numbers"), **beside)[0] == EXIT_OK
    code, output = checkout.run(*here(checkout, "make-squares", "--jobs=2", "pause=0.1"), **beside)
    assert code == EXIT_OK, output
    assert "4 of 4 shards to do, 2 at a time" in output
    running = most = 0
    for row in sorted(checkout.notes(), key=lambda row: float(row[4])):
        running += {"begin": 1, "end": -1}.get(row[0], 0)
        most = max(most, running)
    assert most == 2
    assert {row[3] for row in checkout.notes()} == {str(max(1, psutil.cpu_count(logical=False) // 2))}
    log = (checkout.run_folder / "logs/make-squares.log").read_text()
    assert "toy.make-squares shard 3: done" in log, "the stage writes into the launcher's log"
    again = checkout.run(*here(checkout, "make-squares"), **beside)
    assert again == (EXIT_OK, "toy.make-squares: up to date, 4 shards\n")


@pytest.mark.slow
def test_a_whole_system_is_reproduced_over_it(checkout, relay):
    words = ["suite", "reproduce", "toy", "--scale", "tiny", "--place", "here"]
    code, output = checkout.run(*words, **relay().beside)
    assert code == EXIT_OK, output
    assert (checkout.run_folder / "report/index.html").is_file()


@pytest.mark.parametrize("told", [1, pytest.param(2, marks=pytest.mark.slow), 3])
def test_exit_codes_come_through(checkout, relay, told):
    started = relay(TOY_FAIL=f"1:{told}")
    checkout.run(*here(checkout, "numbers"), **started.beside)
    code, output = checkout.run(*here(checkout, "make-squares"), **started.beside)
    assert code == told
    assert f"1 (exit code {told})" in output
    assert f"toy.make-squares: ended with exit code {told}" in started.said()


def test_sigterm_reaches_the_stages_which_keep_what_is_finished(checkout, relay):
    started = relay()
    checkout.run(*here(checkout, "numbers"), **started.beside)
    process = checkout.start(*here(checkout, "make-squares", "--jobs=2", "pause=0.3"), **started.beside)
    wait_until(lambda: bool(squared(checkout)))
    process.terminate()
    output, _ = process.communicate(timeout=120)
    assert process.returncode == EXIT_STOPPED, output
    assert f"ended with exit code {EXIT_STOPPED}" in started.said()
    assert checkout.run(*here(checkout, "make-squares"), **started.beside)[0] == EXIT_OK
    assert len(squared(checkout)) == len(set(squared(checkout))) == 12, "nothing finished was done twice"


@pytest.mark.slow
def test_a_client_that_is_gone_stops_its_stage_and_the_next_run_waits_for_it(checkout, relay):
    started = relay()
    checkout.run(*here(checkout, "numbers"), **started.beside)
    process = checkout.start(*here(checkout, "make-squares", "--jobs=1", "pause=0.5"), **started.beside)
    wait_until(lambda: bool(squared(checkout)))
    for member in [*psutil.Process(process.pid).children(recursive=True), process]:
        member.kill()
    process.communicate()
    code, output = checkout.run(*here(checkout, "make-squares"), **started.beside)
    assert code == EXIT_OK, output
    assert f"ended with exit code {EXIT_STOPPED}" in started.said(), "not left to itself"
    assert len(squared(checkout)) == len(set(squared(checkout))) == 12


@pytest.mark.slow
def test_a_second_signal_kills(checkout, relay):
    started = relay()
    checkout.run(*here(checkout, "numbers"), **started.beside)
    # One at a time: a second one could still be starting, with no item at hand, at the first signal.
    process = checkout.start(*here(checkout, "make-squares", "--jobs=1", "pause=30"), **started.beside)
    wait_until(lambda: bool(checkout.notes()))
    stages = psutil.Process(started.process.pid).children()
    process.terminate()
    time.sleep(0.5)
    assert all(stage.is_running() for stage in stages), "each finishes the item at hand"
    process.terminate()
    process.communicate(timeout=120)
    wait_until(lambda: not any(stage.is_running() for stage in stages))


def test_a_server_that_is_killed_takes_its_stages_along_and_is_one_clear_line(checkout, relay):
    started = relay()
    checkout.run(*here(checkout, "numbers"), **started.beside)
    process = checkout.start(*here(checkout, "make-squares", "--jobs=1", "pause=0.3"), **started.beside)
    wait_until(lambda: bool(checkout.notes()))
    stages = psutil.Process(started.process.pid).children()
    started.process.kill()
    output, _ = process.communicate(timeout=120)
    assert process.returncode == EXIT_MISSING, output
    log = (checkout.run_folder / "logs/make-squares.log").read_text()
    assert "error: the container of the toolchain suite ended in the middle of make-squares; " in log
    assert "error: the container of the toolchain suite does not answer" in output, "the shards after it"
    wait_until(lambda: not any(stage.is_running() for stage in stages))


def test_a_stopped_server_stops_its_stages_and_tells_it(checkout, relay):
    started = relay()
    checkout.run(*here(checkout, "numbers"), **started.beside)
    process = checkout.start(*here(checkout, "make-squares", "--jobs=4", "pause=0.3"), **started.beside)
    wait_until(lambda: len(checkout.notes()) >= 4)
    started.process.terminate()
    assert started.process.wait(timeout=120) == EXIT_OK
    process.communicate(timeout=120)
    assert process.returncode == EXIT_STOPPED
    assert not started.path.exists()


def test_only_stages_of_its_toolchain_are_run(checkout, relay):
    started = relay()
    for request in REFUSALS:
        with started.connect() as line, line.makefile() as answers:
            line.sendall(request)
            assert "refused" in json.loads(answers.readline()), request
    assert not checkout.notes()


def test_a_refusal_is_bad_input_for_the_client(checkout, relay):
    started = relay()
    stages = checkout.root / "experiments/toy/stages.py"
    stages.write_text(stages.read_text().replace('toolchain="suite"', 'toolchain="jax"'))
    beside = {**started.beside, "SYNDET_RELAY": str(started.path.with_name("jax.sock"))}
    wait_until(started.path.exists)
    started.path.with_name("jax.sock").symlink_to(started.path)  # the wrong container
    code, output = checkout.run("suite.launch.relay", "run", "--", "experiments.toy", "numbers", **beside)
    assert code == EXIT_BAD_INPUT
    assert "refused: 'numbers' of experiments.toy is no stage of the toolchain suite" in output


def test_the_socket_is_for_its_owner_alone(relay):
    started = relay()
    assert started.path.stat().st_mode & 0o777 == 0o600


def test_the_socket_has_its_name_only_once_it_answers(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the path of a socket has at most 107 characters
    path, named_before = Path("suite.sock"), []
    listen = socket.socket.listen

    def recorded(sock, *backlog):
        named_before.append(path.exists())
        listen(sock, *backlog)

    monkeypatch.setattr(socket.socket, "listen", recorded)
    server = Server(path, toolchain="suite", python=sys.executable, idle=1, stop=StopRequest())
    with server._listen(), socket.socket(socket.AF_UNIX) as client:
        assert named_before == [False]
        client.connect(str(path))
    assert os.listdir() == ["suite.sock"]


def test_it_ends_with_its_last_client(relay):
    started = relay(hold=False)
    first, second = started.connect(), started.connect()
    for line in (first, second):
        line.sendall(b'{"hold": true}\n')
    time.sleep(0.3)
    first.close()
    started.connect().close()  # one that says nothing does not count
    time.sleep(0.3)
    assert started.process.poll() is None
    second.close()
    assert started.process.wait(timeout=120) == EXIT_OK
    assert not started.path.exists()


def test_without_a_client_it_waits_only_so_long(relay):
    assert relay("--idle", "0.2", hold=False).process.wait(timeout=120) == EXIT_OK


def test_held_is_as_long_as_the_program_lives(checkout, relay):
    started = relay(hold=False)
    program = [sys.executable, "-c", "import time; time.sleep(60)"]
    process = checkout.start("suite.launch.relay", "hold", "--", *program, **started.beside)
    wait_until(lambda: psutil.Process(process.pid).cmdline() == program)
    time.sleep(0.3)
    assert started.process.poll() is None
    process.kill()
    process.communicate()
    assert started.process.wait(timeout=120) == EXIT_OK


def test_without_a_server_the_line_says_what_to_do_before_anything_starts(checkout, tmp_path):
    words = ["suite", "reproduce", "toy", "--scale", "tiny", "--place", "here"]
    code, output = checkout.run(*words, SYNDET_TOOLCHAIN="blender")
    assert code == EXIT_MISSING
    assert "this container is of the toolchain blender, the stage is of suite; docker compose run" in output
    assert not list(checkout.run_folder.glob("*/manifest.json"))


def test_a_stage_of_the_images_own_toolchain_needs_no_relay(monkeypatch):
    monkeypatch.setenv("SYNDET_TOOLCHAIN", "blender")
    own = Place(name="here", toolchain="blender", package="experiments.solid")
    program = [HERE_PYTHON, "-m", "experiments.solid", "targets"]
    assert own.command(["targets"], env={}, container="") == program
    other = Place(name="here", toolchain="detectron2", package="experiments.solid")
    words = ["-m", "suite.launch.relay", "run", "--keep", "7", "--", "experiments.solid", "pretrain"]
    assert other.command(["pretrain"], env={}, container="", keep=[7]) == [sys.executable, *words]
