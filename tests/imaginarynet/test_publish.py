"""The published layout at the top of the output folder, taken over from an export."""

import os

import pytest

from experiments.imaginarynet import publish as module
from experiments.imaginarynet.config import ImaginaryNetConfig
from experiments.imaginarynet.publish import MARK, TOP, publish, write_prompts
from experiments.imaginarynet.store.manifest import CANDIDATES, write_rows
from suite.errors import BadInput
from tests.imaginarynet.candidates import finished, queued


def export(folder, names, key):
    """An export that kept pictures of these names."""
    made = folder / "published"
    for sub in ("image", "annotation"):
        (made / sub).mkdir(parents=True)
    for name in names:
        (made / "image" / f"{name}.jpg").write_text(f"picture {name}")
        (made / "annotation" / f"{name}.xml").write_text("<annotation/>")
    (made / "prompt.txt").write_text("A photo of mug\tmug\n")
    for name in ("manifest.jsonl", "classes.csv"):
        (folder / name).write_text(key)
    finished(folder, "export", key=key, counts={"pictures": len(names)})
    return folder


def pictures(home):
    return sorted(path.name for path in (home / "image").iterdir())


def test_the_top_has_the_files_of_the_export_and_knows_it(tmp_path):
    made = export(tmp_path / "export", ["000000", "000001"], "one")
    assert publish(made, tmp_path) == (2, True)
    assert pictures(tmp_path) == ["000000.jpg", "000001.jpg"]
    assert (tmp_path / "manifest.jsonl").read_text() == "one"
    assert publish(made, tmp_path) == (2, False)


def test_another_export_takes_the_place_of_the_first(tmp_path):
    publish(export(tmp_path / "a", ["000000", "000001"], "one"), tmp_path)
    assert publish(export(tmp_path / "b", ["000000"], "two"), tmp_path) == (1, True)
    assert pictures(tmp_path) == ["000000.jpg"]
    assert (tmp_path / "classes.csv").read_text() == "two"


def test_what_the_user_deleted_comes_back(tmp_path):
    made = export(tmp_path / "export", ["000000"], "one")
    publish(made, tmp_path)
    (tmp_path / "prompt.txt").unlink()
    assert publish(made, tmp_path) == (1, True)
    assert (tmp_path / "prompt.txt").is_file()


@pytest.mark.parametrize("after", range(5))
def test_a_kill_between_two_files_is_mended_by_the_next_call(tmp_path, monkeypatch, after):
    publish(export(tmp_path / "a", ["000000", "000001"], "one"), tmp_path)
    made, calls, replace = export(tmp_path / "b", ["000000"], "two"), [], os.replace

    def dies(*paths):
        if len(calls) == after:
            raise KeyboardInterrupt
        calls.append(paths)
        replace(*paths)

    with monkeypatch.context() as patch:
        patch.setattr(module.os, "replace", dies)
        with pytest.raises(KeyboardInterrupt):
            publish(made, tmp_path)
    assert not (tmp_path / MARK).exists()
    assert publish(made, tmp_path) == (1, True)
    assert pictures(tmp_path) == ["000000.jpg"]
    assert (tmp_path / "manifest.jsonl").read_text() == "two"


def test_a_disk_without_links_gets_copies(tmp_path, monkeypatch):
    def none(*paths):
        raise OSError("no links here")

    monkeypatch.setattr(module.os, "link", none)
    publish(export(tmp_path / "export", ["000000"], "one"), tmp_path)
    assert (tmp_path / "image/000000.jpg").read_text() == "picture 000000"
    assert (tmp_path / "image/000000.jpg").stat().st_nlink == 1


def test_an_export_that_is_not_finished_is_refused(tmp_path):
    with pytest.raises(BadInput, match="is no finished stage"):
        publish(tmp_path / "export", tmp_path)


def test_prompts_are_written_once_each_until_an_export_brings_all_rounds(tmp_path):
    rows = [queued(0, number, prompt=f"A photo of mug {number // 2}") for number in range(4)]
    (tmp_path / "prompts").mkdir()
    write_rows(tmp_path / "prompts" / CANDIDATES, rows)
    config = ImaginaryNetConfig()
    twice = type(config)(images=type(config.images)(samples_per_prompt=2))
    assert write_prompts(tmp_path / "prompts", tmp_path, twice) == 2
    assert (tmp_path / "prompt.txt").read_text() == "A photo of mug 0\tmug\nA photo of mug 1\tmug\n"
    publish(export(tmp_path / "export", ["000000"], "one"), tmp_path)
    write_prompts(tmp_path / "prompts", tmp_path, twice)
    assert (tmp_path / "prompt.txt").read_text() == "A photo of mug\tmug\n"
    assert set(TOP) <= {path.name for path in tmp_path.iterdir()}
