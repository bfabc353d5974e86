"""The stage `proposals` as its command runs it, on small sets in COCO's format."""

import json

import numpy as np
import pytest

pytest.importorskip("cv2", reason="OpenCV is part of the PyTorch toolchain")

from experiments.imaginarynet.config import CONFIG, CONFIGS
from experiments.imaginarynet.detectors.data.records import picture_digest
from experiments.imaginarynet.detectors.proposals.book import ProposalBook
from experiments.imaginarynet.detectors.proposals.cache import FOLDER
from experiments.imaginarynet.stages import stages_of
from suite.arrays import write_arrays
from suite.config import load_config
from suite.errors import BadInput, Stopped
from suite.stage import STOP, Job
from tests.imaginarynet.detectors.data.sets import CLASSES, coco_folder, tree


@pytest.fixture
def data(tmp_path):
    """A target with 3 training and 2 test pictures, and 4 imaginary ones, of noise of 32 x 24."""
    name = CLASSES[0]
    coco_folder(tmp_path / "target", tree([(i, name) for i in (1, 2, 3)]), "train")
    coco_folder(tmp_path / "target", tree([(i, name) for i in (11, 12)]), "test")
    coco_folder(tmp_path / "imaginary", tree([(i, name) for i in (21, 22, 23, 24)], level="image"))
    return tmp_path


def job(data, *overrides, out="out", setting="isod", seed=0):
    config = load_config(
        CONFIG,
        CONFIGS / "tiny.yaml",
        [
            f"setting=[{setting}]", f"classes={json.dumps(list(CLASSES))}",
            "proposals.side=0", "proposals.shards=2", "target.limit=null",
            "target.data=coco", f"target.root={data / 'target'}",
            f"imaginary.folder={data / 'imaginary'}", *overrides,
        ],
    )  # fmt: skip
    stage = stages_of(config)["proposals"]
    return Job(stage=stage, config=config, seed=seed, device="cpu", inputs={}, out=data / out)


def manifest_of(data, out="out"):
    return json.loads((data / out / "manifest.json").read_text())


def pictures(data):
    return sorted(data.rglob("*.png"))


def contents(book):
    return {digest: book[digest].boxes.tolist() for digest in book}


def test_every_picture_of_the_target_and_the_imaginary_set_has_proposals(data):
    assert job(data).run()
    book = ProposalBook.open(data / "out")
    assert set(book) == {picture_digest(file) for file in pictures(data)}
    assert all(not book.is_empty(digest) for digest in book)
    counts = manifest_of(data)["counts"]
    assert counts["pictures"] == 9
    assert counts["proposals"] == sum(len(book[digest]) for digest in book)


def test_pictures_that_no_arm_learns_from_are_not_searched(data):
    job(data, setting="wsod-real").run()
    assert manifest_of(data)["counts"]["pictures"] == 5


def test_no_box_depends_on_the_number_of_shards_or_the_run_s_seed(data):
    job(data, "proposals.shards=1", out="one").run()
    job(data, "proposals.shards=4", out="four", seed=7).run()
    one, four = (ProposalBook.open(data / name) for name in ("one", "four"))
    assert contents(one) == contents(four)


def test_a_stopped_shard_ends_with_the_same_bytes(data, monkeypatch):
    job(data, out="whole").run()
    monkeypatch.setattr(STOP, "is_set", True)
    with pytest.raises(Stopped):
        job(data).run()
    monkeypatch.setattr(STOP, "is_set", False)
    job(data).run()
    whole, stopped = (sorted((data / name).glob("0*/proposals.npz")) for name in ("whole", "out"))
    assert [path.read_bytes() for path in whole] == [path.read_bytes() for path in stopped]


def test_a_second_run_searches_nothing(data, monkeypatch):
    monkeypatch.setenv("RUNS_DIR", str(data / "runs"))
    job(data, out="runs/first").run()
    assert len(list((data / "runs" / FOLDER).rglob("*.npz"))) == 9
    searched = "experiments.imaginarynet.detectors.proposals.stage.selective_search"
    monkeypatch.setattr(searched, lambda *_: pytest.fail("searched again"))
    job(data, out="runs/second").run()
    first, second = (ProposalBook.open(data / "runs" / name) for name in ("first", "second"))
    assert contents(first) == contents(second)


def test_pictures_that_do_not_decode_or_hold_nothing_are_counted_and_told(data, capsys):
    broken, plain = data / "target/test/11.png", data / "target/train/1.png"
    broken.write_bytes(broken.read_bytes()[:60])
    job(data, "proposals.min_side=33").run()  # of pictures of 32 x 24: none is left
    book = ProposalBook.open(data / "out")
    assert book.is_empty(picture_digest(broken)) and book.is_empty(picture_digest(plain))
    counts = manifest_of(data)["counts"]
    assert (counts["unreadable pictures"], counts["pictures without proposals"]) == (1, 9)
    told = capsys.readouterr().err
    assert "do not decode" in told and "nothing was found in some pictures" in told


def test_given_proposals_take_the_place_of_the_search(data):
    write_arrays(
        data / "given.npz",
        names=np.array(["1.png"]),
        offsets=np.array([0, 3]),
        boxes=np.array([[0, 0, 9, 9], [40, 0, 50, 9], [30, 20, 40, 40]], np.float32),
        scores=np.array([0.5, 0.9, 0.7]),
    )
    job(data, f"proposals.files=[{data / 'given.npz'}]").run()
    found = ProposalBook.open(data / "out")[picture_digest(data / "target/train/1.png")]
    assert found.boxes.tolist() == [[30, 20, 32, 24], [0, 0, 9, 9]]
    assert found.scores.tolist() == pytest.approx([0.7, 0.5])
    counts = manifest_of(data)["counts"]
    assert counts["proposals outside of the picture"] == counts["pictures with given proposals"] == 1


@pytest.mark.parametrize("by", ["names", "digests"])
def test_a_picture_that_a_given_file_has_no_box_for_is_not_searched(data, by):
    file = data / "target/train/1.png"
    key = {"names": "1.png", "digests": picture_digest(file)}[by]
    write_arrays(
        data / "given.npz",
        **{by: np.array([key])},
        offsets=np.array([0, 0]),
        boxes=np.zeros((0, 4), np.float32),
    )
    job(data, f"proposals.files=[{data / 'given.npz'}]").run()
    assert ProposalBook.open(data / "out").is_empty(picture_digest(file))
    counts = manifest_of(data)["counts"]
    assert counts["pictures without proposals"] == counts["pictures with given proposals"] == 1


def test_another_file_of_given_proposals_is_another_result(data):
    before = job(data, f"proposals.files=[{data / 'given.npz'}]").key
    (data / "given.npz").write_bytes(b"something")
    assert job(data, f"proposals.files=[{data / 'given.npz'}]").key != before


def test_a_missing_file_of_proposals_is_one_line_before_any_search(data):
    with pytest.raises(BadInput, match="gone.mat: no such file"):
        job(data, f"proposals.files=[{data / 'gone.mat'}]").run()
