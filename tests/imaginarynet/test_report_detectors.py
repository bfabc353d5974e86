"""What the page says of detectors: figures as the evaluations left them, chance beside them, pictures."""

import csv
import json
import re

import numpy as np
import pytest

from experiments.imaginarynet import report, report_detectors, report_pictures
from experiments.imaginarynet.arms import arms_of
from experiments.imaginarynet.config import CONFIG, CONFIGS
from experiments.imaginarynet.config_detectors import SettingConfig
from experiments.imaginarynet.detectors import evaluate
from experiments.imaginarynet.detectors.proposals.book import write_book
from experiments.imaginarynet.stages import stages_of
from suite.config import load_config
from suite.errors import BadInput
from suite.manifest import MANIFEST, write_json
from suite.tables import csv_text
from tests.imaginarynet.candidates import context
from tests.imaginarynet.detectors.fakes import BlobDetector, LocatingDetector, blob_book, blob_target
from tests.imaginarynet.report_fakes import manifest
from tests.imaginarynet.test_report import Page

ISOD, PLAIN = "isod-oicr", "supervised-faster-rcnn"


def config_of(*overrides):
    more = ("classes=[mug, lemon]", "setting=[isod, supervised]", "imaginary.folder=somewhere")
    return load_config(CONFIG, CONFIGS / "tiny.yaml", [*more, *overrides])


def finished_arms(root, config, target):
    """{input of `report`: folder}: two arms, one of which can locate, and proposals."""
    stages = stages_of(config)
    folders = {name: root / name for name in stages["report"].inputs}
    if "proposals" in folders:
        write_book(folders["proposals"], blob_book(target.test_dir, target.train_dir))
    for arm in arms_of(config):
        detector = LocatingDetector() if arm.is_weak else BlobDetector()
        inputs = {name: folders[name] for name in stages[arm.evaluate].inputs}
        ctx = context(root, arm.evaluate, config=config, inputs=inputs)
        evaluate.measure(ctx, arm, detector)
        ctx.out.rename(folders[arm.evaluate])
        folders[arm.train].mkdir()
        rows = [
            {"step": k, "loss_midn": 3.0 - k, "loss_odd <b>": "" if k == 1 else 1.0, "lr": 0.1}
            for k in (1, 2)
        ]
        (folders[arm.train] / "metrics.csv").write_text(csv_text(rows))
        weak = {"sources": {"imaginary": 1203}}
        write_json(folders[arm.train] / "summary.json", weak if arm.is_weak else {"pictures_labelled": 7})
    for name, folder in folders.items():
        folder.mkdir(exist_ok=True)
        write_json(folder / MANIFEST, manifest(name, stages[name].inputs))
    return folders


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(context, page) of a run that trained two arms and made no pictures."""
    root = tmp_path_factory.mktemp("arms")
    target, config = blob_target(root / "data"), config_of()
    with pytest.MonkeyPatch.context() as patch:
        for module in (evaluate, report_detectors):
            patch.setattr(module, "load_target", lambda _: target)
        ctx = context(root, "report", config=config, inputs=finished_arms(root, config, target))
        report.run(ctx)
        yield ctx, (ctx.out / "index.html").read_text(encoding="utf-8")


def summary_of(ctx):
    return json.loads((ctx.out / "summary.json").read_text())


def test_a_page_of_detectors_alone_is_whole_and_speaks_of_no_set(made):
    ctx, text = made
    parsed = Page(text)
    assert parsed.open == []
    for link in (one for one in parsed.references if not one.startswith(("data:", "#"))):
        target = (ctx.final / link).resolve() if link.startswith("..") else ctx.out / link
        assert target.is_file(), link
    assert "<h2>Detectors</h2>" in text
    assert "pictures kept" not in text
    assert "This run trains no detector" not in text
    assert not (ctx.out / "sheets").exists()
    assert not (ctx.out / "classes.csv").exists()
    assert "oicr.iterations" in text  # among what differs from the published settings


def test_every_arm_stands_there_with_its_figures_and_what_it_learned_from(made):
    ctx, text = made
    arms = summary_of(ctx)["detectors"]["arms"]
    assert list(arms) == [ISOD, PLAIN]
    assert arms[ISOD]["voc07"] == arms[PLAIN]["voc07"] == 100.0
    assert (arms[ISOD]["corloc"], arms[PLAIN]["corloc"]) == (0.0, 100.0)
    assert arms[PLAIN]["area_ratio"] == 1.0 < arms[ISOD]["area_ratio"]
    line = next(row for row in re.findall(r"<tr>(.*?)</tr>", text) if row.startswith(f"<td>{ISOD}"))
    cells = re.findall(r"<td[^>]*>(.*?)</td>", line)
    assert cells[:4] == [ISOD, "labels of imaginary pictures", "1,203 imaginary", "100.0"]


def test_chance_stands_beside_the_arms(made):
    ctx, text = made
    chance = summary_of(ctx)["detectors"]["chance"]
    assert set(chance) == {"random proposal", "largest proposal", "centre box"}
    assert all(row["voc07"] < 100 for row in chance.values())
    assert chance["random proposal"]["is_expected"]
    assert "chance: random proposal" in text


def test_without_proposals_the_centre_box_alone_is_chance_and_there_is_no_recall(tmp_path, monkeypatch):
    target, config = blob_target(tmp_path / "data"), config_of("setting=[supervised]")
    for module in (evaluate, report_detectors):
        monkeypatch.setattr(module, "load_target", lambda _: target)
    ctx = context(tmp_path, "report", config=config, inputs=finished_arms(tmp_path, config, target))
    report.run(ctx)
    assert list(summary_of(ctx)["detectors"]["chance"]) == ["centre box"]
    assert not (ctx.out / "recall.csv").exists()
    assert Page((ctx.out / "index.html").read_text(encoding="utf-8")).open == []


def test_results_are_joined_over_seeds_by_arm_and_chance(made):
    ctx, _ = made
    with (ctx.out / "results.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0]) == ["table", "row", "metric", "value", "unit"]
    assert {row["row"] for row in rows if row["table"] == "detectors"} == {ISOD, PLAIN}
    assert len([row for row in rows if row["table"] == "chance"]) == 9


def test_classes_curves_and_recall_are_on_the_page(made):
    ctx, text = made
    assert "Losses of isod-oicr" in text
    assert "odd &lt;b&gt;" in text
    with (ctx.out / "recall.csv").open(newline="") as stream:
        recall = list(csv.DictReader(stream))
    assert {row["objects"] for row in recall} == {"2"}
    assert "AP by eleven points, of every class" in text
    assert re.search(r"<td>mug</td><td class=\"n\">2</td>", text)


def test_pictures_show_the_objects_and_every_arm(made):
    _, text = made
    assert text.count("objects, and what each arm found") == 4
    assert f"objects, {ISOD}, {PLAIN}" in text


def test_a_missing_result_is_one_line(tmp_path, monkeypatch):
    target, config = blob_target(tmp_path / "data"), config_of("setting=[supervised]")
    for module in (evaluate, report_detectors):
        monkeypatch.setattr(module, "load_target", lambda _: target)
    inputs = finished_arms(tmp_path, config, target)
    (inputs[f"evaluate-{PLAIN}"] / "results.json").unlink()
    with pytest.raises(BadInput, match=r"results\.json: is missing"):
        report.run(context(tmp_path, "report", config=config, inputs=inputs))


# --- words and drawings ---


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        (SettingConfig(image_labels=("real", "imaginary")), "labels of real and imaginary pictures"),
        (
            SettingConfig(image_labels=("imaginary",), shuffle_labels=True),
            "labels (shuffled) of imaginary pictures",
        ),
        (
            SettingConfig(boxes=("real",), unlabelled=("imaginary", "real-unlabelled")),
            "boxes of real pictures, unlabelled imaginary and real pictures",
        ),
    ],
)
def test_settings_are_said_in_words(setting, words):
    assert report_detectors.learned_from(setting) == words


def test_only_pictures_that_every_arm_has_are_drawn(tmp_path):
    target = blob_target(tmp_path)
    row = {"file_name": "1.png", "boxes": [[1, 1, 9, 9]], "scores": [0.5], "labels": ["mug"]}
    shown = {f"arm{k}": [{**row, "image_id": 1}] for k in range(4)}
    shown["arm0"] = [*shown["arm0"], {**row, "image_id": 2}]
    assert [one.file_name for one in report_pictures.picture_rows(target, shown)] == ["1.png"]


def test_drawings_stand_side_by_side_and_fold_into_rows():
    cells = [np.full((30, 40, 3), value, np.uint8) for value in (10, 20, 30, 40, 50)]
    cell, gap = report_pictures.CELL, report_pictures.GAP
    sheet = report_pictures.tiled(cells)
    assert sheet.shape == (2 * 210 + gap, 4 * (cell + gap) - gap, 3)
    middles = [sheet[105, column * (cell + gap) + 140, 0] for column in range(4)]
    assert middles == [10, 20, 30, 40]
    assert sheet[210 + gap + 105, 140, 0] == 50
    assert sheet[210 + gap + 105, cell + gap + 140, 0] == 255
    assert report_pictures.tiled(cells[:2]).shape == (210, 2 * cell + gap, 3)


def test_the_surest_box_is_drawn_last():
    picture = np.full((100, 100, 3), 200, np.uint8)
    row = {"boxes": [[10, 10, 90, 90], [10, 10, 90, 60]], "scores": [0.9, 0.1], "labels": ["a", "b"]}
    drawn = report_pictures.drawn_boxes(picture, row)
    factor = drawn.shape[0] // 100
    side = drawn[30 * factor : 88 * factor, 10 * factor]  # the left one: of both boxes, then of the surest
    assert len(np.unique(side, axis=0)) == 1
    assert side[0].tolist() != [200, 200, 200]
