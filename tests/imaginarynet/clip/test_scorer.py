"""The scorer: probabilities by the definition, one model, texts encoded once, whatever the batch."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import CLIPModel, CLIPProcessor, CLIPTokenizer

from experiments.imaginarynet.clip.scorer import ClipScorer
from experiments.imaginarynet.config_sections import ClipConfig
from suite.errors import BadInput
from tests.imaginarynet.candidates import CLASSES, picture
from tests.imaginarynet.clip.tiny_clip import TEXTS, write_clip

SETTINGS = ClipConfig(batch=4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def scorer(folder):
    return ClipScorer.load(folder, CLASSES, SETTINGS)


def pictures(count, **size):
    return [picture(seed, **{"height": 20, "width": 30, **size}) for seed in range(count)]


def test_probabilities_sum_to_one_and_there_is_one_for_every_class(scorer):
    scores = scorer.scores(pictures(6))
    assert scores.shape == (6, 3)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores.sum(1), 1, atol=1e-6)


def test_scores_are_the_softmax_of_a_hundred_cosines_as_transformers_computes_them(folder, scorer):
    model = CLIPModel.from_pretrained(folder, dtype=torch.float32).eval()
    processor = CLIPProcessor.from_pretrained(folder)
    some = pictures(3)
    images = [Image.fromarray(one) for one in some]
    words = processor(text=TEXTS, return_tensors="pt", padding=True)
    with torch.inference_mode():
        # The folder's own preprocessing, by Pillow as in the scorer.
        pixels = scorer.processor(images, return_tensors="pt")["pixel_values"]
        found = model(pixel_values=pixels, **words)
    cosines = (found.image_embeds @ found.text_embeds.T).double().numpy()
    expected = np.exp(100 * cosines) / np.exp(100 * cosines).sum(1, keepdims=True)
    np.testing.assert_allclose(scorer.scores(some), expected, atol=2e-5)


def test_the_scale_of_the_settings_is_used(folder, scorer):
    softer = ClipScorer.load(folder, CLASSES, replace(SETTINGS, scale=50.0))
    some = pictures(3)
    # Half the scale is the square root of each probability, normalised again.
    roots = np.sqrt(scorer.scores(some).astype(np.float64))
    np.testing.assert_allclose(softer.scores(some), roots / roots.sum(1, keepdims=True), atol=1e-5)


def test_a_score_depends_on_its_own_picture_alone(scorer):
    some = pictures(7)
    together = scorer.scores(some)
    for index in (0, 3, 6):
        np.testing.assert_array_equal(scorer.scores(some[index : index + 1])[0], together[index])
    np.testing.assert_array_equal(scorer.scores(some[::-1]), together[::-1])


def test_pictures_of_different_sizes_go_through_one_call(scorer):
    mixed = [*pictures(1), *pictures(1, height=16, width=16), *pictures(1, height=64, width=17)]
    scores = scorer.scores(mixed)
    np.testing.assert_array_equal(scores[2:], scorer.scores(mixed[2:]))


def test_no_picture_gives_no_row(scorer):
    assert scorer.scores([]).shape == (0, 3)


def test_two_classes_are_enough_and_one_is_not(folder):
    assert ClipScorer.load(folder, CLASSES[:2], SETTINGS).scores(pictures(2)).shape == (2, 2)
    with pytest.raises(BadInput, match="2 classes or more, there is 1"):
        ClipScorer.load(folder, CLASSES[:1], SETTINGS)


def test_texts_are_encoded_once_however_many_pictures_there_are(folder, monkeypatch):
    calls = []
    encode = CLIPModel.get_text_features
    monkeypatch.setattr(
        CLIPModel, "get_text_features", lambda self, **tokens: calls.append(1) or encode(self, **tokens)
    )
    scorer = ClipScorer.load(folder, CLASSES, SETTINGS)
    scorer.scores(pictures(9))
    scorer.scores(pictures(2))
    assert len(calls) == 1


def test_a_name_with_spaces_is_asked_for_with_its_spaces(folder, monkeypatch):
    asked = []
    call = CLIPTokenizer.__call__

    def noted(self, texts, **how):
        asked.extend(texts)
        return call(self, texts, **how)

    monkeypatch.setattr(CLIPTokenizer, "__call__", noted)
    ClipScorer.load(folder, CLASSES, SETTINGS)
    assert asked == ["a photo of a mug", "a photo of a traffic light", "a photo of a lemon"]


def test_a_text_too_long_for_the_model_is_refused_not_cut(folder):
    with pytest.raises(BadInput, match="this CLIP reads 16; shorten the name"):
        ClipScorer.load(folder, ("mug", "an unusually long name of nothing in particular"), SETTINGS)


def copy_of(folder, target):
    target.mkdir()
    for path in folder.iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    return target


def test_weights_that_lack_a_tensor_are_refused(folder, tmp_path):
    other = copy_of(folder, tmp_path / "clip")
    tensors = load_file(other / "model.safetensors")
    del tensors["visual_projection.weight"]
    save_file(tensors, other / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(BadInput, match="lacks 1 tensors of CLIP, visual_projection.weight first"):
        ClipScorer.load(other, CLASSES, SETTINGS)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_damaged_file_is_one_line_that_names_the_folder(folder, tmp_path, name):
    other = copy_of(folder, tmp_path / "clip")
    (other / name).write_bytes(b'{"')
    with pytest.raises(BadInput, match="clip: ") as found:
        ClipScorer.load(other, CLASSES, SETTINGS)
    assert "\n" not in str(found.value)


def test_a_preprocessor_of_another_size_is_refused(folder, tmp_path):
    other = copy_of(folder, tmp_path / "clip")
    path = other / "preprocessor_config.json"
    settings = json.loads(path.read_text(encoding="utf-8"))
    settings["crop_size"] = {"height": 32, "width": 32}
    path.write_text(json.dumps(settings), encoding="utf-8")
    with pytest.raises(BadInput, match="crops to 32 x 32, the model sees 16 x 16"):
        ClipScorer.load(other, CLASSES, SETTINGS)
