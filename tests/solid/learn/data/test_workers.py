import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from experiments.solid.learn.data.packed import Packed
from experiments.solid.learn.data.workers import in_workers
from suite.errors import BadInput, Missing

ROOT = Path(__file__).resolve().parents[4]


def square(number):
    return number * number


def refuse_seven(number):
    if number == 7:
        raise BadInput("is seven", file="a file", fix="take another")
    return number


def slow_then_die(number):
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def hang_at_two(number):
    if number == 2:
        time.sleep(600)
    return number


def children():
    return psutil.Process().children(recursive=True)


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_results_come_in_the_order_of_the_requests(workers):
    assert list(in_workers(square, range(20), workers=workers)) == [n * n for n in range(20)]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_suite_error_arrives_in_its_one_line(workers):
    results = in_workers(refuse_seven, range(20), workers=workers)
    got = []
    with pytest.raises(BadInput) as caught:
        got.extend(results)
    assert got in ([], list(range(7)))  # `extend` keeps what came before the error
    assert str(caught.value) == "a file: is seven; take another"


def test_a_dead_worker_is_told_in_one_line():
    with pytest.raises(Missing, match="a loader process died") as caught:
        list(in_workers(slow_then_die, range(9), workers=2, timeout=60))
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 3


def test_a_hanging_worker_is_told_after_the_timeout_and_killed():
    before = {child.pid for child in children()}
    with pytest.raises(Missing, match="no batch came from the loader processes for 1 s"):
        list(in_workers(hang_at_two, range(9), workers=2, timeout=1))
    assert {child.pid for child in children() if child.is_running()} <= before


def test_closing_the_iterator_ends_the_workers():
    before = {child.pid for child in children()}
    results = in_workers(square, range(1000), workers=2)
    assert next(results) == 0
    assert len({child.pid for child in children()} - before) >= 2
    results.close()
    assert {child.pid for child in children()} <= before


def test_workers_leave_a_signal_to_the_group_to_the_trainer():
    program = """
import os, signal, time
from experiments.solid.learn.data.workers import in_workers
from tests.solid.learn.data.test_workers import square
os.setpgid(0, 0)
told = []
signal.signal(signal.SIGTERM, lambda *_: told.append(1))
results = in_workers(square, range(60), workers=2)
got = [next(results)]
os.killpg(0, signal.SIGTERM)
got += results
print(len(told), got == [n * n for n in range(60)])
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert done.stdout.split() == ["1", "True"]


LEFT = """
import multiprocessing, random, sys, threading, time
from experiments.solid.learn.data.workers import in_workers
from tests.solid.learn.data.test_workers import square
def tell():
    while len(multiprocessing.active_children()) < 2:
        time.sleep(0.01)
    print(*(child.pid for child in multiprocessing.active_children()), flush=True)
results = in_workers(square, range(10**6), workers=2)
"""
RUNNING = "next(results); tell(); sys.stdin.read()"
# Torch's worker seeds this generator before anything of ours runs, and notes its parent after that.
STARTING = """
seed = random.seed
random.seed = lambda *words: (time.sleep(2), seed(*words))
threading.Thread(target=tell).start()
next(results)
"""


@pytest.mark.parametrize("moment", [RUNNING, STARTING], ids=["running", "starting"])
def test_workers_end_when_the_trainer_is_killed(moment):
    trainer = subprocess.Popen(
        [sys.executable, "-c", LEFT + moment],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    workers = [psutil.Process(int(pid)) for pid in trainer.stdout.readline().split()]
    assert len(workers) == 2
    trainer.kill()
    trainer.wait()
    _, alive = psutil.wait_procs(workers, timeout=60)
    for worker in alive:
        worker.kill()
    assert alive == []


def test_a_program_ends_although_its_iterator_was_left_open():
    program = """
from experiments.solid.learn.data.workers import in_workers
from tests.solid.learn.data.test_workers import square
results = in_workers(square, range(10**6), workers=2)
print(next(results))
keep = [results]
keep.append(keep)
raise SystemExit(7)
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (done.returncode, done.stdout, done.stderr) == (7, "0\n", "")


def test_packed_arrays_come_back_as_they_were():
    rng = np.random.default_rng(0)
    arrays = [rng.integers(0, 256, shape, dtype=np.uint8) for shape in ((3, 4, 5), (2,), (0, 7), (1, 1))]
    packed = Packed.of(arrays)
    assert packed.flat.numel() == 63
    for array, tensor in zip(arrays, packed.unpack(), strict=True):
        assert tuple(tensor.shape) == array.shape
        assert (tensor.numpy() == array).all()
    assert Packed.of([]).unpack() == []
