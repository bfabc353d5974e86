import numpy as np
import pytest

from experiments.sample_synthesis.data.qr_csv import qr_csv, qr_tables
from experiments.sample_synthesis.data.splits import check_disjoint, hold_out
from suite.errors import BadInput, Missing
from tests.sample_synthesis.data.lookalikes import change, write_qr


def ids(real):
    return [image.extra["image_id"] for image in real.coco.images]


def test_images_come_in_the_order_of_their_ids_as_text(tmp_path):
    sets = qr_csv(write_qr(tmp_path), num_valid=None)
    assert ids(sets["train"]) == ["1", "10", "11", "12", "2", "3", "4", "5", "6", "7", "8", "9"]
    assert sets["train"].boxes()[0].tolist() == [[2, 3, 12, 13], [20, 15, 41, 36]]
    assert sets["train"].boxes()[1].tolist() == [[2, 3, 12, 13]]
    assert (ids(sets["valid"]), ids(sets["test"])) == (["13", "14", "15"], ["16", "17", "18", "19"])


def test_validation_images_are_the_first_of_the_permutation_of_seed_2020(tmp_path):
    whole = qr_csv(write_qr(tmp_path), num_valid=None)["train"]
    sets = qr_csv(tmp_path, num_valid=4)
    order = np.random.RandomState(2020).permutation(12)
    assert ids(sets["valid"]) == [ids(whole)[i] for i in order[:4]]
    assert ids(sets["train"]) == [ids(whole)[i] for i in order[4:]]
    assert sets["train"].rows().tolist() == order[4:].tolist()
    check_disjoint(sets)


def test_of_the_published_567_images_467_train():
    train, valid = hold_out(567, 100)
    assert (len(train), len(valid)) == (467, 100)
    assert sorted([*train, *valid]) == list(range(567))


def test_the_published_form_is_read_back_as_the_same_sets(tmp_path):
    sets = qr_csv(write_qr(tmp_path), num_valid=4)
    for name, text in qr_tables(sets).items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    again = qr_csv(tmp_path, num_valid=None)
    for split, real in sets.items():
        boxes = dict(zip(ids(real), (b.tolist() for b in real.boxes()), strict=True))
        assert boxes == dict(zip(ids(again[split]), (b.tolist() for b in again[split].boxes()), strict=True))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "image_id,",
            "picture,",
            r"qr_codes_test.csv: has no column `image_id` .*the header needs image_id,xmin",
        ),
        ("class,", "shape,", r"qr_codes_test.csv: line 1: unknown column `shape`"),
        ("2,3,12,13", "12,3,2,13", r"qr_codes_test.csv: line 2: box \(12, 3\)-\(2, 13\) is reversed"),
        ("2,3,12,13", "2,3,12,", r"line 2: ymax is '', no finite number"),
        ("2,3,12,13", "200,3,212,13", r"line 2: box .* is outside 16.jpg of 61x40"),
    ],
)
def test_what_is_damaged_is_one_line_with_file_and_row(tmp_path, old, new, said):
    write_qr(tmp_path)
    change(tmp_path / "qr_codes_test.csv", old, new)
    with pytest.raises(BadInput, match=said) as caught:
        qr_csv(tmp_path, num_valid=None)
    assert "\n" not in str(caught.value)


def test_a_header_alone_and_a_file_that_is_no_text(tmp_path):
    write_qr(tmp_path)
    path = tmp_path / "qr_codes_test.csv"
    path.write_text("image_id,xmin,ymin,xmax,ymax\n", encoding="utf-8")
    with pytest.raises(BadInput, match="lists no usable picture"):
        qr_csv(tmp_path, num_valid=None)
    path.write_bytes(b"\xff\xfe\x00image")
    with pytest.raises(BadInput, match="not a text file"):
        qr_csv(tmp_path, num_valid=None)
    path.write_text("", encoding="utf-8")
    with pytest.raises(BadInput, match="has no column `image_id`"):
        qr_csv(tmp_path, num_valid=None)


def test_more_validation_images_than_there_are(tmp_path):
    with pytest.raises(BadInput, match="12 validation images of 12; choose 1 to 11"):
        qr_csv(write_qr(tmp_path), num_valid=12)


def test_the_validation_table_is_needed_only_where_nothing_is_split_off(tmp_path):
    write_qr(tmp_path)
    (tmp_path / "qr_codes_valid.csv").unlink()
    assert len(qr_csv(tmp_path, num_valid=4)["valid"]) == 4
    with pytest.raises(Missing, match=r"qr_codes_valid.csv.*ImageU.*signed agreement"):
        qr_csv(tmp_path, num_valid=None)
