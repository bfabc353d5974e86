"""The commands: published flags and what they stand for, both forms of a stage, and the chain."""

import os

import pytest

from experiments.imaginarynet import cli
from experiments.imaginarynet.cli import COMMANDS, SUMMARIES, main, overview
from experiments.imaginarynet.config import CONFIG, CONFIGS
from experiments.imaginarynet.flags import CONFIG_FILE, STEPS, output_of, parser_of, settings_of
from experiments.imaginarynet.generate import Choice, Output, claim, launch_words, save, warnings_of
from experiments.imaginarynet.stages import STAGES, stages_of
from suite import whole_chain
from suite.config import load_config
from suite.errors import BadInput
from suite.manifest import write_json

TINY = str(CONFIGS / "tiny.yaml")


def choice(*words, verb="generate", goes_on=False):
    return settings_of(parser_of(verb).parse(words), goes_on=goes_on)


def settings(*words, **facts):
    return choice(*words, **facts).config


def test_the_overview_names_every_command_and_every_stage():
    text = overview()
    assert all(f"  {name} " in text for name in (*STEPS, *COMMANDS, *cli.CHAIN))
    assert all(f"  {name} " in text for name in stages_of(load_config(CONFIG, TINY)))
    assert max(map(len, text.splitlines())) <= 110
    assert set(SUMMARIES) == set(COMMANDS)


@pytest.mark.parametrize("words", [["-h"], ["--help"], ["help"]])
def test_help_is_no_error(words, capsys):
    assert main(words) == 0
    assert capsys.readouterr().out.startswith("usage: python -m experiments.imaginarynet COMMAND")


def test_no_command_at_all_shows_the_help_and_is_an_error(capsys):
    assert main([]) == 2
    assert "by hand:" in capsys.readouterr().out


@pytest.mark.parametrize("verb", [*STEPS, *COMMANDS])
def test_every_command_by_hand_has_a_help(verb, capsys):
    with pytest.raises(SystemExit) as ended:
        main([verb, "-h"])
    assert ended.value.code == 0
    assert (STEPS | SUMMARIES)[verb].split()[1] in capsys.readouterr().out


def test_an_unknown_command_is_one_line_with_what_is_near(capsys):
    assert main(["generat"]) == 2
    assert capsys.readouterr().err == "error: no command 'generat'; did you mean generate?\n"


def test_an_unknown_flag_is_one_line_with_what_is_near(capsys):
    assert main(["generate", "--treshold", "0.5"]) == 2
    assert "unknown flag --treshold; did you mean --threshold?" in capsys.readouterr().err


# --- published flags ---


def test_without_flags_generate_has_the_published_defaults():
    made = choice()
    config = made.config
    assert (made.seed, config.num, len(config.classes), config.classes[9]) == (0, 1250, 80, "traffic light")
    assert (config.prompts.source, config.clip.enabled, config.clip.cpu) == ("bare", False, False)
    assert (config.images.backend, config.filter.threshold) == ("dalle-mini", 0.6)
    assert output_of(parser_of("generate").parse([])).name == "dallemini_coco_GPT_10W"


def test_every_published_flag_is_a_setting():
    words = (
        "--seed 3 --num 10000 --classfile voc.txt --outputdir out --gpt --clip --cpu "
        "--backend stablediffusion --threshold 0.7"
    ).split()
    made = choice(*words)
    config = made.config
    assert (made.seed, config.num, len(config.classes), config.classes[0]) == (3, 10_000, 20, "aeroplane")
    assert (config.prompts.source, config.clip.enabled, config.clip.cpu) == ("lm", True, True)
    assert (config.images.backend, config.filter.threshold) == ("stablediffusion", 0.7)


def test_num_total_is_what_the_published_readme_means():
    assert settings("--num-total", "100").num_total == 100
    assert settings("--num", "7").num_total is None


def test_the_threshold_makes_no_other_picture():
    config = settings("--clip", "--threshold", "0.9")
    assert (config.filter.threshold, config.replace.threshold) == (0.9, 0.6)


def test_a_class_file_of_the_current_folder_is_read_at_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.txt").write_text("mug\ntraffic light\n\n")
    assert settings("--classfile", "mine.txt").classes == ("mug", "traffic light")


def test_classes_by_an_override_are_read_too():
    assert len(settings("-o", "classes=voc").classes) == 20


def test_one_class_can_be_drawn_but_not_filtered(tmp_path):
    (tmp_path / "one.txt").write_text("mug\n")
    assert settings("--classfile", str(tmp_path / "one.txt")).classes == ("mug",)
    with pytest.raises(BadInput, match="2 classes or more"):
        settings("--classfile", str(tmp_path / "one.txt"), "--clip")


def test_the_published_layout_is_always_among_the_exports():
    assert settings("--formats", "voc,coco").export.formats == ("published", "voc", "coco")
    assert settings("--formats", "voc,published").export.formats == ("published", "voc")


def test_overrides_win_over_flags_and_scales_name_models():
    assert settings("--num", "5", "-o", "num=6").num == 6
    assert settings("--scale", "paper", "--gpt").prompts.model == "gpt2-large"
    assert settings("--gpt").prompts.model == "packaged"


@pytest.mark.parametrize("seed", ["-1", "x", "1.5"])
def test_a_wrong_seed_is_one_line(seed, capsys):
    assert main(["generate", f"--seed={seed}"]) == 2
    assert "is no whole number from 0 on" in capsys.readouterr().err


# --- the output folder ---


def test_a_step_goes_on_with_the_settings_of_the_folder(tmp_path):
    save(tmp_path, choice("--classfile", "voc", "--num", "3", "--gpt", "--clip", "--seed", "4"))
    words = ("--outputdir", str(tmp_path), "--threshold", "0.8")
    later = choice(*words, verb="filter", goes_on=True)
    assert (later.seed, later.config.num, later.config.classes[0]) == (4, 3, "aeroplane")
    assert (later.config.prompts.source, later.config.filter.threshold) == ("lm", 0.8)
    assert choice(*words).config.num == 1250  # generate begins with the published defaults


def test_what_is_not_given_anew_stays(tmp_path):
    first = choice("--classfile", "voc", "--num", "3", "--gpt", "--clip")
    save(tmp_path, first)
    assert choice("--outputdir", str(tmp_path), verb="export", goes_on=True) == first


def test_models_cannot_change_in_the_middle(tmp_path):
    save(tmp_path, choice())
    with pytest.raises(BadInput, match="has its settings already"):
        choice("--outputdir", str(tmp_path), "--scale", "paper", verb="images", goes_on=True)


def test_a_folder_that_holds_something_else_is_refused_and_stays(tmp_path):
    (tmp_path / "prompt.txt").write_text("A photo of mug\tmug\n")
    with pytest.raises(BadInput, match="holds something else"):
        claim(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["prompt.txt"]


def test_what_a_kill_at_the_very_start_left_is_no_obstacle(tmp_path):
    for _ in range(2):  # the first one leaves logs/ and stages/, and is killed before the settings stand
        claim(tmp_path)
    (tmp_path / ".lock").touch()
    (tmp_path / "seed.json").write_text('{"seed": 3}')
    claim(tmp_path)


def test_a_step_needs_what_leads_to_it_and_no_more(tmp_path):
    config = load_config(CONFIG, TINY)
    output = Output(home=tmp_path, config=config, seed=0)
    names = {last: [stage.name for stage in output.until(last)] for last in ("prompts", "images", "filter")}
    assert names["prompts"] == ["prompts"]
    assert names["images"] == ["prompts", "images"]
    assert names["filter"] == ["prompts", "images", "scores", "prompts-2", "images-2", "scores-2", "filter"]


def test_warnings_of_stages_are_told_once_in_order(tmp_path):
    config = load_config(CONFIG, CONFIGS / "tiny.yaml")
    output = Output(home=tmp_path, config=config, seed=0)
    said = {"prompts": ["none is new"], "filter": ["1 class is short"], "export": ["1 class is short"]}
    for name, warnings in said.items():
        (output.folder / name).mkdir(parents=True)
        write_json(output.folder / name / "manifest.json", {"key": "k", "warnings": warnings})
    told = warnings_of(output, output.until("export"))
    assert told == ["prompts: none is new", "filter: 1 class is short"]


def test_the_launcher_is_told_where_inputs_lie(tmp_path):
    args = parser_of("generate").parse(["--jobs", "2"])
    output = save(tmp_path, Choice(config=load_config(CONFIG, TINY, ["clip.cpu=true"]), seed=5))
    words = launch_words(output, output.stages["scores"], place="venv", device="cuda", args=args)
    head, _, tail = (
        " ".join(part) for part in (words[: words.index("--")], "", words[words.index("--") + 1 :])
    )
    assert "--toolchain detectron2 --place venv --jobs 2 --accel cuda" in head and head.endswith("--wide")
    assert tail == (
        f"scores --config {tmp_path / CONFIG_FILE} --seed 5 --device cpu --out {tmp_path}/stages/scores "
        f"--images {tmp_path}/stages/images"
    )


# --- stages ---


def test_a_stage_that_the_settings_do_not_need_is_one_line(tmp_path, capsys):
    assert main(["prompts-3", "--config", TINY, "--out", str(tmp_path / "a")]) == 2
    assert "these settings need no stage prompts-3; they need prompts, images" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["images", "filter"])
def test_a_verb_with_a_config_is_a_stage_and_asks_for_its_inputs(verb, capsys):
    assert main([verb, "--config", TINY]) == 2
    assert f"--{STAGES[verb].inputs[0]}" in capsys.readouterr().err


def test_a_config_that_is_not_there_is_one_line(tmp_path, capsys):
    assert main(["export", "--config", "none.yaml", "--out", str(tmp_path / "a")]) == 2
    assert capsys.readouterr().err.startswith("error: none.yaml: cannot read the config file")


# --- the chain ---


def test_reproduce_becomes_the_suites_own_command(monkeypatch, tmp_path):
    started = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(whole_chain, "workflow_python", lambda: "/env/bin/python")
    monkeypatch.setattr(os, "execv", lambda python, words: started.append(words))
    main(["reproduce", "--scale", "tiny"])
    assert started == [["/env/bin/python", "-m", "suite", "reproduce", "imaginarynet", "--scale", "tiny"]]


def test_reproduce_without_the_workflow_says_what_to_type(monkeypatch, capsys):
    monkeypatch.setattr(whole_chain, "workflow_python", lambda: None)
    assert main(["reproduce"]) == 3
    assert "make reproduce-imaginarynet" in capsys.readouterr().err


def test_report_says_what_is_left_to_do(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("RUNS_DIR", str(tmp_path))
    assert main(["report", "--scale", "tiny", "-o", "replace.rounds=1"]) == 3
    error = capsys.readouterr().err
    assert "not done yet: prompts, images, scores" in error and "-o replace.rounds=1" in error
