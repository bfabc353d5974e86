"""What the container files promise, read from the files alone. No engine needed."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from suite.runs import systems

ROOT = Path(__file__).parents[2]
GOLDEN = Path(__file__).with_name("compose.gpu.golden.json")
TOOLCHAINS = ("blender", "detectron2", "jax", "tensorflow")
LOCKS = sorted(path for folder in ("docker/*", "suite", "workflow") for path in ROOT.glob(f"{folder}/*.lock"))
CONTAINER_FILES = ("docker/**/*", "compose*.yaml", "tests/containers/*.py", "workflow/*")
SCRIPTS = sorted(path for pattern in CONTAINER_FILES for path in ROOT.glob(pattern)
                 if path.is_file() and path.suffix not in (".lock", ".pyc"))
COMMON = {"psutil", "pyyaml", "tqdm", "jinja2", "matplotlib", "pillow",
          "hypothesis", "pytest", "pytest-timeout"}
PIN = re.compile(r"^([\w.-]+)(?:\[[\w,-]+\])?==([\w.+!-]+)", re.MULTILINE)
INDEX_OPTION = re.compile(r"--(extra-)?index|--find-links|--trusted-host|https?://")
MIRROR = re.compile(r"https?://[\w.-]*(pypi|pythonhosted|debian|ubuntu|docker|npmjs)\.", re.IGNORECASE)


def load(path: Path):
    """A script of the repository as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def pins(lock: Path) -> dict[str, str]:
    """Package name -> version of a requirements file."""
    return dict(PIN.findall(lock.read_text()))


def declared(path: Path) -> str:
    """Text of a .in file with the files that it includes."""
    text = path.read_text()
    included = (declared(path.parent / name) for name in re.findall(r"^-r (\S+)", text, re.MULTILINE))
    return "\n".join([text, *included])


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_package_of_a_lock_has_a_version_and_hashes_and_nothing_else_stands_there(lock):
    requirements = lock.read_text().replace("\\\n", " ").splitlines()  # one line each, hashes included
    assert requirements
    for requirement in requirements:
        assert PIN.match(requirement), requirement
        assert "--hash=sha256:" in requirement, requirement
    assert not INDEX_OPTION.search(lock.read_text())


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_names_a_package_mirror(path):
    assert not MIRROR.search(path.read_text())


@pytest.mark.parametrize("toolchain", TOOLCHAINS)
def test_a_lock_holds_what_its_input_asks_for(toolchain):
    folder = ROOT / "docker" / toolchain
    text = declared(folder / "requirements.in")
    locked = pins(folder / "requirements.cpu.lock")
    for name, version in PIN.findall(text):
        assert locked[name] == version
    assert set(locked) >= COMMON


@pytest.mark.parametrize("toolchain", ["blender", "detectron2"])
def test_wheels_that_serve_cpu_and_cuda_are_locked_once(toolchain):
    assert os.readlink(ROOT / "docker" / toolchain / "requirements.cuda.lock") == "requirements.cpu.lock"


CUDA_PACKAGES = [("jax", "jax-cuda12-plugin"), ("tensorflow", "tensorflow")]


@pytest.mark.parametrize(("toolchain", "accelerated"), CUDA_PACKAGES)
def test_the_cuda_lock_has_the_cuda_packages_of_the_same_framework(toolchain, accelerated):
    folder = ROOT / "docker" / toolchain
    cpu, cuda = pins(folder / "requirements.cpu.lock"), pins(folder / "requirements.cuda.lock")
    assert accelerated in cuda
    assert accelerated not in cpu
    assert any(name.startswith("nvidia-") and name.endswith("-cu12") for name in cuda)
    assert all(cuda[name] == cpu[name] for name in cpu if name in cuda)


def test_the_two_toolchains_that_share_the_store_have_one_zarr():
    locks = (ROOT / f"docker/{name}/requirements.cpu.lock" for name in ("blender", "detectron2"))
    writer, reader = map(pins, locks)
    assert (writer["zarr"], writer["numcodecs"]) == (reader["zarr"], reader["numcodecs"])


@pytest.mark.parametrize("toolchain", TOOLCHAINS)
def test_system_packages_are_sorted_one_per_line(toolchain):
    lines = (ROOT / f"docker/{toolchain}/apt.txt").read_text().splitlines()
    assert lines == sorted(set(lines))
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9.+-]+", line) for line in lines)


def test_the_first_stage_is_the_same_text_in_all_images_so_that_it_is_built_once():
    texts = [path.read_text() for path in ROOT.glob("docker/*/Dockerfile")]
    stages = {text.split("AS tools\n")[1].split("\nFROM ")[0] for text in texts}
    assert len(stages) == 1


@pytest.mark.parametrize("toolchain", TOOLCHAINS)
def test_a_dockerfile_is_clean_and_pulls_nothing_but_the_base(toolchain):
    path = ROOT / f"docker/{toolchain}/Dockerfile"
    bases = set(re.findall(r"^FROM (\S+)", path.read_text(), re.MULTILINE))
    assert bases == {"debian:bookworm-slim", "tools", "runtime", "${ACCEL}"}
    assert "# syntax" not in path.read_text()
    beside_python = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    hadolint = shutil.which("hadolint", path=beside_python)
    if hadolint is None:
        pytest.skip("hadolint is in the suite's environment (tox -e suite)")
    done = subprocess.run([hadolint, "--no-color", str(path)], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("toolchain", TOOLCHAINS)
def test_an_image_and_a_virtual_environment_of_one_lock_carry_one_digest(toolchain, monkeypatch):
    recipe = load(ROOT / "workflow/bootstrap.py").recipe(toolchain, "cpu")
    made_from = (recipe.lock, recipe.nodeps, recipe.script)
    files = [path.relative_to(ROOT) for path in made_from if path is not None]
    monkeypatch.chdir(ROOT)
    record = load(ROOT / "docker/image_record.py")
    monkeypatch.setattr(record.sys, "version_info", (3, 11))
    assert record.lock_digest(files) == recipe.digest
    dockerfile = (ROOT / f"docker/{toolchain}/Dockerfile").read_text()
    assert all(file.name.replace(".cpu.", ".${ACCEL}.") in dockerfile for file in files)


def test_labels_say_what_the_image_record_says():
    known = load(ROOT / "docker/image_record.py").CUDA
    for (toolchain, accel), (cuda, driver) in known.items():
        expected = (f'LABEL syndet.toolchain={toolchain} syndet.accel={accel} syndet.cuda="{cuda or ""}"'
                    f' syndet.min-driver="{driver or ""}"')
        assert expected in (ROOT / f"docker/{toolchain}/Dockerfile").read_text()


def compose_config(*files: str) -> dict:
    """The merged configuration without this host's settings, as every version of compose prints it."""
    if subprocess.run(["docker", "compose", "version"], capture_output=True).returncode:
        pytest.skip("docker compose is not installed")
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    command = ["docker", "compose", *(word for file in files for word in ("-f", file)),
               "--profile", "*", "config", "--format", "json"]
    text = subprocess.run(command, cwd=ROOT, env=kept, check=True, capture_output=True, text=True).stdout
    config = json.loads(text.replace(str(ROOT), "<root>"))
    for name, service in config["services"].items():
        config["services"][name] = {key: value for key, value in service.items() if value is not None}
        service.get("deploy", {}).pop("placement", None)  # empty, and not printed by every version
        for mount in service["volumes"]:
            mount.pop("bind", None)
    return config


@pytest.mark.skipif(shutil.which("docker") is None, reason="needs the docker command")
def test_compose_with_gpu_is_the_golden_file():
    """Renew with: RENEW=1 pytest tests/containers/test_files.py -k golden; then read the difference."""
    config = compose_config("compose.yaml", "compose.gpu.yaml")
    if os.environ.get("RENEW"):
        GOLDEN.write_text(json.dumps(config, indent=1, sort_keys=True) + "\n")
    assert config == json.loads(GOLDEN.read_text())


@pytest.mark.skipif(shutil.which("docker") is None, reason="needs the docker command")
def test_compose_alone_names_no_gpu_and_hardens_every_service():
    services = compose_config("compose.yaml")["services"]
    for name, service in services.items():
        assert "deploy" not in service
        assert service["read_only"] and service["init"] and service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service.get("network_mode") == ("bridge" if name in ("fetch", "tensorboard") else "none")
        assert {port["host_ip"] for port in service.get("ports", [])} <= {"127.0.0.1"}
        writable = {mount["target"] for mount in service["volumes"] if not mount.get("read_only")}
        expected = {"/workspace/runs"} if name != "tensorboard" else set()
        expected |= {"/workspace/data"} if name == "fetch" else set()
        expected |= {"/run/syndet"} if name.endswith("-relay") or service.get("depends_on") else set()
        assert writable == expected
    helpers = {"fetch", "tensorboard", *(name for name in services if name.endswith("-relay"))}
    assert set(services) == {*TOOLCHAINS, *helpers, *systems()}


def toolchains_of(system: str) -> set[str]:
    """Toolchains of a system's stages."""
    stages = importlib.import_module(f"experiments.{system.replace('-', '_')}.stages").STAGES
    return {stage.toolchain for stage in stages.values()}


@pytest.mark.skipif(shutil.which("docker") is None, reason="needs the docker command")
@pytest.mark.parametrize("files", [["compose.yaml"], ["compose.yaml", "compose.gpu.yaml"]])
def test_a_paper_starts_a_container_for_each_further_toolchain_of_its_stages(files):
    services = compose_config(*files)["services"]
    for system in systems():
        service = services[system]
        own = service["image"].split("/")[1].split(":")[0]
        others = toolchains_of(system) - {own}
        sockets = [f"/run/syndet/{name}.sock" for name in sorted(others)]
        assert service["environment"].get("SYNDET_RELAY", "").split(":") == (sockets or [""])
        waited = {name: how["condition"] for name, how in service.get("depends_on", {}).items()}
        assert waited == {f"{name}-relay": "service_started" for name in others}
        for name in others:
            relay = services[f"{name}-relay"]
            assert relay["command"][-2:] == ["serve", f"/run/syndet/{name}.sock"]
            assert relay["image"] == services[name]["image"]
            assert not relay.get("environment"), "a setting of a run would replace a busy container"
            assert relay.get("deploy") == services[name].get("deploy")


def test_every_dockerfile_takes_the_entry_point_last_so_that_a_change_of_it_costs_no_build():
    for path in ROOT.glob("docker/*/Dockerfile"):
        after = path.read_text().split("COPY docker/entrypoint.sh", 1)[1]
        assert not re.search(r"^(RUN|COPY)", after, re.MULTILINE), path


def test_the_command_lines_of_the_compose_files_are_the_ones_documented():
    services = set(re.findall(r"^  ([a-z][\w-]*):", (ROOT / "compose.yaml").read_text(), re.MULTILINE))
    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("docker/*.md")]:
        typed = set(re.findall(r"docker compose (?:-\S+ )*(?:-f \S+ )*(?:run|up) (?:-\S+ )*([a-z][\w-]*)",
                               page.read_text()))
        assert typed <= services, page
