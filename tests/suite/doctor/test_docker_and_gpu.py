"""Docker, compose, images and GPUs, as told by fake programs."""

import json
import re

import pytest

from suite.doctor import engine, gpu
from suite.doctor.context import version
from suite.doctor.result import MISSING, OK, WARN
from tests.suite.doctor.fakes import REPOSITORY

INFO = {"ServerVersion": "28.2.2", "Runtimes": {"runc": {}}, "SecurityOptions": ["name=seccomp"]}
TWO_GPUS = "0, NVIDIA H200, 580.65.06, 143771 MiB\n1, NVIDIA H200, 580.65.06, 143771 MiB\n"


def docker(info=INFO, compose="2.40.1\n", **more) -> dict:
    return {
        "info": (0, json.dumps(info) + "\n", ""),
        "compose version": (0, compose, ""),
        "buildx version": (0, "github.com/docker/buildx v0.13.1 abc\n", ""),
        **more,
    }


def test_without_docker_the_remedy_names_the_other_place(context):
    result = engine.check_engine(context())
    assert (result.state, result.value) == (
        MISSING,
        "docker is not installed",
    ) and "PLACE=venv" in result.remedy
    assert engine.check_compose(context()).state == MISSING and engine.check_buildx(context()).state == WARN
    assert {r.value for r in engine.check_images(context())} == {"not checked: no engine answers"}


def test_an_engine_that_answers_is_named_with_its_version(context, fakes):
    fakes("docker", docker({**INFO, "SecurityOptions": ["name=rootless"]}))
    assert engine.check_engine(context()).value == "28.2.2 answers (rootless)"
    assert engine.check_buildx(context()).value == "0.13.1"


@pytest.mark.parametrize(
    ("err", "remedy"),
    [
        ("permission denied while trying to connect to the Docker daemon socket\n", "usermod -aG docker"),
        ("Cannot connect to the Docker daemon at unix:///var/run/docker.sock.\n", "systemctl start docker"),
        ("", "systemctl start docker"),
    ],
)
def test_an_engine_that_does_not_answer_is_told_apart(err, remedy, context, fakes):
    # Newer clients print what they know of themselves all the same.
    fakes(
        "docker",
        docker(info=(1, json.dumps({"ServerErrors": ["x"]}), err)[1]) | {"info": (1, '{"a": 1}\n', err)},
    )
    result = engine.check_engine(context())
    assert result.state == MISSING and remedy in result.remedy


@pytest.mark.parametrize(
    ("text", "state", "note"),
    [
        ("2.19.9\n", MISSING, "too old"),
        ("v2.20.0\n", OK, "ignores `gpus:`"),
        ("2.26.1-4\n", OK, "ignores `gpus:`"),
        ("2.20\n", OK, "ignores `gpus:`"),
        ("2.30\n", OK, "2.30"),
        ("5.0\n", OK, "5.0"),
        ("unknown\n", MISSING, "no compose plugin"),
    ],
)
def test_compose_is_judged_by_its_version(text, state, note, context, fakes):
    fakes("docker", docker(compose=text))
    result = engine.check_compose(context())
    assert result.state == state and note in result.value
    assert ("ignores" in result.value) == ("ignores" in note)


def test_images_are_looked_up_in_the_flavour_that_counts(context, fakes):
    there = {"image inspect --format {{.Id}} syndet/blender:cpu": (0, "sha256:c7a0776c3ef3aa\n", "")}
    fakes("docker", docker(**there, **{"image inspect": (1, "", "No such image\n")}))
    results = {r.name: r for r in engine.check_images(context())}
    assert results["image-blender"].state == OK and "c7a0776c3ef3" in results["image-blender"].value
    assert results["image-jax"].state == WARN and "docker compose build jax" in results["image-jax"].remedy
    fakes("nvidia-smi", {"--query-gpu": (0, TWO_GPUS, "")})
    assert "syndet/blender:cuda is not there" in engine.check_images(context())[0].value
    assert engine.check_images(context(ACCEL="cpu"))[0].state == OK


def test_image_names_are_those_of_the_compose_file():
    named = set(re.findall(r"image: (\S+):\$\{ACCEL", (REPOSITORY / "compose.yaml").read_text()))
    assert named == {engine.IMAGE.format(toolchain=t, accel="x")[: -len(":x")] for t in gpu.DRIVER_FLOOR}


def test_driver_floors_are_those_of_the_image_labels():
    for toolchain, (floor, _) in gpu.DRIVER_FLOOR.items():
        text = (REPOSITORY / f"docker/{toolchain}/Dockerfile").read_text()
        labels = re.findall(r'accel=cuda .*min-driver="(\d*)"', text)
        assert labels == [str(floor)]


def test_without_a_gpu_smoke_goes_on_and_drivers_are_not_judged(context):
    result = gpu.check_gpu(context())
    assert result.state == WARN and "runs on the CPU" in result.value and gpu.check_drivers(context()) == []
    assert engine.check_gpu_in_containers(context()).value == "not needed: no GPU here"


def test_a_driver_that_does_not_answer_is_not_taken_for_no_gpu(context, fakes):
    fakes("nvidia-smi", {"--query-gpu": (9, "NVIDIA-SMI has failed because it couldn't communicate\n", "")})
    result = gpu.check_gpu(context())
    assert result.state == WARN and "NVIDIA-SMI has failed" in result.value and "driver" in result.remedy


@pytest.mark.parametrize(
    ("driver", "below"),
    [
        ("580.65.06", set()),
        ("575.57.08", {"detectron2"}),
        ("530.30.02", {"detectron2", "blender"}),
        ("470.256.02", {"detectron2", "blender", "tensorflow", "jax"}),
    ],
)
def test_each_toolchain_has_its_own_driver_floor(driver, below, context, fakes):
    fakes("nvidia-smi", {"--query-gpu": (0, TWO_GPUS.replace("580.65.06", driver), "")})
    assert gpu.check_gpu(context()).value.startswith(f"2 x NVIDIA H200, 143771 MiB, driver {driver}")
    results = {r.name[len("driver-") :]: r for r in gpu.check_drivers(context())}
    assert {name for name, r in results.items() if r.state == MISSING} == below
    assert all("580" in results[name].remedy for name in below & {"detectron2"})


@pytest.mark.parametrize(
    ("info", "state"),
    [
        ({**INFO, "Runtimes": {"nvidia": {}, "runc": {}}}, OK),
        ({**INFO, "DiscoveredDevices": [{"Source": "cdi", "ID": "nvidia.com/gpu=all"}]}, OK),
        (INFO, WARN),
    ],
)
def test_containers_get_a_gpu_by_runtime_or_cdi(info, state, context, fakes, tmp_path, monkeypatch):
    monkeypatch.setattr(engine, "CDI_FOLDERS", (tmp_path / "cdi",))
    fakes("nvidia-smi", {"--query-gpu": (0, TWO_GPUS, "")})
    fakes("docker", docker(info))
    result = engine.check_gpu_in_containers(context())
    assert result.state == state and bool(result.remedy) == (state == WARN)
    if state == WARN:
        assert "nvidia-ctk runtime configure" in result.remedy
        (tmp_path / "cdi").mkdir()
        (tmp_path / "cdi/nvidia.yaml").touch()
        assert "the engine lists no such device" in engine.check_gpu_in_containers(context()).value


def test_versions_are_read_out_of_any_text():
    assert version("v2.26.1-4") == (2, 26, 1) and version("none") == () and version("Docker 28") == (28,)
