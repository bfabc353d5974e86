"""The stage contract on real processes: what a kill, a stop, a lost file, a changed setting leave."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from suite import manifest as manifest_file

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def toy(tmp_path):
    config = tmp_path / "toy.yaml"
    config.write_text("numbers: 12\nshard_size: 4\n")

    def command(verb, *words, out=None, inputs=True):
        line = [
            sys.executable,
            "-m",
            "tests.suite.toy",
            verb,
            "--config",
            str(config),
            "--out",
            str(out or tmp_path / verb),
        ]
        if verb == "squares" and inputs:
            line += ["--numbers", str(tmp_path / "numbers")]
        return [*line, *words]

    def run(verb, *words, **options):
        return subprocess.run(
            command(verb, *words, **options), cwd=ROOT, capture_output=True, text=True, check=False
        )

    run.command, run.folder, run.config = command, tmp_path, config
    return run


def manifest(folder):
    return json.loads((folder / "manifest.json").read_text())


def squares(folder):
    shards = sorted(folder.glob("[0-9]*/squares.json"))
    return [value for shard in shards for value in json.loads(shard.read_text())]


def events(text):
    return [line for line in text.splitlines() if "squared index=" in line]


def test_a_finished_stage_leaves_a_manifest_and_nothing_else_in_the_way(toy):
    done = toy("numbers")
    assert done.returncode == 0, done.stderr
    tree = manifest(toy.folder / "numbers")
    assert tree["counts"] == {"numbers": 12}
    assert [row["path"] for row in tree["outputs"]] == ["config.yaml", "sub/numbers.json"]
    assert tree["key_parts"]["config"] == {"numbers": 12}
    assert tree["packages"]["numpy"] == tree["key_parts"]["packages"]["numpy"]
    assert tree["wall_seconds"] >= 0 and tree["peak_rss_bytes"] > 1e6 and tree["host"]["cores"] >= 1
    assert not (toy.folder / "numbers.part").exists()


def test_a_second_call_changes_nothing_and_says_so(toy):
    toy("numbers")
    before = (toy.folder / "numbers" / "manifest.json").stat().st_mtime_ns
    again = toy("numbers")
    assert again.stdout.strip() == "toy.numbers: up to date"
    assert (toy.folder / "numbers" / "manifest.json").stat().st_mtime_ns == before


def test_a_setting_that_does_not_matter_does_not_rerun_the_stage(toy):
    toy("numbers")
    assert "up to date" in toy("numbers", "-o", "note=changed", "-o", "shard_size=5").stdout
    assert "up to date" not in toy("numbers", "-o", "numbers=13").stdout


def test_the_seed_is_part_of_the_key_and_of_the_result(toy):
    toy("numbers", "--seed", "0", out=toy.folder / "a")
    toy("numbers", "--seed", "1", out=toy.folder / "b")
    one, two = (toy.folder / name / "sub" / "numbers.json" for name in "ab")
    assert one.read_text() != two.read_text()
    assert manifest(toy.folder / "a")["key"] != manifest(toy.folder / "b")["key"]


def test_a_changed_input_reruns_the_stages_behind_it(toy):
    toy("numbers")
    toy("squares")
    toy("numbers", "--seed", "5")
    assert "up to date" not in toy("squares").stdout


def test_shards_and_one_process_give_the_same_result(toy):
    toy("numbers")
    assert toy("squares", out=toy.folder / "whole").returncode == 0
    listed = json.loads(toy("squares", "--list-missing").stdout)
    assert listed == {"missing": [0, 1, 2], "total": 3, "done": False}
    for shard in (2, 0, 1):
        assert toy("squares", "--shard", f"{shard}/3").returncode == 0
    assert toy("squares", "--gather").returncode == 0
    assert squares(toy.folder / "squares") == squares(toy.folder / "whole")
    one, two = manifest(toy.folder / "squares"), manifest(toy.folder / "whole")
    assert one["key"] == two["key"] and one["counts"] == two["counts"] == {"squares": 12}
    assert [s["outputs_sha256"] for s in one["shards"]] == [s["outputs_sha256"] for s in two["shards"]]


def test_gathering_before_all_shards_are_there_is_refused(toy):
    toy("numbers")
    toy("squares", "--shard", "1")
    done = toy("squares", "--gather")
    assert done.returncode == 2 and "2 of 3 shards are missing: 0, 2" in done.stderr
    assert not (toy.folder / "squares").exists()


@pytest.mark.parametrize("loss", ["file", "manifest", "truncated"])
def test_only_a_lost_shard_is_done_again(toy, loss):
    toy("numbers")
    toy("squares")
    shard = toy.folder / "squares" / "00001"
    if loss == "truncated":
        (shard / "squares.json").write_text("[")
    else:
        (shard / ("squares.json" if loss == "file" else "manifest.json")).unlink()
    done = toy("squares")
    assert done.returncode == 0 and len(events(done.stderr)) == 4
    assert len(squares(toy.folder / "squares")) == 12


def test_killed_at_random_moments_it_ends_as_if_undisturbed(toy):
    toy("numbers")
    toy("squares", out=toy.folder / "undisturbed")
    dice, log = random.Random(7), ""
    for _ in range(6):
        process = subprocess.Popen(
            toy.command("squares", "-o", "pause=0.05"),
            cwd=ROOT,
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        time.sleep(dice.uniform(0.1, 0.8))
        process.send_signal(signal.SIGKILL)
        log += process.communicate()[1]
    last = toy("squares")
    assert last.returncode == 0, last.stderr
    assert squares(toy.folder / "squares") == squares(toy.folder / "undisturbed")
    one, two = manifest(toy.folder / "squares"), manifest(toy.folder / "undisturbed")
    assert one["key"] == two["key"]
    assert [s["outputs_sha256"] for s in one["shards"]] == [s["outputs_sha256"] for s in two["shards"]]
    told = events(log + last.stderr)
    assert len(told) == len(set(told)), "an item was done twice"


def test_sigterm_ends_in_75_after_the_item_at_hand_and_the_same_command_goes_on(toy):
    toy("numbers")
    process = subprocess.Popen(
        toy.command("squares", "-o", "pause=0.2"),
        cwd=ROOT,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    for line in process.stderr:
        if "squared" in line:
            process.send_signal(signal.SIGTERM)
            break
    rest = process.communicate()[1]
    assert process.returncode == 75
    assert "stopped by SIGTERM" in rest and "Traceback" not in rest
    kept = 1 + len(events(rest))
    done = toy("squares")
    assert done.returncode == 0 and len(events(done.stderr)) == 12 - kept


def test_work_of_another_key_is_discarded(toy):
    toy("numbers")
    toy("squares", "--shard", "0")
    done = toy("squares", "-o", "shard_size=6")
    assert done.returncode == 0 and len(events(done.stderr)) == 12
    assert len(squares(toy.folder / "squares")) == 12


def test_a_kill_while_old_work_is_discarded_leaves_nothing_that_is_refused(tmp_path, monkeypatch):
    part = tmp_path / "out.part"
    manifest_file.open_part(part, "old")
    (part / "half.json").write_text("{}")

    def killed(folder):
        (folder / "key.json").unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(manifest_file.shutil, "rmtree", killed)
        manifest_file.open_part(part, "new")
    manifest_file.refuse_foreign(tmp_path / "out", part)
    manifest_file.open_part(part, "new")
    assert [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.rglob("*"))] == [
        "out.part",
        "out.part/key.json",
    ]


def test_two_processes_do_not_work_in_one_folder(toy):
    toy("numbers")
    toy("squares", "--list-missing")
    first = subprocess.Popen(
        toy.command("squares", "--shard", "0", "-o", "pause=0.5"), cwd=ROOT, stderr=subprocess.PIPE, text=True
    )
    next(line for line in first.stderr if "squared" in line)
    second = toy("squares", "--shard", "0")
    first.kill()
    first.communicate()
    assert second.returncode == 2 and "another process works on this" in second.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("-o", "nubmers=3"), "unknown key `nubmers`; did you mean numbers?"),
        (("-o", "numbers=many"), "`numbers` is 'many'; expected int"),
        (("-o", "numbers"), "is not of the form key=value"),
        (("--seed", "-1"), "--seed -1 is negative"),
    ],
)
def test_bad_flags_end_in_one_line_and_exit_code_2(toy, words, told):
    done = toy("numbers", *words)
    assert done.returncode == 2 and told in done.stderr
    assert "Traceback" not in done.stderr and not (toy.folder / "numbers").exists()


def test_a_missing_input_names_the_stage(toy):
    done = toy("squares")
    assert done.returncode == 2 and "--numbers is not a finished stage" in done.stderr


def test_an_output_folder_that_cannot_be_made_ends_in_one_line(toy):
    (toy.folder / "file").write_text("")
    done = toy("numbers", out=toy.folder / "file" / "below")
    assert done.returncode == 2 and len(done.stderr.strip().splitlines()[-1:]) == 1
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a mount")
def test_a_full_disk_ends_in_one_line_and_the_same_command_goes_on(toy):
    disk = toy.folder / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)], check=True)
    try:
        toy("numbers")
        (disk / "filler").write_bytes(b"0" * 40_000)
        done = toy("squares", out=disk / "squares")
        assert done.returncode == 2 and "no space left" in done.stderr and "Traceback" not in done.stderr
        (disk / "filler").unlink()
        subprocess.run(["mount", "-o", "remount,size=1m", str(disk)], check=True)
        assert toy("squares", out=disk / "squares").returncode == 0
        assert len(squares(disk / "squares")) == 12
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize("name", ["numbers", "numbers.part"])
@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_no_stage_has_made_is_refused_and_stays(toy, name, kind):
    place = toy.folder / name
    place.mkdir(parents=True) if kind == "folder" else place.parent.mkdir(parents=True, exist_ok=True)
    mine = place / "mine.txt" if kind == "folder" else place
    mine.write_text("mine")
    done = toy("numbers")
    assert done.returncode == 2 and str(place) in done.stderr and "Traceback" not in done.stderr
    assert mine.read_text() == "mine"
