import numpy as np
import pytest

from experiments.sample_synthesis.data.cars import car_tables, cars
from experiments.sample_synthesis.data.splits import differences
from suite.errors import BadInput, Missing
from tests.sample_synthesis.data.lookalikes import change, write_cars


def test_the_first_rows_validate_the_rest_train_and_coordinates_stay_as_they_are(tmp_path):
    sets = cars(write_cars(tmp_path), num_valid=3)
    names = {split: [image.file_name for image in real.coco.images] for split, real in sets.items()}
    assert names["valid"] == ["00001.jpg", "00002.jpg", "00003.jpg"]
    assert names["train"] == [f"{i:05d}.jpg" for i in range(4, 9)]
    assert len(names["test"]) == 4
    assert sets["train"].boxes()[0].tolist() == [[1, 2, 33, 35]]
    assert sets["train"].rows().tolist() == [3, 4, 5, 6, 7]
    assert sets["train"].images_dir == sets["valid"].images_dir != sets["test"].images_dir


def test_shifted_to_zero_a_box_covers_its_first_and_last_pixel(tmp_path):
    sets = cars(write_cars(tmp_path), num_valid=3, shift_to_zero=True)
    assert sets["train"].boxes()[0].tolist() == [[0, 1, 33, 35]]


def test_the_mat_files_of_the_devkit_say_the_same_as_the_tables(tmp_path):
    from_csv = cars(write_cars(tmp_path / "a"), num_valid=3)
    from_mat = cars(write_cars(tmp_path / "b", form="mat"), num_valid=3)
    for split, real in from_csv.items():
        assert real.coco == from_mat[split].coco


def test_the_tables_come_before_the_mat_files(tmp_path):
    write_cars(tmp_path, form="mat")
    write_cars(tmp_path)
    change(tmp_path / "devkit" / "cars_train_annos.csv", "00001.jpg,1,2", "00001.jpg,4,2")
    assert cars(tmp_path, num_valid=3)["valid"].boxes()[0].tolist() == [[4, 2, 30, 35]]


def test_what_is_written_in_the_published_form_is_the_published_table(tmp_path):
    root = write_cars(tmp_path)
    for name, text in car_tables(cars(root, num_valid=3)).items():
        assert text == (root / name).read_text(encoding="utf-8")


def test_counts_that_are_not_the_published_ones_are_told(tmp_path):
    told = differences(cars(write_cars(tmp_path), num_valid=3))
    assert told == (
        "cars: 5 images in train, published 7144",
        "cars: 3 images in valid, published 1000",
        "cars: 4 images in test, published 8041",
    )


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("image_file,xmin,ymin", "image_file,left,ymin", r"has no column `xmin`"),
        ("ymax\n", "ymax,colour\n", r"unknown column `colour`; known columns: image_file"),
        ("00002.jpg,1,2,31,35", "00002.jpg,31,2,1,35", r"line 3: box \(31, 2\)-\(1, 35\) is reversed"),
        ("00002.jpg,1,2,31,35", "00002.jpg,1,2", r"line 3: xmax is None, no finite number"),
        ("00002.jpg,1,2,31,35", "00002.jpg,1,2,nan,35", r"line 3: xmax is 'nan', no finite number"),
        ("00002.jpg,1,2,31,35", "00002.jpg,1,2,310,350", r"line 3: box .* is outside 00002.jpg of 61x40"),
        ("00002.jpg", "../00002.jpg", r"line 3: picture '../00002.jpg' is outside the folder"),
        ("00002.jpg", "00001.jpg", r"line 3: 00001.jpg is listed twice"),
        ("00002.jpg", "99999.jpg", r"line 3: .*99999.jpg does not exist"),
    ],
)
def test_what_is_damaged_is_one_line_with_file_and_row(tmp_path, old, new, said):
    write_cars(tmp_path)
    change(tmp_path / "devkit" / "cars_train_annos.csv", old, new)
    with pytest.raises(BadInput, match=said) as caught:
        cars(tmp_path, num_valid=3)
    assert "\n" not in str(caught.value)
    assert "cars_train_annos.csv" in str(caught.value)
    assert caught.value.exit_code == 2


def test_one_picture_in_many_that_does_not_decode_is_left_out_and_counted(tmp_path):
    write_cars(tmp_path, num_train=120)
    path = tmp_path / "cars_train" / "00050.jpg"
    path.write_bytes(path.read_bytes()[:200])
    for threads in (1, 3):
        sets = cars(tmp_path, num_valid=10, threads=threads)
        assert sets["train"].coco.skipped.counts == {"unreadable picture": 1}
        assert len(sets["train"]) == 109
        assert "00050.jpg" not in [image.file_name for image in sets["train"].coco.images]


def test_a_folder_without_pictures_and_one_that_is_not_there(tmp_path):
    write_cars(tmp_path)
    for path in (tmp_path / "cars_test").iterdir():
        path.unlink()
    with pytest.raises(BadInput, match=r"cars_test: a folder without pictures"):
        cars(tmp_path, num_valid=3)
    (tmp_path / "cars_test").rmdir()
    with pytest.raises(BadInput, match=r"cars_test: no such folder of pictures"):
        cars(tmp_path, num_valid=3)


def test_mat_files_of_another_kind_are_refused(tmp_path):
    from scipy.io import savemat

    write_cars(tmp_path, form="mat")
    path = tmp_path / "devkit" / "cars_test_annos.mat"
    savemat(path, {"other": np.zeros(3)})
    with pytest.raises(BadInput, match="no MATLAB file with `annotations`"):
        cars(tmp_path, num_valid=3)
    savemat(path, {"annotations": np.zeros((1, 2), dtype=[("fname", object)])})
    with pytest.raises(BadInput, match="has no field `bbox_x1`"):
        cars(tmp_path, num_valid=3)
    path.write_bytes(b"MATLAB 5.0 MAT-file, cut")
    with pytest.raises(BadInput, match="no MATLAB file with `annotations`"):
        cars(tmp_path, num_valid=3)


def test_an_absent_table_names_the_page(tmp_path):
    with pytest.raises(Missing, match=r"jkrause/cars.*data/stanford_cars"):
        cars(tmp_path)
