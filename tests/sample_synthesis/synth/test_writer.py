import csv
from functools import partial

import numpy as np
import pytest
from PIL import Image

from experiments.sample_synthesis.synth.writer import Totals, jpeg, read_journal, synthesise, write_range
from suite.datasets.coco import read_coco
from suite.errors import BadInput, Stopped
from tests.sample_synthesis.synth.fakes import Discs, disc_stream, qr_stream

TOTAL = 70  # more than one range


def files(folder) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def write(folder, *, workers=1, seed=7, total=TOTAL, **changes) -> Totals:
    make = partial(disc_stream, "bird", seed=seed, image_size=48, **changes)
    return synthesise(
        make, name="bird", total=total, out=folder / "out", work=folder / "work", workers=workers
    )


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("written")
    return folder / "out", write(folder, objects=Discs(empty_share=0.2))


def test_the_layout_is_the_published_one(written):
    out, totals = written
    assert sorted(p.name for p in (out / "images").iterdir()) == [f"{n:05d}.jpg" for n in range(1, TOTAL + 1)]
    with (out / "birds_fake.csv").open() as stream:
        assert stream.readline() == "image_id,xmin,ymin,xmax,ymax,label\n"
    with (out / "birds_fake.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert {row["label"] for row in rows} == {"bird"}
    assert len(rows) == totals.boxes
    assert {row["image_id"] for row in rows} == {f"{n:05d}" for n in range(1, TOTAL + 1)}
    assert all(str(int(row[key])) == row[key] for row in rows for key in ("xmin", "ymin", "xmax", "ymax"))


@pytest.mark.parametrize(
    ("name", "label", "csv_name"),  # as published, each
    [
        ("qr", "qr_code", "qr_codes_fake.csv"),
        ("face", "face", "faces_fake.csv"),
        ("bird", "bird", "birds_fake.csv"),
        ("car", "car", "cars_fake.csv"),
    ],
)
def test_every_box_has_the_label_of_its_object_in_its_own_file(tmp_path, name, label, csv_name):
    make = partial(qr_stream if name == "qr" else partial(disc_stream, name), image_size=48)
    totals = synthesise(make, name=name, total=3, out=tmp_path / "out", work=tmp_path / "work")
    assert [path.name for path in (tmp_path / "out").glob("*.csv")] == [csv_name]
    with (tmp_path / "out" / csv_name).open() as stream:
        labels = [row["label"] for row in csv.DictReader(stream)]
    assert labels == [label] * totals.boxes
    coco = read_coco(tmp_path / "out" / "coco.json")
    assert [(category.id, category.name) for category in coco.categories] == [(1, label)]
    assert {annotation.category_id for annotation in coco.annotations} == {1}


def test_coco_and_csv_hold_the_same_boxes(written):
    out, totals = written
    coco = read_coco(out / "coco.json", images_dir=out, deep=True)
    found = []
    for annotation in coco.annotations:
        x, y, w, h = annotation.box_xywh
        found.append((f"{annotation.image_id:05d}", x, y, x + w, y + h))
    with (out / "birds_fake.csv").open() as stream:
        rows = [
            (r["image_id"], *(float(r[k]) for k in ("xmin", "ymin", "xmax", "ymax")))
            for r in csv.DictReader(stream)
        ]
    assert found == rows
    assert [category.name for category in coco.categories] == ["bird"]


def test_files_are_those_of_the_stream(written):
    out, totals = written
    stream = disc_stream("bird", image_size=48, objects=Discs(empty_share=0.2))
    samples = stream.batch(range(TOTAL))
    assert (out / "images" / "00042.jpg").read_bytes() == jpeg(samples[41].image, 75)
    assert totals == Totals(TOTAL, sum(len(s.boxes) for s in samples), sum(s.redrawn for s in samples))
    assert totals.redrawn > 0


def test_quality_75_is_pillows_default(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3)).astype(np.uint8)
    Image.fromarray(image).save(tmp_path / "default.jpg")
    assert (tmp_path / "default.jpg").read_bytes() == jpeg(image, 75)


def test_another_seed_gives_other_files(tmp_path, written):
    write(tmp_path, total=3, seed=8, objects=Discs(empty_share=0.2))
    for name, data in files(tmp_path / "out" / "images").items():
        assert data != (written[0] / "images" / name).read_bytes()


def test_four_processes_write_the_same_bytes_as_one(tmp_path, written):
    assert write(tmp_path, workers=4, objects=Discs(empty_share=0.2)) == written[1]
    assert files(tmp_path / "out") == files(written[0])


def test_a_range_that_fails_ends_the_others_before_they_begin(tmp_path):
    with pytest.raises(BadInput, match="no visible pixel"):
        write(tmp_path, workers=2, total=64 * 200, objects=Discs(empty_share=1.0))
    assert len(list((tmp_path / "work").iterdir())) < 100


def test_a_stopped_pool_goes_on_with_the_same_bytes(tmp_path, written):
    make = partial(disc_stream, "bird", seed=7, image_size=48, objects=Discs(empty_share=0.2))
    places = {"name": "bird", "total": TOTAL, "out": tmp_path / "out", "work": tmp_path / "work"}

    def stop() -> None:
        raise Stopped("stopped by SIGTERM")

    with pytest.raises(Stopped):
        synthesise(make, workers=2, check_stop=stop, **places)
    assert not (tmp_path / "out" / "coco.json").exists()
    assert synthesise(make, workers=1, **places) == written[1]
    assert files(tmp_path / "out") == files(written[0])


def test_a_killed_range_goes_on_with_the_same_bytes(tmp_path, written):
    out, journal = tmp_path / "out", tmp_path / "rows.jsonl"
    stream = disc_stream("bird", image_size=48, objects=Discs(empty_share=0.2))
    asked = []

    def stop_after_five() -> None:
        asked.append(1)
        if len(asked) > 5:
            raise Stopped("stopped by SIGTERM")

    with pytest.raises(Stopped):
        write_range(stream, range(20), out=out, journal=journal, check_stop=stop_after_five)
    with journal.open("a") as lines:
        lines.write("[5, [[1, 2, 3")  # a kill in the middle of a line
    done = []
    rows = write_range(stream, range(20), out=out, journal=journal, advance=lambda: done.append(1))
    assert len(done) == 15
    assert [row.item for row in rows] == list(range(20))
    assert rows == read_journal(journal, range(20))
    for name, data in files(out / "images").items():
        assert data == (written[0] / "images" / name).read_bytes()


def test_a_finished_folder_is_written_again_without_drawing(tmp_path):
    write(tmp_path, total=3)
    before = files(tmp_path / "out")
    (tmp_path / "out" / "coco.json").unlink()
    make = partial(disc_stream, "bird", image_size=48, objects=Discs(empty_share=1.0))  # would raise if asked
    synthesise(make, name="bird", total=3, out=tmp_path / "out", work=tmp_path / "work")
    assert files(tmp_path / "out") == before
