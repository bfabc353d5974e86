"""The commands: names, two forms, errors; and the published workflow by hand, end to end."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from experiments.gafi import cli
from experiments.gafi.cli import BY_HAND, CHAIN, build_parser, main, overview, verb_of
from experiments.gafi.config import CONFIGS
from experiments.gafi.stages import STAGES
from suite import whole_chain
from suite.provenance import ROOT

TINY = str(CONFIGS / "tiny.yaml")
FEW = [
    "--config", TINY, "-o", "SUBSET.train=40", "-o", "SUBSET.val=20", "-o", "SUBSET.test=20",
    "--batch_size", "8",
]  # fmt: skip


# --- names and forms ---


@pytest.mark.parametrize(
    ("word", "verb"),
    [
        ("train_classifier", "train-classifier"),
        ("train_classifier.py", "train-classifier"),
        ("train_gan.py", "train-gan"),
        ("train_gain", "train-gan"),
        ("train_gain.py", "train-gan"),
        ("run_pipeline", "run-pipeline"),
        ("run_multigan.py", "run-multigan"),
        ("run-multigan", "run-multigan"),
    ],
)
def test_published_names_are_commands(word, verb):
    assert verb_of(word) == verb and verb in BY_HAND


def test_the_overview_names_every_command():
    assert all(f"  {name} " in overview() for name in [*BY_HAND, *CHAIN, *STAGES])


@pytest.mark.parametrize("words", [["-h"], ["--help"], ["help"]])
def test_help_is_no_error(words, capsys):
    assert main(words) == 0
    assert capsys.readouterr().out.startswith("usage: python -m experiments.gafi COMMAND")


def test_no_command_at_all_shows_the_help_and_is_an_error(capsys):
    assert main([]) == 2
    assert "by hand:" in capsys.readouterr().out


def test_the_help_of_a_command_shows_its_form_as_a_stage():
    assert "as a stage: python -m experiments.gafi train-gan" in " ".join(
        build_parser("train-gan").epilog.split()
    )
    assert build_parser("run-pipeline").epilog is None


@pytest.mark.parametrize("verb", BY_HAND)
def test_with_out_a_command_is_a_stage_and_without_it_is_by_hand(verb, monkeypatch, tmp_path):
    called = []
    monkeypatch.setattr(cli.stage_cli, "main", lambda *args: called.append(("stage", args[3])) or 0)
    monkeypatch.setattr(
        cli, "command_of", lambda verb: lambda config, **_: called.append(("hand", verb)) or []
    )
    assert main([verb, "--config", TINY]) == 0
    assert called == [("hand", verb)]
    if verb in STAGES:
        assert main([verb, "--config", TINY, "--out", str(tmp_path / "x")]) == 0
        assert called[1] == ("stage", [verb, "--config", TINY, "--out", str(tmp_path / "x")])


def test_stages_without_a_form_by_hand_are_always_stages(monkeypatch):
    called = []
    monkeypatch.setattr(cli.stage_cli, "main", lambda *args: called.append(args[3]) or 0)
    assert main(["ckpt", "--config", TINY]) == 0
    assert called == [["ckpt", "--config", TINY]]


def test_the_folder_of_the_data_is_a_setting(monkeypatch):
    seen = []
    monkeypatch.setattr(
        cli, "command_of", lambda verb: lambda config, **rest: seen.append((config, rest)) or []
    )
    assert main(["train-classifier", "--data_dir", "some/where", "--device", "cuda", "--force"]) == 0
    ((config, rest),) = seen
    assert config.SUBSET.folder == "some/where" and rest == {"device": "cuda", "force": True}


# --- what is refused ---


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["train-gans"], "no command 'train-gans'; did you mean train-gan"),
        (["train-gan", "--sed", "3"], "unknown flag --sed; did you mean --seed"),
        (["train_classifier.py", "--cfg_file", "nowhere.yaml"], "nowhere.yaml: cannot read the config file"),
        (["run-pipeline", "--threshold_search", "[1.0]"], "a threshold is at least 0 and below 1"),
        (["run-pipeline", "--ckpt_epochs", "(9, 1, 1)"], "an empty grid"),
        (["train-gan", "--dataset", "MNIST"], "no data set 'MNIST'"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(words, told, capsys):
    assert main(words) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1 and told in said.err


def test_without_the_workflow_reproduce_says_what_to_type(monkeypatch, capsys):
    monkeypatch.setattr(whole_chain, "WORKFLOW", ("no/such/python",))
    assert main(["reproduce", "--scale", "tiny"]) == 3
    assert "make reproduce-gafi" in capsys.readouterr().err


def test_reproduce_becomes_the_command_of_the_suite(monkeypatch, tmp_path):
    became = []
    monkeypatch.setattr(whole_chain, "workflow_python", lambda: "/x/.tox/workflow/bin/python")
    monkeypatch.setattr(os, "execv", lambda program, words: became.append(words))
    monkeypatch.chdir(tmp_path)
    main(["reproduce", "--scale", "tiny"])
    words = ["/x/.tox/workflow/bin/python", "-m", "suite", "reproduce", "gafi", "--scale", "tiny"]
    assert became == [words] and Path.cwd() == ROOT
    monkeypatch.setattr(whole_chain, "workflow_python", lambda: "/opt/workflow/bin/python")
    main(["reproduce"])
    assert became[1][-2:] == ["--place", "here"]


def test_report_of_a_run_that_is_not_done_names_what_is_left(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("RUNS_DIR", str(tmp_path))
    assert main(["report", "--scale", "tiny"]) == 3
    told = capsys.readouterr().err
    assert "not done yet: import, train-classifier" in told and "reproduce --scale tiny --seed 0" in told


def test_a_seed_in_the_environment_that_is_no_number_is_one_line(monkeypatch, capsys):
    monkeypatch.setenv("SEED", "first")
    assert main(["report", "--scale", "tiny"]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and "argument --seed: invalid int value: 'first'" in told


def test_a_python_without_the_framework_is_one_line_that_names_the_right_one(monkeypatch, capsys):
    def command(config, **_):
        raise ModuleNotFoundError("No module named 'keras'", name="keras")
        yield

    monkeypatch.setattr(cli, "command_of", lambda verb: command)
    assert main(["train-gan"]) == 3
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and "has no keras; use .tox/tensorflow/bin/python" in told


def test_the_program_starts_without_a_framework_until_it_trains():
    code = (
        "import sys; sys.modules['keras'] = sys.modules['tensorflow'] = None\n"
        "from experiments.gafi.cli import main; sys.exit(main(['train_gain.py', '--bad']))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)


# --- by hand, end to end ---


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Ten classes of 28x28 pictures that a linear rule tells apart, as the user's own .npz."""
    rng = np.random.default_rng(0)
    arrays = {}
    for split, number in (("train", 80), ("val", 40), ("test", 40)):
        labels = np.arange(number) % 10
        images = rng.integers(0, 40, (number, 28, 28), dtype=np.uint8)
        images[np.arange(number), 2 * labels + 4] = 250
        arrays |= {f"{split}_images": images, f"{split}_labels": labels.astype(np.int64)}
    path = tmp_path_factory.mktemp("data") / "mine.npz"
    np.savez(path, **arrays)
    return path


def run(verb, *words):
    """A command by hand in its own process, as a user types it: (exit code, lines on stdout, stderr)."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "experiments.gafi", verb, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
    return done.returncode, done.stdout.splitlines(), done.stderr


@pytest.mark.slow
def test_the_published_workflow_by_hand(data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    common = [*FEW, "--data_dir", data]
    gans = [
        f"BigGAN_Deep_StudioGAN_fashionmnist_resized16_normalized_seed{seed}_3discStep" for seed in (3, 4)
    ]
    below = Path("save/Models/BigGAN/FashionMNIST")

    code, _, told = run("run_pipeline.py", *common, "--gan_name", gans[0])
    assert code == 3 and "no GAN of this name; train it" in told and "--seed 3" in told

    code, lines, _ = run("train_classifier.py", *common)
    name = "pretrained_resnet20_fashionmnist_sgdw_resized16_normalized_erasing"
    folder = Path("save/Models/Classifiers/FashionMNIST", name)
    assert code == 0 and lines[0] == "train-classifier: done" and Path(lines[-1]).samefile(folder)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    code, lines, _ = run("train_classifier", *common)
    assert code == 0 and lines[0] == "train-classifier: up to date"
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    code, _, told = run("train-classifier", *common, "--lr", "0.05")
    assert code == 2 and f"{name}: holds a result of other settings" in told
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before

    for seed, gan in zip((3, 4), gans, strict=True):
        assert run("train_gain.py", *common, "--seed", seed)[0] == 0
        assert (below / gan / "checkpoints/ema_generator_epoch002.npz").is_file()
        code, lines, _ = run("run_pipeline", *common, "--gan_name", gan, "--steps", "all")
        assert code == 0 and lines[-2].startswith("CAS: test accuracy")
        search = below / gan / "pipeline/resnet20_8classSamples_bs8_sgdw_erasing"
        for step in ("ckpt", "stddev", "threshold"):
            rows = (search / f"{step}_optimization/results.csv").read_text().splitlines()
            assert rows[0] == "checkpoint_name,val_accuracy" and len(rows) == 3
        assert len((search / "best_hyperparameters/results.csv").read_text().splitlines()) == 2

    code, lines, _ = run("run_multigan.py", *common, "--gan_names", ",".join(gans))
    together = below / "MultiGAN/resnet20_8classSamples_bs8_sgdw_erasing/seed_3_4"
    assert code == 0 and Path(lines[-1]).samefile(together)
    chosen = json.loads((together / "run_config.json").read_text())["gans"]
    assert [gan["seed"] for gan in chosen] == [3, 4]
    assert 0 <= json.loads((together / "test.json").read_text())["test_accuracy"] <= 1


@pytest.mark.slow
def test_reload_trains_more_epochs_and_force_keeps_what_was_there(data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    common = [*FEW, "--data_dir", data, "--seed", "3"]
    folder = Path("save/Models/BigGAN/FashionMNIST").absolute()
    folder /= "BigGAN_Deep_StudioGAN_fashionmnist_resized16_normalized_seed3_3discStep"
    code, _, told = run("train-gan", *common, "--epochs", "1", "--reload")
    assert code == 2 and "no finished GAN to reload" in told
    assert run("train-gan", *common, "--epochs", "1")[0] == 0
    (folder / "pipeline").mkdir()
    (folder / "pipeline/mine.txt").write_text("a search")
    first = (folder / "checkpoints/ema_generator_epoch001.npz").read_bytes()
    assert run("train-gan", *common, "--epochs", "2")[0] == 2
    code, lines, _ = run("train-gan", *common, "--epochs", "2", "--reload")
    assert code == 0 and lines[0] == "train-gan: done"
    assert (folder / "checkpoints/ema_generator_epoch001.npz").read_bytes() == first
    assert (folder / "pipeline/mine.txt").read_text() == "a search"
    straight = [*common, "--epochs", "2", "--extra_name", "straight"]
    assert run("train-gan", *straight)[0] == 0
    name = "checkpoints/ema_generator_epoch002.npz"
    assert (folder / name).read_bytes() == (folder.with_name(f"{folder.name}_straight") / name).read_bytes()
    code, lines, _ = run("train-gan", *common, "--epochs", "1", "--force")
    assert code == 0 and lines[0] == f"{folder} is now {folder}_old1"
    assert not (folder / name).exists() and (folder.with_name(f"{folder.name}_old1") / name).is_file()
