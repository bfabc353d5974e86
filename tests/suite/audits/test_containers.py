import copy
import json
from pathlib import Path

import pytest
import yaml

from suite.audits import containers
from suite.tools import toolchains

ROOT = Path(__file__).parents[3]
# As `docker compose config` says; tests/containers/test_files.py holds the file to compose.yaml.
SERVICES = json.loads((ROOT / "tests/containers/compose.gpu.golden.json").read_text())["services"]
NONE = dict.fromkeys(("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"), 0)
GOOD = {
    "uid": 4242, "gid": 4242, "groups": [4242], "capabilities": NONE, "no_new_privileges": True,
    "root_read_only": True, "writable": ["/workspace/runs", "/tmp", "/dev/shm"], "interfaces": ["lo"],
    "network": False, "first_process": "docker-init", "compilers": [], "secrets": False,
    "shm_bytes": 2**31,
}  # fmt: skip
DAMAGES = {
    "user": {"groups": [0, 4242]},
    "capabilities": {"capabilities": NONE | {"CapEff": 2}},
    "privileges": {"no_new_privileges": False},
    "root": {"root_read_only": False},
    "writable": {"writable": ["/workspace/runs", "/tmp", "/dev/shm", "/opt/venv"]},
    "network": {"interfaces": ["eth0", "lo"]},
    "tools": {"secrets": True},
    "init": {"first_process": "python"},
    "shared memory": {"shm_bytes": 64 * 2**20},
}


def faults(report, name="jax", **keywords):
    """What is wrong, by what is asked."""
    judged = containers.judge_inside(
        name, report, 4242, **{"has_relay": False, "shm_size": 2**31, **keywords}
    )
    return {asked: fault for asked, fault, _ in judged if fault}


def test_a_hardened_container_has_no_fault_and_each_hole_is_told_where_it_is():
    assert faults(GOOD) == {}
    assert {asked: list(faults(GOOD | damage)) for asked, damage in DAMAGES.items()} == {
        asked: [asked] for asked in DAMAGES
    }


def test_only_the_services_that_are_said_to_have_a_network_may_have_one():
    report = GOOD | {"interfaces": ["eth0", "lo"], "network": True}
    assert list(faults(report)) == ["network"]
    assert list(faults(report, "tensorboard")) == ["writable"]  # it may write nothing of ours
    assert faults(report | {"writable": ["/tmp", "/dev/shm"]}, "tensorboard") == {}
    assert list(faults(report, "fetch")) == ["writable"]  # data/ is its to write
    assert list(faults(GOOD, "solid", has_relay=True)) == ["writable"]


@pytest.mark.parametrize("name", SERVICES)
def test_compose_grants_no_service_more_than_it_needs(name):
    assert containers.granted(name, SERVICES[name]) == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"read_only": False}, "its root can be written"),
        ({"cap_drop": []}, "not all capabilities are dropped"),
        ({"cap_add": ["KILL", "SYS_ADMIN"]}, "has the capability SYS_ADMIN"),
        ({"security_opt": []}, "may gain privileges"),
        ({"network_mode": "host"}, "network_mode is host"),
        ({"privileged": True}, "has privileged: True"),
        ({"pid": "host"}, "has pid: host"),
        ({"userns_mode": "host"}, "has userns_mode: host"),
        (
            {"security_opt": ["no-new-privileges:true", "seccomp:unconfined"]},
            "runs with seccomp:unconfined",
        ),
        ({"network_mode": None}, "network_mode is None"),
        ({"ports": [{"target": 80}]}, "port 80 is open to other machines"),
        ({"volumes": [{"source": "/a", "target": "/workspace/data"}]}, "/workspace/data can be written"),
        (
            {"volumes": [{"source": "/var/run/docker.sock", "target": "/s", "read_only": True}]},
            "sees the engine's socket at /s",
        ),
    ],
)
def test_a_grant_too_many_is_told(change, told):
    service = copy.deepcopy(SERVICES["jax"])
    assert containers.granted("jax", service | change) == [told]


def test_every_image_has_a_budget():
    assert sorted(yaml.safe_load(containers.SIZES.read_text())) == toolchains()


def test_without_an_engine_the_documents_are_made_and_the_rest_is_said_to_be_skipped(
    monkeypatch, tmp_path, capsys
):
    monkeypatch.setenv("RUNS_DIR", str(tmp_path))
    monkeypatch.setattr(containers, "find_engine", lambda: None)
    assert containers.main([]) == 0
    tree = json.loads((tmp_path / "audits/containers/result.json").read_text())
    assert tree["counts"] == {"cases": 8, "failed": 0}
    assert "no Docker engine" in tree["skipped"][0]["why"]
    assert "skipped containers" in capsys.readouterr().out
    for case in tree["cases"]:
        assert json.loads(Path(case["facts"]["file"]).read_text())["bomFormat"] == "CycloneDX"
