"""`import-store` on a store that zarr 2 wrote: the same samples, whatever happens on the way."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

from experiments.solid.importing import store as module
from experiments.solid.importing.convert import Published
from experiments.solid.importing.zarr2 import Folder
from experiments.solid.store.invariants import target_problems
from experiments.solid.store.reader import MissingSample, SolidStore
from suite.errors import BadInput, Missing, Stopped
from suite.manifest import file_digest, read_json, read_manifest
from suite.stage import STOP
from tests.solid.importing import make_v2_store as v2

ROOT = Path(__file__).resolve().parents[3]
STORE = Path(__file__).parent / "store_v2"
FLAGS = ("--query-resolution", str(v2.QUERY_SIDE), "--max-objects", "3")


def run(out: Path, *words: object, source: Path | None = STORE) -> list[str]:
    where = ("--source", str(source)) if source else ()
    args = module.parser().parse([*where, "--out", str(out), "--jobs", "1", *FLAGS, *map(str, words)])
    return list(module.run(args))


def content(folder: Path) -> dict[str, str]:
    """Digest of every file of a result but its manifest."""
    files = (p for p in sorted(folder.rglob("*")) if p.is_file() and p.name not in ("manifest.json",))
    return {p.relative_to(folder).as_posix(): file_digest(p) for p in files if "config.yaml" not in p.name}


@pytest.fixture(scope="module")
def imported(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("import") / "out"
    run(out)
    return out


def parts_of(store: Path, folder: Path, *, root: str = "./SOLID.zarr/", size: int = 10_000) -> list[Path]:
    """The store as `tar` and `split` pack it."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for path in sorted(store.rglob("*")):
            archive.add(path, root + path.relative_to(store).as_posix(), recursive=False)
    data = stream.getvalue()
    folder.mkdir()
    for number, start in enumerate(range(0, len(data), size)):
        (folder / f"SOLID.zarr.tar.{number:02d}").write_bytes(data[start : start + size])
    return sorted(folder.iterdir())


@pytest.mark.parametrize("index", v2.GOOD)
def test_a_good_picture_arrives_unchanged(imported, index):
    sample = SolidStore.open(imported).read_target(index)
    visibility, ratio, angles = v2.statistics(index)
    assert sample.image == v2.png(v2.picture(index))
    np.testing.assert_array_equal(sample.masks(), v2.masks(index))
    np.testing.assert_array_equal(sample.bboxes, v2.boxes(index))
    np.testing.assert_array_equal(sample.visibility, visibility)
    np.testing.assert_array_equal(sample.mask_bbox_ratio, ratio)
    np.testing.assert_array_equal(sample.angles.ravel(), angles)
    assert target_problems(sample, SolidStore.open(imported).layout) == []
    assert json.loads(sample.scene)["imported"] is True


def test_null_and_never_written_rows_are_missing_and_bad_ones_have_their_reason(imported):
    tree = read_json(imported / "import.json")["targets"]
    assert tree["missing_rows"] == [[2, 2], [8, 11]]
    assert tree["given_up"] == {"6": "0 masks of 32x24 for 1 boxes", "7": "visible masks overlap"}
    assert tree["without_flag"] == len(v2.FLAG_LOST)
    store = SolidStore.open(imported)
    assert set(np.flatnonzero(store.valid("targets"))) == set(v2.GOOD)
    for index in (*v2.NULL, *v2.NEVER_WRITTEN, *v2.MASK_SHORT):
        with pytest.raises(MissingSample):
            store.read_target(index)


def test_queries_arrive_unchanged_and_classes_without_views_are_missing(imported):
    store = SolidStore.open(imported)
    gone = {*v2.QUERY_NULL, *v2.QUERY_ABSENT}
    assert set(np.flatnonzero(store.valid("queries"))) == set(range(v2.NUM_CLASSES)) - gone
    for class_id in sorted(set(range(v2.NUM_CLASSES)) - gone):
        shots = store.read_query_sample(class_id).shots
        assert shots == tuple(v2.png(v2.view(class_id, shot)) for shot in range(v2.NUM_SHOTS))


def test_one_shard_is_one_published_chunk(imported):
    layout = SolidStore.open(imported).layout
    assert (layout.shard_size, layout.query_shard_size) == (v2.CHUNK, v2.CHUNK)
    assert (layout.height, layout.width, layout.num_images) == (v2.HEIGHT, v2.WIDTH, v2.NUM_IMAGES)


def test_again_is_up_to_date_and_another_setting_is_refused_until_forced(imported, tmp_path):
    out = Path(shutil.copytree(imported, tmp_path / "out"))
    assert run(out)[0] == "import-store: up to date"
    with pytest.raises(BadInput, match="holds a result of other settings"):
        run(out, "--prefix", "0/")
    classes = tmp_path / "ids.txt"
    classes.write_text("\n".join(f"0269/{k}" for k in range(v2.NUM_CLASSES)))
    assert "out_old1" in run(out, "--classes", classes, "--force")[0]
    assert SolidStore.open(out).classes[3] == {"id": "0269/3"}


def test_the_tar_parts_give_the_same_store_without_being_unpacked(imported, tmp_path):
    parts = parts_of(STORE, tmp_path / "parts")
    assert len(parts) > 3
    run(tmp_path / "out", "--parts", tmp_path / "parts", source=None)
    ours, theirs = content(tmp_path / "out"), content(imported)
    same = {name for name in theirs if name.startswith("solid.zarr/") and not name.endswith("zarr.json")}
    assert same == {n for n in ours if n.startswith("solid.zarr/") and not n.endswith("zarr.json")}
    assert [name for name in same if ours[name] != theirs[name]] == []
    assert ours["import.json"] == theirs["import.json"]
    assert sorted(p.name for p in tmp_path.iterdir()) == [".out.part.lock", "out", "parts"]


def test_a_part_that_is_downloaded_again_belongs_to_the_same_import(tmp_path):
    last = parts_of(STORE, tmp_path / "parts", size=40_000)[-1]
    whole = last.read_bytes()
    last.write_bytes(whole[:1024])
    with pytest.raises(BadInput, match="goes on after the last part here"):
        run(tmp_path / "out", "--parts", tmp_path / "parts", source=None)
    last.write_bytes(whole)
    assert run(tmp_path / "out", "--parts", tmp_path / "parts", source=None)[0] == "import-store: done"


def test_a_prefix_picks_one_of_several_resolutions(imported, tmp_path):
    (tmp_path / "many").mkdir()
    shutil.copy(STORE / ".zgroup", tmp_path / "many")
    for level in "01":
        shutil.copytree(STORE, tmp_path / "many" / level)
    shutil.rmtree(tmp_path / "many" / "0" / "images")
    run(tmp_path / "out", "--prefix", "1", source=tmp_path / "many")
    assert content(tmp_path / "out")["import.json"] == content(imported)["import.json"]
    with pytest.raises(Missing, match="no array '0/images'"):
        run(tmp_path / "none", "--prefix", "0/", source=tmp_path / "many")
    parts_of(tmp_path / "many", tmp_path / "parts", root="many/")
    run(tmp_path / "tar", "--prefix", "1", "--parts", tmp_path / "parts", source=None)
    assert content(tmp_path / "tar")["import.json"] == content(imported)["import.json"]


def test_worker_processes_write_the_same_store(imported, tmp_path):
    run(tmp_path / "out", "--jobs", "2")
    assert content(tmp_path / "out") == content(imported)


KILLER = """
import os, signal, sys
from experiments.solid.importing import store as module
commit = module.commit_target_shard
def die_at_2(path, shard, samples):
    files = commit(path, shard, samples)
    if shard == 2:  # its report is not written yet
        os.kill(os.getpid(), signal.SIGKILL)
    return files
module.commit_target_shard = die_at_2
list(module.run(module.parser().parse(sys.argv[1:])))
"""


def test_after_kill_9_the_same_command_converts_what_is_left_into_the_same_bytes(imported, tmp_path):
    words = ["--source", str(STORE), "--out", str(tmp_path / "out"), "--jobs", "1", *FLAGS]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    killed = subprocess.run([sys.executable, "-c", KILLER, *words], cwd=ROOT, env=env, check=False)
    assert killed.returncode == -signal.SIGKILL
    kept = sorted(p.name for p in (tmp_path / "out.part" / ".work").glob("*-*.json"))
    assert kept == ["queries-00000.json", "queries-00001.json", "targets-00000.json", "targets-00001.json"]
    times = {name: (tmp_path / "out.part" / ".work" / name).stat().st_mtime_ns for name in kept}
    seen: dict[str, int] = {}
    report = module.write_json

    def note(path: Path, tree: object) -> None:
        seen[path.name] = 1
        report(path, tree)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "write_json", note)
        run(tmp_path / "out")
    assert not set(seen) & set(times)
    assert content(tmp_path / "out") == content(imported)


def test_sigterm_keeps_what_is_converted(tmp_path, monkeypatch):
    monkeypatch.setattr(STOP, "is_set", False)
    convert = module.convert_shard

    def stop_after(task, *rest):
        answer = convert(task, *rest)
        STOP.is_set = STOP.is_set or task == ("targets", 1)
        return answer

    monkeypatch.setattr(module, "convert_shard", stop_after)
    with pytest.raises(Stopped):
        run(tmp_path / "out")
    assert (tmp_path / "out.part" / ".work" / "targets-00001.json").exists()
    assert not (tmp_path / "out.part" / ".work" / "targets-00002.json").exists()


def test_a_damaged_chunk_costs_its_shard_and_the_rest_is_kept(imported, tmp_path):
    damaged = Path(shutil.copytree(STORE, tmp_path / "store"))
    chunk = damaged / "masks" / "1"
    whole = chunk.read_bytes()
    chunk.write_bytes(whole[:-7] + bytes(7))  # same size: the key stays
    with pytest.raises(BadInput, match="1 of 6 shards could not be converted, first .*masks/1: ") as caught:
        run(tmp_path / "out", source=damaged)
    assert caught.value.exit_code == 2
    assert len(list((tmp_path / "out.part" / ".work").glob("targets-*.json"))) == 3
    chunk.write_bytes(whole)
    assert run(tmp_path / "out", source=damaged)[0] == "import-store: done"
    assert content(tmp_path / "out")["import.json"] == content(imported)["import.json"]


def test_damaged_chunks_can_be_given_up_instead(tmp_path):
    damaged = Path(shutil.copytree(STORE, tmp_path / "store"))
    (damaged / "bboxes" / "0").write_bytes(b"no chunk")
    run(tmp_path / "out", "--skip-damaged", source=damaged)
    reasons = read_json(tmp_path / "out" / "import.json")["targets"]["given_up"]
    assert {row for row, reason in reasons.items() if "does not decode" in reason} == {"0", "1", "2", "3"}


def test_boxes_that_do_not_fit_their_masks_are_given_up(tmp_path):
    with pytest.raises(BadInput, match="no row of queries is usable, first: shot 0: picture is 5x20"):
        run(tmp_path / "small", "--query-resolution", "10")
    run(tmp_path / "few", "--max-objects", "1")
    reasons = read_json(tmp_path / "few" / "import.json")["targets"]["given_up"]
    assert reasons["1"] == "2 boxes, expected 1..1"


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda s: shutil.rmtree(s / "masks"), "no array 'masks'"),
        (lambda s: shutil.rmtree(s), "no such folder"),
        (lambda s: _cut(s, "bboxes"), "arrays of different lengths"),
        (lambda s: (s / "query_ids" / "0").unlink(), "row 1 is class 0, expected 1"),
        (lambda s: shutil.rmtree(s / "images") or shutil.copytree(s / "masks", s / "images"), "is no PNG"),
    ],
)
def test_a_store_that_is_none_is_one_clear_line(tmp_path, change, what):
    store = Path(shutil.copytree(STORE, tmp_path / "store"))
    change(store)
    with pytest.raises((BadInput, Missing), match=what) as caught:
        run(tmp_path / "out", source=store)
    assert "\n" not in str(caught.value)


def _cut(store: Path, array: str) -> None:
    path = store / array / ".zarray"
    path.write_text(path.read_text().replace("14", "13"))


def test_a_list_of_classes_of_another_length_is_refused(tmp_path):
    (tmp_path / "ids.json").write_text(json.dumps([{"model": "a.glb"}]))
    with pytest.raises(BadInput, match="1 names, 1 different ones; the store has 6 classes"):
        run(tmp_path / "out", "--classes", tmp_path / "ids.json")


def test_the_public_command_says_what_it_did_and_refuses_bad_flags(tmp_path):
    line = [sys.executable, "-m", "experiments.solid", "import-store", *FLAGS, "--out", str(tmp_path / "out")]
    done = subprocess.run(
        [*line, "--source", str(STORE)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "targets: 7 converted, 5 missing, 2 given up" in done.stdout
    assert read_manifest(tmp_path / "out")["counts"]["queries_good"] == 3
    for words, code in (
        (["--source", "/nowhere"], 3),
        (["--sauce", "x"], 2),
        ([], 2),
        (["--parts", "/tmp"], 3),
    ):
        done = subprocess.run([*line, *words], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stderr
        assert done.stderr.startswith("error: ")
        assert done.stderr.count("\n") == 1


def test_the_arrays_of_the_fixture_are_those_of_the_published_store():
    store = Published.open(Folder(STORE))
    assert store.targets["images"].compressor is None
    assert store.targets["masks"].compressor["cname"] == "lz4"
    assert store.queries.item == np.int8
    assert store.targets["angles"].item == np.float32
