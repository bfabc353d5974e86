"""Folders that a config names: where they are, and whether they changed."""

import shutil

from suite.paths import data_path, listing_digest


def test_data_is_below_data_dir_and_nothing_else_is(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DATA_DIR", raising=False)
    assert data_path("data/shapenet") == tmp_path / "data/shapenet"
    monkeypatch.setenv("DATA_DIR", "/big/disk")
    assert str(data_path("data/shapenet")) == "/big/disk/shapenet"
    assert str(data_path("/data/shapenet")) == "/data/shapenet"
    assert data_path("database") == tmp_path / "database"


def test_a_listing_notices_what_comes_goes_or_grows_but_not_a_copy(tmp_path):
    one = tmp_path / "one"
    (one / "sub").mkdir(parents=True)
    (one / "a.obj").write_text("a")
    (one / "sub" / "b.obj").write_text("b")
    seen = {listing_digest(one)}
    shutil.copytree(one, tmp_path / "copy")
    assert listing_digest(tmp_path / "copy") in seen
    (one / "sub" / "c.obj").write_text("c")
    seen.add(listing_digest(one))
    (one / "a.obj").write_text("aa")
    seen.add(listing_digest(one))
    (one / "sub" / "b.obj").unlink()
    seen.add(listing_digest(one))
    assert len(seen) == 4
    assert listing_digest(tmp_path / "none") is None
