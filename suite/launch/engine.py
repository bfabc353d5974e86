"""The Docker engine as seen from outside: does one answer, can it hand out GPUs, which compose files."""

from __future__ import annotations

import functools
import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from suite.errors import Missing
from suite.launch import slurm_client, slurm_settings
from suite.launch.gpu import list_gpus

IMAGE_RECORD = Path("/opt/image.json")  # stands in every image of ours
GPU_REMEDY = (
    "install nvidia-container-toolkit, `nvidia-ctk runtime configure --runtime=docker`, restart the engine "
    "(docs/gpu.md), or use PLACE=venv"
)


@dataclass(frozen=True)
class Engine:
    """What `docker info` says, as far as it matters here."""

    version: str
    has_gpu: bool  # an nvidia runtime, or CDI devices


def find_engine() -> Engine | None:
    """The engine that answers, with compose v2; None without one."""
    if shutil.which("docker") is None:
        return None
    info = _json(["docker", "info", "--format", "{{json .}}"])
    if not info or not info.get("ServerVersion") or _call(["docker", "compose", "version"]) is None:
        return None
    devices = info.get("DiscoveredDevices") or []  # engine 28 and newer lists CDI devices by name
    by_cdi = any("nvidia.com/gpu" in str(device.get("ID", "")) for device in devices)
    return Engine(version=info["ServerVersion"], has_gpu=by_cdi or "nvidia" in (info.get("Runtimes") or {}))


@functools.cache
def image_id(toolchain: str, accel: str) -> str | None:
    """The engine's id of an image of ours (`sha256:...`); None where it is not there. Asked once a launch."""
    command = ["docker", "image", "inspect", "--format", "{{.Id}}", f"syndet/{toolchain}:{accel}"]
    return (_call(command) or "").strip() or None


def _json(command: list[str]) -> dict | None:
    text = _call(command)
    try:
        return json.loads(text) if text else None
    except json.JSONDecodeError:
        return None


def _call(command: list[str]) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def pick_place(wanted: str) -> str:
    """`auto` -> here inside one of our images, docker where an engine answers, else venv."""
    if wanted == "docker" and find_engine() is None:
        fix = "start it, install docker.io with the compose plugin, or use PLACE=venv"
        raise Missing("PLACE=docker, but no Docker engine with compose v2 answers", fix=fix)
    if wanted == "slurm":
        slurm_client.require_slurm()
    if wanted != "auto":
        return wanted
    if IMAGE_RECORD.is_file():
        return "here"
    return "docker" if find_engine() else "venv"


def pick_device(wanted: str, place: str) -> tuple[str, str]:
    """The device of a run and the reason, one line. `cuda` that cannot be had raises; it never becomes the
    CPU.
    """
    if place == "slurm":
        return slurm_settings.pick_device(wanted)
    gpus = list_gpus()
    blocked = place == "docker" and bool(gpus) and not _engine_has_gpu()
    if wanted == "cpu":
        return "cpu", "as asked"
    if wanted == "cuda" and not gpus:
        raise Missing(
            "DEVICE=cuda, but nvidia-smi lists no GPU",
            fix="`make doctor` says what is missing; DEVICE=cpu runs without",
        )
    if wanted == "cuda" and blocked:
        raise Missing("DEVICE=cuda, but the Docker engine cannot hand out GPUs", fix=GPU_REMEDY)
    if not gpus:
        return "cpu", "no GPU here"
    if blocked:
        return "cpu", f"there is a GPU, but the Docker engine cannot hand it out; {GPU_REMEDY}"
    return "cuda", f"{len(gpus)} x {gpus[0].name}"


def _engine_has_gpu() -> bool:
    engine = find_engine()
    return engine is not None and engine.has_gpu


def pick_accel(wanted: str, device: str) -> str:
    """Which lock or image flavour: `auto` follows the device."""
    return ("cuda" if device == "cuda" else "cpu") if wanted == "auto" else wanted


def compose_files(device: str) -> list[str]:
    """`compose.yaml` starts anywhere; the GPU reservation is laid over it only for a run on the GPU."""
    return ["compose.yaml", "compose.gpu.yaml"] if device == "cuda" else ["compose.yaml"]
