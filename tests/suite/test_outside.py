"""What lies outside of a run: files by their bytes, folders by names and sizes, what is missing as None."""

import hashlib
from pathlib import Path

from suite.outside import annotated_state, file_state, tabletop_state
from suite.paths import listing_digest


def test_annotated_pictures_are_the_bytes_of_files_and_the_listings_of_folders(tmp_path):
    truth, pictures = tmp_path / "train.json", tmp_path / "train"
    pictures.mkdir()
    (pictures / "a.png").write_bytes(b"12")
    truth.write_bytes(b"{}")
    state = annotated_state(
        files=[str(truth), None, str(tmp_path / "none.json")], folders=[str(pictures), "", str(truth)]
    )
    assert state == {
        "files": [hashlib.sha256(b"{}").hexdigest(), None],
        "folders": [listing_digest(pictures), None],
    }
    (pictures / "a.png").write_bytes(b"123")
    assert annotated_state(files=[], folders=[str(pictures)])["folders"] != [state["folders"][0]]


def test_tabletop_is_its_listing():
    assert tabletop_state() is not None
    assert file_state(Path("/none")) is None
