"""A tar file in parts: found, joined, walked, refused."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.solid.importing import parts as module
from experiments.solid.importing.parts import Joined, find_parts, read_index
from suite.errors import BadInput, Missing, Stopped

STORE = Path(__file__).parent / "store_v2"


def tar_bytes(members: dict[str, bytes], **options: object) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", **options) as archive:
        for name, data in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return stream.getvalue()


MEMBERS = {f"S.zarr/images/{k}": bytes([k]) * (300 * k) for k in range(9)} | {"S.zarr/" + "long/" * 40: b"x"}


def split(folder: Path, data: bytes, size: int, name: str = "SOLID.zarr.tar") -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    return [
        _write(folder / f"{name}.{number:02d}", data[start : start + size])
        for number, start in enumerate(range(0, len(data), size))
    ]


def _write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("size", [777, 4096, 10**6])  # a header may lie across two parts
@pytest.mark.parametrize("kind", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_member_is_found_where_it_lies(tmp_path, size, kind):
    parts = split(tmp_path, tar_bytes(MEMBERS, format=kind), size)
    index = read_index(find_parts(tmp_path), tmp_path / "index.json")
    stream = Joined(parts)
    assert {name: bytes(stream.read_exactly(*where)) for name, where in index.items()} == {
        name.rstrip("/"): data for name, data in MEMBERS.items()
    }


@settings(max_examples=30, deadline=None)
@given(st.binary(max_size=200), st.integers(1, 60), st.integers(0, 220), st.integers(0, 220))
def test_joined_parts_read_like_one_file(tmp_path_factory, data, size, start, count):
    parts = split(tmp_path_factory.mktemp("joined"), data or b"x", size)
    stream = Joined(parts)
    stream.seek(start)
    assert stream.read(count) == (data or b"x")[start : start + count]


def test_parts_are_taken_in_the_order_of_their_numbers(tmp_path):
    for number in (10, 2, 0, 1, *range(3, 10)):
        (tmp_path / f"S.tar.{number}").write_bytes(b"")
    (tmp_path / "readme.txt").touch()
    assert [path.name for path in find_parts(tmp_path)] == [f"S.tar.{k}" for k in range(11)]


@pytest.mark.parametrize(
    ("names", "error", "what"),
    [
        ([], Missing, "no parts"),
        (["S.tar.00", "S.tar.02", "S.tar.04"], Missing, r"part S.tar.01, S.tar.03 is missing"),
        (["S.tar.01"], Missing, "S.tar.00"),
        (["S.tar.00", "T.tar.00"], BadInput, "parts of S.tar, T.tar"),
        (["S.tar.0", "S.tar.00"], BadInput, "both part 0"),
    ],
)
def test_parts_that_are_missing_or_ambiguous_are_named(tmp_path, names, error, what):
    for name in names:
        (tmp_path / name).touch()
    with pytest.raises(error, match=what):
        find_parts(tmp_path)
    with pytest.raises(Missing, match="no such folder"):
        find_parts(tmp_path / "nowhere")


def test_parts_out_of_order_are_one_clear_line(tmp_path):
    parts = split(tmp_path, tar_bytes(MEMBERS), 4096)
    one, two = parts[1].read_bytes(), parts[2].read_bytes()
    parts[1].write_bytes(two)
    parts[2].write_bytes(one)
    with pytest.raises(BadInput, match="out of order") as caught:
        read_index(parts, tmp_path / "index.json")
    assert "\n" not in str(caught.value)


def test_a_part_that_is_cut_short_in_the_middle_is_named(tmp_path):
    parts = split(tmp_path, tar_bytes(MEMBERS), 4096)
    parts[1].write_bytes(parts[1].read_bytes()[:-1000])
    with pytest.raises(BadInput, match="SOLID.zarr.tar.01 has another size than the first part"):
        read_index(parts, tmp_path / "index.json")


@pytest.mark.parametrize("lost", [1, 2])
def test_missing_last_parts_are_noticed_and_the_walk_goes_on_when_they_come(tmp_path, lost):
    data = tar_bytes(MEMBERS)
    parts = split(tmp_path, data, 4096)
    kept = [path.read_bytes() for path in parts[-lost:]]
    for path in parts[-lost:]:
        path.unlink()
    with pytest.raises(BadInput, match="goes on after the last part here"):
        read_index(find_parts(tmp_path), tmp_path / "index.json")
    for path, content in zip(parts[-lost:], kept, strict=True):
        path.write_bytes(content)
    assert len(read_index(find_parts(tmp_path), tmp_path / "index.json")) == len(MEMBERS)


def test_a_walk_that_was_stopped_goes_on_from_the_next_member(tmp_path):
    parts = split(tmp_path, tar_bytes(MEMBERS), 4096)
    seen: list[int] = []

    def stop_at_fourth(done: int, total: int) -> None:
        seen.append(done)
        if len(seen) == 4:
            raise Stopped("stopped")

    with pytest.raises(Stopped):
        read_index(parts, tmp_path / "index.json", on_member=stop_at_fourth)
    more: list[int] = []
    index = read_index(parts, tmp_path / "index.json", on_member=lambda done, total: more.append(done))
    assert len(index) == len(MEMBERS)
    assert seen + more == sorted(set(seen + more))
    assert len(seen + more) == len(MEMBERS)
    assert (
        read_index(parts, tmp_path / "index.json", on_member=lambda *_: pytest.fail("walked again")) == index
    )


@pytest.mark.parametrize("name", ["../evil", "/etc/passwd", "S.zarr/../../evil"])
def test_a_member_that_leads_outside_is_refused(tmp_path, name):
    parts = split(tmp_path, tar_bytes({"S.zarr/a": b"x", name: b"y"}), 10**6)
    with pytest.raises(BadInput, match="leads outside"):
        read_index(parts, tmp_path / "index.json")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_refused(tmp_path, kind):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        entry = tarfile.TarInfo("S.zarr/images")
        entry.type, entry.linkname = kind, "/etc"
        archive.addfile(entry)
    with pytest.raises(BadInput, match="a link, a device or sparse"):
        read_index(split(tmp_path, stream.getvalue(), 10**6), tmp_path / "index.json")


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"\x1f\x8b" + bytes(2000), "compressed .gzip"),
        (b"tiny", "no tar file"),
        (b"x" * 4096, "no tar header"),
    ],
)
def test_what_is_no_tar_file_is_said(tmp_path, data, what):
    with pytest.raises(BadInput, match=what):
        read_index(split(tmp_path, data, 10**6), tmp_path / "index.json")


def test_nothing_is_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(tarfile.TarFile, "extract", lambda *_: pytest.fail("unpacked"))
    parts = split(tmp_path, tar_bytes(MEMBERS), 4096)
    read_index(parts, tmp_path / "index.json")
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in parts} | {"index.json"}
    assert module.BLOCK == tarfile.BLOCKSIZE
