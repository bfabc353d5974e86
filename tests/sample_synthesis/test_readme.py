"""The README's commands, flags, settings, files, tables and numbers are those of the program."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from experiments.sample_synthesis.cells import cells, epochs
from experiments.sample_synthesis.cli import main
from experiments.sample_synthesis.config import CONFIG, CONFIGS
from experiments.sample_synthesis.detector.weights import FILES
from experiments.sample_synthesis.flags import SUMMARIES, parser_of
from experiments.sample_synthesis.names import ALL, FLAGS, OBJECTS, SCRIPTS, VOC
from experiments.sample_synthesis.report_switches import SWITCHES, keys_of
from experiments.sample_synthesis.stages import STAGES
from experiments.sample_synthesis.tables import find, read_published
from suite.config import load_config, to_tree
from suite.report.switches import value_of

ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / "experiments" / "sample_synthesis"
README = (HOME / "README.md").read_text(encoding="utf-8")
EVERY = f"objects=[{','.join(OBJECTS)}]"
PAPER = load_config(CONFIG, CONFIGS / "paper.yaml", [EVERY])
TREE = to_tree(PAPER)
BY_HAND = ("synth", "train", "evaluate", "ablate", "convert")


def section(title):
    return README.split(f"## {title}\n")[1].split("\n## ")[0]


def rows(text):
    """Cells of the lines of a Markdown table, without head and rule."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


COMING_TEXT = section("Coming from the original repository")
COMING = [shlex.split(line) for line in re.findall(r"`sample-synthesis ([^`]+)`", COMING_TEXT)]
FIRST_PAGE = README.split("## Data")[0]
TYPED = r"^python -m experiments\.sample_synthesis (.*)$"
BASH = [shlex.split(line) for line in re.findall(TYPED, FIRST_PAGE, flags=re.M)]


@pytest.mark.parametrize("words", [w for w in COMING + BASH if w[0] in BY_HAND], ids=" ".join)
def test_every_command_by_hand_is_understood_with_all_its_flags(words):
    parser_of(words[0]).parse(words[1:])


def test_every_other_command_is_a_published_script_or_of_the_whole_chain():
    others = [words for words in COMING + BASH if words[0] not in BY_HAND]
    assert {words[0] for words in others} <= {*SCRIPTS, "reproduce", "report"}
    assert len(COMING) > 20 and len(BASH) == 5


def test_the_commands_answer_help():
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    for verb in SUMMARIES:
        line = [sys.executable, "-m", "experiments.sample_synthesis", verb, "--help"]
        if verb != "reproduce":  # which is the suite's own, in the environment of the workflow
            done = subprocess.run(line, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
            assert done.returncode == 0 and "usage" in done.stdout, verb


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_published_script_is_on_the_left_and_its_command_on_the_right(script):
    (row,) = [row for row in rows(COMING_TEXT) if f"`{script}.py`" in row[0]]
    words = SCRIPTS[script]
    if script.startswith("generate_results"):  # its table is a stage's; the page that shows it is `report`
        assert "-evaluate" in row[1]
    else:
        assert f"`sample-synthesis {words[0]}" in row[1]
        assert all(word in row[1] for word in words)


def test_every_published_flag_is_on_the_left_and_typed_on_the_right():
    left, right = set(), set()
    for there, *here in rows(COMING_TEXT):
        left |= set(re.findall(r"--[a-z][a-z_]*", there))
        right |= set(re.findall(r"--[a-z][a-z_]*", " ".join(here)))
    assert left == {*FLAGS, "--output_dir"}
    assert left <= right


def test_a_published_generator_name_makes_images_in_the_published_layout(tmp_path):
    out = tmp_path / "fake"
    assert (
        main(["generate_fake_data.py", "--scale", "tiny", "--output_dir", str(out), "--num_samples", "2"])
        == 0
    )
    assert sorted(path.name for path in (out / "images").iterdir()) == ["00001.jpg", "00002.jpg"]
    assert (out / ALL["qr"].csv).is_file() and (out / "coco.json").is_file()


def test_the_table_of_stages_has_every_stage_once_for_all_objects():
    named = re.findall(r"^\| `([A-Za-z-]+)` \|", section("Stages"), flags=re.M)
    assert named == list(dict.fromkeys(named))
    assert set(named) == {
        name.replace(name.split("-")[0], "OBJECT", 1) if "-" in name else name for name in STAGES
    }


def test_every_setting_in_the_readme_exists():
    sections = [name for name in TREE if isinstance(TREE[name], dict)]
    inner = list(TREE["face"])
    found = set(re.findall(rf"\b((?:{'|'.join(sections)})\.[\w.]*\w)", README))
    found |= {
        f"face.{key}" for key in re.findall(rf"(?<![\w.])((?:OBJECT\.)?(?:{'|'.join(inner)})\.\w+)", README)
    }
    assert len(found) > 20
    for key in found:
        if not key.endswith((".py", ".csv", ".json", ".yaml", ".npy")):
            value_of(TREE, key.replace("OBJECT.", ""))


def test_the_table_of_switches_is_the_list_of_switches_with_the_values_of_paper_scale():
    table = [row for row in rows(section("Deviations from the original code")) if len(row) == 4]
    assert [row[0].strip("`") for row in table] == [switch.key for switch in SWITCHES]
    for (_, faithful, here, why), switch in zip(table, SWITCHES, strict=True):
        assert yaml.safe_load(faithful) == to_tree(switch.faithful), switch.key
        for key in keys_of(switch, OBJECTS):
            assert yaml.safe_load(here) == value_of(TREE, key), key
        assert why == switch.why


def test_the_table_of_data_names_the_published_folders_and_files():
    text = section("Data")
    for item in ALL.values():
        for folder in (item.real, item.objects, item.nogan):
            assert folder is None or f"`{folder}`" in text
    assert f"`{VOC}`" in text
    assert all(f"`{FILES[arch]}`" in text for arch in ("mobilenet", "resnet50"))


def test_the_claims_are_the_published_rows():
    published = read_published()
    table = [row for row in rows(README.split("## Data")[0]) if len(row) == 6]
    titles = {"QR codes": "qr", "faces": "face", "birds": "bird", "cars": "car"}
    assert [row[0] for row in table] == list(titles)
    for title, few, *said in table:
        mine = {"object": titles[title], "experiment": "main", "architecture": "SSDMobileNet"}
        most = max(row.num_real for row in published if row.object == titles[title])
        kinds = [(size, kind) for size in (int(few), most) for kind in ("from_scratch", "finetuned")]
        for number, (size, kind) in zip(said, kinds, strict=True):
            found = find(published, num_real=size, train_type=kind, **mine)
            assert f"{found.figure().mean:.1f}" == number, (title, size, kind)
        assert not [r for r in published if r.object == titles[title] and 0 < r.num_real < int(few)]


SCALES = ("tiny", "smoke", "small", "paper")


@pytest.mark.parametrize("scale", SCALES)
def test_the_table_of_scales_says_what_the_files_say(scale):
    every = load_config(CONFIG, CONFIGS / f"{scale}.yaml", [EVERY])
    only_qr = load_config(CONFIG, CONFIGS / f"{scale}.yaml", ["objects=[qr]"])
    said = {row[0]: row[1 + SCALES.index(scale)] for row in rows(section("Scales"))}
    numbers = [every.of(name).synthesis.num_samples for name in OBJECTS]
    assert len(set(numbers[1:])) == 1
    assert said["synthetic images: QR / each other object"] == f"{numbers[0]:,} / {numbers[1]:,}"
    assert said["side of a synthetic image, pixels"] == str(every.qr.synthesis.image_size)
    assert said["side that the detector sees"] == str(every.detector.image_size)
    assert said["detector"] == ", ".join(every.detector.archs)
    assert said["initial weights"] == every.detector.init
    sizes = list(map(str, every.qr.grid.sizes))
    assert said["N real images, QR"] in (", ".join(sizes), f"{sizes[0]} to {sizes[-1]}")
    first, *others = [
        f"{every.of(name).grid.epochs_pretrain} / {every.of(name).grid.epochs_real}" for name in OBJECTS
    ]
    told = said["epochs, pretraining / real"]
    assert told.startswith(first)
    assert all(other in told for other in others)
    assert said["runs"] == str(every.train.runs)
    assert said["ablations"] == {0: "none", 3: "all"}[len(every.ablations)]
    assert said["trainings: QR / all objects"] == f"{len(cells(only_qr))} / {len(cells(every))}"
    steps = sum(epochs(every, cell) for cell in cells(every)) * every.train.steps_per_epoch
    assert said["optimiser steps, all objects"] == f"{steps:,}"


def test_every_linked_file_exists():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (HOME / target).exists(), target
