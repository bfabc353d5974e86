"""The manifest: what goes in comes out, a kill inside a write costs a line, anything else is an error."""

import errno
import fcntl
import json
import os
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.imaginarynet.store.manifest import (
    append_rows,
    candidate_id,
    check_row,
    from_tree,
    in_order,
    read_rows,
    read_shards,
    split_id,
    to_line,
    write_rows,
)
from suite.errors import BadInput
from tests.imaginarynet.candidates import queued, scored

TEXTS = st.text(st.characters(codec="utf-8"), max_size=30)
SCORES = st.lists(st.floats(0, 1, width=32), min_size=3, max_size=3)


@given(TEXTS, SCORES, st.integers(0, 2), st.integers(0, 10**7), st.integers(0, 2**64 - 1), st.booleans())
def test_a_row_survives_its_line(prompt, scores, class_id, number, seed, kept):
    row = scored(class_id, number, prompt=prompt, scores=tuple(scores), seed=seed, kept=kept)
    line = to_line(row)
    assert "\n" not in line
    assert from_tree(json.loads(line)) == row


@given(st.integers(0, 10**6), st.integers(0, 10**7))
def test_an_id_leads_back_to_class_and_number(class_id, number):
    assert split_id(candidate_id(class_id, number)) == (class_id, number)


def test_rows_sort_by_class_and_then_by_number_whatever_their_digits():
    rows = [scored(1, 0), scored(0, 1_000_001), scored(0, 999_999), scored(2, 5)]
    found = [(row.class_id, row.number) for row in in_order(reversed(rows))]
    assert found == [(0, 999_999), (0, 1_000_001), (1, 0), (2, 5)]


def test_further_labels_stand_beside_the_class_of_the_picture():
    assert scored(1, 0, labels=(2, 0)).image_labels == (0, 1, 2)
    assert scored(1, 0).image_labels == (1,)


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"candidate_id": "00001-000000"}, "not made of its class"),
        ({"candidate_id": "mug-1"}, "no candidate id"),
        ({"status": "lost"}, "unknown status"),
        ({"sha256": ""}, "has no picture"),
        ({"status": "failed", "kept": None}, "without a reason"),
        ({"kept": None}, "against its status"),
        ({"kept": False}, "against its status"),
        ({"status": "done"}, "against its status"),
        ({"label": "cup"}, "not its class without spaces"),
        ({"scores": ()}, "no score for its class"),
    ],
)
def test_a_row_that_contradicts_itself_is_refused(changes, what):
    with pytest.raises(ValueError, match=what):
        check_row(replace(scored(), **changes))


@pytest.mark.parametrize("tree", [[], {"candidate_id": "00000-000000"}, {"color": 1}, 5])
def test_what_is_no_row_is_refused(tree):
    with pytest.raises(ValueError, match="object|lacks|unknown"):
        from_tree(tree)


def test_rows_written_at_once_or_one_by_one_are_the_same_file(tmp_path):
    rows = [queued(0, n) for n in range(5)]
    write_rows(tmp_path / "whole", rows)
    for row in rows:
        append_rows(tmp_path / "appended", [row])
    assert (tmp_path / "whole").read_bytes() == (tmp_path / "appended").read_bytes()
    assert read_rows(tmp_path / "whole") == rows


@settings(max_examples=20, deadline=None)  # every append waits for the disk
@given(st.integers(1, 400))
def test_a_torn_last_line_is_passed_over_and_cut_off_by_the_next_append(tmp_path_factory, cut):
    path = tmp_path_factory.mktemp("rows") / "candidates.jsonl"
    rows = [queued(0, n) for n in range(3)]
    append_rows(path, rows)
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    left = whole[:-cut].count(b"\n")
    assert read_rows(path) == rows[:left]
    append_rows(path, rows[left:])
    assert path.read_bytes() == whole


def test_a_torn_line_longer_than_a_block_is_cut_off_whole(tmp_path):
    path = tmp_path / "candidates.jsonl"
    append_rows(path, [queued(0, 0)])
    with path.open("ab") as stream:
        stream.write(b'{"prompt": "' + b"x" * 200_000)
    append_rows(path, [queued(0, 1)])
    assert read_rows(path) == [queued(0, 0), queued(0, 1)]


def test_damage_anywhere_else_is_an_error_with_its_line(tmp_path):
    path = tmp_path / "candidates.jsonl"
    append_rows(path, [queued(0, n) for n in range(3)])
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b"{}\n" + lines[2])
    with pytest.raises(BadInput, match=r"candidates\.jsonl: line 2 is damaged"):
        read_rows(path)
    path.write_bytes(lines[0] + b"\xff\n")
    with pytest.raises(BadInput, match="line 2"):
        read_rows(path)


def test_an_id_occurs_once(tmp_path):
    path = tmp_path / "candidates.jsonl"
    with pytest.raises(BadInput, match="00000-000001 twice"):
        write_rows(path, [queued(0, 1), queued(0, 1)])
    assert not path.exists()
    append_rows(path, [queued(0, 1)])
    append_rows(path, [queued(0, 1)])
    with pytest.raises(BadInput, match="00000-000001 twice"):
        read_rows(path)


def test_a_missing_manifest_names_itself(tmp_path):
    with pytest.raises(BadInput, match=r"no\.jsonl: is missing"):
        read_rows(tmp_path / "no.jsonl")


def test_two_writers_at_once_are_refused(tmp_path):
    path = tmp_path / "candidates.jsonl"
    append_rows(path, [queued(0, 0)])
    with path.with_name(".candidates.jsonl.lock").open("a") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        with pytest.raises(BadInput, match="another process writes"):
            append_rows(path, [queued(0, 1)])
    append_rows(path, [queued(0, 1)])
    assert len(read_rows(path)) == 2


def full_disk(_):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_is_said_with_the_file_and_loses_nothing(tmp_path, monkeypatch):
    path = tmp_path / "candidates.jsonl"
    append_rows(path, [queued(0, 0)])
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full_disk)
        for write in (append_rows, write_rows):
            with pytest.raises(OSError, match="No space left") as caught:
                write(path, [queued(0, 1)])
            assert caught.value.filename == str(path)
    assert queued(0, 0) in read_rows(path)
    assert sorted(file.name for file in tmp_path.iterdir()) == [".candidates.jsonl.lock", "candidates.jsonl"]


def test_the_rows_of_a_wide_stage_are_those_of_its_shards(tmp_path):
    for shard in range(3):
        (tmp_path / f"{shard:05d}").mkdir()
        write_rows(tmp_path / f"{shard:05d}" / "candidates.jsonl", [queued(0, shard)])
    assert read_shards(tmp_path) == [queued(0, n) for n in range(3)]
    write_rows(tmp_path / "00001" / "candidates.jsonl", [queued(0, 0)])
    with pytest.raises(BadInput, match="twice"):
        read_shards(tmp_path)


def test_a_stage_without_any_row_is_read_as_empty(tmp_path):
    write_rows(tmp_path / "candidates.jsonl", [])
    assert read_shards(tmp_path) == []
