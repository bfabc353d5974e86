"""Commands by hand, end to end on next to nothing: images, a training from them, what it is worth."""

import csv
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from experiments.sample_synthesis.cli import main

keras = pytest.importorskip("keras")

FEW = ["--scale", "tiny", "--steps", "2", "--epochs", "1"]


def run(*words):
    return main([str(word) for word in words])


def digests(folder: Path, *, but=("manifest.json", "key.json", "config.yaml")) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name not in but)
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


# --- synth ---


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory) -> Path:
    """Eight synthetic images of QR codes."""
    out = tmp_path_factory.mktemp("by-hand") / "qr_codes_fake"
    assert run("synth", "--scale", "tiny", "--num", "8", "--seed", "3", "--out", out) == 0
    return out


def test_synth_writes_the_published_layout_and_coco(synthetic):
    names = [f"{number:05d}.jpg" for number in range(1, 9)]
    assert sorted(path.name for path in (synthetic / "images").iterdir()) == names
    rows = read_csv(synthetic / "qr_codes_fake.csv")
    assert list(rows[0]) == ["image_id", "xmin", "ymin", "xmax", "ymax", "label"]
    assert {row["label"] for row in rows} == {"qr_code"}
    assert {row["image_id"] for row in rows} == {name.removesuffix(".jpg") for name in names}
    coco = json.loads((synthetic / "coco.json").read_text())
    assert (len(coco["images"]), len(coco["annotations"])) == (8, len(rows))


def test_neither_workers_nor_the_length_change_an_image(synthetic, tmp_path):
    common = ["synth", "--scale", "tiny", "--seed", "3"]
    assert run(*common, "--num", "8", "--workers", "2", "--out", tmp_path / "two") == 0
    assert digests(tmp_path / "two") == digests(synthetic)
    assert run(*common, "--num", "3", "--out", tmp_path / "few") == 0
    few, all_of_them = digests(tmp_path / "few/images"), digests(synthetic / "images")
    assert len(few) == 3 and few.items() <= all_of_them.items()


def test_another_seed_makes_other_images(synthetic, tmp_path):
    assert run("synth", "--scale", "tiny", "--num", "8", "--seed", "4", "--out", tmp_path / "other") == 0
    other, first = digests(tmp_path / "other/images"), digests(synthetic / "images")
    assert not set(other.values()) & set(first.values())


@pytest.mark.parametrize("variant", ["masked", "naive"])
def test_faces_come_in_variants_without_a_data_set(tmp_path, variant):
    words = ["synth", "--object", "face", "--scale", "tiny", "--num", "2", "--variant", variant]
    assert run(*words, "--out", tmp_path / "faces") == 0
    assert {row["label"] for row in read_csv(tmp_path / "faces/faces_fake.csv")} == {"face"}


def test_the_faces_of_the_published_code_are_frames(tmp_path):
    words = ["synth", "--object", "face", "--scale", "tiny", "--num", "6"]
    assert run(*words, "--out", tmp_path / "ours") == 0
    assert run(*words, "--compat", "upstream", "--out", tmp_path / "theirs") == 0

    def area(folder):
        rows = read_csv(tmp_path / folder / "faces_fake.csv")
        return sum((int(r["xmax"]) - int(r["xmin"])) * (int(r["ymax"]) - int(r["ymin"])) for r in rows)

    assert area("theirs") > area("ours")


# --- train, evaluate ---


@pytest.fixture(scope="module")
def real(tmp_path_factory) -> Path:
    """`data/` with a QR data set of 12 pictures."""
    root = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    (root / "qr_codes/images").mkdir(parents=True)
    for split, ids in {"train": range(6), "valid": range(6, 8), "test": range(8, 12)}.items():
        rows = ["image_id,xmin,ymin,xmax,ymax"]
        for number in ids:
            noise = rng.integers(0, 256, (64, 64, 3), np.uint8)
            Image.fromarray(noise).save(root / f"qr_codes/images/{number}.jpg")
            rows.append(f"{number},10,10,40,42")
        (root / f"qr_codes/qr_codes_{split}.csv").write_text("\n".join(rows) + "\n")
    return root


@pytest.fixture(scope="module")
def on_real(real):
    """Words that name the real images."""
    return ["--data-dir", real, "-o", "qr.real={kind: qr_csv, folder: data/qr_codes}"]


@pytest.fixture(scope="module")
def pretrained(synthetic, on_real, tmp_path_factory) -> Path:
    """A detector that saw the synthetic images."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATA_DIR", "data")
        out = tmp_path_factory.mktemp("trained") / "pretrained"
        words = ["train", *FEW, "--arm", "pretrain", "--synthetic", synthetic, "--out", out, *on_real]
        assert run(*words) == 0
    return out


@pytest.fixture(autouse=True)
def own_data_dir(monkeypatch):
    """--data-dir is an environment variable from then on."""
    monkeypatch.setenv("DATA_DIR", "data")


def test_training_leaves_what_a_cell_of_a_run_leaves(pretrained):
    names = {path.name for path in pretrained.iterdir()}
    assert {"weights.npz", "history.json", "predictions_test.npz", "cell.json"} <= names
    facts = json.loads((pretrained / "cell.json").read_text())
    assert facts["cell"]["arm"] == "pretrained" and facts["steps"] == 2


def test_finetuning_starts_from_the_pretrained_weights_and_changes_them(pretrained, on_real, tmp_path):
    out = tmp_path / "finetuned"
    words = ["train", *FEW, "--arm", "finetune", "--real-n", "4", "--weights", pretrained / "weights.npz"]
    assert run(*words, "--out", out, *on_real) == 0
    before = json.loads((pretrained / "cell.json").read_text())
    after = json.loads((out / "cell.json").read_text())
    assert after["initial_sha256"] == before["weights_sha256"] != after["weights_sha256"]


def test_the_stream_feeds_training_without_files(on_real, tmp_path):
    words = ["train", *FEW, "--arm", "mixed", "--real-n", "3", "--factor", "2", "-o", "train.batch=2"]
    assert run(*words, "--out", tmp_path / "mixed", *on_real) == 0
    facts = json.loads((tmp_path / "mixed/cell.json").read_text())
    assert (facts["cell"]["arm"], facts["cell"]["factor"], facts["steps"]) == ("mixed", 2, 4)


@pytest.mark.parametrize(
    ("metric", "names"), [("compat", ["compat_map"]), ("voc", ["voc_ap"]), ("coco", ["coco_ap", "coco_ap50"])]
)
def test_evaluate_prints_each_metric(pretrained, on_real, capsys, metric, names):
    words = ["evaluate", "--scale", "tiny", "--weights", pretrained / "weights.npz", "--metric", metric]
    assert run(*words, *on_real) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "qr, tiny, test: 4 images"
    assert [line.partition(":")[0] for line in lines[1:]][: len(names)] == names


def test_weights_of_another_architecture_are_one_line(pretrained, on_real, tmp_path, capsys):
    words = ["train", *FEW, "--arm", "finetune", "--real-n", "2", "--arch", "mobilenet", "--init", "random"]
    words += ["--weights", pretrained / "weights.npz", "--out", tmp_path / "x", *on_real]
    assert run(*words) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "weights.npz: weights of another architecture: tiny, not mobilenet" in error


def test_weights_that_are_none_are_one_line(tmp_path, on_real, capsys):
    (tmp_path / "weights.npz").write_bytes(b"nothing")
    assert run("evaluate", "--scale", "tiny", "--weights", tmp_path / "weights.npz", *on_real) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"error: {tmp_path}/weights.npz: ")


def test_more_real_images_than_there_are_is_one_line(on_real, tmp_path, capsys):
    words = ["train", *FEW, "--arm", "scratch", "--real-n", "99", "--out", tmp_path / "x", *on_real]
    assert run(*words) == 2
    assert "99" in capsys.readouterr().err.splitlines()[-1]


# --- ablate ---


@pytest.mark.slow
def test_an_ablation_leaves_its_published_table(on_real, tmp_path, capsys):
    words = ["ablate", "pretraining", "--scale", "tiny", "--out", tmp_path / "ablation", *on_real]
    assert run(*words) == 0
    table = tmp_path / "ablation/qr-evaluate/results_pretraining_ablation.csv"
    assert str(table) in capsys.readouterr().out.splitlines()
    rows = read_csv(table)
    assert {(row["train_type"], row["num_real_samples"], row["num_fake_samples"]) for row in rows} == {
        (arm, "3", "3") for arm in ("mixed", "pretrained", "finetuned")
    }
