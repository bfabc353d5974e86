"""Checks of Docker: engine, compose, buildx, images, and whether containers can get a GPU."""

from __future__ import annotations

from pathlib import Path

from suite.doctor.context import Context, version
from suite.doctor.needs import toolchains_of
from suite.doctor.result import MISSING, OK, WARN, Result

MIN_COMPOSE = (2, 20)
GPUS_KEY_COMPOSE = (2, 30)  # older ones ignore `gpus: all` without a word
IMAGE = "syndet/{toolchain}:{accel}"  # as compose.yaml names them
CDI_FOLDERS = (Path("/etc/cdi"), Path("/var/run/cdi"))


def check_engine(context: Context) -> Result:
    """An engine that answers."""
    why = "PLACE=docker runs each toolchain in its image; without it environments are made instead"

    def line(state: str, value: str, remedy: str = "") -> Result:
        return Result("docker-engine", "docker", "Docker engine", state, value, why, remedy)

    info, answer = context.docker_info
    if info:
        rootless = any("rootless" in str(option) for option in info.get("SecurityOptions") or ())
        return line(OK, f"{info['ServerVersion']} answers{' (rootless)' if rootless else ''}")
    if not answer.found:
        return line(MISSING, "docker is not installed", "install Docker Engine, or use PLACE=venv")
    text = answer.err + answer.out
    if "permission denied" in text.lower():
        remedy = "sudo usermod -aG docker $USER and log in again, or use rootless Docker"
        return line(MISSING, "you may not talk to the engine (permission denied)", remedy)
    return line(MISSING, f"no answer: {answer.complaint}", "sudo systemctl start docker, or use PLACE=venv")


def check_compose(context: Context) -> Result:
    """The compose plugin, new enough."""
    why = "compose.yaml holds the services, their limits and the order of a chain"
    wanted = ".".join(map(str, MIN_COMPOSE))

    def line(state: str, value: str, remedy: str = "") -> Result:
        return Result("docker-compose", "docker", f"compose >= {wanted}", state, value, why, remedy)

    remedy = f"install the Docker compose plugin {wanted} or newer"
    answer = context.ask("docker", "compose", "version", "--short")
    found = version(answer.out) if answer.ok else ()
    if not found:
        return line(MISSING, "docker is not installed" if not answer.found else "no compose plugin", remedy)
    text = ".".join(map(str, found))
    if found < MIN_COMPOSE:
        return line(MISSING, f"{text} is too old", remedy)
    note = "" if found >= GPUS_KEY_COMPOSE else "; ignores `gpus:` (from 2.30 on), use compose.gpu.yaml"
    return line(OK, text + note)


def check_buildx(context: Context) -> Result:
    """BuildKit builds."""
    why = "the Dockerfiles use BuildKit's cache and secret mounts; needed to build images only"
    answer = context.ask("docker", "buildx", "version")
    if not answer.ok:
        remedy = "install the Docker buildx plugin"
        return Result("docker-buildx", "docker", "buildx", WARN, "no buildx plugin", why, remedy)
    found = version(answer.out.partition(" ")[2]) or version(answer.out)
    return Result("docker-buildx", "docker", "buildx", OK, ".".join(map(str, found)), why)


def check_images(context: Context) -> list[Result]:
    """An image for each toolchain."""
    info, _ = context.docker_info
    used = toolchains_of(context.systems)
    results = []
    for toolchain in context.toolchains:
        image = IMAGE.format(toolchain=toolchain, accel=context.accel)
        why = f"PLACE=docker runs the {toolchain} stages in it"
        title, name = f"image {toolchain}", f"image-{toolchain}"
        if not info:
            value = "not checked: no engine answers"
            results.append(Result(name, "docker", title, WARN, value, why, "see the Docker engine above"))
            continue
        answer = context.ask("docker", "image", "inspect", "--format", "{{.Id}}", image)
        if answer.ok:
            results.append(Result(name, "docker", title, OK, f"{image} {answer.out.strip()[7:19]}", why))
            continue
        state = "built by the first run" if toolchain in used else "no system here uses it yet"
        remedy = f"make images, or: ACCEL={context.accel} docker compose build {toolchain}"
        results.append(Result(name, "docker", title, WARN, f"{image} is not there; {state}", why, remedy))
    return results


def check_gpu_in_containers(context: Context) -> Result:
    """NVIDIA's runtime or a CDI specification in the engine."""
    why = "without it a container sees no GPU, whatever the host has"

    def line(state: str, value: str, remedy: str = "") -> Result:
        return Result("gpu-in-containers", "docker", "GPUs for containers", state, value, why, remedy)

    info, _ = context.docker_info
    if not context.gpus:
        return line(OK, "not needed: no GPU here")
    if not info:
        return line(WARN, "not checked: no engine answers", "see the Docker engine above")
    if "nvidia" in (info.get("Runtimes") or {}):
        return line(OK, "the engine has the nvidia runtime")
    devices = [
        str(device.get("ID")) for device in info.get("DiscoveredDevices") or () if isinstance(device, dict)
    ]
    if any("nvidia.com/gpu" in device for device in devices):
        return line(OK, "the engine lists CDI devices")
    written = [path for folder in CDI_FOLDERS if folder.is_dir() for path in folder.glob("*nvidia*")]
    if written:
        remedy = "enable CDI in the engine (28 or newer has it on; docs/gpu.md)"
        return line(WARN, f"{written[0]} exists, but the engine lists no such device", remedy)
    remedy = (
        "install nvidia-container-toolkit, then: sudo nvidia-ctk runtime configure --runtime=docker "
        "&& sudo systemctl restart docker (docs/gpu.md)"
    )
    return line(WARN, "neither the nvidia runtime nor CDI devices", remedy)
