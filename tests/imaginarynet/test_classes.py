"""Class lists: what is read, and what is refused with its line."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.imaginarynet.classes import class_names, classes_of, label_of, read_class_file
from experiments.imaginarynet.config import ImaginaryNetConfig
from experiments.imaginarynet.config_sections import ClipConfig
from suite.datasets.tabletop import TABLETOP
from suite.errors import BadInput
from suite.manifest import read_json


@pytest.fixture
def write(tmp_path):
    def put(data: bytes):
        path = tmp_path / "classes.txt"
        path.write_bytes(data)
        return path

    return put


def test_shipped_lists_have_the_published_names_in_their_order():
    voc, coco = class_names("voc"), class_names("coco")
    assert (len(voc), voc[0], voc[10], voc[-1]) == (20, "aeroplane", "diningtable", "tvmonitor")
    assert (len(coco), coco[0], coco[9], coco[-1]) == (80, "person", "traffic light", "toothbrush")


def test_tabletop_has_the_classes_of_the_embedded_set():
    assert class_names("tabletop") == tuple(read_json(TABLETOP / "tabletop.json")["classes"])


@pytest.mark.parametrize("name", ["voc", "VOC", "Voc", "voc.txt", "VOC.txt", "VOC.TXT"])
def test_a_shipped_list_is_found_in_any_case_with_or_without_its_ending(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert class_names(name) == class_names("voc")


def test_a_file_at_hand_wins_where_the_name_is_that_of_a_file(tmp_path, monkeypatch):
    (tmp_path / "voc.txt").write_text("mug\ncup\n")
    (tmp_path / "coco").write_text("mug\ncup\n")
    monkeypatch.chdir(tmp_path)
    assert class_names("voc.txt") == ("mug", "cup")
    assert len(class_names("coco")) == 80
    assert class_names("./coco") == ("mug", "cup")


@settings(max_examples=40, deadline=None)
@given(names=st.lists(st.from_regex(r"[a-z]{1,8}( [a-z]{1,8})?", fullmatch=True), min_size=1, max_size=8))
def test_names_given_as_a_list_are_the_classes_or_collide(names):
    if len({label_of(name) for name in names}) == len(names):
        assert class_names(tuple(names)) == tuple(names)
    else:
        with pytest.raises(BadInput, match="is there already"):
            class_names(tuple(names))


@pytest.mark.parametrize(
    "data",
    [
        b"mug\ntraffic light\n",
        b"mug\ntraffic light",
        b"\xef\xbb\xbfmug\ntraffic light\n",
        b"mug\r\ntraffic light\r\n",
        b"\n mug \n\n\ttraffic light\t\n \n\n",
    ],
)
def test_byte_order_mark_blank_lines_and_windows_line_ends_make_no_class(data, write):
    assert read_class_file(write(data)) == ("mug", "traffic light")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "holds no class"),
        (b"\n \n", "holds no class"),
        (b"mug\ncup\tbowl\n", "line 2: a tab inside"),
        (b"mug\n\ncup\nmug\n", "line 4: 'mug' is there already (line 1)"),
        (b"traffic light\ntrafficlight\n", "line 2: 'trafficlight' is there already (line 1)"),
        (b"mug\nMug\n", "line 2: 'Mug' is there already (line 1)"),
        (b"a/b\n", "line 1: 'a/b' has a character"),
        (b"a\x00b\n", "line 1: 'a\\x00b' has a character"),
        (b"\xff\xfe\n", "is not UTF-8"),
    ],
)
def test_what_cannot_be_a_class_is_told_with_file_and_line(data, message, write):
    path = write(data)
    with pytest.raises(BadInput) as error:
        read_class_file(path)
    assert str(error.value).startswith(f"{path}: ")
    assert message in str(error.value)


def test_an_unknown_list_is_told_with_the_nearest_one_and_a_missing_file_with_its_path(tmp_path):
    with pytest.raises(BadInput, match="did you mean tabletop"):
        class_names("tabeltop")
    with pytest.raises(BadInput, match=re.escape(str(tmp_path / "no.txt"))):
        class_names(str(tmp_path / "no.txt"))


def test_one_class_is_too_few_for_the_filter_and_enough_without_it():
    with pytest.raises(BadInput, match="needs 2 classes or more"):
        classes_of(ImaginaryNetConfig(classes=("mug",)))
    bare = ImaginaryNetConfig(classes=("mug",), clip=ClipConfig(enabled=False))
    assert classes_of(bare) == ("mug",)
