"""Command lines of each place, and a stage through `docker compose` with a docker that runs it here."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from suite.errors import EXIT_OK, EXIT_STOPPED, BadInput
from suite.launch.machine import cgroup_cores, thread_environment
from suite.launch.places import Place

ROOT = Path("/srv/syndet")
ARGS = [
    "targets",
    "--out",
    "/srv/syndet/runs/solid/tiny/seed0/targets",
    "--config",
    "experiments/tiny.yaml",
]


def place(name: str, **facts) -> Place:
    folders = {"root": ROOT, "runs_dir": ROOT / "runs", "data_dir": Path("/big/data")}
    return Place(name=name, toolchain="blender", package="experiments.solid", **{**folders, **facts})


def command(where: Place, args=ARGS, **env: str) -> list[str]:
    return where.command(args, env=env, container="syndet-7-00001")


def test_venv_uses_the_toolchains_own_python(monkeypatch):
    monkeypatch.delenv("SYNDET_TOOLCHAIN_PYTHON", raising=False)
    assert command(place("venv")) == ["/srv/syndet/.tox/blender/bin/python", "-m", "experiments.solid", *ARGS]


def test_here_uses_the_python_of_the_image():
    assert command(place("here")) == ["/opt/venv/bin/python", "-m", "experiments.solid", *ARGS]


def test_docker_runs_the_toolchains_service_with_paths_as_the_container_sees_them():
    assert command(place("docker"), OMP_NUM_THREADS="1") == [
        "docker", "compose", "-f", "/srv/syndet/compose.yaml", "run", "--rm", "-T",
        "--name", "syndet-7-00001", "-e", "OMP_NUM_THREADS=1", "blender", "python", "-m", "experiments.solid",
        "targets", "--out", "/workspace/runs/solid/tiny/seed0/targets", "--config", "experiments/tiny.yaml",
    ]  # fmt: skip


def test_docker_on_a_gpu_lays_the_reservation_over_it_and_asks_for_the_cuda_flavour():
    where = place("docker", device="cuda", accel="cuda")
    assert command(where)[2:6] == ["-f", "/srv/syndet/compose.yaml", "-f", "/srv/syndet/compose.gpu.yaml"]
    assert where.environment({})["ACCEL"] == "cuda"


def test_folders_elsewhere_are_mounted_and_others_are_refused():
    where = place("docker", runs_dir=Path("/scratch/runs"))
    assert where.inside("/scratch/runs/solid") == "/workspace/runs/solid"
    assert where.inside("/big/data/shapenet") == "/workspace/data/shapenet"
    assert where.inside("/srv/syndet/assets/meshes") == "/workspace/assets/meshes"
    assert where.inside("render.samples=4") == "render.samples=4"
    assert where.environment({})["RUNS_DIR"] == "/scratch/runs"
    with pytest.raises(BadInput, match="the container cannot see this path"):
        where.inside("/home/me/meshes")


def test_an_unknown_place_is_named():
    with pytest.raises(BadInput, match="choose one of auto, venv, docker, here"):
        command(place("moon"))


def test_threads_are_cores_by_workers_and_never_none():
    assert set(thread_environment(8, 2).values()) == {"4"}
    assert set(thread_environment(2, 5).values()) == {"1"}


@pytest.mark.parametrize(
    ("text", "cores"),
    [
        ("max 100000", None),  # no limit
        ("150000 100000", 1),  # one and a half
        ("50000 100000", 1),  # less than one core still works
        ("400000 100000", 4),
    ],
)
def test_a_containers_cpu_quota_counts(tmp_path, text, cores):
    (tmp_path / "cpu.max").write_text(text + "\n")
    assert cgroup_cores(tmp_path / "cpu.max") == cores
    assert cgroup_cores(tmp_path / "absent") is None


# A docker that answers like an engine, notes its words, and runs the command behind the service's name here.
DOCKER = """echo "$@" >> "$DOCKER_NOTES"
case "$1" in
  info) echo '{"ServerVersion": "28.0", "Runtimes": {}}'; exit ;;
  stop) exit 1 ;;
  image) echo sha256:0123456789abcdef; exit ;;
esac
[ "$2" = version ] && exit
while [ "$1" != suite ]; do
  [ "$1" = -e ] && export "$2"
  shift
done
shift 2
exec PYTHON $(echo "$@" | sed "s#/workspace#$CHECKOUT#g")
"""


def test_a_wide_stage_through_docker_compose(checkout):
    checkout.fake("docker", DOCKER.replace("PYTHON", sys.executable))
    checkout.env |= {"DOCKER_NOTES": str(checkout.root / "docker-notes"), "CHECKOUT": str(checkout.root)}
    for stage in ("numbers", "make-squares"):
        words = ["docker" if word == "venv" else word for word in checkout.launch_words(stage)]
        code, output = checkout.run(*words)
        assert code == EXIT_OK, output
    runs = [
        line.split() for line in (checkout.root / "docker-notes").read_text().splitlines() if " run " in line
    ]
    assert len(runs) == 1 + 1 + 4 + 1, "numbers, the list of shards, four shards, gather"
    assert all("SYNDET_IMAGE_ID=sha256:0123456789abcdef" in words for words in runs if "-e" in words)
    assert sum("-e" in words for words in runs) >= 5
    names = [words[words.index("--name") + 1] for words in runs]
    assert len(set(names)) == len(names)
    assert (checkout.run_folder / "make-squares/00003/squares.json").is_file()


def test_after_a_stop_a_container_whose_client_is_gone_is_stopped_as_well(checkout):
    checkout.fake("docker", DOCKER.replace("PYTHON", sys.executable))
    checkout.env |= {"DOCKER_NOTES": str(checkout.root / "docker-notes"), "CHECKOUT": str(checkout.root)}
    checkout.launch("numbers")
    words = [
        "docker" if word == "venv" else word for word in checkout.launch_words("make-squares", "pause=0.5")
    ]
    process = checkout.start(*words)
    while not any(row[0] == "squared" for row in checkout.notes()):
        assert process.poll() is None
    process.terminate()
    process.communicate(timeout=30)
    assert process.returncode == EXIT_STOPPED
    assert "stop --time 600 syndet-" in (checkout.root / "docker-notes").read_text()
