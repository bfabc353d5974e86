"""Tar files: equal members give equal bytes, `tar` reads them, members come back by their place."""

import io
import os
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.imaginarynet.store.tar import TarReader, write_tar
from suite.errors import BadInput

NAMES = st.text("abcdef0123456789-", min_size=1, max_size=20).map(lambda name: name + ".jpg")
MEMBERS = st.dictionaries(NAMES, st.binary(max_size=2000), max_size=8)


@settings(max_examples=30, deadline=None)
@given(MEMBERS)
def test_members_come_back_and_tar_itself_reads_them(tmp_path_factory, members):
    path = tmp_path_factory.mktemp("tar") / "images.tar"
    assert write_tar(path, members.items()) == len(members)
    reader = TarReader(path)
    assert {name: reader.read(name) for name in reader.names} == members
    assert list(reader.names) == list(members)
    with tarfile.open(path) as archive:
        assert {m.name: archive.extractfile(m).read() for m in archive} == members


def test_equal_members_give_equal_bytes_whatever_clock_and_user(tmp_path, monkeypatch):
    file = tmp_path / "picture.jpg"
    file.write_bytes(b"pixels")
    write_tar(tmp_path / "one.tar", [("a.jpg", file)])
    os.utime(file, (10**9, 10**9))
    monkeypatch.setenv("USER", "somebody")
    monkeypatch.setattr("time.time", lambda: 5.0)
    write_tar(tmp_path / "other.tar", [("a.jpg", b"pixels")])
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "other.tar").read_bytes()
    with tarfile.open(tmp_path / "one.tar") as archive:
        info = archive.getmember("a.jpg")
    assert (info.mtime, info.uid, info.gid, info.uname, info.gname, info.mode) == (0, 0, 0, "", "", 0o644)


def test_a_name_occurs_once_and_a_refused_tar_leaves_nothing(tmp_path):
    with pytest.raises(ValueError, match="twice"):
        write_tar(tmp_path / "images.tar", [("a.jpg", b"1"), ("a.jpg", b"2")])
    assert list(tmp_path.iterdir()) == []


def test_a_tar_that_is_missing_cut_off_or_none_is_named(tmp_path):
    path = tmp_path / "images.tar"
    with pytest.raises(BadInput, match="is missing"):
        TarReader(path)
    path.write_bytes(b"no tar at all" * 100)
    with pytest.raises(BadInput, match="cannot be read as tar"):
        TarReader(path)
    write_tar(path, [("a.jpg", b"x" * 3000), ("b.jpg", b"y" * 3000)])
    reader = TarReader(path)
    os.truncate(path, 512 + 3072 + 512 + 100)  # inside b.jpg
    assert reader.read("a.jpg") == b"x" * 3000
    with pytest.raises(BadInput, match=r"cut off within b\.jpg"):
        reader.read("b.jpg")


@pytest.mark.parametrize(
    "size", [512 + 3072 - 10, 512 + 3072, 512 + 3072 + 200, 2 * (512 + 3072), 512 + 3072 + 512]
)
def test_a_tar_that_is_cut_off_anywhere_is_named_when_it_is_opened(tmp_path, size):
    path = tmp_path / "images.tar"
    write_tar(path, [("a.jpg", b"x" * 3000), ("b.jpg", b"y" * 3000)])
    os.truncate(path, size)
    with pytest.raises(BadInput, match=r"images\.tar: cannot be read as tar .*; run its stage again"):
        TarReader(path)


def test_a_tar_with_a_damaged_header_in_the_middle_is_no_shorter_tar(tmp_path):
    path = tmp_path / "images.tar"
    write_tar(path, [("a.jpg", b"x" * 3000), ("b.jpg", b"y" * 3000)])
    data = bytearray(path.read_bytes())
    data[512 + 3072] ^= 1  # the first letter of b.jpg: its checksum is wrong now
    path.write_bytes(data)
    with pytest.raises(BadInput, match="damaged behind the last readable member"):
        TarReader(path)


def test_a_member_that_is_not_there_is_named(tmp_path):
    write_tar(tmp_path / "images.tar", [])
    reader = TarReader(tmp_path / "images.tar")
    assert len(reader) == 0
    assert "a.jpg" not in reader
    with pytest.raises(BadInput, match=r"holds no a\.jpg"):
        reader.read("a.jpg")


def test_bytes_equal_those_of_a_tar_written_member_by_member(tmp_path):
    write_tar(tmp_path / "images.tar", [("a.jpg", b"12")])
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        info = tarfile.TarInfo("a.jpg")
        info.size = 2
        archive.addfile(info, io.BytesIO(b"12"))
    assert (tmp_path / "images.tar").read_bytes() == buffer.getvalue()
