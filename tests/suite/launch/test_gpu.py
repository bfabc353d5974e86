"""GPUs by a fake nvidia-smi: who gets which, and what is told when there is none."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest

from suite.errors import EXIT_MISSING, EXIT_OK, Missing
from suite.launch import engine
from suite.launch.gpu import Gpu, GpuLocks, list_gpus, lock_dir

TWO_GPUS = """case "$1" in
  --query-gpu=*)
    echo '0, GPU-aaaa, Test GPU, 81920 MiB, 550.1'
    echo '1, GPU-bbbb, Test GPU, 81920 MiB, 550.1' ;;
  --query-compute-apps=*) ;;
  *) echo 'GPU 0: Test GPU (UUID: GPU-aaaa)' ;;
esac
"""
PAIR = [Gpu("0", "GPU-aaaa", "Test GPU", "550.1"), Gpu("1", "GPU-bbbb", "Test GPU", "550.1")]


@pytest.fixture
def locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SYNDET_LOCK_DIR", str(tmp_path / "locks"))
    return tmp_path / "locks"


@pytest.fixture
def on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Put a fake program on PATH of this process."""
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    def put(name: str, script: str) -> None:
        (tmp_path / name).write_text("#!/bin/sh\n" + script)
        (tmp_path / name).chmod(0o755)

    return put


def test_each_worker_has_a_gpu_of_its_own(checkout):
    checkout.fake("nvidia-smi", TWO_GPUS)
    checkout.launch("numbers")
    words = checkout.launch_words("make-squares", "--jobs=5", "pause=0.05")
    code, output = checkout.run(*words, "--device", "cuda")
    assert code == EXIT_OK, output
    assert "2 at a time (venv, cuda)" in output, "never more workers than GPUs"
    held: dict[str, str] = {}
    for what, shard, gpu, *_ in sorted(checkout.notes(), key=lambda row: float(row[4])):
        if what == "begin":
            assert gpu in ("GPU-aaaa", "GPU-bbbb")
            assert gpu not in held.values()
            held[shard] = gpu
        elif what == "end":
            del held[shard]


def test_a_stage_that_uses_no_gpu_neither_waits_for_one_nor_is_given_one(checkout):
    checkout.fake("nvidia-smi", TWO_GPUS)
    words = ["suite", "reproduce", "toy", "--scale", "tiny", "--place", "venv", "--device", "cuda"]
    code, output = checkout.run(*words)
    assert code == EXIT_OK, output
    assert "toy.numbers: started (venv, cuda)" in output
    assert "toy.report: started (venv, cpu)" in output


def test_a_promised_gpu_that_is_not_there_is_an_error_and_never_the_cpu(checkout):
    code, output = checkout.run(*checkout.launch_words("numbers"), "--device", "cuda")
    assert code == EXIT_MISSING
    assert "nvidia-smi lists no GPU" in output


def take(uuids: multiprocessing.Queue, done: multiprocessing.Event) -> None:
    locks = GpuLocks(PAIR)  # holds the GPU as long as it lives
    gpu = locks.take()
    uuids.put(gpu and gpu.uuid)
    done.wait(30)


def test_processes_side_by_side_never_get_the_same_gpu_and_free_it_when_they_end(locks):
    context = multiprocessing.get_context("fork")
    uuids, done = context.Queue(), context.Event()
    others = [context.Process(target=take, args=(uuids, done)) for _ in range(3)]
    for process in others:
        process.start()
    got = [uuids.get(timeout=30) for _ in others]
    assert sorted(map(str, got)) == ["GPU-aaaa", "GPU-bbbb", "None"]
    done.set()
    for process in others:
        process.join()
    mine = GpuLocks(PAIR)
    assert {mine.take(), mine.take()} == set(PAIR)
    assert mine.take() is None


def test_a_gpu_given_back_can_be_taken_again(locks):
    mine = GpuLocks(PAIR[:1])
    gpu = mine.take()
    assert mine.take() is None
    mine.give(gpu)
    assert mine.take() == gpu


def test_lock_files_may_be_locked_by_every_user(locks):
    GpuLocks(PAIR).take()
    assert lock_dir().stat().st_mode & 0o1777 == 0o1777


def test_cuda_visible_devices_narrows_the_choice(on_path, monkeypatch):
    on_path("nvidia-smi", TWO_GPUS)
    assert list_gpus() == PAIR
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert list_gpus() == PAIR[1:]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-aa")
    assert list_gpus() == PAIR[:1]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert list_gpus() == []


def docker(info: str) -> str:
    return f"""case "$1" in
  info) echo '{info}' ;;
  compose) echo 'Docker Compose version v2.26.1' ;;
esac
"""


PLAIN = docker('{"ServerVersion": "28.0", "Runtimes": {"runc": {}}}')
NVIDIA = docker('{"ServerVersion": "28.0", "Runtimes": {"runc": {}, "nvidia": {}}}')
CDI = docker(
    '{"ServerVersion": "28.3", "Runtimes": {"runc": {}},'
    ' "DiscoveredDevices": [{"Source": "cdi", "ID": "nvidia.com/gpu=0"}]}'
)


@pytest.mark.parametrize(
    ("smi", "docker", "device", "files"),
    [
        ("exit 9\n", PLAIN, "cpu", ["compose.yaml"]),  # no GPU
        ("exit 9\n", NVIDIA, "cpu", ["compose.yaml"]),  # an engine that could, but no GPU
        (TWO_GPUS, PLAIN, "cpu", ["compose.yaml"]),  # a GPU that the engine cannot hand out
        (TWO_GPUS, NVIDIA, "cuda", ["compose.yaml", "compose.gpu.yaml"]),  # nvidia runtime
        (TWO_GPUS, CDI, "cuda", ["compose.yaml", "compose.gpu.yaml"]),  # CDI devices
    ],
)
def test_the_compose_files_follow_from_gpu_and_engine(on_path, smi, docker, device, files):
    on_path("nvidia-smi", smi)
    on_path("docker", docker)
    assert engine.pick_place("auto") == "docker"
    picked, why = engine.pick_device("auto", "docker")
    assert (picked, engine.compose_files(picked)) == (device, files)
    assert why


def test_a_gpu_that_the_engine_cannot_hand_out_is_said_with_the_remedy(on_path):
    on_path("nvidia-smi", TWO_GPUS)
    on_path("docker", PLAIN)
    assert "nvidia-ctk runtime configure" in engine.pick_device("auto", "docker")[1]
    with pytest.raises(Missing, match="nvidia-container-toolkit"):
        engine.pick_device("cuda", "docker")
    assert engine.pick_device("cuda", "venv")[0] == "cuda"


@pytest.mark.parametrize(
    "script", ["exit 1\n", "echo not json\n", 'echo \'{"ServerErrors": ["no daemon"]}\'\n']
)
def test_a_docker_client_without_an_engine_counts_as_no_engine(on_path, monkeypatch, tmp_path, script):
    on_path("docker", script)
    monkeypatch.setattr(engine, "IMAGE_RECORD", tmp_path / "absent.json")
    assert engine.find_engine() is None
    assert engine.pick_place("auto") == "venv"
    with pytest.raises(Missing, match="no Docker engine"):
        engine.pick_place("docker")


def test_inside_an_image_the_place_is_here(monkeypatch, tmp_path):
    (tmp_path / "image.json").write_text("{}")
    monkeypatch.setattr(engine, "IMAGE_RECORD", tmp_path / "image.json")
    assert engine.pick_place("auto") == "here"


def test_the_flavour_follows_the_device_unless_it_is_asked_for():
    assert [engine.pick_accel("auto", device) for device in ("cpu", "cuda")] == ["cpu", "cuda"]
    assert engine.pick_accel("cuda", "cpu") == "cuda"
