"""The training of the tiny CLIP: what it learns, its loss, its folder, and that a kill changes nothing."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from transformers import AutoTokenizer, CLIPModel, CLIPProcessor

from experiments.imaginarynet.learn import clip, clip_command, clip_eval
from experiments.imaginarynet.learn.clip import ClipLearner, ClipRecipe, multi_positive_loss, train
from experiments.imaginarynet.learn.clip_model import ClipSize, build_model, train_tokenizer, write_folder
from experiments.imaginarynet.learn.corpus import Corpus, write_corpus
from experiments.imaginarynet.learn.torch_loop import Hooks, Phase
from suite.errors import BadInput, Stopped
from tests.imaginarynet.clip.tiny_clip import SIZE

COLOURS = {"lemon": (230, 210, 40), "tree": (40, 140, 60), "potion": (120, 40, 180)}
NAMES = tuple(COLOURS)
PHASE = Phase(steps=8, batch=8, lr=2e-3, warmup=5, measure_every=4, save_every=4)
RECIPE = ClipRecipe(size=SIZE, phase=PHASE)


def coloured(count=48, *, side=16, seed=0):
    """A corpus whose classes are colours, with noise; every fourth picture is held out."""
    rng = np.random.default_rng(seed)
    ids = np.arange(count) % 3
    base = np.array([COLOURS[NAMES[index]] for index in ids])[:, None, None, :]
    noisy = (base + rng.normal(0, 12, (count, side, side, 3))).clip(0, 255)
    return Corpus(
        pictures=noisy.astype(np.uint8), captions=tuple(f"a photo of a {NAMES[index]}" for index in ids),
        class_ids=ids, class_names=NAMES, split=np.where(np.arange(count) // 3 % 4 == 3, "val", "train"),
    )  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """(folder, training.json) of an undisturbed run."""
    return trained(tmp_path_factory.mktemp("whole"))


def trained(folder, **how):
    (folder / "work").mkdir(exist_ok=True)
    return folder, train(coloured(), RECIPE, seed=3, work=folder / "work", out=folder, **how)


def weights(folder):
    return load_file(folder / clip.FOLDER / "model.safetensors")


def test_classes_that_differ_in_colour_are_told_apart_on_pictures_held_out(tmp_path):
    phase = replace(RECIPE.phase, steps=80, batch=18, measure_every=80, save_every=80)
    facts = train(coloured(), replace(RECIPE, phase=phase), seed=0, work=tmp_path, out=tmp_path)
    assert facts["held_out"]["accuracy"] == 1
    assert [row["accuracy"] for row in facts["held_out"]["classes"]] == [1, 1, 1]


def test_a_run_that_was_stopped_and_goes_on_is_the_run_that_was_not(tmp_path, whole):
    asked = []

    def stop():
        asked.append(1)
        if len(asked) == 6:
            raise Stopped("stopped")

    with pytest.raises(Stopped):
        trained(tmp_path, hooks=Hooks(check_stop=stop))
    _, facts = trained(tmp_path)
    assert facts == whole[1]
    found, expected = weights(tmp_path), weights(whole[0])
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor), name


def test_the_curve_has_a_row_for_each_measurement(whole):
    lines = (whole[0] / clip.CURVE).read_text(encoding="utf-8").splitlines()
    assert [line.partition(",")[0] for line in lines] == ["step", "4", "8"]
    assert {"caption_loss", "class_loss", "val_accuracy", "val_accuracy_soft"} < set(lines[0].split(","))


def test_the_record_has_the_accuracy_of_every_class_and_the_scales(whole):
    facts = json.loads((whole[0] / clip.FACTS).read_text(encoding="utf-8"))
    assert [row["name"] for row in facts["held_out"]["classes"]] == list(NAMES)
    assert [row["pictures"] for row in facts["held_out"]["classes"]] == [4, 4, 4]
    assert facts["filter_scale"] == 100
    assert facts["held_out"]["calibrated_scale"] in clip_eval.SCALES
    assert facts["pictures"] == {"train": 36, "val": 12}


def test_the_folder_loads_as_any_clip_and_holds_half_precision_alone(whole):
    folder = whole[0] / clip.FOLDER
    assert {tensor.dtype for tensor in weights(whole[0]).values()} == {torch.float16}
    model, report = CLIPModel.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    processor = CLIPProcessor.from_pretrained(folder)
    words = AutoTokenizer.from_pretrained(folder)(["a photo of a lemon"])["input_ids"]
    assert words == processor.tokenizer(["a photo of a lemon"])["input_ids"]
    pictures, texts = [coloured().pictures[0]], ["a lemon", "a tree"]
    seen = processor(text=texts, images=pictures, return_tensors="pt", padding=True)
    assert model(**seen).logits_per_image.shape == (1, 2)


def test_the_embedded_size_is_at_most_three_megabytes(tmp_path):
    size = ClipSize()
    tokenizer = train_tokenizer([f"word{index} of many" for index in range(300)], merges=size.merges)
    write_folder(tmp_path, build_model(size, tokenizer, seed=0), tokenizer)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 3_000_000


def test_another_seed_is_another_model(tmp_path):
    first, second = (ClipLearner(coloured(), RECIPE, seed=seed).model.clip for seed in (0, 1))
    assert not torch.equal(first.visual_projection.weight, second.visual_projection.weight)


def test_the_scale_of_the_class_loss_grows_to_that_of_the_filter():
    learner = ClipLearner(coloured(), RECIPE, seed=0)
    scales = []
    for step in range(RECIPE.phase.steps + 1):
        learner.steps = step
        scales.append(learner._class_scale())
    assert scales[0] == pytest.approx(10)
    assert scales[2] == pytest.approx(10**1.5)
    assert scales == sorted(scales)
    assert scales[4:] == pytest.approx([100] * 5)


# --- the loss ---


def test_one_picture_for_each_text_is_the_loss_of_clip():
    logits = torch.randn(5, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    same = torch.arange(5)
    expected = (F.cross_entropy(logits, same) + F.cross_entropy(logits.T, same)) / 2
    torch.testing.assert_close(multi_positive_loss(logits, same), expected)


def test_pictures_of_one_text_are_partners_of_it_alike():
    place = torch.tensor([0, 0, 1])
    right = torch.tensor([[50.0, 0], [50.0, 0], [0, 50.0]])
    # From the pictures' side nothing is left to gain; one of two texts has two partners, which costs log 2.
    assert float(multi_positive_loss(right, place)) == pytest.approx(0.5 * np.log(2) / 2, abs=1e-6)
    swapped = multi_positive_loss(right[[1, 0, 2]], place)
    assert float(swapped) == float(multi_positive_loss(right, place))


# --- the tokenizer ---

TOKENIZER = train_tokenizer(["a photo of a red mug", "a photo of a lemon on a wooden floor"], merges=40)


@settings(deadline=None)
@given(st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=12))
def test_no_text_is_unknown_to_the_tokenizer(text):
    ids = TOKENIZER(text)["input_ids"]
    # The mark of the end is also what the published tokenizer calls unknown.
    assert ids[0] == TOKENIZER.bos_token_id
    assert ids.index(TOKENIZER.eos_token_id) == len(ids) - 1


def test_a_frequent_word_is_one_token_and_case_does_not_matter():
    assert len(TOKENIZER("photo")["input_ids"]) == 3
    assert TOKENIZER("A Photo")["input_ids"] == TOKENIZER("a photo")["input_ids"]


# --- what is measured ---


def test_figures_are_shares_of_the_pictures_held_out(monkeypatch):
    cosines = torch.tensor([[0.10, 0.00, 0.0], [0.10, 0.098, 0.0], [0.0, 0.1, 0.0], [0.2, 0.1, 0.0]])
    monkeypatch.setattr(clip_eval, "cosines", lambda *args, soft=False: -cosines if soft else cosines)
    corpus = replace(coloured(4), class_ids=np.array([0, 0, 1, 1]))
    found = clip_eval.measure(None, None, corpus, scale=100.0)
    assert (found.accuracy, found.kept, found.wrong) == (0.75, 0.5, 0.25)
    assert found.accuracy_soft == 0
    rows = {row["name"]: row for row in found.classes}
    assert (rows["lemon"]["accuracy"], rows["lemon"]["kept"]) == (1.0, 0.5)
    assert rows["tree"]["accuracy"] == 0.5
    assert rows["potion"] == {"name": "potion", "pictures": 0, "accuracy": None, "accuracy_soft": None,
                              "kept": None, "kept_soft": None}  # fmt: skip
    assert found.loss == pytest.approx(
        float(F.cross_entropy(100 * cosines, torch.tensor([0, 0, 1, 1]))), rel=1e-6
    )


# --- what is refused, and the command ---


@pytest.mark.parametrize(
    ("corpus", "what"),
    [
        (coloured(side=8), "pictures of 8 pixels, the model 16"),
        (replace(coloured(), split=np.full(48, "train")), "both splits"),
        (replace(coloured(), class_names=("one",), class_ids=np.zeros(48, int)), "at least 2 classes"),
    ],
)
def test_a_corpus_that_it_cannot_learn_from_is_refused(corpus, what):
    with pytest.raises(BadInput, match=what):
        ClipLearner(corpus, RECIPE, seed=0)


def test_the_command_leaves_a_finished_folder_and_is_then_up_to_date(tmp_path, monkeypatch, capsys):
    corpus, out = coloured(), tmp_path / "out"
    write_corpus(tmp_path / "corpus", corpus, ids=[str(index) for index in range(len(corpus))], made={})
    monkeypatch.setattr(clip, "ClipRecipe", lambda: RECIPE)
    words = ["--corpus", str(tmp_path / "corpus"), "--out", str(out), "--steps", "2", "--threads", "1"]
    assert clip_command.main(words) == 0
    assert "held out: top-1" in capsys.readouterr().out
    assert sorted(path.name for path in out.iterdir()) == [
        "clip", "clip_curve.csv", "key.json", "manifest.json", "training.json",
    ]  # fmt: skip
    assert clip_command.main(words) == 0
    assert capsys.readouterr().out == "train-clip: up to date\n"
    assert clip_command.main([*words, "--seed", "1"]) == 2
    assert "holds something else" in capsys.readouterr().err


@pytest.mark.parametrize("flag", ["--steps", "--batch", "--lr", "--threads"])
def test_a_flag_of_zero_is_refused_in_one_line(tmp_path, capsys, flag):
    words = ["--corpus", str(tmp_path), "--out", str(tmp_path / "out"), flag, "0"]
    assert clip_command.main(words) == 2
    assert f"{flag} 0" in capsys.readouterr().err
