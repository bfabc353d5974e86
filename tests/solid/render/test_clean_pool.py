"""Cleaning by several processes: the same bytes, a crash costs one model, a stop keeps what is done."""

from __future__ import annotations

import os
import signal
import stat
import sys
import threading
import time
from functools import partial
from pathlib import Path

import pytest

from experiments.solid.render import clean, clean_pool, converter
from experiments.solid.stages import STAGES
from suite.errors import BadInput, Missing, Stopped
from suite.manifest import file_digest, read_json
from suite.stage import STOP, Context
from tests.solid.render.test_clean import WEDGE
from tests.solid.render.worlds import picture, shapes, tiny_config, write_glb


def note(folder: Path, number: int, source: Path) -> None:
    """A job that leaves its process's number."""
    (folder / f"{number}.txt").write_text(str(os.getpid()))


def die_at(folder: Path, deadly: int, number: int, source: Path) -> None:
    """A job at which the process is killed, as by a crash."""
    with (folder / f"{number}.tries").open("a") as stream:
        stream.write("x")
    if number == deadly:
        os.kill(os.getpid(), signal.SIGSEGV)


def die_when_idle(number: int, source: Path) -> None:
    """Task 0 is done at once, and its process killed a little later; the others take a while."""
    if number == 0:
        threading.Timer(0.2, os._exit, [9]).start()
    else:
        time.sleep(0.8)


def fail(number: int, source: Path) -> None:
    raise ZeroDivisionError("a bug")


def slow(folder: Path, number: int, source: Path) -> None:
    time.sleep(0.3)
    note(folder, number, source)


TASKS = [(number, Path("model.obj")) for number in range(9)]


def never() -> None:
    """No stop request."""


def test_every_task_is_done_once_and_by_several_processes(tmp_path):
    ended = list(clean_pool.clean_all(TASKS, partial(slow, tmp_path), 2, check_stop=never))
    assert sorted(ended) == [(number, None) for number in range(9)]
    pids = {path.read_text() for path in tmp_path.iterdir()}
    assert len(pids) == 2
    assert str(os.getpid()) not in pids


@pytest.mark.parametrize("processes", [1, 2])
def test_a_model_at_which_the_process_dies_is_tried_twice_and_named(tmp_path, processes):
    ended = dict(clean_pool.clean_all(TASKS, partial(die_at, tmp_path, 4), processes, check_stop=never))
    assert ended == dict.fromkeys(range(9)) | {4: "Blender ended with signal SIGSEGV"}
    assert (tmp_path / "4.tries").read_text() == "xx"
    assert (tmp_path / "5.tries").read_text() == "x"


def test_a_process_that_is_killed_with_nothing_to_do_costs_nothing():
    ended = dict(clean_pool.clean_all(TASKS[:2], die_when_idle, 2, check_stop=never))
    assert ended == {0: None, 1: None}


def test_a_bug_is_raised_and_not_taken_for_a_bad_model():
    with pytest.raises(ZeroDivisionError, match="a bug"):
        list(clean_pool.clean_all(TASKS, fail, 1, check_stop=never))


def test_a_stop_request_lets_the_models_at_hand_be_finished(tmp_path):
    done = []

    def stop_after_two() -> None:
        if len(done) >= 2:
            raise Stopped("stopped")

    with pytest.raises(Stopped):
        for number, _ in clean_pool.clean_all(TASKS, partial(slow, tmp_path), 2, check_stop=stop_after_two):
            done.append(number)
    left = {int(path.stem) for path in tmp_path.iterdir()}
    assert set(done) <= left
    assert len(left) < len(TASKS)


def test_the_number_of_processes_fits_the_models(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
    monkeypatch.setattr(os, "sysconf", lambda name: {"SC_AVPHYS_PAGES": 1 << 23, "SC_PAGE_SIZE": 4096}[name])
    assert [clean_pool.num_processes(n) for n in (0, 5, 50, 52_447)] == [1, 1, 2, 32]  # 32 GB are free


@pytest.fixture
def stage(tmp_path):
    """`stage(name, *overrides)`: a context over five good models and one that cannot be cleaned."""
    folder = tmp_path / "meshes" / "models"
    folder.mkdir(parents=True)
    (folder / "wedge.obj").write_text(WEDGE)
    (folder / "wedge.mtl").write_text("newmtl skin\nmap_Kd wood.png\n")
    picture(5).save(folder / "wood.png")
    for number, mesh in enumerate(shapes()):
        write_glb(folder / f"{number}.glb", {"part": (mesh, "paint")}, textured=True)
    (folder / "zz.stl").write_bytes(b"solid nothing\nendsolid\n")
    names = sorted(p.name for p in folder.iterdir() if p.suffix in (".obj", ".glb", ".stl"))
    (tmp_path / "index").mkdir()
    rows = [{"id": name, "model": f"models/{name}"} for name in names]
    clean._write_json(tmp_path / "index" / "index.json", rows)

    def make(name: str, *overrides: str) -> Context:
        (tmp_path / name).mkdir()
        return Context(
            stage=STAGES["clean"], config=tiny_config("meshes.max_bad_share=0.5", *overrides), seed=0,
            device="cpu", out=tmp_path / name, final=tmp_path / name, key="",
            inputs={"meshes": tmp_path / "meshes", "index": tmp_path / "index"},
        )  # fmt: skip

    return make


def result(ctx: Context) -> dict[str, str]:
    files = (path for path in sorted(ctx.out.rglob("*")) if path.is_file())
    found = {path.relative_to(ctx.out).as_posix(): file_digest(path) for path in files}
    return {name: digest for name, digest in found.items() if not name.startswith(".")}


def test_one_process_here_one_and_three_others_give_the_same_bytes(stage, monkeypatch):
    here = stage("here", "meshes.source=embedded")
    clean.run(here)
    expected = result(here)
    assert len(expected) == 2 * (1 + len(shapes())) + 2
    for processes in (1, 3):
        monkeypatch.setattr(clean, "num_processes", lambda n, processes=processes: processes)
        ctx = stage(f"apart{processes}", "meshes.source=folder")
        clean.run(ctx)
        assert result(ctx) == expected
    assert read_json(here.out / "dropped.json")[0]["id"] == "zz.stl"


def test_a_stopped_pool_goes_on_and_ends_in_the_same_bytes(stage, monkeypatch):
    whole, ctx = stage("whole", "meshes.source=folder"), stage("stopped", "meshes.source=folder")
    clean.run(whole)
    monkeypatch.setattr(STOP, "is_set", False)
    event = Context.event

    def stop_after_first(self, name, **facts):
        event(self, name, **facts)
        STOP.is_set = True

    with monkeypatch.context() as patch:
        patch.setattr(Context, "event", stop_after_first)
        with pytest.raises(Stopped):
            clean.run(ctx)
    STOP.is_set = False
    kept = sorted(path.name for path in ctx.work.glob("*.json"))
    assert 1 <= len(kept) < 2 + len(shapes())
    clean.run(ctx)
    assert result(ctx) == result(whole)


STAND_IN = """#!{python}
import sys, trimesh
source, target = sys.argv[sys.argv.index("-i") + 1], sys.argv[sys.argv.index("-o") + 1]
if "bad" in source:
    sys.exit("RuntimeError: Position index 9 is out of range")
mesh = trimesh.load(source, process=False, force="mesh")
trimesh.Scene(mesh).export(target)
"""


def test_the_published_route_through_obj2gltf_ends_in_the_same_geometry(tmp_path, monkeypatch):
    """With the real program where it is on the PATH, else with a stand-in of the same flags."""
    if converter.shutil.which(converter.PROGRAM) is None:
        program = tmp_path / "bin" / converter.PROGRAM
        program.parent.mkdir()
        program.write_text(STAND_IN.format(python=sys.executable))
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    (tmp_path / "wedge.obj").write_text(WEDGE)
    (tmp_path / "wedge.mtl").write_text("newmtl skin\nKd 1 1 1\n")
    answers = [
        clean.clean_model(
            tmp_path / "wedge.obj", tmp_path / f"{name}.glb", tmp_path / f"{name}.npz",
            tiny_config(f"meshes.converter={name}"),
        )
        for name in ("bpy", "obj2gltf")
    ]  # fmt: skip
    assert answers[0].extent == pytest.approx(answers[1].extent, abs=1e-5)
    assert answers[0].vertices_after == answers[1].vertices_after
    (tmp_path / "bad.obj").write_text("v 0 0 0\nv 1 0 0\nf 1 2 9\n")
    with pytest.raises(BadInput, match="obj2gltf cannot convert it"):
        clean.clean_model(
            tmp_path / "bad.obj",
            tmp_path / "b.glb",
            tmp_path / "b.npz",
            tiny_config("meshes.converter=obj2gltf"),
        )


def test_a_missing_obj2gltf_stops_the_stage_before_any_model(stage, monkeypatch):
    monkeypatch.setattr(converter.shutil, "which", lambda name: None)
    with pytest.raises(Missing, match="npm install -g obj2gltf"):
        clean.run(stage("out", "meshes.converter=obj2gltf"))
