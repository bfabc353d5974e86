"""The small commands: shell, gpu-check, doctor, fetch-meshes, fetch-data, tabletop, t2i-corpus, images,
test. Each starts another program and returns its exit code.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

from suite.errors import EXIT_MISSING, EXIT_OK, BadInput, Missing
from suite.launch.engine import find_engine, pick_accel, pick_device, pick_place
from suite.launch.places import HERE_PYTHON, Place, bootstrap_command
from suite.launch.worker import say, worst
from suite.provenance import ROOT
from suite.reproduce import build_image
from suite.runs import choose, folder_setting

QUICK_TESTS = ("lint", "suite")  # environments of tox.ini that are no toolchain's
LONG_TESTS = ("detectron2", "tensorflow")  # these start first: a core would wait for the last one


def toolchains() -> list[str]:
    """The folders of docker/ with a lock."""
    return sorted(path.parent.name for path in ROOT.glob("docker/*/requirements.cpu.lock"))


def chosen(name: str) -> list[str]:
    """`all`, or the one that was named."""
    return toolchains() if name == "all" else [choose(name, toolchains(), "toolchain")]


def call(command: Sequence[str], env: dict[str, str] | None = None) -> int:
    """Run a program in the repository with our streams; returns its exit code."""
    return subprocess.run(command, cwd=ROOT, env=env, check=False).returncode


def environment_python(toolchain: str, accel: str) -> str:
    """Python of `.tox/<toolchain>`, built if needed."""
    if call(bootstrap_command(toolchain, accel)) != EXIT_OK:
        raise Missing(
            f"the environment of {toolchain} could not be built (see above)", fix="see `make doctor`"
        )
    return str(ROOT / ".tox" / toolchain / "bin/python")


def local_place(wanted: str) -> str:
    """As pick_place; BadInput for the cluster: these commands run where they are typed."""
    if wanted == "slurm":
        fix = "use PLACE=venv or docker; on a node of the cluster: srun --pty make ..."
        raise BadInput("PLACE=slurm is for reproduce alone", fix=fix)
    return pick_place(wanted)


def shell(toolchain: str, *, place: str, accel: str, device: str) -> int:
    """Bash with the toolchain's Python first on the PATH, in its place."""
    choose(toolchain, toolchains(), "toolchain")
    place = local_place(place)
    device, _ = pick_device(device, place)
    accel = pick_accel(accel, device)
    where = Place(name=place, toolchain=toolchain, package="", device=device, accel=accel)
    env = where.environment({})
    if place == "docker":
        return call([*where.compose(), "run", "--rm", toolchain, "bash"], env)
    python = HERE_PYTHON if place == "here" else environment_python(toolchain, accel)
    env["PATH"] = f"{os.path.dirname(python)}{os.pathsep}{env['PATH']}"
    say(f"{toolchain}: {python}; leave with exit")
    return call(["bash"], env)


def gpu_check(toolchain: str, *, place: str) -> int:
    """suite.gpu_check in each toolchain; in place venv, `all` means those whose environment stands."""
    place = local_place(place)
    if place == "here":
        return call([HERE_PYTHON, "-m", "suite.gpu_check"])
    device, why = pick_device("auto", place)
    if device == "cpu":
        raise Missing(f"nothing to check: {why}", fix="`make doctor` says what a GPU run needs (docs/gpu.md)")
    names = chosen(toolchain)
    if place == "venv" and toolchain == "all":
        names = [name for name in names if (ROOT / ".tox" / name / "bin/python").exists()]
        if not names:
            raise Missing("no environment stands yet", fix="name one: make gpu-check TOOLCHAIN=blender")
    codes = []
    for name in names:
        where = Place(name=place, toolchain=name, package="", device=device, accel="cuda")
        program = ["-m", "suite.gpu_check", "--toolchain", name]
        if place == "docker":
            command = [*where.compose(), "run", "--rm", "-T", name, "python", *program]
        else:
            command = [environment_python(name, "cuda"), *program]
        codes.append(call(command, where.environment({})))
        if codes[-1] not in (EXIT_OK, EXIT_MISSING):
            say(f"error: gpu-check of {name}: exit code {codes[-1]}")
    return worst(codes)


def doctor(*, as_json: bool, paper: str, scale: str) -> int:
    """suite.doctor, with the Python of the workflow."""
    command = [sys.executable, "-m", "suite.doctor", "--scale", scale]
    command += ["--for", paper] if paper else []
    return call([*command, *(["--json"] if as_json else [])])


def fetch_meshes() -> int:
    """Download the packages that SOLID's meshes can be extended from, with the pip of the bootstrap
    environment.
    """
    folder = folder_setting("DATA_DIR", "data") / "packages"
    code = call([str(ROOT / ".tox/boot/bin/python"), "-m", "experiments.solid.meshes.packages", str(folder)])
    if code == EXIT_OK:
        say("next: make reproduce-solid OVERRIDES='meshes.packages=data/packages meshes.num_classes=64'")
    return code


def fetch_data(name: str) -> int:
    """Download one of GaFi's data sets into DATA_DIR, checked by digest."""
    env = os.environ | {"DATA_DIR": str(folder_setting("DATA_DIR", "data")), "PYTHONPATH": str(ROOT)}
    return call([sys.executable, "-m", "experiments.gafi.data.fetch", name], env)


def tabletop(count: str, *, place: str, accel: str) -> int:
    """assets/tabletop rendered again into RUNS_DIR/tabletop and compared, in Blender's environment; 1 if they
    differ.
    """
    return _render("assets.make.tabletop", count, place=place, accel=accel, words=["--compare"])


def t2i_corpus(count: str, *, place: str, accel: str) -> int:
    """The captioned pictures that ImaginaryNet's embedded models learn from, into DATA_DIR/t2i-corpus."""
    return _render("assets.make.t2i_corpus", count, place=place, accel=accel, is_data=True)


def _render(
    package: str, count: str, *, place: str, accel: str, words: Sequence[str] = (), is_data: bool = False
) -> int:
    """Run a maker of pictures in Blender's environment; pixels are those of a CPU on every machine, so no
    device is asked for. Its folder is below RUNS_DIR, with `is_data` below DATA_DIR.
    """
    if count and not count.isdecimal():
        raise BadInput(f"COUNT={count} is not a whole number", fix="leave it out for all pictures")
    place = local_place(place)
    where = Place(name=place, toolchain="blender", package=package, accel=pick_accel(accel, "cpu"))
    name = package.rpartition(".")[2].replace("_", "-")
    out = (where.data_dir if is_data else where.runs_dir) / name
    out.mkdir(parents=True, exist_ok=True)
    words = ["--out", str(out), *words, *(["--count", count] if count else [])]
    if place == "docker":
        # Containers cannot write into data/, but for this one folder of it.
        mount = ["-v", f"{out}:{where.inside(str(out))}"] if is_data else []
        compose = [*where.compose(), "run", "--rm", "-T", *mount, "blender", "python", "-m", package]
        return call([*compose, *(where.inside(word) for word in words)], where.environment({}))
    python = HERE_PYTHON if place == "here" else environment_python("blender", where.accel)
    return call([python, "-m", package, *words], where.environment({}))


def images(toolchain: str, *, accel: str) -> int:
    """Build the images, one after the other: the second finds the first one's layers."""
    names = chosen(toolchain)
    if find_engine() is None:
        raise Missing("no Docker engine with compose v2 answers", fix="`make doctor` says what is missing")
    device, _ = pick_device("auto", "docker")
    for name in names:
        build_image(name, accel=pick_accel(accel, device), device=device)
    return EXIT_OK


def test(parts: Sequence[str]) -> int:
    """The parts of tox.ini, or all, by the tox of the suite's environment; stops at lint or the suite's own
    tests, then runs the toolchains' side by side, which use a core each, and prints each when it ends.
    """
    known = [*QUICK_TESTS, *toolchains()]
    for part in parts:
        if part not in known:
            raise BadInput(f"no test environment {part!r}", fix=f"choose from {', '.join(known)}")
    tox = [environment_python("suite", "cpu"), "-m", "tox"]
    wanted = parts or known
    quick = [part for part in wanted if part in QUICK_TESTS]
    if quick and (code := call([*tox, "run", "-q", "-e", ",".join(quick)])) != EXIT_OK:
        return code
    others = sorted((part for part in wanted if part not in quick), key=lambda part: part not in LONG_TESTS)
    if not others:
        return EXIT_OK
    return call([*tox, "run-parallel", "-q", "--parallel-no-spinner", "-e", ",".join(others)])
