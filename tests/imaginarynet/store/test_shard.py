"""A shard's pictures: one tar and one manifest that no kill, order or batch changes."""

import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from experiments.imaginarynet.store.manifest import CANDIDATES, read_rows
from experiments.imaginarynet.store.pictures import IMAGES, Pictures, decode, digest, split_path
from experiments.imaginarynet.store.shard import ShardWriter
from experiments.imaginarynet.store.tar import TarReader
from suite.errors import BadInput
from tests.imaginarynet.candidates import context, finished, images_stage, picture, queued

ROOT = Path(__file__).resolve().parents[3]
ROWS = [queued(class_id, number) for class_id in range(2) for number in range(5)]


def make(folder, *, batch=3, rows=ROWS, ctx=None, **settings):
    """Draw all that is missing, batch by batch; (bytes of the tar, bytes of the manifest)."""
    ctx = ctx or context(folder, shard=1)
    shard = ShardWriter(ctx, rows, **settings)
    while shard.missing:
        some = shard.missing[:batch]
        shard.put(some, [picture(row.seed) for row in some], models={"m": "ab"}, params={"top_k": 50})
    shard.finish()
    return (ctx.out / IMAGES).read_bytes(), (ctx.out / CANDIDATES).read_bytes()


def test_rows_say_where_their_picture_lies_how_large_it_is_and_what_made_it(tmp_path):
    ctx = context(tmp_path, shard=1)
    make(tmp_path, ctx=ctx)
    rows = read_rows(ctx.out / CANDIDATES)
    tar = TarReader(ctx.out / IMAGES)
    assert [row.candidate_id for row in rows] == [row.candidate_id for row in ROWS]
    assert ctx.counts == {"pictures": 10}
    for row in rows:
        assert (row.status, row.width, row.height) == ("done", 8, 6)
        assert (row.models, row.params) == ({"m": "ab"}, {"top_k": 50})
        assert split_path(row.path) == ("images", "00001", f"{row.candidate_id}.jpg")
        assert hashlib.sha256(tar.read(f"{row.candidate_id}.jpg")).hexdigest() == row.sha256


def test_a_png_gives_back_the_very_pixels(tmp_path):
    ctx = context(tmp_path, shard=0)
    make(tmp_path, ctx=ctx, image_format="png")
    data = TarReader(ctx.out / IMAGES).read(f"{ROWS[4].candidate_id}.png")
    np.testing.assert_array_equal(decode(data, file="x"), picture(ROWS[4].seed))


@pytest.mark.parametrize("batch", [1, 4, 10])
def test_files_do_not_depend_on_the_batch(tmp_path, batch):
    assert make(tmp_path / "a", batch=batch) == make(tmp_path / "b", batch=3)


def test_files_do_not_depend_on_the_order_of_work(tmp_path):
    ctx = context(tmp_path / "a", shard=1)
    shard = ShardWriter(ctx, ROWS)
    for row in reversed(ROWS):
        shard.put([row], [picture(row.seed)], models={"m": "ab"}, params={"top_k": 50})
    shard.finish()
    whole = (ctx.out / IMAGES).read_bytes(), (ctx.out / CANDIDATES).read_bytes()
    assert whole == make(tmp_path / "b")


KILLED = """
import os, signal, sys
from pathlib import Path
from tests.imaginarynet.candidates import context
from tests.imaginarynet.store import test_shard
from experiments.imaginarynet.store import manifest, shard, tar

folder, where, after = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
module, _, name = where.partition(".")
target, calls = {"shard": shard, "os": os}[module], []
real = getattr(target, name)

def dies(*args, **kw):
    calls.append(1)
    if len(calls) > after:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*args, **kw)

setattr(target, name, dies)
test_shard.make(folder)
"""


@pytest.mark.parametrize(
    ("where", "after"),
    [
        ("shard.append_rows", 0),  # the first batch has its pictures and no row
        ("shard.append_rows", 2),
        ("os.replace", 4),  # within a batch
        ("os.fsync", 1),  # rows written, not flushed
        ("shard.write_tar", 0),
        ("shard.write_rows", 0),  # the tar is there, the manifest is not
    ],
)
def test_a_killed_shard_goes_on_to_the_same_files_without_a_picture_twice_or_missing(tmp_path, where, after):
    command = [sys.executable, "-c", KILLED, str(tmp_path / "killed"), where, str(after)]
    code = subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False)
    assert code.returncode == -signal.SIGKILL
    assert make(tmp_path / "killed") == make(tmp_path / "whole")
    out = tmp_path / "killed" / "images.part" / "00001"
    assert sorted(path.name for path in out.iterdir()) == [".work", CANDIDATES, IMAGES]
    names = TarReader(out / IMAGES).names
    assert names == tuple(f"{row.candidate_id}.jpg" for row in ROWS)


def test_what_is_finished_is_not_drawn_again(tmp_path):
    ctx = context(tmp_path, shard=1)
    shard = ShardWriter(ctx, ROWS)
    shard.put(ROWS[:4], [picture(row.seed) for row in ROWS[:4]])
    assert ShardWriter(ctx, ROWS).missing == ROWS[4:]


def test_a_torn_row_costs_its_picture_alone(tmp_path):
    ctx = context(tmp_path, shard=1)
    shard = ShardWriter(ctx, ROWS)
    shard.put(ROWS[:4], [picture(row.seed) for row in ROWS[:4]])
    log = ctx.work / CANDIDATES
    log.write_bytes(log.read_bytes()[:-10])
    assert ShardWriter(ctx, ROWS).missing == ROWS[3:]


def test_a_damaged_or_foreign_picture_is_drawn_again(tmp_path):
    ctx = context(tmp_path, shard=1)
    shard = ShardWriter(ctx, ROWS)
    shard.put(ROWS[:4], [picture(row.seed) for row in ROWS[:4]])
    (ctx.work / "pictures" / f"{ROWS[1].candidate_id}.jpg").write_bytes(b"half")
    (ctx.work / "pictures" / f"{ROWS[2].candidate_id}.jpg").unlink()
    assert ShardWriter(ctx, ROWS).missing == [ROWS[1], ROWS[2], *ROWS[4:]]
    other = [queued(0, 0, prompt="another prompt"), *ROWS[1:]]
    assert ShardWriter(ctx, other).missing == [other[0], ROWS[1], ROWS[2], *ROWS[4:]]


def test_a_failure_is_recorded_with_its_reason_and_the_rest_goes_on(tmp_path):
    ctx = context(tmp_path, shard=1)
    shard = ShardWriter(ctx, ROWS)
    shard.fail(ROWS[3], "the pixels are not finite")
    make(tmp_path, ctx=ctx)
    rows = read_rows(ctx.out / CANDIDATES)
    assert (rows[3].status, rows[3].reason, rows[3].sha256) == ("failed", "the pixels are not finite", "")
    assert [row.status for row in rows].count("done") == 9
    assert len(TarReader(ctx.out / IMAGES)) == 9
    assert ctx.counts == {"pictures": 9, "failed": 1}
    assert ctx.warnings == ["1 pictures failed; the manifest says why"]


def test_a_candidate_without_a_prompt_is_passed_on_and_never_drawn(tmp_path):
    failed = queued(0, 9, status="failed", reason="20 drawings were all taken")
    ctx = context(tmp_path, shard=0)
    assert ShardWriter(ctx, [failed, *ROWS]).missing == ROWS
    make(tmp_path, ctx=ctx, rows=[failed, *ROWS])
    assert read_rows(ctx.out / CANDIDATES)[0] == failed
    assert ctx.counts == {"pictures": 10, "failed": 1}


def test_a_shard_with_a_hole_is_not_finished(tmp_path):
    shard = ShardWriter(context(tmp_path, shard=1), ROWS)
    shard.put(ROWS[:4], [picture(row.seed) for row in ROWS[:4]])
    with pytest.raises(ValueError, match="6 of 10"):
        shard.finish()


def test_a_shard_without_rows_is_finished_and_empty(tmp_path):
    ctx = context(tmp_path, shard=0)
    make(tmp_path, ctx=ctx, rows=[])
    assert read_rows(ctx.out / CANDIDATES) == []
    assert TarReader(ctx.out / IMAGES).names == ()


@pytest.mark.parametrize(
    "wrong", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32), np.zeros((4, 4, 4), np.uint8)]
)
def test_pixels_of_another_kind_are_refused(tmp_path, wrong):
    with pytest.raises(ValueError, match="no uint8 picture"):
        ShardWriter(context(tmp_path, shard=1), ROWS).put(ROWS[:1], [wrong])


# --- reading them again ---


def test_pictures_of_several_stages_are_found_by_the_rows(tmp_path):
    first = images_stage(tmp_path, [queued(0, 0)])
    second = images_stage(tmp_path, [queued(0, 1, round=2)], name="images-2", size=(10, 4))
    found = Pictures([tmp_path / "images", tmp_path / "images-2"])
    assert found.decode(first[0]).shape == (6, 8, 3)
    assert found.decode(second[0]).shape == (10, 4, 3)
    assert digest(found.read(second[0])) == second[0].sha256
    with pytest.raises(BadInput, match="`images-2` are not among the inputs"):
        Pictures([tmp_path / "images"]).read(second[0])


def test_the_pictures_of_a_narrow_stage_lie_in_its_own_folder(tmp_path):
    ctx = context(tmp_path, "diffusion-samples")
    shard = ShardWriter(ctx, ROWS[:2], image_format="png")
    shard.put(ROWS[:2], [picture(row.seed) for row in ROWS[:2]])
    rows = shard.finish()
    assert rows[0].path == "diffusion-samples:00000-000000.png"
    finished(ctx.out, "diffusion-samples")
    np.testing.assert_array_equal(Pictures([ctx.out]).decode(rows[1]), picture(ROWS[1].seed))


def test_a_picture_that_is_not_the_recorded_one_is_an_error(tmp_path):
    rows = images_stage(tmp_path, ROWS[:2])
    path = tmp_path / "images" / "00000" / IMAGES
    data = bytearray(path.read_bytes())
    data[600] ^= 1
    path.write_bytes(data)
    with pytest.raises(BadInput, match=r"images\.tar: 00000-000000\.jpg is not the recorded picture"):
        Pictures([tmp_path / "images"]).read(rows[0])


def test_a_folder_that_is_no_finished_stage_is_named(tmp_path):
    with pytest.raises(BadInput, match="no finished stage"):
        Pictures([tmp_path])


@pytest.mark.parametrize("data", [b"", b"GIF89a", b"\xff\xd8\xff\xe0" + b"0" * 50])
def test_what_is_no_picture_is_an_error_with_its_name(data):
    with pytest.raises(BadInput, match="cannot be read as a picture"):
        decode(data, file="images/00000:x.jpg")
