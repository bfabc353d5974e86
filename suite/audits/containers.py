"""`make audit-containers`: what the containers may do, asked from inside them; what is in the images; their
size.

    python -m suite audit containers

Per service of compose.yaml: what the file grants, then in a real container of it the user, the capabilities,
what can be written, the network. Per image: its size against docker/sizes.yaml, whether it was made from
today's locks, whether what is installed in it is what its SBOM says. A CycloneDX SBOM of every image and
flavour is left in RUNS_DIR/audits/containers/*.cdx.json. Builds nothing: an image that is not there is
skipped, with the remedy. Without an engine only the SBOMs are made. Not covered: cuda images, the engine's
own settings.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from suite.audits import cyclonedx, sbom
from suite.audits.result import Audit, Case, audit_folder, finish
from suite.by_hand import Parser
from suite.inspect_run import lock_digests
from suite.launch.engine import find_engine
from suite.launch.worker import say
from suite.manifest import write_json
from suite.provenance import ROOT
from suite.tools import toolchains

SIZES = ROOT / "docker/sizes.yaml"
OWNER = 4242  # of the containers' runs/ folder, where we are root: a user without a name in the images
RUNS, DATA, RELAY = "/workspace/runs", "/workspace/data", "/run/syndet"
ALWAYS_WRITABLE = {"/tmp", "/dev/shm"}
# The services that are an exception to something, as README and compose.yaml say.
NETWORKED = {"fetch": "downloads meshes", "tensorboard": "serves a page to this machine"}
READS_ONLY = {"tensorboard"}
WRITES_DATA = {"fetch"}
START_CAPABILITIES = {"KILL", "SETUID", "SETGID", "SETPCAP"}  # dropped by the entry point, before our code
# Settings of a service that open the host to it.
FORBIDDEN = ("privileged", "pid", "ipc", "uts", "userns_mode", "cgroup", "devices", "device_cgroup_rules")
INIT = ("docker-init", "tini")
PROBE = ("python", "-m", "suite.audits.hardening")
# The two environments of an image, and what is installed in the one that runs it.
ENVIRONMENTS = ("/opt/venv", "/opt/workflow")
INSTALLED = (
    "import json; from importlib import metadata; "
    "print(json.dumps([(found.metadata['Name'], found.version) for found in metadata.distributions()]))"
)
DPKG = ("dpkg-query", "-W", "-f", "${Package} ${Version} ${Architecture}\n")


@dataclass(kw_only=True)
class Findings:
    """What the audit collects."""

    cases: list[Case] = field(default_factory=list)
    skipped: list[dict[str, str]] = field(default_factory=list)

    def check(self, group: str, name: str, fault: str, outcome: str, **facts: Any) -> None:
        """One case: it passed where there is no fault to tell."""
        self.cases.append(
            Case(group=group, name=name, passed=not fault, outcome=fault and "wrong" or outcome, detail=fault,
                 facts=facts)
        )  # fmt: skip

    def skip(self, name: str, why: str) -> None:
        self.skipped.append({"name": name, "why": why})


@dataclass(frozen=True, kw_only=True)
class Probe:
    """Folders for the containers, and the compose project that they are started in."""

    runs: Path
    data: Path
    owner: int

    def compose(self, *words: str, seconds: float = 300) -> subprocess.CompletedProcess[str]:
        """`docker compose` of this project; its streams as text."""
        env = {**os.environ, "COMPOSE_PROJECT_NAME": f"syndet-audit-{os.getpid()}", "ACCEL": "cpu"}
        env |= {"RUNS_DIR": str(self.runs), "DATA_DIR": str(self.data)}
        return subprocess.run(
            ["docker", "compose", "--profile", "*", *words], cwd=ROOT, env=env, capture_output=True,
            text=True, stdin=subprocess.DEVNULL, timeout=seconds, check=False,
        )  # fmt: skip

    def run(self, service: str, *words: str) -> tuple[str, str]:
        """A program in a container of a service: what it printed, and why it failed (empty: it did not)."""
        done = self.compose("run", "--rm", "-T", service, *words)
        why = "" if done.returncode == 0 else f"exit code {done.returncode}: {_last(done.stderr)}"
        return done.stdout, why


def _last(text: str) -> str:
    return (text.strip().splitlines() or ["no output"])[-1]


@contextmanager
def probe_folders(folder: Path) -> Iterator[Probe]:
    """Fresh folders; what was started in the project is gone at the end."""
    owner = OWNER if os.geteuid() == 0 else os.geteuid()
    home = folder / "probe"
    shutil.rmtree(home, ignore_errors=True)
    probe = Probe(runs=home / "runs", data=home / "data", owner=owner)
    for path in (probe.runs, probe.data):
        path.mkdir(parents=True)
        os.chown(path, owner, owner)
    try:
        yield probe
    finally:
        probe.compose("down", "--volumes", "--timeout", "5")
        shutil.rmtree(home, ignore_errors=True)


# -- what compose.yaml grants -----------------------------------------------------------------------------


def granted(name: str, service: Mapping[str, Any]) -> list[str]:
    """What a service gets that it must not, in words, from `docker compose config`."""
    told = [] if service.get("read_only") else ["its root can be written"]
    if service.get("cap_drop") != ["ALL"]:
        told.append("not all capabilities are dropped")
    extra = sorted(set(service.get("cap_add") or ()) - START_CAPABILITIES)
    told += [f"has the capability {word}" for word in extra]
    if "no-new-privileges:true" not in (service.get("security_opt") or ()):
        told.append("may gain privileges")
    loose = [text for text in service.get("security_opt") or () if "unconfined" in text]
    told += [f"runs with {text}" for text in loose]
    network = service.get("network_mode")
    if network != ("bridge" if name in NETWORKED else "none"):
        told.append(f"network_mode is {network}")
    told += [f"has {word}: {service[word]}" for word in FORBIDDEN if service.get(word)]
    for port in service.get("ports") or ():
        if port.get("host_ip") != "127.0.0.1":
            told.append(f"port {port.get('target')} is open to other machines")
    mounts = service.get("volumes", ())
    return told + [fault for mount in mounts for fault in _mount_faults(name, mount)]


def _mount_faults(name: str, mount: Mapping[str, Any]) -> Iterator[str]:
    """A mount that can be written, or the engine's own socket."""
    target = mount["target"]
    may = {RELAY} | (set() if name in READS_ONLY else {RUNS}) | ({DATA} if name in WRITES_DATA else set())
    if not mount.get("read_only") and target not in may:
        yield f"{target} can be written"
    if str(mount.get("source", "")).endswith(("docker.sock", "containerd.sock")):
        yield f"sees the engine's socket at {target}"


def audit_files(probe: Probe, findings: Findings) -> dict[str, Mapping[str, Any]]:
    """A case per service; returns the services."""
    done = probe.compose("config", "--format", "json")
    if done.returncode != 0:
        findings.check("compose.yaml", "config", _last(done.stderr), "")
        return {}
    services = json.loads(done.stdout)["services"]
    for name, service in services.items():
        findings.check("compose.yaml", name, "; ".join(granted(name, service)), "hardened")
    return services


# -- what a process sees ----------------------------------------------------------------------------------


def judge_inside(
    name: str, report: Mapping[str, Any], owner: int, *, has_relay: bool, shm_size: int | None = None
) -> Iterator[tuple[str, str, str]]:
    """What is asked, the fault (empty: none), what was found, of a report of suite/audits/hardening.py.

    shm_size: bytes of shared memory that compose.yaml grants; None: not asked.
    """
    user = (report["uid"], report["gid"], sorted(set(report["groups"]) - {owner}))
    yield "user", "" if user == (owner, owner, []) else f"uid, gid, groups are {user}", "the owner of runs/"
    held = {key: hex(bits) for key, bits in report["capabilities"].items() if bits}
    yield "capabilities", f"holds {held}" if held else "", "none"
    yield "privileges", "" if report["no_new_privileges"] else "a program may gain some", "none to gain"
    yield "root", "" if report["root_read_only"] else "can be written", "read-only"
    may = ALWAYS_WRITABLE | (set() if name in READS_ONLY else {RUNS})
    may |= ({RELAY} if has_relay else set()) | ({DATA} if name in WRITES_DATA else set())
    found = set(report["writable"])
    yield "writable", "" if found == may else f"{sorted(found ^ may)} is not as said", "what is said alone"
    if name in NETWORKED:
        yield "network", "" if report["network"] else "has none", f"one: {NETWORKED[name]}"
    else:
        alone = report["interfaces"] == ["lo"] and not report["network"]
        yield "network", "" if alone else f"reaches one by {report['interfaces']}", "none"
    tools = [*report["compilers"], *(["the CA file"] if report["secrets"] and name not in NETWORKED else [])]
    yield "tools", f"has {', '.join(tools)}" if tools else "", "no compiler, no installer"
    if shm_size is not None:
        there = report["shm_bytes"]
        fault = "" if there == shm_size else f"{there} bytes instead of {shm_size}"
        yield "shared memory", fault, "as compose.yaml says"
    first = report["first_process"]
    yield "init", "" if first in INIT else f"the first process is {first}", "hands signals on"


def audit_service(probe: Probe, name: str, service: Mapping[str, Any], findings: Findings) -> None:
    """One container of a service."""
    start = time.monotonic()
    left = () if name in READS_ONLY else (f"left-by-{name}",)
    printed, why = probe.run(name, *PROBE, *left)
    if why:
        findings.check("inside: start", name, why, "")
        return
    report = json.loads(printed)
    has_relay = any(mount["target"] == RELAY for mount in service.get("volumes", ()))
    shm = int(service["shm_size"])
    for asked, fault, outcome in judge_inside(name, report, probe.owner, has_relay=has_relay, shm_size=shm):
        findings.check(f"inside: {asked}", name, fault, outcome)
    for file in left:
        made = (probe.runs / file).stat()
        fault = "" if made.st_uid == made.st_gid == probe.owner else f"belongs to {made.st_uid}:{made.st_gid}"
        findings.check("inside: files", name, fault, "belong to the owner of runs/")
    say(f"{name}: looked at from inside ({time.monotonic() - start:.0f} s)")


# -- what is in the images --------------------------------------------------------------------------------


def image_facts(toolchain: str) -> dict[str, Any] | None:
    """ID and size of a cpu image; None where it is not built."""
    command = ["docker", "image", "inspect", f"syndet/{toolchain}:cpu"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return None
    (tree,) = json.loads(done.stdout)
    return {"id": tree["Id"], "bytes": tree["Size"]}


def audit_image(
    probe: Probe, toolchain: str, facts: Mapping[str, Any], findings: Findings
) -> list[tuple[str, str, str]]:
    """Size, age, packages of an image; returns Debian's packages in it."""
    budget, size = yaml.safe_load(SIZES.read_text(encoding="utf-8"))[toolchain], facts["bytes"] / 1e9
    fault = "" if size <= budget else f"{size:.2f} GB, and {budget} GB are allowed"
    of = f"{size:.2f} of {budget} GB"
    findings.check("image: size", toolchain, fault, of, size_gb=round(size, 2), budget_gb=budget)
    printed, why = probe.run(toolchain, "cat", "/opt/image.json")
    record = json.loads(printed) if not why else {"lock_sha256": None, "packages": {}}
    stale = "" if record["lock_sha256"] in lock_digests(toolchain) else "made from other locks; `make images`"
    findings.check("image: made from", toolchain, why or stale, "today's locks")
    audit_packages(probe, toolchain, record["packages"], findings)
    printed, why = probe.run(toolchain, *DPKG)
    debian = list(sbom.parse_dpkg(printed)) if not why else []
    findings.check("image: Debian", toolchain, why, f"{len(debian)} packages", packages=len(debian))
    return debian


def audit_packages(probe: Probe, toolchain: str, recorded: Mapping[str, str], findings: Findings) -> None:
    """Both environments, asked by their own Python, against the SBOM; /opt/image.json against the first."""
    tree = sbom.document(toolchain, "cpu")
    for environment in ENVIRONMENTS:
        printed, why = probe.run(toolchain, f"{environment}/bin/python", "-c", INSTALLED)
        found = json.loads(printed) if not why else []
        unlike = [] if why else sbom.unlike_image(tree, environment, found)
        told = f"{len(found)} packages, those of the SBOM"
        name = f"{toolchain} {environment}"
        findings.check("image: packages", name, why or "; ".join(unlike[:5]), told, packages=len(found))
        if environment == ENVIRONMENTS[0]:
            fault = why or ("" if dict(found) == dict(recorded) else "image.json names others; `make images`")
            findings.check("image: record", toolchain, fault, "names what is installed")


def write_sboms(
    folder: Path, images: Mapping[str, Mapping[str, Any]], debian: Mapping[str, list], findings: Findings
) -> None:
    """A document per toolchain and flavour."""
    folder.mkdir(parents=True, exist_ok=True)
    for toolchain in toolchains():
        for accel in ("cpu", "cuda"):
            own = accel == "cpu" and toolchain in images
            tree = sbom.document(
                toolchain, accel, debian.get(toolchain, ()) if own else (),
                image=images[toolchain]["id"] if own else None,
            )  # fmt: skip
            file = folder / f"{toolchain}-{accel}.cdx.json"
            write_json(file, tree)
            fault, num = "; ".join(cyclonedx.faults(tree)[:5]), len(tree["components"])
            name = f"{toolchain}-{accel}"
            findings.check("sbom", name, fault, f"{num} components", file=str(file), components=num)


# -- the audit --------------------------------------------------------------------------------------------


def audit_engine(folder: Path, findings: Findings) -> tuple[dict[str, Any], dict[str, list]]:
    """All that needs an engine; returns the images that are there, and Debian's packages by image."""
    images = {name: facts for name in toolchains() if (facts := image_facts(name)) is not None}
    debian = {}
    for name in toolchains():
        if name not in images:
            findings.skip(f"image {name}", f"not built; `make images TOOLCHAIN={name}`")
    with probe_folders(folder) as probe:
        for name, facts in images.items():
            debian[name] = audit_image(probe, name, facts, findings)
        services = audit_files(probe, findings)
        for name, service in services.items():
            needs = [service, *(services[other] for other in service.get("depends_on", ()))]
            absent = [row["image"] for row in needs if row["image"].split("/")[1].split(":")[0] not in images]
            if absent:
                findings.skip(f"inside {name}", f"{absent[0]} is not built")
            else:
                audit_service(probe, name, service, findings)
    return images, debian


def main(words: Sequence[str]) -> int:
    """Run the audit; returns 0 where each case passed, else 1."""
    Parser(prog="python -m suite audit containers", allow_abbrev=False).parse(words)
    folder, start, findings = audit_folder("containers"), time.monotonic(), Findings()
    folder.mkdir(parents=True, exist_ok=True)
    engine = find_engine()
    images: dict[str, Any] = {}
    debian: dict[str, list] = {}
    if engine is None:
        findings.skip("containers", "no Docker engine with compose v2 answers; `make doctor`")
    else:
        images, debian = audit_engine(folder, findings)
    write_sboms(folder, images, debian, findings)
    settings = {"engine": engine.version if engine else None, "images": sorted(images)}
    command = shlex.join(["python", "-m", "suite", "audit", "containers", *words])
    audit = Audit(
        audit="containers", command=command, cases=findings.cases, settings=settings,
        skipped=findings.skipped, seconds=time.monotonic() - start,
    )  # fmt: skip
    return finish(audit, folder)
