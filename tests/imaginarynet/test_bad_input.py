"""What a user may get wrong is one line and an exit code, and nothing that was there is lost."""

import errno
import os

import pytest

from experiments.imaginarynet.cli import main
from experiments.imaginarynet.config import CONFIG, CONFIGS
from experiments.imaginarynet.generate import check_models
from experiments.imaginarynet.stages import stages_of
from suite.config import load_config
from suite.errors import Missing
from suite.launch import __main__ as launcher
from suite.launch import engine
from suite.launch.pool import StopRequest
from tests.imaginarynet.candidates import CLASSES, filter_stage, finished, images_stage, queued, scored

TINY = str(CONFIGS / "tiny.yaml")
NAMES = f"classes=[{', '.join(CLASSES)}]"


def one_line(capsys):
    """The only line on stderr."""
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and error.startswith("error: "), error
    return error


def last_line(capsys):
    """The last line on stderr, of a stage that has shown its settings."""
    error = capsys.readouterr().err
    assert "Traceback" not in error
    return error.strip().splitlines()[-1]


@pytest.mark.parametrize(
    ("text", "words", "told"),
    [
        ("", (), "holds no class"),
        ("\n\n", (), "holds no class"),
        ("mug\nchair\nmug\n", (), "line 3: 'mug' is there already (line 1)"),
        ("Traffic light\ntrafficlight\n", (), "line 2: 'trafficlight' is there already"),
        ("mug\tchair\n", (), "line 1: a tab inside"),
        ("mug\n", ("--clip",), "the filter needs 2 classes or more, there is 1: mug"),
    ],
)
def test_a_class_file_that_is_none(tmp_path, capsys, text, words, told):
    (tmp_path / "classes.txt").write_text(text)
    out = tmp_path / "out"
    command = ["generate", "--classfile", str(tmp_path / "classes.txt"), "--outputdir", str(out), *words]
    assert main(command) == 2
    assert told in one_line(capsys)
    assert not out.exists()


def test_a_class_file_that_is_not_there(tmp_path, capsys):
    assert main(["generate", "--classfile", str(tmp_path / "none.txt")]) == 2
    assert "no such class file" in one_line(capsys)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--num", "0"), "`num` is 0, must be at least 1"),
        (("--threshold", "1.5"), "`filter.threshold` is 1.5, must be in [0, 1]"),
        (("--scale", "smal"), "no scale 'smal'; did you mean small?"),
        (("--formats", "pascal"), "choose one of voc, coco"),
        (("-o", "clip.templat=x"), "unknown key `clip.templat`; did you mean template?"),
    ],
)
def test_a_flag_that_makes_no_sense_leaves_no_folder(tmp_path, capsys, words, told):
    out = tmp_path / "out"
    assert main(["generate", "--outputdir", str(out), *words]) == 2
    assert told in one_line(capsys)
    assert not out.exists()


def test_a_folder_of_the_published_code_is_not_written_into(tmp_path, capsys):
    (tmp_path / "image").mkdir()
    assert main(["generate", "--outputdir", str(tmp_path), "--classfile", "voc"]) == 2
    assert "`import-archive` reads a folder of the published code" in one_line(capsys)
    assert [path.name for path in tmp_path.iterdir()] == ["image"]


def test_a_file_in_the_place_of_the_output_folder(tmp_path, capsys):
    (tmp_path / "out").write_text("mine")
    assert main(["generate", "--outputdir", str(tmp_path / "out"), "--classfile", "voc"]) == 2
    assert "a file stands where a folder is needed" in one_line(capsys)
    assert (tmp_path / "out").read_text() == "mine"


# --- weights ---


def scores_words(tmp_path, model):
    images_stage(tmp_path, [queued(0, 0)])
    command = ["scores", "--config", TINY, "-o", NAMES, "-o", f"clip.model={model}"]
    return [*command, "--images", str(tmp_path / "images"), "--out", str(tmp_path / "scores"), "--shard", "0"]


def prepare_shards(tmp_path):
    """`images_stage` with the shard in its manifest, as a gathered stage has it."""
    finished(tmp_path / "images", "images", schema=1, shards=[{"shard": 0}], counts={})


def test_weights_that_are_missing_are_exit_3_with_the_place_and_the_files(tmp_path, capsys):
    pytest.importorskip("transformers")
    words = scores_words(tmp_path, tmp_path / "weights")
    prepare_shards(tmp_path)
    assert main(words) == 3
    told = last_line(capsys)
    assert str(tmp_path / "weights") in told and "config.json" in told and "model.safetensors" in told


def test_weights_that_are_cut_off_are_named(tmp_path, capsys):
    pytest.importorskip("transformers")
    folder = tmp_path / "weights"
    folder.mkdir()
    for name in ("config.json", "tokenizer.json"):
        (folder / name).write_text("{}")
    (folder / "model.safetensors").write_bytes((100).to_bytes(8, "little") + b'{"a":')
    words = scores_words(tmp_path, folder)
    prepare_shards(tmp_path)
    assert main(words) == 2
    told = last_line(capsys)
    assert f"{folder}/model.safetensors: is damaged" in told


@pytest.fixture
def started(monkeypatch):
    """The launches, each of which ends in exit code 1 at once; signals stay with pytest."""
    found = []
    monkeypatch.setattr(launcher, "launch", lambda *args: found.append(args) or 1)
    monkeypatch.setattr(StopRequest, "install", lambda self: None)
    return found


@pytest.mark.parametrize(
    ("words", "setting", "file"),
    [
        (("--clip",), "clip.model", "model.safetensors"),
        ((), "dalle_mini.vqgan", "flax_model.msgpack"),
        (("--backend", "stablediffusion"), "diffusion.model", "model_index.json"),
    ],
)
def test_generate_finds_every_model_before_it_writes_a_prompt(
    tmp_path, monkeypatch, started, capsys, words, setting, file
):
    out = tmp_path / "out"
    monkeypatch.chdir(tmp_path)
    command = ["generate", "--classfile", "voc", "--outputdir", str(out), "--place", "venv", *words]
    assert main([*command, "-o", f"{setting}={tmp_path / 'weights'}"]) == 3
    told = one_line(capsys)
    assert str(tmp_path / "weights") in told and file in told
    assert not started and not list((out / "stages").iterdir())
    assert main(command) == 1  # with the models of this repository the first stage is started
    assert len(started) == 1


def test_what_is_done_asks_for_no_model(tmp_path):
    config = load_config(CONFIG, TINY, [f"clip.model={tmp_path}", f"dalle_mini.model={tmp_path}"])
    stages = stages_of(config)
    check_models(config, [stages["prompts"], stages["filter"], stages["export"]], "venv")
    for name in ("images", "scores-2"):
        with pytest.raises(Missing):
            check_models(config, [stages[name]], "venv")
    check_models(config, [stages["scores"]], "docker")  # a path of the container, which the stage looks into


# --- containers ---


@pytest.mark.parametrize("place", ["auto", "docker"])
def test_a_folder_that_containers_cannot_write_is_told_with_the_place_that_can(
    tmp_path, monkeypatch, started, capsys, place
):
    monkeypatch.setattr(engine, "find_engine", lambda: engine.Engine(version="28", has_gpu=False))
    monkeypatch.setattr(engine, "IMAGE_RECORD", tmp_path / "not in an image")
    monkeypatch.setenv("RUNS_DIR", str(tmp_path / "runs"))
    words = ["generate", "--classfile", "voc", "--place", place, "--device", "cpu", "--outputdir"]
    assert main([*words, str(tmp_path / "elsewhere")]) == 2
    told = one_line(capsys)
    assert f"{tmp_path / 'elsewhere'}: a container cannot write there" in told
    assert "--place venv" in told and str(tmp_path / "runs") in told
    assert not started
    assert main([*words, str(tmp_path / "runs" / "mine")]) == 1  # gets as far as the first stage


# --- a full disk ---


@pytest.fixture
def filtered(tmp_path):
    """Pictures, and the filter's decision to keep them all."""
    done = images_stage(tmp_path, [queued(0, 0), queued(1, 0), queued(2, 0)])
    rows = [
        scored(row.class_id, row.number, path=row.path, sha256=row.sha256, width=row.width, height=row.height)
        for row in done
    ]
    filter_stage(tmp_path, rows)
    return tmp_path


def export_words(folder, out="export"):
    command = ["export", "--config", TINY, "-o", NAMES, "-o", "replace.rounds=1"]
    inputs = [word for name in ("filter", "images") for word in (f"--{name}", str(folder / name))]
    return [*command, *inputs, "--out", str(folder / out)]


def test_a_disk_that_is_full_in_the_middle_of_an_export_is_one_line_and_the_same_command_goes_on(
    filtered, monkeypatch, capsys
):
    link, left = os.link, [1]

    def full(source, target, **facts):
        if not left:
            raise OSError(errno.ENOSPC, "No space left on device", str(target))
        left.pop()
        link(source, target, **facts)

    def no_copy(self, data):
        if not left:
            raise OSError(errno.ENOSPC, "No space left on device", str(self))
        return type(self).open(self, "wb").write(data)

    from pathlib import Path

    with monkeypatch.context() as patch:
        patch.setattr(os, "link", full)
        patch.setattr(Path, "write_bytes", no_copy)
        assert main(export_words(filtered)) == 2
    assert "no space left on the device; free some space and run the same command again" in last_line(capsys)
    assert not (filtered / "export").exists()
    assert main(export_words(filtered)) == 0
    assert main(export_words(filtered, "other")) == 0
    files = {
        out: {
            path.relative_to(filtered / out): path.read_bytes()
            for path in (filtered / out).rglob("*")
            if path.is_file() and path.name not in ("manifest.json", "key.json")
        }
        for out in ("export", "other")
    }
    assert files["export"] == files["other"]
