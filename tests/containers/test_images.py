"""Builds the four cpu images and runs them, and every paper, as users do: `docker compose run`.

    python3 tests/containers/engine.py && python -m pytest -m "" tests/containers

Needs a Docker engine (engine.py starts one); without one every test here is skipped. With
SYNDET_IMAGE_FIGURES=FILE the measured build times and sizes are written there as JSON.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLCHAINS = ("blender", "detectron2", "jax", "tensorflow")
SIZE_BUDGET_GB = {"blender": 2.3, "detectron2": 7.0, "jax": 1.7, "tensorflow": 2.7}
CALLERS = (0, 1000, 4242)  # owners of the runs/ folder; none but 0 has a name in the images

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def docker(*arguments: str, check: bool = True, timeout: float = 300, **environment: str):
    """Run docker in the repository; returns the finished process with its text output."""
    done = subprocess.run(["docker", *arguments], cwd=ROOT, env={**os.environ, **environment}, text=True,
                          capture_output=True, stdin=subprocess.DEVNULL, timeout=timeout)
    if check and done.returncode:
        told = f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        raise AssertionError(f"{' '.join(done.args)} ended in {done.returncode}:\n{told}")
    return done


def compose_run(service: str, *words: str, options: tuple[str, ...] = (), **keywords):
    """`docker compose run --rm` of one service, without a terminal."""
    return docker("compose", "run", "--rm", "-T", *options, service, *words, **keywords)


@pytest.fixture(scope="session")
def images() -> dict[str, dict[str, float]]:
    """Build all images; by toolchain: seconds (cold or warm, as the engine was) and size in GB."""
    try:
        docker("info", timeout=30)
    except (OSError, AssertionError):
        pytest.skip("no Docker engine answers; python3 tests/containers/engine.py starts one")
    figures = {}
    for name in TOOLCHAINS:
        start = time.monotonic()
        docker("compose", "--progress", "plain", "build", name, timeout=900)
        seconds = time.monotonic() - start
        size = int(docker("image", "inspect", "-f", "{{.Size}}", f"syndet/{name}:cpu").stdout)
        figures[name] = {"build_s": round(seconds, 1), "size_gb": round(size / 1e9, 2)}
    if os.environ.get("SYNDET_IMAGE_FIGURES"):
        Path(os.environ["SYNDET_IMAGE_FIGURES"]).write_text(json.dumps(figures, indent=1) + "\n")
    return figures


@pytest.fixture(scope="session", autouse=True)
def project():
    """A compose project of its own: a paper that runs in this checkout keeps the container beside it."""
    name = f"syndet-test-{os.getpid()}"
    os.environ["COMPOSE_PROJECT_NAME"] = name
    yield
    subprocess.run(["docker", "compose", "--profile", "*", "down", "--volumes", "--timeout", "5"], cwd=ROOT,
                   capture_output=True)
    del os.environ["COMPOSE_PROJECT_NAME"]


@pytest.fixture
def runs(tmp_path_factory):
    """A function that gives a fresh runs/ folder belonging to a uid."""
    def make(uid: int) -> Path:
        if os.geteuid() != 0 and uid != os.geteuid():
            pytest.skip("only root can give a folder to another user")
        folder = tmp_path_factory.mktemp("runs")
        os.chown(folder, uid, uid)
        for parent in folder.parents[:2]:
            parent.chmod(0o755)
        return folder
    return make


@pytest.mark.parametrize("toolchain", TOOLCHAINS)
def test_an_image_stays_within_its_size(images, toolchain):
    assert images[toolchain]["size_gb"] <= SIZE_BUDGET_GB[toolchain]


@pytest.mark.parametrize("toolchain", TOOLCHAINS)
def test_the_libraries_of_an_image_compute(images, toolchain):
    compose_run(toolchain, "python", f"tests/containers/inside/compute_{toolchain}.py")


@pytest.mark.parametrize("toolchain", TOOLCHAINS)
def test_every_image_carries_the_environment_that_orders_stages(images, toolchain):
    program = "import snakemake; print(snakemake.__version__)"
    done = compose_run(toolchain, "/opt/workflow/bin/python", "-c", program)
    assert done.stdout.strip() == "9.27.1"


@pytest.mark.parametrize("toolchain", TOOLCHAINS)
def test_an_image_says_what_it_is(images, toolchain):
    record = json.loads(compose_run(toolchain, "cat", "/opt/image.json").stdout)
    image = f"syndet/{toolchain}:cpu"
    labels = json.loads(docker("image", "inspect", "-f", "{{json .Config.Labels}}", image).stdout)
    assert (labels["syndet.toolchain"], labels["syndet.accel"]) == (toolchain, "cpu")
    assert labels["syndet.min-driver"] == str(record["min_driver"] or "")
    assert record["python"].startswith("3.11.")
    assert len(record["packages"]) > 30


@pytest.mark.parametrize("uid", CALLERS)
def test_a_bare_run_has_no_privilege_and_its_files_belong_to_the_caller(images, runs, uid):
    folder = runs(uid)
    done = compose_run("jax", "python", "tests/containers/inside/hardening.py", "made", RUNS_DIR=str(folder))
    report = json.loads(done.stdout)
    assert (report["uid"], report["gid"], report["home"]) == (uid, uid, "/tmp")
    assert set(report["groups"]) <= {uid}
    assert set(report["capabilities"].values()) == {0}
    assert report["no_new_privileges"]
    assert report["writable"] == ["/workspace/runs", "/tmp", "/dev/shm"]
    assert report["tmp_runs_programs"]
    assert report["shm_bytes"] == 2 * 2**30
    assert (report["interfaces"], report["network"]) == (["lo"], False)
    assert report["first_process"] == "docker-init"
    assert report["compilers"] == []
    assert not report["secrets"]
    made = (folder / "made").stat()
    assert (made.st_uid, made.st_gid) == (uid, uid)


def test_a_run_with_user_stays_that_user_without_a_home(images, runs):
    folder = runs(4242)
    done = compose_run("jax", "python", "tests/containers/inside/hardening.py", "made",
                       options=("--user", "4242:4242", "-e", "HOME="), RUNS_DIR=str(folder))
    report = json.loads(done.stdout)
    assert (report["uid"], report["gid"], report["home"]) == (4242, 4242, "/tmp")
    assert set(report["capabilities"].values()) - {report["capabilities"]["CapBnd"]} <= {0}
    assert (folder / "made").stat().st_uid == 4242


def test_an_unwritable_mount_is_one_line_with_the_remedy_and_exit_2(images, runs):
    done = compose_run("jax", "python", "-c", "pass", options=("--user", "4242:4242"), check=False,
                       RUNS_DIR=str(runs(1000)))
    assert done.returncode == 2
    lines = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert len(lines) == 1
    assert "not writable for uid 4242" in lines[0]
    assert "chown" in lines[0]


def test_a_toolchain_without_a_program_says_what_to_type(images):
    done = compose_run("jax", check=False)
    assert done.returncode == 2
    assert "docker compose run --rm solid" in done.stderr


def test_a_stop_signal_reaches_python(images, runs):
    program = ("import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(75)); "
               "open('/workspace/runs/ready', 'w'); time.sleep(60)")
    folder = runs(1000 if os.geteuid() == 0 else os.geteuid())
    name = f"syndet-test-signal-{os.getpid()}"
    docker("compose", "run", "-d", "--name", name, "jax", "python", "-c", program, RUNS_DIR=str(folder))
    try:
        deadline = time.monotonic() + 30
        while not (folder / "ready").exists():
            assert time.monotonic() < deadline, docker("logs", name).stderr
            time.sleep(0.2)
        docker("kill", "--signal", "TERM", name)
        assert docker("wait", name, timeout=30).stdout.strip() == "75"
    finally:
        docker("rm", "-f", name)


def wait_for(condition, seconds: float, why: str = "waited too long") -> None:
    """Until the condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, why
        time.sleep(0.2)


def relay_state() -> str:
    """State and exit code of the container beside SOLID's: `exited 0` once it has done its work."""
    name = docker("compose", "ps", "--all", "--quiet", "detectron2-relay").stdout.strip()
    return docker("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", name).stdout.strip()


def test_help_lists_the_stages_and_starts_none(images, runs):
    folder = runs(4242)
    told = compose_run("solid", "help", RUNS_DIR=str(folder)).stdout
    verbs = ("fetch-meshes", "targets", "check", "pretrain", "finetune", "evaluate", "report")
    assert all(verb in told for verb in verbs)
    assert list(folder.iterdir()) == []
    wait_for(lambda: relay_state() == "exited 0", 10, "the container beside it must not stay")


@pytest.mark.parametrize("verb", ["index", "pretrain"])
def test_a_verb_runs_in_its_own_toolchain_and_is_hidden_by_no_program(images, verb):
    assert f"usage: python -m experiments.solid {verb}" in compose_run("solid", verb, "--help").stdout
    done = compose_run("dense-detector", "train", "--help")
    assert "usage: python -m experiments.dense_detector train" in done.stdout


def test_the_container_beside_a_paper_has_no_more_rights_than_the_paper(images, runs):
    folder = runs(4242)
    words = ("python", "tests/containers/inside/hardening.py", "made")
    for service in ("solid", "detectron2-relay"):
        report = json.loads(compose_run(service, *words, RUNS_DIR=str(folder)).stdout)
        assert (report["uid"], report["gid"]) == (4242, 4242)
        assert set(report["capabilities"].values()) == {0}
        assert report["writable"] == ["/workspace/runs", "/tmp", "/dev/shm", "/run/syndet"]
        assert (report["interfaces"], report["network"]) == (["lo"], False)


def test_an_unknown_stage_is_exit_2(images):
    assert compose_run("solid", "no-such-stage", check=False).returncode == 2


def test_no_gpu_is_exit_3_with_the_remedy(images):
    done = compose_run("jax", "python", "-m", "suite.gpu_check", check=False)
    assert done.returncode == 3
    assert "ACCEL=cuda" in done.stderr


PAPERS = ("solid", "dense-detector", "gafi", "sample-synthesis", "imaginarynet")


@pytest.fixture(scope="module")
def undisturbed(images, tmp_path_factory) -> dict[str, Path]:
    """Each paper reproduced at tiny by `docker compose run`, in a folder of uid 4242."""
    folders = {}
    for paper in PAPERS:
        folders[paper] = tmp_path_factory.mktemp(paper)
        if os.geteuid() == 0:
            os.chown(folders[paper], 4242, 4242)
            for parent in folders[paper].parents[:2]:
                parent.chmod(0o755)
        compose_run(paper, timeout=900, SCALE="tiny", RUNS_DIR=str(folders[paper]))
    return folders


def results(folder: Path) -> dict[str, str]:
    """Stage or shard -> key, and the digests of what training leaves."""
    found = {}
    for path in sorted(folder.rglob("manifest.json")):
        tree = json.loads(path.read_text())
        made = {row["path"]: row["sha256"] for row in tree["outputs"] if row["path"].endswith(".safetensors")}
        found[str(path.parent.relative_to(folder))] = f"{tree['key']} {made}"
    return found


@pytest.mark.parametrize("paper", PAPERS)
def test_a_paper_reproduces_at_tiny_and_its_files_belong_to_the_caller(undisturbed, paper):
    folder = undisturbed[paper]
    assert sorted(folder.rglob("report/manifest.json"))
    if os.geteuid() == 0:
        assert {path.stat().st_uid for path in folder.rglob("*")} == {4242}
    before = {path: path.read_bytes() for path in sorted(folder.rglob("manifest.json"))}
    again = compose_run(paper, timeout=600, SCALE="tiny", RUNS_DIR=str(folder))
    assert "nothing to do" in again.stdout
    assert {path: path.read_bytes() for path in sorted(folder.rglob("manifest.json"))} == before


@pytest.mark.parametrize(("stage", "how", "code"), [("pretrain", "TERM", "75"), ("finetune", "KILL", "137")])
def test_two_containers_stopped_in_the_middle_go_on_to_the_same_result(undisturbed, runs, stage, how, code):
    folder = runs(4242 if os.geteuid() == 0 else os.geteuid())
    name = f"syndet-test-chain-{os.getpid()}-{stage}"
    settings = {"SCALE": "tiny", "RUNS_DIR": str(folder)}
    docker("compose", "run", "-d", "--name", name, "solid", **settings)
    try:
        part = folder / f"solid/tiny/seed0/{stage}.part"
        wait_for(lambda: part.exists(), 300, docker("logs", name).stderr[-2000:])
        time.sleep(1)
        docker("kill", "--signal", how, name)
        assert docker("wait", name, timeout=120).stdout.strip() == code
        wait_for(lambda: relay_state() == "exited 0", 120, "a stage went on unseen")
        assert part.exists(), "stopped too late to show anything"
    finally:
        docker("rm", "-f", name)
    compose_run("solid", timeout=600, **settings)
    assert results(folder) == results(undisturbed["solid"])


def test_tensorboard_serves_the_curves_on_this_machine_alone(images, runs):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    docker("compose", "up", "-d", "tensorboard", TENSORBOARD_PORT=str(port), RUNS_DIR=str(runs(4242)))
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        def answers() -> bool:
            try:
                with direct.open(f"http://127.0.0.1:{port}/data/environment", timeout=5) as page:
                    return json.loads(page.read())["data_location"] == "/workspace/runs"
            except OSError:
                return False

        wait_for(answers, 90, docker("compose", "logs", "tensorboard").stdout)
    finally:
        docker("compose", "rm", "--stop", "--force", "tensorboard")
