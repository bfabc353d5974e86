"""Nothing asks for the network at run time. conftest.py refuses it in all tests of this system; here, that it
does, and that worker processes and the program itself need none.
"""

import os
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.sample_synthesis.no_network import NetworkUsedError

ROOT = Path(__file__).resolve().parents[2]
HOOK = "from tests.sample_synthesis.no_network import block; block()"
IN_A_WORKER = """
import socket
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
if __name__ == "__main__":
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        print(repr(pool.submit(socket.getaddrinfo, "localhost", 80).exception()))
"""


@pytest.mark.parametrize(
    "ask",
    [
        lambda: socket.create_connection(("127.0.0.1", 9), timeout=1),
        lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", 9)),
        lambda: socket.getaddrinfo("localhost", 80),
        lambda: urllib.request.urlopen("http://127.0.0.1:9/", timeout=1),
    ],
)
def test_tests_of_this_system_have_no_network(ask):
    with pytest.raises(NetworkUsedError):
        ask()


def test_sockets_of_the_machine_itself_stay():
    one, other = socket.socketpair()
    with one, other:
        one.sendall(b"x")
        assert other.recv(1) == b"x"


@pytest.fixture
def refused(tmp_path):
    """Run Python in a process that, like all Python processes below it, has no network; its output."""
    (tmp_path / "hook").mkdir()
    (tmp_path / "hook/sitecustomize.py").write_text(HOOK)
    env = {**os.environ, "PYTHONPATH": f"{tmp_path / 'hook'}:{ROOT}", "RUNS_DIR": str(tmp_path / "runs")}

    def run(*words) -> str:
        command = [sys.executable, *map(str, words)]
        done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_worker_processes_have_none_either(refused, tmp_path):
    (tmp_path / "ask.py").write_text(IN_A_WORKER)
    assert "NetworkUsedError" in refused(tmp_path / "ask.py")


def test_synthesis_in_several_processes_needs_none(refused, tmp_path):
    words = ["-m", "experiments.sample_synthesis", "synth", "--scale", "tiny", "--num", "4", "--workers", "2"]
    refused(*words, "--out", tmp_path / "made")
    assert len(list((tmp_path / "made/images").iterdir())) == 4


@pytest.mark.slow
def test_an_ablation_from_pictures_to_its_table_needs_none(refused, tmp_path):
    words = ["-m", "experiments.sample_synthesis", "ablate", "nogan", "--object", "face", "--scale", "tiny"]
    refused(*words, "--out", tmp_path / "made")
    assert (tmp_path / "made/face-evaluate/results_nogan_ablation.csv").is_file()
