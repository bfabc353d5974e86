"""Sampling from a network: the same text in any company, as the published settings define it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import LlamaConfig, LlamaForCausalLM

from experiments.imaginarynet.config_sections import PromptsConfig
from experiments.imaginarynet.prompts.language_model import LanguageModel, TextCodec, choose
from experiments.imaginarynet.prompts.make import make_prompts, uniforms
from suite.errors import BadInput, Missing

LETTERS = "?" + "abcdefghijklmnopqrstuvwxyz AP.\n\t"  # id 0 ends a text
CONFIG = PromptsConfig(batch=4, max_length=24)


@pytest.fixture(scope="module")
def network():
    """Two layers, random weights, one token a letter."""
    size = LlamaConfig(
        vocab_size=len(LETTERS), hidden_size=32, intermediate_size=32, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64, tie_word_embeddings=True,
        initializer_range=0.5, eos_token_id=0, bos_token_id=None,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return LlamaForCausalLM(size).eval()


def model_of(network, config=CONFIG):
    codec = TextCodec(
        encode=lambda text: [LETTERS.index(letter) for letter in text],
        decode=lambda ids: "".join(LETTERS[i] for i in ids if i),
        ends=(0,),
    )
    return LanguageModel(network, codec, config, source="lm:tiny", digest="e" * 64)


def by_full_passes(network, config, text, noise):
    """The definition: no cache, one text, one whole pass a token."""
    ids = [LETTERS.index(letter) for letter in text]
    for u in noise:
        with torch.inference_mode():
            logits = network(torch.tensor([ids])).logits[:, -1]
        token = int(choose(logits, np.array([u]), config)[0])
        if token == 0:
            break
        ids.append(token)
        if LETTERS[token] in ".\n\t":
            break
    return "".join(LETTERS[i] for i in ids)[len(text) :]


def test_a_cached_batch_draws_what_whole_passes_over_one_text_draw(network):
    prefix, seeds = "A mug", list(range(6))
    room = CONFIG.max_length - len(prefix)
    expected = [by_full_passes(network, CONFIG, prefix, row) for row in uniforms(seeds, room)]
    assert model_of(network).continue_text(prefix, seeds, batch=4) == expected
    assert len(set(expected)) > 1


def test_a_text_is_the_same_in_any_company_order_and_fill(network):
    model = model_of(network)
    together = model.continue_text("A mug", list(range(7)), batch=4)
    assert [model.continue_text("A mug", [seed], batch=4)[0] for seed in range(7)] == together
    assert model.continue_text("A mug", list(range(6, -1, -1)), batch=4) == together[::-1]


def test_every_call_of_the_network_has_the_shape_of_a_full_batch(network, monkeypatch):
    model, shapes = model_of(network), set()
    forward = network.forward

    def spy(ids, **rest):
        shapes.add(tuple(ids.shape))
        return forward(ids, **rest)

    monkeypatch.setattr(network, "forward", spy)
    model.continue_text("A mug", list(range(5)), batch=4)
    assert shapes == {(1, 5), (4, 1)}


def test_a_text_has_no_more_tokens_than_max_length_with_the_template(network):
    for most in (6, 9):
        texts = model_of(network, replace(CONFIG, max_length=most)).continue_text("A mug", [1, 2, 3], batch=4)
        assert max(len(text) for text in texts) == most - 5


def test_a_template_that_fills_max_length_is_told_with_the_number_it_needs(network):
    model = model_of(network, replace(CONFIG, max_length=5))
    with pytest.raises(BadInput, match="has 5 tokens already.*set prompts.max_length to 6"):
        model.continue_text("A mug", [1], batch=4)


def test_drawing_touches_no_global_generator(network):
    before = torch.get_rng_state()
    make_prompts(model_of(network), CONFIG, "mug", count=4, seed=0)
    assert torch.equal(torch.get_rng_state(), before)


# --- one token ---


def probabilities(logits, config):
    """The published chain of warpers, written down plainly for one row."""
    scores = np.asarray(logits, dtype=np.float64) / config.temperature
    order = np.argsort(-scores, kind="stable")
    order = order[: config.top_k] if config.top_k else order
    weights = np.exp(scores[order] - scores.max())
    weights /= weights.sum()
    if config.top_p < 1:
        before = np.concatenate([[0.0], np.cumsum(weights)[:-1]])
        order, weights = order[before < config.top_p], weights[before < config.top_p]
    found = np.zeros(len(scores))
    found[order] = weights / weights.sum()
    return found


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 1000),
    top_k=st.sampled_from([0, 1, 3, 50]),
    top_p=st.sampled_from([0.05, 0.6, 1.0]),
    temperature=st.sampled_from([0.5, 1.0, 2.0]),
)
def test_tokens_have_the_probabilities_of_temperature_then_top_k_then_top_p(seed, top_k, top_p, temperature):
    config = replace(CONFIG, top_k=top_k, top_p=top_p, temperature=temperature)
    logits = np.random.default_rng(seed).normal(0, 2, 12).astype(np.float32)
    grid = (np.arange(20000) + 0.5) / 20000  # noise spread evenly: shares are probabilities to 1 / 20000
    chosen = choose(torch.from_numpy(logits).expand(len(grid), -1), grid, config)
    shares = np.bincount(chosen, minlength=12) / len(grid)
    np.testing.assert_allclose(shares, probabilities(logits, config), atol=1.01 / 20000)


def test_the_ends_of_the_noise_draw_tokens_that_are_allowed():
    logits = torch.tensor([[0.0, 5.0, -torch.inf, 3.0]] * 2)
    chosen = choose(logits, np.array([0.0, np.nextafter(1.0, 0.0)]), replace(CONFIG, top_k=2))
    assert chosen.tolist() == [1, 3]


# --- folders ---


@pytest.fixture
def folder(network, tmp_path, monkeypatch):
    """A folder as the hub has it, below DATA_DIR/weights."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    home = tmp_path / "weights" / "tiny"
    tokenizer = Tokenizer(models.WordLevel({c: i for i, c in enumerate(LETTERS)}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.decoder = decoders.Fuse()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="?").save_pretrained(home)
    network.save_pretrained(home)
    return home


def test_a_folder_of_the_hub_draws_as_its_network_does(folder, network):
    loaded = LanguageModel.load("tiny", CONFIG, device="cpu")
    assert loaded.source == "lm:tiny" and len(loaded.digest) == 64
    assert 0 in loaded.codec.ends
    seeds = list(range(5))
    expected = model_of(network).continue_text("A mug", seeds, batch=4)
    assert loaded.continue_text("A mug", seeds, batch=4) == expected


def test_a_folder_that_is_cut_short_is_one_line(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(BadInput, match="model.safetensors: is damaged"):
        LanguageModel.load("tiny", CONFIG, device="cpu")
    path.unlink()
    with pytest.raises(Missing, match="lacks model.safetensors"):
        LanguageModel.load("tiny", CONFIG, device="cpu")


def test_settings_that_are_no_language_model_are_one_line(folder):
    (folder / "config.json").write_text('{"model_type": "nothing of that name"}')
    with pytest.raises(BadInput, match="cannot be loaded as a causal language model"):
        LanguageModel.load("tiny", CONFIG, device="cpu")


def test_weights_that_lack_a_tensor_are_refused(folder):
    from safetensors.torch import load_file, save_file

    path = folder / "model.safetensors"
    tensors = load_file(path)
    left_out = next(name for name in sorted(tensors) if "norm" in name or "ln" in name)
    save_file({name: value for name, value in tensors.items() if name != left_out}, path, {"format": "pt"})
    with pytest.raises(BadInput, match=r"lacks 1 tensors of the model"):
        LanguageModel.load("tiny", CONFIG, device="cpu")


def test_a_damaged_tokenizer_is_one_line(folder):
    (folder / "tokenizer.json").write_text("{")
    with pytest.raises(BadInput, match="cannot be loaded as a causal language model"):
        LanguageModel.load("tiny", CONFIG, device="cpu")
