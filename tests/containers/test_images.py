"""Builds the four cpu images and runs them as users do: `docker compose run`; whole papers: test_papers.py,
test_solid.py.

    python3 tests/containers/engine.py && python -m pytest -m "" -n 2 --dist loadfile tests/containers

Needs a Docker engine (engine.py starts one); without one every test here is skipped. With
SYNDET_IMAGE_FIGURES=FILE the measured build times and sizes are written there as JSON.
"""

from __future__ import annotations

import json
import os
import socket
import urllib.request
from pathlib import Path

import pytest
import yaml

from tests.containers.compose import TOOLCHAINS, compose_run, docker, relay_state
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]
SIZE_BUDGET_GB = yaml.safe_load((ROOT / "docker/sizes.yaml").read_text())
CALLERS = (0, 1000, 4242)  # owners of the runs/ folder; none but 0 has a name in the images

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


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
    program = "import json, suite.provenance as p; print(json.dumps(p.environment()))"
    told = json.loads(compose_run(toolchain, "python", "-c", program).stdout)
    image = told["image"]
    assert (image["toolchain"], image["accel"], image["id"]) == (toolchain, "cpu", None)
    assert len(image["record_sha256"]) == 64
    assert told["lock_sha256"] == record["lock_sha256"]


@pytest.mark.parametrize("uid", CALLERS)
def test_a_bare_run_has_no_privilege_and_its_files_belong_to_the_caller(images, runs, uid):
    folder = runs(uid)
    done = compose_run("jax", "python", "-m", "suite.audits.hardening", "made", RUNS_DIR=str(folder))
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
    done = compose_run("jax", "python", "-m", "suite.audits.hardening", "made",
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
        wait_until((folder / "ready").exists)
        docker("kill", "--signal", "TERM", name)
        assert docker("wait", name, timeout=120).stdout.strip() == "75"
    finally:
        docker("rm", "-f", name)


def test_help_lists_the_stages_and_starts_none(images, runs):
    folder = runs(4242)
    told = compose_run("solid", "help", RUNS_DIR=str(folder)).stdout
    verbs = ("fetch-meshes", "targets", "check", "pretrain", "finetune", "evaluate", "report")
    assert all(verb in told for verb in verbs)
    assert list(folder.iterdir()) == []
    wait_until(lambda: relay_state() == "exited 0", 60, "the container beside it must not stay")


@pytest.mark.parametrize("verb", ["index", "pretrain"])
def test_a_verb_runs_in_its_own_toolchain_and_is_hidden_by_no_program(images, verb):
    assert f"usage: python -m experiments.solid {verb}" in compose_run("solid", verb, "--help").stdout
    done = compose_run("dense-detector", "train", "--help")
    assert "usage: python -m experiments.dense_detector train" in done.stdout


def test_the_container_beside_a_paper_has_no_more_rights_than_the_paper(images, runs):
    folder = runs(4242)
    words = ("python", "-m", "suite.audits.hardening", "made")
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

        wait_until(answers, 90, docker("compose", "logs", "tensorboard").stdout)
    finally:
        docker("compose", "rm", "--stop", "--force", "tensorboard")
