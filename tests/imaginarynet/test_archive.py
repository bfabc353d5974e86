"""Folders of the published code: true sizes, no box, nothing lost, nothing invented."""

from __future__ import annotations

import io
import shutil

import numpy as np
import pytest
from PIL import Image

from experiments.imaginarynet.archive import NAME, read_archive
from experiments.imaginarynet.cli import main
from experiments.imaginarynet.store.manifest import read_shards
from experiments.imaginarynet.store.pictures import Pictures
from suite.errors import BadInput
from suite.manifest import read_manifest

XML = """<?xml version="1.0" encoding="UTF-8"?>
<annotation>
\t<folder>PseudoWSODv1</folder>
\t<filename>{number:06d}.jpg</filename>
\t<source><database>The PseudoWSODv1 Dataset</database><image>dalle</image></source>
\t<size><width>256</width><height>256</height><depth>3</depth></size>
\t<segmented>0</segmented>
\t<object><name>{label}</name><pose>Right</pose><truncated>0</truncated><difficult>0</difficult>
\t\t<bndbox><xmin>0</xmin><ymin>0</ymin><xmax>256</xmax><ymax>256</ymax></bndbox></object>
</annotation>
"""
LABELS = ("trafficlight", "trafficlight", "mug", "mug", "mug")


@pytest.fixture
def archive(tmp_path):
    """As the published code leaves it: pictures of 20 x 12 pixels whose annotations say 256 x 256."""
    home = tmp_path / "archive"
    for name in ("image", "annotation"):
        (home / name).mkdir(parents=True)
    for number, label in enumerate(LABELS):
        buffer = io.BytesIO()
        pixels = np.random.default_rng(number).integers(0, 256, (12, 20, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(buffer, "JPEG")
        (home / "image" / f"{number:06d}.jpg").write_bytes(buffer.getvalue())
        (home / "annotation" / f"{number:06d}.xml").write_text(XML.format(number=number, label=label))
    lines = (f"A photo of thing {n}\t{label}\n" for n, label in enumerate(LABELS))
    (home / "prompt.txt").write_text("".join(lines))
    return home


def test_every_picture_is_a_candidate_with_its_own_bytes_and_true_size(archive, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["import-archive", str(archive), "--out", str(out)]) == 0
    assert "5 pictures of 2 classes" in capsys.readouterr().out
    rows, pictures = read_shards(out), Pictures([out])
    assert [row.candidate_id for row in rows] == [
        "00000-000000", "00000-000001", "00001-000000", "00001-000001", "00001-000002",
    ]  # fmt: skip
    assert {(row.width, row.height, row.status, row.prompt_source) for row in rows} == {
        (20, 12, "done", "archive")
    }
    for number, row in enumerate(rows):
        assert pictures.read(row) == (archive / "image" / f"{number:06d}.jpg").read_bytes()
        assert row.params == {"file": f"{number:06d}.jpg"}
    assert "256" not in (out / "00000" / "candidates.jsonl").read_text().replace("sha256", "")
    assert read_manifest(out)["stage"] == NAME and read_manifest(out)["counts"]["pictures"] == 5


def test_names_come_from_the_class_file_where_one_is_given(archive, tmp_path):
    names = tmp_path / "classes.txt"
    names.write_text("mug\ncup\ntraffic light\n")
    out = tmp_path / "out"
    assert main(["import-archive", str(archive), "--classfile", str(names), "--out", str(out)]) == 0
    rows = read_shards(out)
    assert [(row.class_id, row.class_name, row.label) for row in rows[1:3]] == [
        (2, "traffic light", "trafficlight"), (0, "mug", "mug"),
    ]  # fmt: skip


def test_prompts_are_taken_over_line_by_line_where_nothing_was_filtered(archive):
    assert [row.prompt for row in read_archive(archive)] == [f"A photo of thing {n}" for n in range(5)]


def test_no_prompt_is_guessed_where_pictures_were_filtered(archive):
    (archive / "annotation" / "000003.xml").unlink()
    rows = read_archive(archive)
    assert len(rows) == 4 and {row.prompt for row in rows} == {""}
    (archive / "prompt.txt").unlink()
    assert [row.class_name for row in read_archive(archive)] == ["trafficlight"] * 2 + ["mug"] * 2


def test_a_missing_and_an_unreadable_picture_fail_with_their_names_and_the_rest_goes_on(archive, tmp_path):
    (archive / "image" / "000001.jpg").unlink()
    (archive / "image" / "000003.jpg").write_bytes(b"no picture")
    out = tmp_path / "out"
    assert main(["import-archive", str(archive), "--out", str(out)]) == 0
    failed = {row.candidate_id: row.reason for row in read_shards(out) if row.status == "failed"}
    assert list(failed) == ["00000-000001", "00001-000001"]
    assert failed["00000-000001"] == "no picture 000001.jpg"
    assert failed["00001-000001"].startswith("000003.jpg cannot be read as a picture")


def test_the_same_command_again_is_up_to_date_and_another_folder_is_not_overwritten(
    archive, tmp_path, capsys
):
    out = tmp_path / "out"
    command = ["import-archive", str(archive), "--out", str(out)]
    assert main(command) == 0
    before = (out / "00000" / "images.tar").read_bytes()
    assert main(command) == 0
    assert "up to date" in capsys.readouterr().out
    (archive / "annotation" / "000003.xml").unlink()
    assert main(command) == 2
    assert f"{out}: holds something else" in capsys.readouterr().err
    assert (out / "00000" / "images.tar").read_bytes() == before


def test_equal_archives_give_equal_files_wherever_they_lie(archive, tmp_path):
    copy = shutil.copytree(archive, tmp_path / "copy")
    for home, out in ((archive, "a"), (copy, "b")):
        assert main(["import-archive", str(home), "--out", str(tmp_path / out)]) == 0
    for name in ("candidates.jsonl", "images.tar"):
        files = [(tmp_path / out / "00000" / name).read_bytes() for out in "ab"]
        assert files[0] == files[1]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda home: shutil.rmtree(home / "annotation"), "is no folder of the published code"),
        (lambda home: (home / "prompt.txt").write_text("no tab\n"), "line 1 is not `prompt TAB class`"),
        (lambda home: (home / "annotation" / "000000.xml").write_text("<a"), "not XML"),
        (
            lambda home: (home / "annotation" / "000000.xml").write_text("<!DOCTYPE a><annotation/>"),
            "entities are refused",
        ),
    ],
)
def test_what_is_no_archive_is_one_line(spoil, message, archive):
    spoil(archive)
    with pytest.raises(BadInput) as error:
        read_archive(archive)
    assert message in str(error.value) and str(archive) in str(error.value)


def test_a_label_that_is_no_class_is_told_with_its_annotation(archive):
    with pytest.raises(BadInput, match="000002.xml: 'mug' is none of the 1 classes"):
        read_archive(archive, ("traffic light",))
