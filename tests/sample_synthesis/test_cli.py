"""The commands: names, published scripts, both forms of a stage, and the chain that they hand over to."""

import os

import pytest

from experiments.sample_synthesis import cli
from experiments.sample_synthesis.cli import main, overview, published
from experiments.sample_synthesis.config import CONFIGS
from experiments.sample_synthesis.flags import SUMMARIES, parser_of, settings_of
from experiments.sample_synthesis.names import FLAGS, OBJECTS, SCRIPTS
from suite import whole_chain
from suite.manifest import read_manifest

TINY = str(CONFIGS / "tiny.yaml")
BY_HAND = [name for name in SUMMARIES if name not in cli.CHAIN]


def settings(*words):
    return settings_of(parser_of("synth").parse(words))


def test_the_overview_names_every_command_and_every_stage():
    text = overview()
    assert all(f"  {name} " in text for name in SUMMARIES)
    verbs = ("objects", "train-redo", "redo-masks", "synth", "data", "pretrain", "cells", "evaluate")
    assert all(f"  OBJECT-{verb} " in text for verb in verbs)
    assert max(map(len, text.splitlines())) <= 110


@pytest.mark.parametrize("words", [["-h"], ["--help"], ["help"]])
def test_help_is_no_error(words, capsys):
    assert main(words) == 0
    assert capsys.readouterr().out.startswith("usage: python -m experiments.sample_synthesis COMMAND")


def test_no_command_at_all_shows_the_help_and_is_an_error(capsys):
    assert main([]) == 2
    assert "by hand:" in capsys.readouterr().out


@pytest.mark.parametrize("verb", BY_HAND)
def test_every_command_by_hand_has_a_help(verb, capsys):
    with pytest.raises(SystemExit) as ended:
        main([verb, "-h"])
    assert ended.value.code == 0
    assert SUMMARIES[verb].split()[0] in capsys.readouterr().out


# --- published scripts and flags ---


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize("ending", ["", ".py"])
def test_published_scripts_are_commands(script, ending):
    words = published([script + ending, "--num_samples", "3"])
    assert words[0] in SUMMARIES and words[-2:] == ["--num_samples", "3"]


def test_the_scripts_of_a_variant_say_so():
    assert published(["generate_fake_data_naive.py"]) == ["synth", "--variant", "naive"]
    assert published(["nogan_ablation"]) == ["ablate", "nogan"]
    assert published(["synth", "-h"]) == ["synth", "-h"]


@pytest.mark.parametrize("name", OBJECTS)
def test_without_flags_synth_has_the_published_settings(name):
    config = settings("--object", name)
    assert config.objects == (name,) and config.ablations == ()
    assert config.of(name).synthesis.num_samples == 10_000
    assert config.of(name).backgrounds.folder == "data/VOCdevkit"


def test_every_published_flag_is_a_setting_of_the_object():
    values = {
        "--num_samples": "7", "--image_size": "100", "--min_scale": "0.1", "--max_scale": "0.7",
        "--min_aspect_ratio": "0.4", "--max_aspect_ratio": "1.5", "--min_objects": "2", "--max_objects": "3",
        "--max_tries": "5", "--voc_dir": "/v", "--fake_objects_dir": "/f", "--real_objects_dir": "/r",
    }  # fmt: skip
    assert set(values) == set(FLAGS)
    words = [word for pair in values.items() for word in pair]
    face = settings("--object", "face", *words).face
    for flag, value in values.items():
        section, key = FLAGS[flag].split(".")
        assert str(getattr(getattr(face, section), key)) == value


def test_num_is_num_samples_and_output_dir_is_out():
    assert settings("--num", "5").qr.synthesis.num_samples == 5
    args = parser_of("synth").parse(["--output_dir", "here"])
    assert str(args.out) == "here"


def test_a_folder_given_in_place_of_a_stand_in_is_read():
    config = settings("--scale", "tiny", "--object", "car", "--fake_objects_dir", "/f", "--voc_dir", "/v")
    assert (config.car.source.kind, config.car.source.folder) == ("folder", "/f")
    assert (config.car.backgrounds.kind, config.car.backgrounds.folder) == ("voc", "/v")


def test_a_published_folder_keeps_its_kind():
    assert settings("--object", "face", "--fake_objects_dir", "/f").face.source.kind == "stylegan"


def test_folders_are_those_of_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert settings("--voc_dir", "../VOC").qr.backgrounds.folder == str(tmp_path.parent / "VOC")


def test_compat_and_overrides():
    assert settings("--compat", "upstream").compat.face_box_frames
    assert settings("--num", "5", "-o", "qr.synthesis.num_samples=6").qr.synthesis.num_samples == 6


def test_data_dir_is_the_published_data(tmp_path, monkeypatch):
    from suite.paths import data_path

    monkeypatch.setenv("DATA_DIR", "elsewhere")
    config = settings("--data-dir", str(tmp_path))
    assert data_path(config.qr.backgrounds.folder) == tmp_path / "VOCdevkit"


def test_masks_of_another_provider():
    config = settings("--object", "car", "--mask-provider", "grabcut")
    assert config.car.masks.provider == "grabcut"
    config = settings("--object", "car", "--mask-weights", "/nets_state.pth")
    assert (config.car.masks.provider, config.car.masks.weights) == ("redo", "/nets_state.pth")


# --- stages ---


def test_a_stage_runs_in_both_forms_to_the_same_key(tmp_path, capsys):
    common = ["qr-objects", "--config", TINY, "-o", "objects=[qr,face]"]
    assert main([*common, "--out", str(tmp_path / "a")]) == 0
    assert main([*common, "--out", str(tmp_path / "b"), "--shard", "0/1"]) == 0
    assert main([*common, "--out", str(tmp_path / "b"), "--gather"]) == 0
    assert read_manifest(tmp_path / "a")["key"] == read_manifest(tmp_path / "b")["key"]


def test_a_stage_that_the_settings_do_not_need_is_one_line(tmp_path, capsys):
    words = ["face-redo-masks", "--config", TINY, "--out", str(tmp_path / "a")]
    assert main(words) == 2
    assert "these settings need no stage face-redo-masks" in capsys.readouterr().err


def test_a_config_that_is_not_there_is_one_line(tmp_path, capsys):
    assert main(["qr-data", "--config", "none.yaml", "--out", str(tmp_path / "a")]) == 2
    assert capsys.readouterr().err.startswith("error: none.yaml: cannot read the config file")


# --- the chain ---


def test_reproduce_becomes_the_suites_own_command(monkeypatch, tmp_path):
    started = []
    monkeypatch.setenv("OBJECT", "qr")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(whole_chain, "workflow_python", lambda: "/env/bin/python")
    monkeypatch.setattr(os, "execv", lambda python, words: started.append(words))
    main(["reproduce", "--scale", "tiny", "--object", "all"])
    main(["run_training.py", "--scale", "tiny"])
    head = ["/env/bin/python", "-m", "suite", "reproduce", "sample-synthesis"]
    assert started == [[*head, "--scale", "tiny"]] * 2
    assert os.environ["OBJECT"] == "all"


def test_reproduce_without_the_workflow_says_what_to_type(monkeypatch, capsys):
    monkeypatch.setattr(whole_chain, "workflow_python", lambda: None)
    assert main(["reproduce"]) == 3
    assert "make reproduce-sample-synthesis" in capsys.readouterr().err


def test_report_says_what_is_left_to_do(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("RUNS_DIR", str(tmp_path))
    assert main(["report", "--scale", "tiny", "--object", "car"]) == 3
    error = capsys.readouterr().err
    assert "not done yet: car-objects, car-synth" in error and "objects=[car]" in error


@pytest.mark.parametrize("word", ["pretrain", "pretrained"])
def test_epochs_are_those_of_the_arm_by_either_of_its_names(word):
    from experiments.sample_synthesis.by_hand_train import _one_cell

    args = parser_of("train").parse(["--arm", word, "--epochs", "3", "--scale", "tiny", "--out", "x"])
    below = settings_of(args).qr.grid
    grid = _one_cell(settings_of(args), args).qr.grid
    assert (grid.epochs_pretrain, grid.epochs_real) == (3, below.epochs_real)
